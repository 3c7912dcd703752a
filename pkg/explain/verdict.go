// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/queue"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// ReasonFitsNow is the reason of a gang whose members wait although there is room for
// them.
const ReasonFitsNow kube.Reason = "FitsNow"

// Status is the state of one gang, and why it waits.
type Status struct {
	Namespace string       `json:"namespace"`
	Name      string       `json:"name"`
	Dialect   kube.Dialect `json:"dialect"`
	Phase     queue.Phase  `json:"phase"`
	// Reason and Message say why the gang waits; both are empty for one of which
	// every member runs. WaitsFor says in a few words what has to come about.
	Reason   kube.Reason `json:"reason,omitempty"`
	Message  string      `json:"message,omitempty"`
	WaitsFor string      `json:"waitsFor,omitempty"`
	// Place is Gang.Place, Priority that of the members, GPUs what all of them
	// ask for.
	Place    int   `json:"place,omitempty"`
	Priority int32 `json:"priority"`
	GPUs     int64 `json:"gpus"`
	// Bound members have a node, MinCount start together, Pods is all of them.
	Bound    int `json:"bound"`
	MinCount int `json:"minCount"`
	Pods     int `json:"pods"`
	// Domain is the narrowest domain that holds the bound members.
	Domain string `json:"domain,omitempty"`
	// Created is when the gang came to be. AgeSeconds counts from it;
	// WaitSeconds until the last member that must start had a node, or until
	// now.
	Created     time.Time `json:"created"`
	AgeSeconds  int64     `json:"ageSeconds"`
	WaitSeconds int64     `json:"waitSeconds"`
}

// Status returns the status of a gang. now is the time at which the view was
// taken.
func (v *ClusterView) Status(g *Gang, now time.Time) (Status, error) {
	s := Status{
		Namespace: g.Namespace, Name: g.Name, Dialect: g.Dialect,
		Place: g.Place, Priority: g.queueKey().Priority, GPUs: g.totalGPUs(),
		Bound: len(g.Bound), MinCount: g.MinCount(), Pods: len(g.Members()),
		Created: g.Group.CreationTimestamp.Time,
	}
	if d, ok := v.narrowestDomain(g.Bound); ok {
		s.Domain = v.cluster.Usage().Tree.DomainPath(d)
	}
	s.AgeSeconds = secondsBetween(s.Created, now)
	s.WaitSeconds = s.AgeSeconds
	verdict, err := v.currentVerdict(g, now)
	s.Phase, s.Reason, s.Message, s.WaitsFor = verdict.Phase, kube.Reason(verdict.Reason), verdict.Message, verdict.waitsFor
	if s.Phase == queue.Running {
		s.WaitSeconds = secondsBetween(s.Created, startTime(g))
	}
	return s, err
}

// verdict is what the scheduler would say of a gang, and in a few words what the
// gang waits for.
type verdict struct {
	queue.Status
	waitsFor string
}

// currentVerdict returns what the scheduler would say of the gang now.
func (v *ClusterView) currentVerdict(g *Gang, now time.Time) (verdict, error) {
	ready := g.queueReadiness()
	if ready.Obstacle() != nil || ready.Waiting == 0 {
		return verdict{queue.StatusOf(ready, nil), g.waitsForUser(&ready)}, nil
	}
	members, plan, err := v.solveScenario(g.currentScenario())
	switch {
	case err != nil:
		return verdict{Status: queue.StatusOf(ready, nil)}, err
	case members.Invalid != nil:
		bad := members.Invalid
		refusal := &queue.Verdict{Reason: string(bad.Reason), Message: "gang " + g.Name + ": " + bad.Message}
		return verdict{queue.StatusOf(ready, refusal), "a change of what its pods ask for"}, nil
	case plan.Refusal != nil:
		if room := v.roomVerdict(g, now); room != nil && plan.Refusal.Reason == placement.NoFittingDomain {
			return verdict{queue.StatusOf(ready, room), "the pods that it preempted to end"}, nil
		}
		refusal := &queue.Verdict{Reason: string(plan.Refusal.Reason), Message: plan.Refusal.Error() + members.DeviceNote()}
		return verdict{queue.StatusOf(ready, refusal), waitsForRoom(plan.Refusal)}, nil
	}
	out := verdict{queue.StatusOf(ready, nil), "its turn; there is room for " + formatPodCount(len(members.Assignments(plan)))}
	out.Reason, out.Message = string(ReasonFitsNow), fitsNowMessage(g, members, plan)
	return out, nil
}

