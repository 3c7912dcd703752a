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

// nodes proposes to bring back the fewest nodes: cordoned ones, else ones that
// are not ready, else both.
func (x *explainer) nodes() ([]Change, error) {
	cordoned, err := x.nodeLevers(gang.Cordoned)
	if err != nil {
		return nil, err
	}
	broken, err := x.nodeLevers(gang.NotReady)
	if err != nil {
		return nil, err
	}
	var all []Change
	for _, levers := range [][]lever{cordoned, broken, append(cordoned, broken...)} {
		if len(all) > 0 && len(levers) == len(cordoned)+len(broken) && len(cordoned) > 0 {
			break
		}
		found, err := x.fewest(levers)
		if err != nil {
			return nil, err
		}
		if found == nil {
			continue
		}
		c := describeNodes(found.levers, cordoned)
		x.conclude(&c, found.members, found.plan)
		all = append(all, c)
	}
	return all, nil
}

func describeNodes(chosen, cordoned []lever) Change {
	var lift, mend []string
	for _, l := range chosen {
		if slices.ContainsFunc(cordoned, func(c lever) bool { return c.name == l.name }) {
			lift = append(lift, l.name)
		} else {
			mend = append(mend, l.name)
		}
	}
	c := Change{Kind: Nodes, Nodes: names(chosen)}
	var parts []string
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

// nodeLevers are the nodes that are left out for one reason and have room.
func (x *explainer) nodeLevers(why gang.Why) ([]lever, error) {
	role := &x.members.Roles[x.scarce]
	if role.Filter == nil {
		return nil, nil
	}
	tree := x.usage.Tree
	t := x.g.trial()
	var ids []topology.NodeID
	for i, w := range role.Filter.Why {
		if w == why {
			ids = append(ids, topology.NodeID(i))
			t.nodes = append(t.nodes, restored(x.p.Node(topology.NodeID(i)), why))
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
		if !ok || gain == 0 || x.wrongModel(n) || filter != nil && filter.Why[n] != gang.Fits {
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

// restored is a node without the cordon, or without the taints of a node that
// is not ready.
func restored(node *v1.Node, why gang.Why) *v1.Node {
	back := node.DeepCopy()
	drop := []string{v1.TaintNodeNotReady, v1.TaintNodeUnreachable}
	if why == gang.Cordoned {
		back.Spec.Unschedulable = false
		drop = []string{v1.TaintNodeUnschedulable}
	}
	back.Spec.Taints = slices.DeleteFunc(back.Spec.Taints, func(t v1.Taint) bool { return slices.Contains(drop, t.Key) })
	return back
}
