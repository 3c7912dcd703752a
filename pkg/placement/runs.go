// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// planRuns appends the runs that place the first members of role r inside d, whole
// preferred slices first if preferWhole says so. It returns false if a bound
// member ties some of them to a domain outside d.
func (s *solver) planRuns(r int, d topology.DomainID, preferWhole bool) bool {
	role := &s.roles[r]
	if role.toPlace == 0 {
		return true
	}
	first := len(s.runs)
	members := s.memberRange(0, role.toPlace)
	if len(role.boundMembers) == 0 && (len(role.sliceLayers) == 0 || role.sliceLayers[0].Size != wholeRole) {
		if preferWhole {
			members = s.planPreferredRun(r, d, members)
		}
		s.planFreeRuns(r, d, members, 0)
		return true
	}
	if !s.planPinnedRuns(r, d, members, 0) {
		return false
	}
	// What is tied to a narrow domain goes before what can choose.
	slices.SortStableFunc(s.runs[first:], func(x, y memberRun) int {
		return -cmp.Compare(x.headroom.layerDepth[x.domain], y.headroom.layerDepth[y.domain])
	})
	return true
}

// memberRange returns the indexes from first up to end, in the solver's buffer. Its
// capacity is cut, so that an append to it cannot reach the next run's members.
func (s *solver) memberRange(first, end int) []int32 {
	from := len(s.memberBuffer)
	for m := first; m < end; m++ {
		s.memberBuffer = append(s.memberBuffer, int32(m))
	}
	return s.memberBuffer[from:len(s.memberBuffer):len(s.memberBuffer)]
}

// planPreferredRun appends a run of as many whole preferred slices as fit in d, and
// returns the members that are left.
func (s *solver) planPreferredRun(r int, d topology.DomainID, members []int32) []int32 {
	role := &s.roles[r]
	whole := role.wholePreferredSlices(d, len(members))
	if whole == 0 {
		return members
	}
	s.runs = append(s.runs, memberRun{role: r, headroom: role.preferredHeadroom, domain: d, members: members[:whole], near: s.nodeToBeNear(r)})
	return members[whole:]
}

// planFreeRuns appends the runs of members that may go anywhere in d. The slices
// of layer k and narrower ones stay whole.
func (s *solver) planFreeRuns(r int, d topology.DomainID, members []int32, k int) {
	role := &s.roles[r]
	near := s.nodeToBeNear(r)
	for len(members) > 0 {
		n := role.runLength(members, k)
		s.runs = append(s.runs, memberRun{role: r, headroom: role.headroom, domain: d, members: s.padHoles(role, members[:n], k+1), near: near})
		members = members[n:]
	}
}

// nodeToBeNear returns the node that free runs of role r should be near, or NoNode:
// that of the first member of its NearRole, else of any bound member, so that later
// arrivals join the others.
func (s *solver) nodeToBeNear(r int) topology.NodeID {
	if role := &s.roles[r]; role.NearRole >= 0 && role.NearRole != r {
		if near := s.firstNode(role.NearRole); near != NoNode {
			return near
		}
	}
	if len(s.boundNodes) > 0 {
		return s.boundNodes[0]
	}
	return NoNode
}

// runLength returns how many of the members, from the first one on, one run can hold:
// whole slices of layer k, and one slice with holes after them. A run has to begin
// at the start of a slice, and the count of a run knows no other short slice than
// the last one.
func (r *roleState) runLength(members []int32, k int) int {
	if !r.hasRankHoles || k >= len(r.sliceLayers) {
		return len(members)
	}
	size := int32(r.sliceLayers[k].Size)
	n := 0
	for whole := true; whole && n < len(members); {
		first := n
		for n < len(members) && r.waitingRanks[members[n]]/size == r.waitingRanks[members[first]]/size {
			n++
		}
		whole = n-first == int(size)
	}
	return n
}

// hole is the index in a run of a member that has ended or is still to come.
const hole = -1

// padHoles returns the members with holes for those that are missing inside slices
// of layer k, so that the ones after them stay in their slices. Holes take up room
// and get no node: the slice can be completed later.
func (s *solver) padHoles(role *roleState, members []int32, k int) []int32 {
	if !role.hasRankHoles || k >= len(role.sliceLayers) {
		return members
	}
	size := int32(role.sliceLayers[k].Size)
	from := len(s.memberBuffer)
	place := int32(0) // the rank that comes next
	for i, m := range members {
		rank := role.waitingRanks[m]
		if i == 0 || (place-1)/size != rank/size {
			for ; i > 0 && place%size != 0; place++ {
				s.memberBuffer = append(s.memberBuffer, hole)
			}
			place = rank - rank%size
		}
		for ; place < rank; place++ {
			s.memberBuffer = append(s.memberBuffer, hole)
		}
		s.memberBuffer = append(s.memberBuffer, m)
		place++
	}
	return s.memberBuffer[from:len(s.memberBuffer):len(s.memberBuffer)]
}

// wholePreferredSlices returns the number of members, of n, that go into whole
// preferred slices inside d before the rest is split. It is 0 in a strict pass,
// where all slices stay whole anyway.
func (r *roleState) wholePreferredSlices(d topology.DomainID, n int) int {
	if r.preferredHeadroom == nil || len(r.boundMembers) > 0 {
		return 0
	}
	layers := r.preferredHeadroom.layers
	if len(layers) == 0 || layers[0].Size == wholeRole || r.preferredHeadroom.layerDepth[d] < 0 {
		return 0
	}
	whole := int(min(int64(n), r.preferredHeadroom.perDomain[d]))
	return whole - whole%layers[0].Size
}

