// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"slices"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// candidate is a domain that may hold the gang.
type candidate struct {
	domain topology.DomainID
	placed int   // members that may find room, the more the better
	spare  int64 // room left for the scarcest role, the less the better
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
		ok = ok && a.t.Holds(d, n)
	}
	return d, ok
}

// consider makes d a candidate unless a role alone has too little room there,
// or d is in no domain of the required level.
func (a *attempt) consider(d topology.DomainID) {
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
	c.spare = a.spare(d)
	a.candidates = append(a.candidates, c)
}

// spare is the room that d has left for the scarcest role.
func (a *attempt) spare(d topology.DomainID) int64 {
	if len(a.order) == 0 {
		return 0
	}
	scarce := &a.roles[a.order[0]]
	return scarce.rooms.dom[d] - int64(scarce.Count)
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
	if x.spare != y.spare {
		return cmp.Compare(x.spare, y.spare)
	}
	if len(a.order) == 0 {
		return cmp.Compare(x.domain, y.domain)
	}
	scarce := &a.roles[a.order[0]]
	return scarce.rooms.compareAround(x.domain, y.domain, int64(scarce.Count))
}

// compareAround orders two domains of one level with equal room by what is lost
// around them when n members go there: first the level, the widest first, of
// which the largest domain would shrink less; then the one inside the fuller
// domain, narrowest first; then the first one.
func (r *rooms) compareAround(x, y topology.DomainID, n int64) int {
	t := r.u.Tree
	if t.Domains[x].Parent == t.Domains[y].Parent {
		return cmp.Compare(x, y)
	}
	for level := topology.Level(0); level < t.Domains[x].Level; level++ {
		if c := cmp.Compare(r.loss(x, level, n), r.loss(y, level, n)); c != 0 {
			return c
		}
	}
	for p, q := t.Domains[x].Parent, t.Domains[y].Parent; p != q; p, q = t.Domains[p].Parent, t.Domains[q].Parent {
		if c := cmp.Compare(r.dom[p], r.dom[q]); c != 0 {
			return c
		}
	}
	return cmp.Compare(x, y)
}

// loss is by how much the largest domain of a level shrinks when n members go
// into d.
func (r *rooms) loss(d topology.DomainID, level topology.Level, n int64) int64 {
	t := r.u.Tree
	around, ok := t.DomainAt(t.Domains[d].First, level)
	if !ok || r.top[level].domain != around {
		return 0
	}
	return r.top[level].room - max(r.top[level].second, r.top[level].room-n)
}
