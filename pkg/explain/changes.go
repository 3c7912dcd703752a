// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"strings"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Kind is what a change changes.
type Kind string

// The kinds, in the order in which changes are proposed.
const (
	// Nodes: nodes come back into use.
	Nodes Kind = "nodes"
	// Ends: other gangs or workloads end.
	Ends Kind = "ends"
	// Tolerations: the members tolerate taints.
	Tolerations Kind = "tolerations"
	// Selector: the members drop a part of their node selector or affinity.
	Selector Kind = "selector"
	// Wider: another level has to hold the gang.
	Wider Kind = "wider"
	// Preferred: the level is preferred and no longer required.
	Preferred Kind = "preferred"
	// Slices: the sub-blocks are given up.
	Slices Kind = "slices"
	// Models: another GPU model is allowed.
	Models Kind = "models"
	// Memory: GPUs of less memory are accepted.
	Memory Kind = "memory"
	// Fewer: fewer members start together.
	Fewer Kind = "fewer"
	// Smaller: each member asks for less of a resource.
	Smaller Kind = "smaller"
	// Restart: the bound members start again with the others.
	Restart Kind = "restart"
)

// Change is something that would let a gang in.
type Change struct {
	Kind Kind `json:"kind"`
	// Text says what to do, such as "uncordon n72 and n75", and Then what
	// comes of it, such as "16 pods fit in block-a/rack-7".
	Text string `json:"text"`
	Then string `json:"then"`
	// Setting is what to write, such as "muster.sh/topology-required: block".
	Setting string `json:"setting,omitempty"`
	// Command does it, where a command can.
	Command string `json:"command,omitempty"`
	// Role is the role of the gang for which it is proposed, "" for all of it.
	Role string `json:"role,omitempty"`
	// Nodes and Workloads are what the change is about, where it is about
	// nodes or other workloads.
	Nodes     []string `json:"nodes,omitempty"`
	Workloads []string `json:"workloads,omitempty"`
	// Domain is the path of the domain that then holds the gang, and Pods the
	// number of waiting members that then get a node.
	Domain string `json:"domain"`
	Pods   int    `json:"pods"`
}

// changes proposes what would let the gang in.
func (x *explainer) changes() ([]Change, error) {
	searches := []func() ([]Change, error){x.tolerations, x.selectors, x.wider, x.preferred, x.slices, x.parts, x.models, x.memory, x.fewer, x.smaller, x.restart}
	if x.refusal.Reason == placement.NoFittingDomain { // else room does not help
		searches = append([]func() ([]Change, error){x.nodes, x.ends}, searches...)
	}
	var all []Change
	for _, search := range searches {
		found, err := search()
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// try adds to a change what comes of it, if it lets the gang in.
func (x *explainer) try(t trial, c Change) ([]Change, error) {
	members, plan, err := x.p.solve(t)
	if err != nil || plan.Refusal != nil {
		return nil, err
	}
	x.conclude(&c, members, plan)
	return []Change{c}, nil
}

// conclude says what comes of a change.
func (x *explainer) conclude(c *Change, members *kube.Members, plan placement.Plan) {
	tree := x.usage.Tree
	c.Domain, c.Pods = tree.DomainPath(plan.Domain), len(members.Assignments(plan))
	c.Then = fmt.Sprintf("%s fit in %s", pods(c.Pods), c.Domain)
	if plan.Domain == 0 {
		c.Then = pods(c.Pods) + " fit in the cluster"
	}
	if c.Pods == 1 {
		c.Then = strings.Replace(c.Then, " fit ", " fits ", 1)
	}
	if rest := members.WaitingCount() - c.Pods; rest > 0 {
		c.Then += fmt.Sprintf(", %d more wait for room", rest)
	}
	c.Then += x.spread(plan)
}

// spread says over which domains of the level that the gang cares about a plan
// goes, if it is a few.
func (x *explainer) spread(plan placement.Plan) string {
	const most = 4
	tree := x.usage.Tree
	level := max(x.g.Spec.Required, x.g.Spec.Preferred)
	if level < 0 {
		return ""
	}
	counts := map[topology.DomainID]int{}
	var order []topology.DomainID
	for _, nodes := range plan.Nodes {
		for _, n := range nodes {
			d, ok := tree.DomainAt(n, level)
			if !ok {
				continue
			}
			if counts[d] == 0 {
				order = append(order, d)
			}
			counts[d]++
		}
	}
	if len(order) < 2 {
		return ""
	}
	if len(order) > most {
		return fmt.Sprintf(" (over %d %ss)", len(order), tree.LevelName(level))
	}
	var parts []string
	for _, d := range order {
		parts = append(parts, fmt.Sprintf("%d in %s", counts[d], tree.Domains[d].Name))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// join lists words as prose, not more than a few of them.
func join(words []string) string {
	const most = 6
	switch n := len(words); {
	case n == 0:
		return ""
	case n == 1:
		return words[0]
	case n > most:
		return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), n-most)
	default:
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
}
