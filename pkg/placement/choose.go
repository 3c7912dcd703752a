// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// candidate is a domain that may hold the gang.
type candidate struct {
	domain topology.DomainID
	placed int // members that may find room, the more the better
}

// choose finds the best domain that holds the gang and leaves the nodes of the
// members in the roles. It goes from the preferred level to the required one.
func (a *attempt) choose() (topology.DomainID, bool) {
	for level := a.narrowestLevel(); level >= a.widestLevel(); level-- {
		if d, ok := a.chooseAt(level); ok {
			return d, true
		}
	}
	return 0, false
}

func (a *attempt) widestLevel() topology.Level {
	return max(a.g.Required, topology.ClusterLevel)
}

func (a *attempt) narrowestLevel() topology.Level {
	return max(a.g.Preferred, a.widestLevel())
}

// chooseAt tries the domains of one level, the best first.
func (a *attempt) chooseAt(level topology.Level) (topology.DomainID, bool) {
	a.candidates = a.candidates[:0]
	if len(a.bound) > 0 && level >= 0 {
		if d, ok := a.pinned(level); ok {
			a.consider(d)
		}
	} else {
		for _, d := range a.t.DomainsAt(level) {
			a.consider(d)
		}
	}
	if len(a.candidates) == 0 {
		return 0, false
	}
	best := slices.MinFunc(a.candidates, a.compare)
	if a.fit(best.domain) {
		return best.domain, true
	}
	slices.SortFunc(a.candidates, a.compare)
	for _, c := range a.candidates[1:] {
		if a.effort < 0 {
			break
		}
		if a.fit(c.domain) {
			return c.domain, true
		}
	}
	return 0, false
}

// pinned is the domain of a level in which all bound members stand.
func (a *attempt) pinned(level topology.Level) (topology.DomainID, bool) {
	d, ok := a.t.DomainAt(a.bound[0], level)
	for _, n := range a.bound[1:] {
		ok = ok && a.t.ContainsNode(d, n)
	}
	return d, ok
}

// consider makes d a candidate unless a role alone has too little room there,
// or d is in no domain of the required level.
func (a *attempt) consider(d topology.DomainID) {
	a.looked++
	if _, ok := a.t.DomainAt(a.t.Domains[d].First, a.widestLevel()); !ok {
		return
	}
	c := candidate{domain: d}
	for r := range a.roles {
		room := a.limit(r, d)
		if room < a.roles[r].need {
			return
		}
		c.placed += room
	}
	if c.placed < a.want {
		return
	}
	a.candidates = append(a.candidates, c)
}

// limit is the most waiting members of role r that domain d may hold, were it
// not for the other roles. Slices that are partly bound fit where no whole one
// does, so that only the nodes bound a role that repairs slices.
func (a *attempt) limit(r int, d topology.DomainID) int {
	role := &a.roles[r]
	if role.plain != nil {
		return int(min(int64(role.Count), role.plain.dom[d]))
	}
	return int(min(int64(role.Count), role.rooms.dom[d]))
}

// compare orders candidates of one level by the objective of the package.
func (a *attempt) compare(x, y candidate) int {
	if x.placed != y.placed {
		return cmp.Compare(y.placed, x.placed)
	}
	if len(a.order) == 0 {
		return cmp.Compare(x.domain, y.domain)
	}
	role := &a.roles[a.order[0]]
	return role.rooms.compare(x.domain, y.domain, int64(role.Count))
}

// compare orders two domains of one level that hold the same run of n members by
// rules 2 to 5 of the package.
func (r *rooms) compare(x, y topology.DomainID, n int64) int {
	domains := r.u.Tree.Domains
	xRoom, yRoom := r.dom[x], r.dom[y]
	if level := domains[x].Level; level >= 0 {
		top := r.top[level]
		if largest := xRoom >= top; largest != (yRoom >= top) {
			if largest {
				return 1
			}
			return -1
		}
	}
	switch p, q := domains[x].Parent, domains[y].Parent; {
	case p == q:
		if xRoom != yRoom {
			return cmp.Compare(xRoom, yRoom)
		}
		return cmp.Compare(x, y)
	case domains[p].Level > r.widest && domains[q].Level > r.widest:
		return r.compare(p, q, n)
	case p < q:
		return r.firstUnlessWorse(p, q, n)
	default:
		return -r.firstUnlessWorse(q, p, n)
	}
}

// firstUnlessWorse is -1 where p, the first of two domains of the widest level in
// the order of the tree, loses no more than q, and else 1.
func (r *rooms) firstUnlessWorse(p, q topology.DomainID, n int64) int {
	if v := r.loss(p, n); v > 0 && r.loss(q, n) < v {
		return 1
	}
	return -1
}

// loss is the loss of large gangs, as the package defines it, in a domain of the
// widest level where n members go. A gang of 2^k is lost if and only if the
// subtraction of n from the room borrows from bit k.
func (r *rooms) loss(d topology.DomainID, n int64) int64 {
	room := r.dom[d]
	n = min(n, room)
	borrows := ^room&n | ^(room^n)&(room-n) // each from the next bit
	size := int64(1) << bits.Len64(uint64(borrows))
	if size <= int64(r.boxed)*int64(r.most) {
		return 0
	}
	return size
}
