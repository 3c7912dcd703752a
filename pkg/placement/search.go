// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// maxSearchSteps is the number of times that one Solve may look at a node while
// it searches, over all domains: a few milliseconds. Within it the answer is
// exact; members of several shapes on shared nodes are bin packing, for which no
// fast exact way is known.
const maxSearchSteps = 100_000

// searchDomain places the counted members inside domain d by trying every way, depth
// first, until one is found or searchSteps is spent. Equal members and equal nodes
// are tried once, which makes most searches linear.
func (s *solver) searchDomain(d topology.DomainID) bool {
	s.sizeTaken()
	for r := range s.roles {
		role := &s.roles[r]
		for m := range role.assigned {
			role.assigned[m] = NoNode
		}
	}
	return s.searchFrom(d, 0, 0)
}

// searchFrom places member m of the i-th role in order, and all after it. It gives
// back what it took before it returns, also on success: the plan is in the roles.
func (s *solver) searchFrom(d topology.DomainID, i, m int) bool {
	if i == len(s.roleOrder) {
		return true
	}
	role := &s.roles[s.roleOrder[i]]
	if m == role.toPlace {
		return s.searchFrom(d, i+1, 0)
	}
	first := s.tree.Domains[d].First
	// Members of one role are alike: without slices, only plans in which later
	// members are on later nodes have to be tried.
	if m > 0 && len(role.sliceLayers) == 0 {
		first = role.assigned[m-1]
	}
	for n := first; n < s.tree.Domains[d].End && s.searchSteps > 0 && !s.isExhausted(); n++ {
		s.searchSteps--
		s.spend(2)
		if !s.isFeasible(s.roleOrder[i], m, n) || s.isInterchangeable(n, first) {
			continue
		}
		s.searchAllocate(role, n, 1)
		devices := s.takeDevices(role, n)
		role.assigned[m] = n
		done := s.searchFrom(d, i, m+1)
		s.giveBackDevices(n, devices)
		s.searchAllocate(role, n, -1)
		if done {
			return true
		}
		role.assigned[m] = NoNode
	}
	return false
}

// searchAllocate takes the request of role on node n so many times; -1 gives back.
func (s *solver) searchAllocate(role *roleState, n topology.NodeID, times int64) {
	taken := s.takenOn(n)
	for c, q := range role.Request {
		taken[c] += times * q
	}
}

// isFeasible reports whether node n has room for member m of role r, beside what this
// search has placed there, in one domain with the rest of each of its slices.
func (s *solver) isFeasible(r, m int, n topology.NodeID) bool {
	role := &s.roles[r]
	room := role.headroom.nodeHeadroom(n, s.takenOn(n), s.devicesOn(n))
	s.spend(role.headroom.deviceSteps)
	role.headroom.deviceSteps = 0
	if room == 0 {
		return false
	}
	for _, layer := range role.sliceLayers {
		d, ok := s.tree.DomainAt(n, layer.Level)
		if !ok {
			return false
		}
		if other := s.sliceNeighbor(r, m, layer); other != NoNode && !s.tree.ContainsNode(d, other) {
			return false
		}
	}
	return true
}

// sliceNeighbor returns the node of a member that shares a slice with member m of
// role r and has a node already, or NoNode. Members are placed in rank order, so
// that the one before m is enough to ask.
func (s *solver) sliceNeighbor(r, m int, layer gang.Slice) topology.NodeID {
	role := &s.roles[r]
	if layer.Size == wholeRole {
		if n := s.anyBoundNode(r); n != NoNode || m == 0 {
			return n
		}
		return role.assigned[0]
	}
	slice := role.waitingRanks[m] / int32(layer.Size)
	for _, b := range role.boundMembers {
		if b.rank/int32(layer.Size) == slice && b.node != NoNode {
			return b.node
		}
	}
	if m > 0 && role.waitingRanks[m-1]/int32(layer.Size) == slice {
		return role.assigned[m-1]
	}
	return NoNode
}

// isInterchangeable reports whether node n is as good as the one before it, which has been
// tried: both empty of this plan, in one domain, and equal to every role.
func (s *solver) isInterchangeable(n, first topology.NodeID) bool {
	if n == first || s.tree.LeafDomain(n) != s.tree.LeafDomain(n-1) {
		return false
	}
	u := s.planner.usage
	if !slices.Equal(u.FreeRow(n), u.FreeRow(n-1)) || !s.sameDevices(n, n-1) {
		return false
	}
	width := len(u.Resources)
	for _, q := range s.planner.taken[int(n-1)*width : int(n+1)*width] {
		if q != 0 {
			return false
		}
	}
	s.spend(len(s.roles))
	for i := range s.roles {
		if rooms := s.roles[i].headroom.perNode; (rooms[n] > 0) != (rooms[n-1] > 0) {
			return false
		}
	}
	return true
}
