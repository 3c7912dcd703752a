// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// proposeNodes proposes to bring back the fewest nodes: cordoned ones, ones
// that are not ready, and where neither is enough, both.
func (x *explainer) proposeNodes() ([]Change, error) {
	var all []Change
	for _, reasons := range [][]gang.Exclusion{{gang.Cordoned}, {gang.NotReady}, {gang.Cordoned, gang.NotReady}} {
		if len(reasons) > 1 && len(all) > 0 {
			break
		}
		levers, err := x.nodeRemedies(reasons...)
		if err != nil {
			return nil, err
		}
		found, err := x.smallestRemedySet(levers)
		if err != nil {
			return nil, err
		}
		if found == nil {
			continue
		}
		c := x.describeNodes(remedyNames(found.remedies))
		x.recordOutcome(&c, found.members, found.plan)
		all = append(all, c)
	}
	return all, nil
}

// describeNodes returns the change that brings nodes back: what to do to each,
// and the command.
func (x *explainer) describeNodes(chosen []string) Change {
	c := Change{Kind: ChangeNodes, Nodes: chosen}
	var lift, mend, parts []string
	for _, name := range chosen {
		node := x.view.infos[x.view.index[name]].Node()
		if isNotReady(node) {
			mend = append(mend, name)
		}
		if isCordoned(node) {
			lift = append(lift, name)
		}
	}
	if len(lift) > 0 {
		parts = append(parts, "uncordon "+joinWords(lift))
		c.Command = "kubectl uncordon " + strings.Join(lift, " ")
	}
	if len(mend) > 0 {
		parts = append(parts, "get "+joinWords(mend)+" ready again")
		if len(lift) == 0 {
			c.Command = "kubectl describe node " + strings.Join(mend, " ")
		}
	}
	c.Text = strings.Join(parts, " and ")
	return c
}

// nodeRemedies returns the nodes that are excluded for one of the reasons, have
// room, and would be usable without these reasons.
func (x *explainer) nodeRemedies(reasons ...gang.Exclusion) ([]remedy, error) {
	role := &x.members.Roles[x.bottleneck]
	if role.Filter == nil {
		return nil, nil
	}
	tree := x.usage.Tree
	t := x.gang.currentScenario()
	var ids []topology.NodeID
	for i, w := range role.Filter.Exclusions {
		if slices.Contains(reasons, w) {
			ids = append(ids, topology.NodeID(i))
			t.nodes = append(t.nodes, restoredNode(x.view.Node(topology.NodeID(i)), reasons...))
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	members, err := x.view.scenarioMembers(t)
	if err != nil {
		return nil, err
	}
	filter := members.Roles[x.bottleneck].Filter
	var remedies []remedy
	for i, n := range ids {
		d, ok := tree.DomainAt(n, x.requiredLevel())
		gain := capacityOf(x.usage.FreeRow(n), role.Request)
		if !ok || gain == 0 || x.hasWrongModel(n) || filter != nil && filter.Exclusions[n] != gang.Eligible {
			continue
		}
		node := t.nodes[i]
		remedies = append(remedies, remedy{
			name: node.Name, cost: 1, gain: map[topology.DomainID]int64{d: gain},
			apply: func(t *scenario) { t.nodes = append(t.nodes, node) },
		})
	}
	return remedies, nil
}

// taintsOf are the taint keys that Kubernetes sets for a reason.
var taintsOf = map[gang.Exclusion][]string{
	gang.Cordoned: {v1.TaintNodeUnschedulable},
	gang.NotReady: {v1.TaintNodeNotReady, v1.TaintNodeUnreachable},
}

// restoredNode returns a copy of a node without the cordon, or without the
// taints of a node that is not ready, or both.
func restoredNode(node *v1.Node, reasons ...gang.Exclusion) *v1.Node {
	back := node.DeepCopy()
	for _, why := range reasons {
		back.Spec.Unschedulable = back.Spec.Unschedulable && why != gang.Cordoned
		back.Spec.Taints = slices.DeleteFunc(back.Spec.Taints, func(t v1.Taint) bool { return slices.Contains(taintsOf[why], t.Key) })
	}
	return back
}

// isNotReady reports whether the node controller has tainted a node as not
// ready or unreachable.
func isNotReady(node *v1.Node) bool { return hasTaintOf(node, gang.NotReady) }

// isCordoned reports whether a node is closed to new pods.
func isCordoned(node *v1.Node) bool {
	return node.Spec.Unschedulable || hasTaintOf(node, gang.Cordoned)
}

// hasTaintOf reports whether a node has a taint that comes with a reason.
func hasTaintOf(node *v1.Node, why gang.Exclusion) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t v1.Taint) bool { return slices.Contains(taintsOf[why], t.Key) })
}
