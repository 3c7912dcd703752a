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
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Phase is what a gang does.
type Phase string

// The phases.
const (
	// Running: as many members as must start together have a node.
	Running Phase = "running"
	// Waiting: they do not.
	Waiting Phase = "waiting"
	// Invalid: the gang cannot be scheduled as it is declared.
	Invalid Phase = "invalid"
)

// FitsNow is the reason of a gang that waits although there is room for it.
const FitsNow kube.Reason = "FitsNow"

// Gated is the reason of a gang whose members carry scheduling gates.
const Gated kube.Reason = "SchedulingGated"

// Status is what becomes of one gang.
type Status struct {
	Namespace string       `json:"namespace"`
	Name      string       `json:"name"`
	Dialect   kube.Dialect `json:"dialect"`
	Phase     Phase        `json:"phase"`
	// Reason and Message say why the gang waits; both are empty for one that
	// runs whole.
	Reason  kube.Reason `json:"reason,omitempty"`
	Message string      `json:"message,omitempty"`
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

// Status tells what becomes of a gang. now is the moment of the picture.
func (p *Picture) Status(g *Gang, now time.Time) (Status, error) {
	s := Status{
		Namespace: g.Namespace, Name: g.Name, Dialect: g.Dialect,
		Bound: len(g.Bound), MinCount: g.MinCount(), Pods: len(g.Members()),
		Created: g.Group.CreationTimestamp.Time,
	}
	if d, ok := p.narrowest(g.Bound); ok {
		s.Domain = p.cluster.Usage().Tree.DomainPath(d)
	}
	s.AgeSeconds = seconds(s.Created, now)
	s.WaitSeconds = s.AgeSeconds
	var err error
	s.Phase, s.Reason, s.Message, err = p.verdict(g)
	if s.Phase == Running {
		s.WaitSeconds = seconds(s.Created, startOf(g))
	}
	return s, err
}

// verdict is what the scheduler would say of the gang now.
func (p *Picture) verdict(g *Gang) (Phase, kube.Reason, string, error) {
	phase := Waiting
	switch {
	case g.Invalid != nil:
		return Invalid, g.Invalid.Reason, g.Invalid.Message, nil
	case len(g.Members()) == 0:
		return Waiting, kube.GangIncomplete, fmt.Sprintf("gang %s has none of the %s that must start together; waiting for them to be created", g.Name, pods(g.MinCount())), nil
	case len(g.Bound) >= g.Spec.MinCount:
		phase = Running
	}
	if len(g.Waiting)+len(g.Gated) == 0 && len(g.Bound) > 0 {
		reason, message := g.rest()
		return Running, reason, message, nil
	}
	if reason, message := g.incomplete(); reason != "" {
		return phase, reason, message, nil
	}
	members, plan, err := p.solve(g.trial())
	if err != nil {
		return phase, "", "", err
	}
	if bad := members.Invalid; bad != nil {
		return Invalid, bad.Reason, "gang " + g.Name + ": " + bad.Message, nil
	}
	if r := plan.Refusal; r != nil {
		return phase, kube.Reason(r.Reason), r.Error(), nil
	}
	return phase, FitsNow, fitsNow(g, members, plan), nil
}

// incomplete is why a gang cannot be tried yet.
func (g *Gang) incomplete() (kube.Reason, string) {
	have := len(g.Bound) + len(g.Waiting)
	switch {
	case len(g.Gated) > 0 && (have < g.Spec.MinCount || len(g.Waiting) == 0):
		return Gated, fmt.Sprintf("gang %s: the scheduling gate %s holds back %s of %d; whoever put it there has to remove it",
			g.Name, strings.Join(gates(g.Gated), ", "), pods(len(g.Gated)), len(g.Members()))
	case have < g.Spec.MinCount:
		return kube.GangIncomplete, fmt.Sprintf("gang %s has %d of the %d pods that must start together; waiting for the others to be created",
			g.Name, have, g.Spec.MinCount)
	}
	return "", ""
}

// rest is what there is to say of a gang of which no member waits.
func (g *Gang) rest() (kube.Reason, string) {
	if len(g.Bound) >= g.Spec.MinCount {
		return "", ""
	}
	return kube.PartialGang, fmt.Sprintf("gang %s: %d of the %d pods that start together have a node and none waits; the others have ended or are still to be created",
		g.Name, len(g.Bound), g.Spec.MinCount)
}

// gates lists the scheduling gates of pods.
func gates(gated []*v1.Pod) []string {
	names := map[string]bool{}
	for _, pod := range gated {
		for _, gate := range pod.Spec.SchedulingGates {
			names[gate.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// fitsNow is the sentence about a gang that waits although it fits.
func fitsNow(g *Gang, members *kube.Members, plan placement.Plan) string {
	placed := len(members.Assignments(plan))
	if members.Open != "" {
		return fmt.Sprintf("gang %s has room for %s as far as resources and topology go, but its pods use %s, which only the scheduler checks: see the pods' events",
			g.Name, pods(placed), members.Open)
	}
	return fmt.Sprintf("gang %s fits now: %s would start; if they stay pending, check that the scheduler %s runs", g.Name, pods(placed), g.Waiting[0].Spec.SchedulerName)
}

// narrowest is the narrowest domain that holds all pods, if they have known
// nodes.
func (p *Picture) narrowest(bound []*v1.Pod) (topology.DomainID, bool) {
	tree := p.cluster.Usage().Tree
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
	return d, true
}

// startOf is when the last of the members that must start together got its
// node.
func startOf(g *Gang) time.Time {
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

func seconds(from, to time.Time) int64 {
	if from.IsZero() || to.Before(from) {
		return 0
	}
	return int64(to.Sub(from).Seconds())
}

// pods is a count with its noun.
func pods(n int) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", n)
}
