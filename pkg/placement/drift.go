// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// drifted refuses a gang whose bound members no longer share the domains that
// they must share.
func (a *attempt) drifted() *Refusal {
	if len(a.g.Bound) == 0 {
		return nil
	}
	if a.g.Required >= 0 {
		if refusal := a.driftedAt(a.g.Required, a.bound, "its running pods"); refusal != nil {
			return refusal
		}
	}
	for r := range a.roles {
		role := &a.roles[r]
		if role.Required >= 0 && a.g.BoundCount(r) > 0 {
			refusal := a.driftedAt(role.Required, a.boundOf(r), "the running pods of role "+role.Name)
			if refusal != nil {
				return refusal
			}
		}
		if refusal := a.driftedSlice(r); refusal != nil {
			return refusal
		}
	}
	return nil
}

// boundOf lists the known nodes of the bound members of role r.
func (a *attempt) boundOf(r int) []topology.NodeID {
	var nodes []topology.NodeID
	for _, b := range a.g.Bound {
		if b.Role == r && b.Node >= 0 && int(b.Node) < len(a.t.Nodes) {
			nodes = append(nodes, b.Node)
		}
	}
	return nodes
}

// driftedAt refuses nodes that do not share one domain of a level.
func (a *attempt) driftedAt(level topology.Level, nodes []topology.NodeID, who string) *Refusal {
	name := a.t.LevelName(level)
	if len(nodes) == 0 {
		return a.drift(fmt.Sprintf("%s stand on nodes that are gone, so that their %s is not known", who, name))
	}
	first, ok := a.t.DomainAt(nodes[0], level)
	for _, n := range nodes {
		d, has := a.t.DomainAt(n, level)
		switch {
		case !has:
			return a.drift(fmt.Sprintf("%s use node %s, which is in no %s", who, a.t.Nodes[n].Name, name))
		case ok && d != first:
			return a.drift(fmt.Sprintf("%s stand in both %s and %s", who, a.t.DomainPath(first), a.t.DomainPath(d)))
		}
	}
	return nil
}

// driftedSlice refuses a role of which a slice stands in two domains.
func (a *attempt) driftedSlice(r int) *Refusal {
	for _, layer := range a.g.SlicesOf(r) {
		if layer.Preferred {
			continue
		}
		first, slice := NoNode, int32(-1)
		for _, b := range a.roles[r].bound {
			if b.node == NoNode {
				continue
			}
			if at := b.rank / int32(layer.Size); at != slice {
				first, slice = b.node, at
			}
			if d, ok := a.t.DomainAt(first, layer.Level); !ok || !a.t.ContainsNode(d, b.node) {
				who := fmt.Sprintf("the running pods of slice %d", slice)
				return a.driftedAt(layer.Level, []topology.NodeID{first, b.node}, who)
			}
		}
	}
	return nil
}

// drift is the refusal of a gang whose bound members break its own rules.
func (a *attempt) drift(detail string) *Refusal {
	return &Refusal{
		Reason: TopologyDrift, Gang: a.g.Name, Want: a.want + len(a.g.Bound), Bound: len(a.g.Bound),
		Level: a.t.LevelName(a.widestLevel()), Detail: detail,
	}
}
