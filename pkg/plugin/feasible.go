// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"

	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// PlacementFeasible lets a gang through once its minimum has nodes, and gives
// it up as soon as it can no longer get there.
func (pl *Plugin) PlacementFeasible(_ context.Context, state fwk.PlacementCycleState, group fwk.PodGroupInfo, progress framework.PlacementProgress) *fwk.Status {
	pg := group.GetPodGroup()
	if pg == nil || pg.Spec.SchedulingPolicy.Gang == nil {
		return nil
	}
	want := int(pg.Spec.SchedulingPolicy.Gang.MinCount)
	switch {
	case progress.Scheduled >= want:
		return nil
	case progress.Scheduled+progress.Remaining < want:
		why := &verdict{reason: kube.NoFittingDomain, message: fmt.Sprintf(
			"gang %s was planned, but another scheduler plugin refused nodes of the plan: at most %d of %d members pass; the PodScheduled condition of a refused pod says which check it was",
			kube.GangName(pg), progress.Scheduled+progress.Remaining, want)}
		if !isWhatIf(state) {
			pl.reports.refused(pg, why)
		}
		return why.status()
	}
	return fwk.NewStatus(fwk.Wait, "more members have to be placed")
}

func isWhatIf(state fwk.PlacementCycleState) bool {
	cycle := state.GetPodGroupSchedulingCycle()
	if cycle == nil {
		return false
	}
	data, err := cycle.Read(planKey)
	return err == nil && data.(*planned).whatIf
}
