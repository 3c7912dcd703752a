// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// list appends the jobs that place the first members of role r inside d. It is
// false if a bound member ties some of them to a domain outside d.
func (a *attempt) list(r int, d topology.DomainID) bool {
	role := &a.roles[r]
	if role.count == 0 {
		return true
	}
	first := len(a.jobs)
	members := a.run(0, role.count)
	if len(role.bound) == 0 && (len(role.layers) == 0 || role.layers[0].Size != wholeRole) {
		a.listFree(r, d, members, 0)
		return true
	}
	if !a.listPinned(r, d, members, 0) {
		return false
	}
	// What is tied to a narrow domain goes before what can choose.
	slices.SortStableFunc(a.jobs[first:], func(x, y job) int {
		return -cmp.Compare(x.rooms.layer[x.domain], y.rooms.layer[y.domain])
	})
	return true
}

// run lists the members from first up to end.
func (a *attempt) run(first, end int) []int32 {
	from := len(a.members)
	for m := first; m < end; m++ {
		a.members = append(a.members, int32(m))
	}
	return a.members[from:len(a.members):len(a.members)]
}

// listFree appends the jobs of members that may stand anywhere in d: as many
// whole preferred slices as fit, while they are not given up, then the rest, of
// which the slices of layer k and narrower ones stay whole.
func (a *attempt) listFree(r int, d topology.DomainID, members []int32, k int) {
	role := &a.roles[r]
	near := NoNode
	if role.NearRole >= 0 && role.NearRole != r {
		near = a.firstOf(role.NearRole)
	}
	if near == NoNode && len(a.bound) > 0 { // later arrivals join the others
		near = a.bound[0]
	}
	if whole := a.wholeWishes(role, d, len(members)); whole > 0 {
		a.jobs = append(a.jobs, job{role: r, rooms: role.wished, domain: d, members: members[:whole], near: near})
		members = members[whole:]
	}
	for len(members) > 0 {
		n := role.oneRun(members, k)
		a.jobs = append(a.jobs, job{role: r, rooms: role.rooms, domain: d, members: a.padded(role, members[:n], k+1), near: near})
		members = members[n:]
	}
}

// oneRun is how many of the members, from the first one on, one job can place
// as a run: whole slices of layer k, and one that misses members after them.
func (r *role) oneRun(members []int32, k int) int {
	if !r.gaps || k >= len(r.layers) {
		return len(members)
	}
	size := int32(r.layers[k].Size)
	n := 0
	for whole := true; whole && n < len(members); {
		first := n
		for n < len(members) && r.ranks[members[n]]/size == r.ranks[members[first]]/size {
			n++
		}
		whole = n-first == int(size)
	}
	return n
}

// nobody stands in a run for a member that is missing.
const nobody = -1

// padded lets members that are missing inside slices of layer k keep their room
// in a run, so that those after them stay in their slices.
func (a *attempt) padded(role *role, members []int32, k int) []int32 {
	if !role.gaps || k >= len(role.layers) {
		return members
	}
	size := int32(role.layers[k].Size)
	from := len(a.members)
	place := int32(0) // the rank that comes next
	for i, m := range members {
		rank := role.ranks[m]
		if i == 0 || (place-1)/size != rank/size {
			for ; i > 0 && place%size != 0; place++ {
				a.members = append(a.members, nobody)
			}
			place = rank - rank%size
		}
		for ; place < rank; place++ {
			a.members = append(a.members, nobody)
		}
		a.members = append(a.members, m)
		place++
	}
	return a.members[from:len(a.members):len(a.members)]
}

// wholeWishes is the number of members, of n, that go into whole preferred
// slices inside d before the rest is split.
func (a *attempt) wholeWishes(role *role, d topology.DomainID, n int) int {
	if !a.soft || role.wished == nil || len(role.bound) > 0 {
		return 0
	}
	layers := role.wished.layers
	if len(layers) == 0 || layers[0].Size == wholeRole || role.wished.layer[d] < 0 {
		return 0
	}
	whole := int(min(int64(n), role.wished.dom[d]))
	return whole - whole%layers[0].Size
}

// firstOf is the node of the first member of role r in rank order, or NoNode.
func (a *attempt) firstOf(r int) topology.NodeID {
	role := &a.roles[r]
	if len(role.bound) > 0 && (role.count == 0 || role.bound[0].rank < role.ranks[0]) {
		return role.bound[0].node
	}
	if role.count == 0 {
		return NoNode
	}
	return role.out[0]
}

