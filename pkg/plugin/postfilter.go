// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"time"

	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// refusedPlanRecheck is how soon a gang is tried again whose plan other plugins
// refused, without an event that Muster knows to be of help.
const refusedPlanRecheck = 5 * time.Second

// PodGroupPostFilter reports a gang that was planned, but whose plan other
// plugins refused: they know constraints that the planner does not.
func (pl *Plugin) PodGroupPostFilter(_ context.Context, state fwk.PodGroupCycleState, group fwk.PodGroupInfo, _ fwk.PodGroupSchedulingFunc) (*fwk.PodGroupPostFilterResult, *fwk.Status) {
	data, err := state.Read(planKey)
	if err != nil {
		return nil, fwk.NewStatus(fwk.Unschedulable) // refused by the planner, and reported
	}
	plan, pg := data.(*planned), group.GetPodGroup()
	attempts.WithLabelValues("refused").Inc()
	why := &verdict{reason: kube.NoFittingDomain, message: fmt.Sprintf(
		"gang %s has room in %s, but only %d of its %d waiting pods pass every other check there (%s); the PodScheduled condition of the others says which check it is",
		kube.GangName(pg), plan.domain, plan.commit.passed(), len(group.GetUnscheduledPods()), plan.checks())}
	pl.gangs.park(pg.UID, refused{
		why: why, gang: plan.gang, picture: pl.handle.SnapshotSharedLister().NodeInfos(), recheck: refusedPlanRecheck,
	}, pl.now())
	pl.reports.refused(pg, why)
	return nil, fwk.NewStatus(fwk.Unschedulable, why.Error())
}

// checks names what other plugins have to check on this plan.
func (p *planned) checks() string {
	if p.open != "" {
		return p.open
	}
	return "the checks of other scheduler plugins"
}
