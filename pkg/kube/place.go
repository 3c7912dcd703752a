// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// assignRanks gives the members of role i their ranks: their places among all members
// of the role, from the indexes that their controller gave them. A member that
// is created again has the place of the one before it, and one that has ended
// leaves its place empty, so that the slices of the others stay as they are.
func (m *Members) assignRanks(i int, r *podSet, c *Cluster) {
	places := r.positions(r.lowestIndex())
	bound := m.boundMembers(i, r, places, c)
	if m.splitsSlice(i, bound, m.TreeOn(c.usage.Tree)) {
		// The first member may have ended, so that its number is missing.
		from0 := r.positions(0)
		if boundFrom0 := m.boundMembers(i, r, from0, c); !m.splitsSlice(i, boundFrom0, m.TreeOn(c.usage.Tree)) {
			places, bound = from0, boundFrom0
		}
	}
	m.Bound = append(m.Bound, bound...)
	for j := range places {
		if j < len(r.waiting) && places[j] != j || len(r.bound) > 0 {
			m.Roles[i].Ranks = places[:len(r.waiting)]
			break
		}
	}
}

// boundMembers lists the members that have a node, with the places that follow those
// of the waiting ones.
func (m *Members) boundMembers(i int, r *podSet, places []int, c *Cluster) []gang.Bound {
	var bound []gang.Bound
	for j, b := range r.bound {
		at := gang.Bound{Role: i, Rank: -1, Node: c.nodeOf(b.pod)}
		if places != nil {
			at.Rank = places[len(r.waiting)+j]
		}
		bound = append(bound, at)
	}
	return bound
}

// splitsSlice reports whether members of one required slice of role i stand in several
// of its domains.
func (m *Members) splitsSlice(i int, bound []gang.Bound, tree *topology.Tree) bool {
	for _, s := range m.SlicesOf(i) {
		domains := map[int]topology.DomainID{}
		for _, b := range bound {
			d, ok := tree.DomainAt(b.Node, s.Level)
			if s.Preferred || b.Rank < 0 || !ok {
				continue
			}
			if first, known := domains[b.Rank/s.Size]; known && first != d {
				return true
			}
			domains[b.Rank/s.Size] = d
		}
	}
	return false
}

// lowestIndex is the lowest index of a member.
func (r *podSet) lowestIndex() int {
	lowest := r.firstMember().rank.index
	for _, m := range slices.Concat(r.waiting, r.bound) {
		lowest = min(lowest, m.rank.index)
	}
	return lowest
}

// positions are the places of the waiting members and then of the others, where the
// index from holds the first one. Members of several groups, such as the Jobs of
// a JobSet, stand group after group. It is nil where the indexes cannot be meant
// as places: a member has none, two have the same, or more are missing than there
// are, as with the digits that some names happen to end in.
func (r *podSet) positions(from int) []int {
	members := slices.Concat(r.waiting, r.bound)
	most := 2 * len(members)
	group, width := members[0].rank.group, 0
	for _, m := range members {
		group = min(group, m.rank.group)
		if m.rank.index < 0 || m.rank.index-from >= most {
			return nil
		}
		width = max(width, m.rank.index-from+1)
	}
	places := make([]int, len(members))
	taken := make([]bool, most)
	for i, m := range members {
		if m.rank.group-group >= most {
			return nil
		}
		at := (m.rank.group-group)*width + m.rank.index - from
		if at >= most || taken[at] {
			return nil
		}
		places[i], taken[at] = at, true
	}
	return places
}