// listPinned appends the jobs of members that share slices of layer k and
// narrower ones with bound members: those go where the bound ones stand. Slices
// without bound members choose freely inside d.
func (a *attempt) listPinned(r int, d topology.DomainID, members []int32, k int) bool {
	role := &a.roles[r]
	if k == len(role.layers) {
		a.listGaps(r, d, members)
		return true
	}
	free := 0
	for rest := members; len(rest) > 0; {
		group, pin := a.nextSlice(r, role.layers[k], rest)
		rest = rest[len(group):]
		if pin == NoNode {
			free += len(group)
			continue
		}
		e, ok := a.t.DomainAt(pin, role.layers[k].Level)
		if !ok || !a.within(e, d) {
			// d is inside the slice's domain, or the slice is elsewhere
			if !ok || !a.within(d, e) {
				return false
			}
			e = d
		}
		if !a.listPinned(r, e, group, k+1) {
			return false
		}
	}
	if free > 0 {
		a.listFree(r, d, a.unpinned(r, k, members), k)
	}
	return true
}

// unpinned lists the members whose slice of layer k has no bound member.
func (a *attempt) unpinned(r, k int, members []int32) []int32 {
	from := len(a.members)
	for len(members) > 0 {
		group, pin := a.nextSlice(r, a.roles[r].layers[k], members)
		members = members[len(group):]
		if pin == NoNode {
			a.members = append(a.members, group...)
		}
	}
	return a.members[from:len(a.members):len(a.members)]
}

// within tells whether domain inner is outer or inside it.
func (a *attempt) within(inner, outer topology.DomainID) bool {
	return outer <= inner && inner < a.t.SubtreeEnd(outer)
}

// nextSlice takes the members of the first slice off the run, and finds the
// node of a bound member of that slice.
func (a *attempt) nextSlice(r int, layer gang.Slice, members []int32) ([]int32, topology.NodeID) {
	role := &a.roles[r]
	if layer.Size == wholeRole {
		return members, a.anyOf(r)
	}
	slice := role.ranks[members[0]] / int32(layer.Size)
	n := 1
	for n < len(members) && role.ranks[members[n]]/int32(layer.Size) == slice {
		n++
	}
	for _, b := range role.bound {
		if b.rank/int32(layer.Size) == slice && b.node != NoNode {
			return members[:n], b.node
		}
	}
	return members[:n], NoNode
}

// anyOf is the node of a bound member of role r, or NoNode.
func (a *attempt) anyOf(r int) topology.NodeID {
	for _, b := range a.g.Bound {
		if b.Role == r && b.Node >= 0 && int(b.Node) < len(a.t.Nodes) {
			return b.Node
		}
	}
	return NoNode
}

// listGaps appends a job for each run of members between two bound ones, beside
// the bound member before it, or else after it.
func (a *attempt) listGaps(r int, d topology.DomainID, members []int32) {
	role := &a.roles[r]
	bound := role.bound
	before := NoNode
	for len(members) > 0 {
		rank := role.ranks[members[0]]
		for len(bound) > 0 && bound[0].rank < rank {
			before = bound[0].node
			bound = bound[1:]
		}
		n := len(members)
		near, first := before, before == NoNode
		if len(bound) > 0 {
			n, _ = slices.BinarySearchFunc(members, bound[0].rank, func(m, rank int32) int {
				return cmp.Compare(role.ranks[m], rank)
			})
			if first || n > 0 && a.vacatedAfter(role, before, bound[0].node, n) {
				near, first = bound[0].node, true
			}
		}
		a.jobs = append(a.jobs, job{role: r, rooms: role.rooms, domain: d, members: members[:n], near: near, before: first})
		members = members[n:]
	}
}

// vacatedAfter tells whether n members whose neighbours in rank stand in two
// domains belong to the second one: it has room, and the first has none, or holds
// more members and so has lost none. Gangs are spread evenly.
func (a *attempt) vacatedAfter(role *role, before, after topology.NodeID, n int) bool {
	if before == NoNode || after == NoNode {
		return after != NoNode
	}
	r := role.rooms
	x, y := r.shared(a.t.LeafDomain(before)), r.shared(a.t.LeafDomain(after))
	switch {
	case x == y || r.dom[y] < int64(n):
		return false
	case r.dom[x] < int64(n):
		return true
	}
	more := 0
	for _, b := range role.bound {
		switch {
		case b.node == NoNode:
		case a.t.ContainsNode(x, b.node):
			more++
		case a.t.ContainsNode(y, b.node):
			more--
		}
	}
	return more > 0
}
