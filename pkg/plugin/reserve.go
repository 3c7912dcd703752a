// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
)

// Reserve notes, in the scheduler's simulation of a gang, that a member found
// its node: the barrier will wait for it.
func (pl *Plugin) Reserve(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ string) *fwk.Status {
	pl.gangs.took(pod)
	if plan := planOf(state); plan != nil && state.IsPodGroupSchedulingCycle() {
		plan.commit.expect(pod)
	}
	return nil
}

// Unreserve releases the siblings of a member that fell after the simulation,
// and notes the room that a pod gives back. The simulation itself takes every
// reservation back, which means nothing.
func (pl *Plugin) Unreserve(_ context.Context, state fwk.CycleState, pod *v1.Pod, node string) {
	if state.IsPodGroupSchedulingCycle() {
		return
	}
	pl.gangs.left(pod, node, pl.now())
	if plan := planOf(state); plan != nil {
		plan.commit.fall(pod)
	}
}