// queueReadiness counts the members of the gang against its declaration, as the
// scheduler does.
func (g *Gang) queueReadiness() queue.Readiness {
	r := queue.Readiness{
		Gang: g.Name, Bound: len(g.Bound), Waiting: len(g.Waiting), Gated: len(g.Gated),
		Gates: strings.Join(gateNames(g.Gated), ", "), Later: len(g.Later),
	}
	if r.Later > 0 {
		r.LaterWhy = g.Declaration.Runs.Message
	}
	if g.Invalid != nil {
		r.Required = kube.RunningMinimum(g.Group, g.Declaration)
		r.MinCount = r.Required
		r.Problem = &queue.Verdict{Reason: string(g.Invalid.Reason), Message: g.Invalid.Message}
		return r
	}
	r.MinCount, r.Required = g.Spec.MinCount, g.Spec.RunningMinimum
	return r
}

// gateNames returns the scheduling gates of pods.
func gateNames(gated []*v1.Pod) []string {
	names := map[string]bool{}
	for _, pod := range gated {
		for _, gate := range kube.GatesOf(pod) {
			names[gate] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// fitsNowMessage returns the message of a gang that waits although it fits.
func fitsNowMessage(g *Gang, members *kube.Members, plan placement.Plan) string {
	placed := len(members.Assignments(plan))
	if members.Unmodelled != "" {
		return fmt.Sprintf("gang %s has room for %s as far as resources and topology go, but its pods use %s, which only the scheduler checks: see the pods' events",
			g.Name, formatPodCount(placed), members.Unmodelled)
	}
	return fmt.Sprintf("gang %s fits now: %s would start; if they stay pending, check that the scheduler %s runs", g.Name, formatPodCount(placed), g.Waiting[0].Spec.SchedulerName)
}

// narrowestDomain returns the narrowest domain that holds all pods, one of another
// hierarchy where only the cluster does, and false if no pod has a known node.
func (v *ClusterView) narrowestDomain(bound []*v1.Pod) (topology.DomainID, bool) {
	tree := v.cluster.Usage().Tree
	var nodes []topology.NodeID
	for _, pod := range bound {
		if n, ok := tree.NodeByName(pod.Spec.NodeName); ok {
			nodes = append(nodes, n)
		}
	}
	if len(nodes) == 0 {
		return 0, false
	}
	d := tree.LeafDomain(nodes[0])
	for _, n := range nodes {
		for !tree.ContainsNode(d, n) {
			d = tree.Domains[d].Parent
		}
	}
	for l := topology.Level(len(tree.Levels) - 1); d == 0 && l >= 0; l-- {
		if e, ok := tree.DomainAt(nodes[0], l); ok && tree.IsCrossing(l) && !slices.ContainsFunc(nodes, func(n topology.NodeID) bool { return !tree.ContainsNode(e, n) }) {
			return e, true
		}
	}
	return d, true
}

// startTime returns when the last of the members that must start together got
// its node.
func startTime(g *Gang) time.Time {
	var times []time.Time
	for _, pod := range g.Bound {
		at := pod.CreationTimestamp.Time
		for _, c := range pod.Status.Conditions {
			if c.Type == v1.PodScheduled && c.Status == v1.ConditionTrue {
				at = c.LastTransitionTime.Time
			}
		}
		times = append(times, at)
	}
	slices.SortFunc(times, time.Time.Compare)
	return times[max(0, min(len(times), g.MinCount())-1)]
}

// secondsBetween returns whole seconds, 0 where a time is unknown or clocks
// disagree.
func secondsBetween(from, to time.Time) int64 {
	if from.IsZero() || to.Before(from) {
		return 0
	}
	return int64(to.Sub(from).Seconds())
}

// formatPodCount returns a number of pods with its noun.
func formatPodCount(n int) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", n)
}
