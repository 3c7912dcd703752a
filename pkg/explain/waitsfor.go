// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// waitsForUser says in a few words what the members or the declaration of a gang
// lack; "" if nothing.
func (g *Gang) waitsForUser(r *queue.Readiness) string {
	obstacle := r.Obstacle()
	if obstacle == nil || r.Waiting+r.Gated+r.Later == 0 && r.Bound > 0 {
		return ""
	}
	if obstacle.Message == r.LaterWhy {
		return "another run under its name to end"
	}
	switch kube.Reason(obstacle.Reason) {
	case queue.ReasonIncomplete:
		return fmt.Sprintf("%d of %s to be created", r.MinCount-r.Bound-r.Waiting-r.Gated, formatPodCount(r.MinCount))
	case queue.ReasonGated:
		return fmt.Sprintf("the gate %s to be taken off %d of %s", r.Gates, r.Gated, formatPodCount(len(g.Members())))
	case kube.GangNotFound:
		return "the group or workload that its pods name"
	case kube.PriorityMismatch:
		return "one priority for all of its pods"
	case kube.GangConfigConflict:
		return "pods that say the same"
	}
	return "a change of its declaration"
}

// waitsForRoom says in a few words what has to come about before a gang has room.
func waitsForRoom(r *placement.Refusal) string {
	switch r.Reason {
	case placement.TopologyLevelUnused:
		return fmt.Sprintf("nodes for %s in one %s", formatPodCount(r.Needed), r.Level)
	case placement.TopologyDrift:
		return "its running pods to stand as it asks for"
	case placement.GangTooLarge:
		return fmt.Sprintf("nodes for %s in %s; %s", formatPodCount(r.Needed), describeScope(r), describeNearest(r, "would hold"))
	case placement.NoFittingDomain:
		return fmt.Sprintf("room for %s in %s; %s", formatPodCount(r.Needed), describeScope(r), describeNearest(r, "has room for"))
	case placement.GangTooComplex:
		return "fewer roles, or fewer different pods"
	case placement.GangIncomplete, placement.InvalidGangSpec:
	}
	return "a change of its declaration"
}

// wholeCluster is how the engine calls the cluster, as a level and as a domain.
const wholeCluster = "cluster"

// describeScope is what must hold a gang.
func describeScope(r *placement.Refusal) string {
	if r.Level == "" || r.Level == wholeCluster {
		return "the cluster"
	}
	return "one " + r.Level
}

// describeNearest says how near the best domain comes.
func describeNearest(r *placement.Refusal, verb string) string {
	best := r.Best
	switch {
	case r.Unlabelled:
		return "no label tells the GPU model of the nodes"
	case r.NoModel:
		return "no node has the GPU model"
	case best == "":
		return "there is none"
	case best == wholeCluster:
		best = "it"
	}
	if r.Role != "" {
		return fmt.Sprintf("%s lacks room for %d %s pods", best, r.RoleNeeded, r.Role)
	}
	return fmt.Sprintf("%s %s %d", best, verb, r.Room)
}
