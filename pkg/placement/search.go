// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// searchBudget is the number of times that one Solve may look at a node while
// it searches, over all domains: a few milliseconds. Within it the answer is
// exact; members of several shapes on shared nodes are bin packing, for which no
// fast exact way is known.
const searchBudget = 100_000

// search places the counted members inside domain d by trying every way, until
// one is found or the budget of the gang is spent.
func (a *attempt) search(d topology.DomainID) bool {
	cells := len(a.t.Nodes) * len(a.p.u.Resources)
	if len(a.p.taken) != cells {
		a.p.taken = resize(a.p.taken, cells)
		clear(a.p.taken)
	}
	for r := range a.roles {
		role := &a.roles[r]
		for m := range role.out {
			role.out[m] = NoNode
		}
	}
	return a.searchFrom(d, 0, 0)
}

// searchFrom places member m of the i-th role in order, and all after it.
func (a *attempt) searchFrom(d topology.DomainID, i, m int) bool {
	if i == len(a.order) {
		return true
	}
	role := &a.roles[a.order[i]]
	if m == role.count {
		return a.searchFrom(d, i+1, 0)
	}
	first := a.t.Domains[d].First
	if m > 0 && len(role.layers) == 0 { // members of one role are alike
		first = role.out[m-1]
	}
	for n := first; n < a.t.Domains[d].End && a.budget > 0; n++ {
		a.budget--
		if !a.may(a.order[i], m, n) || a.alike(n, first) {
			continue
		}
		a.searchTake(role, n, 1)
		role.out[m] = n
		done := a.searchFrom(d, i, m+1)
		a.searchTake(role, n, -1)
		if done {
			return true
		}
		role.out[m] = NoNode
	}
	return false
}

func (a *attempt) searchTake(role *role, n topology.NodeID, times int64) {
	taken := a.p.taken[int(n)*len(role.Request):]
	for c, q := range role.Request {
		taken[c] += times * q
	}
}

// may tells whether node n has room for member m of role r, in one domain with
// the rest of each of its slices.
func (a *attempt) may(r, m int, n topology.NodeID) bool {
	role := &a.roles[r]
	width := len(role.Request)
	if role.rooms.roomOn(n, a.p.taken[int(n)*width:(int(n)+1)*width]) == 0 {
		return false
	}
	for _, layer := range role.layers {
		d, ok := a.t.DomainAt(n, layer.Level)
		if !ok {
			return false
		}
		if other := a.sliceMate(r, m, layer); other != NoNode && !a.t.ContainsNode(d, other) {
			return false
		}
	}
	return true
}

// sliceMate is the node of a member that shares a slice with member m of role
// r and has a node already, or NoNode.
func (a *attempt) sliceMate(r, m int, layer gang.Slice) topology.NodeID {
	role := &a.roles[r]
	if layer.Size == wholeRole {
		if n := a.anyOf(r); n != NoNode || m == 0 {
			return n
		}
		return role.out[0]
	}
	slice := role.ranks[m] / int32(layer.Size)
	for _, b := range role.bound {
		if b.rank/int32(layer.Size) == slice && b.node != NoNode {
			return b.node
		}
	}
	if m > 0 && role.ranks[m-1]/int32(layer.Size) == slice {
		return role.out[m-1]
	}
	return NoNode
}

// alike tells whether node n is as good as the one before it, which has been
// tried: both empty of this plan, in one domain, and equal to every role.
func (a *attempt) alike(n, first topology.NodeID) bool {
	if n == first || a.t.LeafDomain(n) != a.t.LeafDomain(n-1) {
		return false
	}
	u := a.p.u
	width := len(u.Resources)
	for _, q := range a.p.taken[int(n-1)*width : int(n+1)*width] {
		if q != 0 {
			return false
		}
	}
	for i := range a.roles {
		if rooms := a.roles[i].rooms; (rooms.roomOn(n, nil) > 0) != (rooms.roomOn(n-1, nil) > 0) {
			return false
		}
	}
	return slices.Equal(u.FreeRow(n), u.FreeRow(n-1))
}
