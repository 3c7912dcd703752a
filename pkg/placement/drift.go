// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// findDrift refuses a gang whose bound members no longer share the domains that
// they must share.
func (s *solver) findDrift() *Refusal {
	if len(s.gang.Bound) == 0 {
		return nil
	}
	if s.gang.Required >= 0 {
		if refusal := s.driftAtLevel(s.gang.Required, s.boundNodes, "its running pods"); refusal != nil {
			return refusal
		}
	}
	for r := range s.roles {
		role := &s.roles[r]
		if role.Required >= 0 && s.gang.BoundCount(r) > 0 {
			refusal := s.driftAtLevel(role.Required, s.boundNodesOf(r), "the running pods of role "+role.Name)
			if refusal != nil {
				return refusal
			}
		}
		if refusal := s.driftOfSlices(r); refusal != nil {
			return refusal
		}
	}
	return nil
}

// boundNodesOf lists the known nodes of the bound members of role r.
func (s *solver) boundNodesOf(r int) []topology.NodeID {
	var nodes []topology.NodeID
	for _, b := range s.gang.Bound {
		if b.Role == r && b.Node >= 0 && int(b.Node) < len(s.tree.Nodes) {
			nodes = append(nodes, b.Node)
		}
	}
	return nodes
}

// driftAtLevel refuses nodes that do not share one domain of a level.
func (s *solver) driftAtLevel(level topology.Level, nodes []topology.NodeID, who string) *Refusal {
	name := s.tree.LevelName(level)
	if len(nodes) == 0 {
		return s.driftRefusal(fmt.Sprintf("%s stand on nodes that are gone, so that their %s is not known", who, name))
	}
	first, ok := s.tree.DomainAt(nodes[0], level)
	for _, n := range nodes {
		d, has := s.tree.DomainAt(n, level)
		switch {
		case !has:
			return s.driftRefusal(fmt.Sprintf("%s use node %s, which is in no %s", who, s.tree.Nodes[n].Name, name))
		case ok && d != first:
			return s.driftRefusal(fmt.Sprintf("%s stand in both %s and %s", who, s.tree.DomainPath(first), s.tree.DomainPath(d)))
		}
	}
	return nil
}

// driftOfSlices refuses a role of which a slice stands in two domains.
func (s *solver) driftOfSlices(r int) *Refusal {
	for _, layer := range s.gang.SlicesOf(r) {
		if layer.Preferred {
			continue
		}
		first, slice := NoNode, int32(-1)
		for _, b := range s.roles[r].boundMembers {
			if b.node == NoNode {
				continue
			}
			if at := b.rank / int32(layer.Size); at != slice {
				first, slice = b.node, at
			}
			if d, ok := s.tree.DomainAt(first, layer.Level); !ok || !s.tree.ContainsNode(d, b.node) {
				who := fmt.Sprintf("the running pods of slice %d", slice)
				return s.driftAtLevel(layer.Level, []topology.NodeID{first, b.node}, who)
			}
		}
	}
	return nil
}

// driftRefusal is the refusal of a gang whose bound members break its own rules.
func (s *solver) driftRefusal(detail string) *Refusal {
	return &Refusal{
		Reason: TopologyDrift, Gang: s.gang.Name, Needed: s.minToPlace + len(s.gang.Bound), Bound: len(s.gang.Bound),
		Level: s.tree.LevelName(s.widestLevel()), Detail: detail,
	}
}
