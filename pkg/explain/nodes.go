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

// nodes proposes to bring back the fewest nodes: cordoned ones, ones that are
// not ready, and where neither is enough, both.
func (x *explainer) nodes() ([]Change, error) {
	var all []Change
	for _, reasons := range [][]gang.Exclusion{{gang.Cordoned}, {gang.NotReady}, {gang.Cordoned, gang.NotReady}} {
		if len(reasons) > 1 && len(all) > 0 {
			break
		}
		levers, err := x.nodeLevers(reasons...)
		if err != nil {
			return nil, err
		}
		found, err := x.fewest(levers)
		if err != nil {
			return nil, err
		}
		if found == nil {
			continue
		}
		c := x.describeNodes(names(found.levers))
		x.conclude(&c, found.members, found.plan)
		all = append(all, c)
	}
	return all, nil
}

// describeNodes says what each node lacks.
func (x *explainer) describeNodes(chosen []string) Change {
	c := Change{Kind: Nodes, Nodes: chosen}
	var lift, mend, parts []string
	for _, name := range chosen {
		node := x.p.infos[x.p.index[name]].Node()
		if unready(node) {
			mend = append(mend, name)
		}
		if cordoned(node) {
			lift = append(lift, name)
		}
	}
	if len(lift) > 0 {
		parts = append(parts, "uncordon "+join(lift))
		c.Command = "kubectl uncordon " + strings.Join(lift, " ")
	}
	if len(mend) > 0 {
		parts = append(parts, "get "+join(mend)+" ready again")
		if len(lift) == 0 {
			c.Command = "kubectl describe node " + strings.Join(mend, " ")
		}
	}
	c.Text = strings.Join(parts, " and ")
	return c
}

// nodeLevers are the nodes that are left out for one of the reasons, have room,
// and would be of use without these reasons.
func (x *explainer) nodeLevers(reasons ...gang.Exclusion) ([]lever, error) {
	role := &x.members.Roles[x.scarce]
	if role.Filter == nil {
		return nil, nil
	}
	tree := x.usage.Tree
	t := x.g.trial()
	var ids []topology.NodeID
	for i, w := range role.Filter.Exclusions {
		if slices.Contains(reasons, w) {
			ids = append(ids, topology.NodeID(i))
			t.nodes = append(t.nodes, restored(x.p.Node(topology.NodeID(i)), reasons...))
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	members, err := x.p.members(t)
	if err != nil {
		return nil, err
	}
	filter := members.Roles[x.scarce].Filter
	var levers []lever
	for i, n := range ids {
		d, ok := tree.DomainAt(n, x.level())
		gain := fits(x.usage.FreeRow(n), role.Request)
		if !ok || gain == 0 || x.wrongModel(n) || filter != nil && filter.Exclusions[n] != gang.Eligible {
			continue
		}
		node := t.nodes[i]
		levers = append(levers, lever{
			name: node.Name, weight: 1, gain: map[topology.DomainID]int64{d: gain},
			apply: func(t *trial) { t.nodes = append(t.nodes, node) },
		})
	}
	return levers, nil
}

// taintsOf are the taints with which a reason comes.
var taintsOf = map[gang.Exclusion][]string{
	gang.Cordoned: {v1.TaintNodeUnschedulable},
	gang.NotReady: {v1.TaintNodeNotReady, v1.TaintNodeUnreachable},
}

// restored is a node without the cordon, or without the taints of a node that
// is not ready, or both.
func restored(node *v1.Node, reasons ...gang.Exclusion) *v1.Node {
	back := node.DeepCopy()
	for _, why := range reasons {
		back.Spec.Unschedulable = back.Spec.Unschedulable && why != gang.Cordoned
		back.Spec.Taints = slices.DeleteFunc(back.Spec.Taints, func(t v1.Taint) bool { return slices.Contains(taintsOf[why], t.Key) })
	}
	return back
}

func unready(node *v1.Node) bool { return tainted(node, gang.NotReady) }

func cordoned(node *v1.Node) bool { return node.Spec.Unschedulable || tainted(node, gang.Cordoned) }

// tainted tells whether a node has a taint with which a reason comes.
func tainted(node *v1.Node, why gang.Exclusion) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t v1.Taint) bool { return slices.Contains(taintsOf[why], t.Key) })
}
