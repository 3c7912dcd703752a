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

// ChangeKind is what a change is about.
type ChangeKind string

// The kinds, in the order in which changes are proposed.
const (
	// ChangeNodes: nodes come back into use.
	ChangeNodes ChangeKind = "nodes"
	// ChangeTerminations: other gangs or workloads end.
	ChangeTerminations ChangeKind = "ends"
	// ChangeTolerations: the members tolerate taints.
	ChangeTolerations ChangeKind = "tolerations"
	// ChangeSelector: the members drop a part of their node selector or affinity.
	ChangeSelector ChangeKind = "selector"
	// ChangeWiderLevel: another level has to hold the gang.
	ChangeWiderLevel ChangeKind = "wider"
	// ChangePreferredLevel: the level is preferred and no longer required.
	ChangePreferredLevel ChangeKind = "preferred"
	// ChangeSlices: the sub-blocks are given up.
	ChangeSlices ChangeKind = "slices"
	// ChangeModels: another GPU model is allowed.
	ChangeModels ChangeKind = "models"
	// ChangeMemory: GPUs of less memory are accepted.
	ChangeMemory ChangeKind = "memory"
	// ChangeFewerPods: fewer members start together.
	ChangeFewerPods ChangeKind = "fewer"
	// ChangeSmallerRequest: each member asks for less of a resource.
	ChangeSmallerRequest ChangeKind = "smaller"
	// ChangeRestart: the bound members start again with the others.
	ChangeRestart ChangeKind = "restart"
)

// Change is something that would let a gang in. It was verified: the engine has
// placed the gang with the change made.
type Change struct {
	Kind ChangeKind `json:"kind"`
	// Text says what to do, such as "uncordon n72 and n75", and Then what
	// comes of it, such as "16 pods fit in block-a/rack-7".
	Text    string `json:"text"`
	Outcome string `json:"then"`
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

// proposeChanges returns what would let the gang in, in the order of the kinds.
// Each kind is searched for on its own.
func (x *explainer) proposeChanges() ([]Change, error) {
	searches := []func() ([]Change, error){x.proposeTolerations, x.proposeSelectors, x.proposeWiderLevel, x.proposePreferredLevel, x.proposeNoSlices, x.proposeRoleChanges, x.proposeModels, x.proposeLessMemory, x.proposeFewerPods, x.proposeSmallerRequests, x.proposeRestart}
	if x.refusal.Reason == placement.NoFittingDomain { // else room does not help
		searches = append([]func() ([]Change, error){x.proposeNodes, x.proposeTerminations}, searches...)
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

// tryChange returns the change with its outcome if it lets the gang in, else
// nothing.
func (x *explainer) tryChange(t scenario, c Change) ([]Change, error) {
	members, plan, err := x.view.solveScenario(t)
	if err != nil || plan.Refusal != nil {
		return nil, err
	}
	x.recordOutcome(&c, members, plan)
	return []Change{c}, nil
}

// recordOutcome writes into a change where the gang then fits and how many pods
// start.
func (x *explainer) recordOutcome(c *Change, members *kube.Members, plan placement.Plan) {
	tree := members.TreeOn(x.view.cluster.Usage().Tree)
	c.Domain, c.Pods = tree.DomainPath(plan.Domain), len(members.Assignments(plan))
	c.Outcome = fmt.Sprintf("%s fit in %s", formatPodCount(c.Pods), c.Domain)
	if plan.Domain == 0 {
		c.Outcome = formatPodCount(c.Pods) + " fit in the cluster"
	}
	if c.Pods == 1 {
		c.Outcome = strings.Replace(c.Outcome, " fit ", " fits ", 1)
	}
	if rest := members.WaitingCount() - c.Pods; rest > 0 {
		c.Outcome += fmt.Sprintf(", %d more wait for room", rest)
	}
	c.Outcome += x.describeSpread(plan)
}

// describeSpread returns the domains of the level that the gang names over
// which a plan goes, if it is a few, else their number.
func (x *explainer) describeSpread(plan placement.Plan) string {
	const most = 4
	tree := x.usage.Tree
	level := max(x.gang.Spec.Required, x.gang.Spec.Preferred)
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

// joinWords joins words as prose, not more than a few of them.
func joinWords(words []string) string {
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
