// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// PreEnqueue lets a gang into the queue once it is valid and has all the
// members it needs, and keeps one out that was refused while nothing changed.
// A pod whose gang cannot be told stays out too: it never runs on its own.
func (pl *Plugin) PreEnqueue(_ context.Context, pod *v1.Pod) *fwk.Status {
	group := kube.GroupOf(pod)
	if group == "" {
		return nil
	}
	pg, err := pl.handle.PodGroupManager().PodGroups().Get(pod.Namespace, group)
	if err != nil {
		why := &verdict{reason: kube.GangNotFound, message: fmt.Sprintf("pod group %s is not known yet", group)}
		return why.status()
	}
	if pg.Spec.SchedulingPolicy.Gang == nil {
		return nil
	}
	state, err := pl.handle.PodGroupManager().PodGroupStates().Get(pod.Namespace, group)
	if err != nil {
		return fwk.AsStatus(err)
	}
	return pl.admit(pg, state, pod).status()
}

// admit returns why the gang may not be tried now, or nil.
func (pl *Plugin) admit(pg *schedulingapi.PodGroup, state fwk.PodGroupState, pod *v1.Pod) *verdict {
	t, why := pl.fit(pg, state)
	if why != nil {
		pl.gangs.bar(pg.UID, t, pod)
		pl.reports.gated(pg, why)
		return why
	}
	pl.reports.admitted(pg.UID)
	return pl.gangs.enter(pg.UID, t, pod, pl.now())
}

// fit returns the place of a gang in the queue, and why it has none as it is:
// it is invalid or lacks members.
func (pl *Plugin) fit(pg *schedulingapi.PodGroup, state fwk.PodGroupState) (turn, *verdict) {
	t := turn{priority: priorityOf(pg), created: pg.CreationTimestamp.Time, key: pg.Namespace + "/" + pg.Name}
	spec, why := pl.specOf(pg)
	if why != nil {
		return t, why
	}
	bound := state.ScheduledPodsCount()
	t.partial = bound > 0 && bound < pl.gangs.needs(pg.UID, bound, spec.Whole)
	return t, incomplete(spec, state)
}

// incomplete reports a gang that does not have its members, or not any more.
func incomplete(spec *kube.Spec, state fwk.PodGroupState) *verdict {
	have := state.AllPodsCount()
	if have >= spec.MinCount {
		return nil
	}
	return &verdict{
		reason:  kube.GangIncomplete,
		message: fmt.Sprintf("gang %s has %d of the %d pods that must start together; waiting for the others to be created", spec.Name, have, spec.MinCount),
	}
}

func priorityOf(pg *schedulingapi.PodGroup) int32 {
	if pg.Spec.Priority != nil {
		return *pg.Spec.Priority
	}
	return 0
}

// specOf reads a group's specification, or why it has none.
func (pl *Plugin) specOf(pg *schedulingapi.PodGroup) (*kube.Spec, *verdict) {
	d := pl.reports.groups.DeclarationOf(pg)
	if d == nil { // a newer version of the group is on the way
		return nil, &verdict{reason: kube.GangNotFound, message: fmt.Sprintf("pod group %s is not known yet", pg.Name)}
	}
	spec, invalid := kube.ReadSpec(pg, d, pl.ladder)
	if invalid != nil {
		return nil, &verdict{reason: invalid.Reason, message: invalid.Message}
	}
	return spec, nil
}