// firstNode returns the node of the first member of role r in rank order, or NoNode
// if it has none yet.
func (s *solver) firstNode(r int) topology.NodeID {
	role := &s.roles[r]
	if len(role.boundMembers) > 0 && (role.toPlace == 0 || role.boundMembers[0].rank < role.waitingRanks[0]) {
		return role.boundMembers[0].node
	}
	if role.toPlace == 0 {
		return NoNode
	}
	return role.assigned[0]
}

// planPinnedRuns appends the runs of members that share slices of layer k and
// narrower ones with bound members: those go to the domain of the bound ones. Slices
// without bound members choose freely inside d. It returns false if a slice is bound
// to a domain that d is neither inside of nor around.
func (s *solver) planPinnedRuns(r int, d topology.DomainID, members []int32, k int) bool {
	role := &s.roles[r]
	if k == len(role.sliceLayers) {
		s.planRunsBetweenBound(r, d, members)
		return true
	}
	// One pass for the slices that are tied, which recurse; those that are free are
	// planned together after them, so that they fill what is left in one run.
	free := 0
	for rest := members; len(rest) > 0; {
		group, pin := s.nextSlice(r, role.sliceLayers[k], rest)
		rest = rest[len(group):]
		if pin == NoNode {
			free += len(group)
			continue
		}
		e, ok := s.tree.DomainAt(pin, role.sliceLayers[k].Level)
		if !ok || !s.isWithin(e, d) {
			// d is inside the slice's domain, or the slice is elsewhere
			if !ok || !s.isWithin(d, e) {
				return false
			}
			e = d
		}
		if !s.planPinnedRuns(r, e, group, k+1) {
			return false
		}
	}
	if free > 0 {
		s.planFreeRuns(r, d, s.unpinnedMembers(r, k, members), k)
	}
	return true
}

// unpinnedMembers returns the members whose slice of layer k has no bound member.
func (s *solver) unpinnedMembers(r, k int, members []int32) []int32 {
	from := len(s.memberBuffer)
	for len(members) > 0 {
		group, pin := s.nextSlice(r, s.roles[r].sliceLayers[k], members)
		members = members[len(group):]
		if pin == NoNode {
			s.memberBuffer = append(s.memberBuffer, group...)
		}
	}
	return s.memberBuffer[from:len(s.memberBuffer):len(s.memberBuffer)]
}

// isWithin reports whether domain inner is outer or inside it.
func (s *solver) isWithin(inner, outer topology.DomainID) bool {
	return outer <= inner && inner < s.tree.SubtreeEnd(outer)
}

// nextSlice returns the members of the first slice, which are the first ones, and the
// node of a bound member of that slice, or NoNode.
func (s *solver) nextSlice(r int, layer gang.Slice, members []int32) ([]int32, topology.NodeID) {
	role := &s.roles[r]
	if layer.Size == wholeRole {
		return members, s.anyBoundNode(r)
	}
	slice := role.waitingRanks[members[0]] / int32(layer.Size)
	n := 1
	for n < len(members) && role.waitingRanks[members[n]]/int32(layer.Size) == slice {
		n++
	}
	for _, b := range role.boundMembers {
		if b.rank/int32(layer.Size) == slice && b.node != NoNode {
			return members[:n], b.node
		}
	}
	return members[:n], NoNode
}

// anyBoundNode returns the node of a bound member of role r, or NoNode. Members of
// unknown rank count too: the whole role shares one domain.
func (s *solver) anyBoundNode(r int) topology.NodeID {
	for _, b := range s.gang.Bound {
		if b.Role == r && b.Node >= 0 && int(b.Node) < len(s.tree.Nodes) {
			return b.Node
		}
	}
	return NoNode
}

// planRunsBetweenBound appends a run for each stretch of members between two bound
// ones, near the bound member before it, or else near the one after it.
func (s *solver) planRunsBetweenBound(r int, d topology.DomainID, members []int32) {
	role := &s.roles[r]
	bound := role.boundMembers
	before := NoNode
	for len(members) > 0 {
		rank := role.waitingRanks[members[0]]
		for len(bound) > 0 && bound[0].rank <= rank { // equal: two members claim one rank
			before = bound[0].node
			bound = bound[1:]
		}
		n := len(members)
		near, first := before, before == NoNode
		if len(bound) > 0 {
			n, _ = slices.BinarySearchFunc(members, bound[0].rank, func(m, rank int32) int {
				return cmp.Compare(role.waitingRanks[m], rank)
			})
			if first || n > 0 && s.belongsAfter(role, before, bound[0].node, n) {
				near, first = bound[0].node, true
			}
		}
		s.runs = append(s.runs, memberRun{role: r, headroom: role.headroom, domain: d, members: members[:n], near: near, beforeNear: first})
		members = members[n:]
	}
}

// belongsAfter reports whether n members whose neighbours in rank stand in two
// domains belong to the second one: it has room, and the first has none, or holds
// more members and so has lost none. Gangs are spread evenly.
func (s *solver) belongsAfter(role *roleState, before, after topology.NodeID, n int) bool {
	if before == NoNode || after == NoNode {
		return after != NoNode
	}
	r := role.headroom
	x, y := r.sharedDomain(s.tree.LeafDomain(before)), r.sharedDomain(s.tree.LeafDomain(after))
	switch {
	case x == y || r.perDomain[y] < int64(n):
		return false
	case r.perDomain[x] < int64(n):
		return true
	}
	// Count the bound members of the first domain against those of the second.
	more := 0
	for _, b := range role.boundMembers {
		switch {
		case b.node == NoNode:
		case s.tree.ContainsNode(x, b.node):
			more++
		case s.tree.ContainsNode(y, b.node):
			more--
		}
	}
	return more > 0
}
