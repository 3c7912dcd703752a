// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"slices"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// maxSpreads bounds in how many ways the minimum of a gang is spread over its
// roles in one domain before the domain is given up.
const maxSpreads = 16

// maxEffort bounds the members that one Solve places, over all its tries, before
// it looks at no more domains: some milliseconds. A gang of one role needs
// one try.
const maxEffort = 1 << 16

// maxNarrower bounds the domains of one level that fitNarrower tries.
const maxNarrower = 4

// fit places the gang in domain d if it can: every member, or else as many as
// must be and then as many more as room allows.
func (a *attempt) fit(d topology.DomainID) bool {
	least := 0
	for r := range a.roles {
		role := &a.roles[r]
		role.limit = a.limit(r, d)
		role.count = role.limit
		least += role.need
	}
	if a.fitNarrower(d) || a.try(d) {
		return true
	}
	extra := max(0, a.want-least)
	a.ways = maxSpreads
	if a.spread(0, extra, func() bool { return a.try(d) }) {
		return a.grow(d)
	}
	a.ways = maxSpreads
	return a.spread(0, extra, func() bool { return a.search(d) })
}

// fitNarrower places a gang of several roles in the narrowest box inside d that
// holds all of it. One role finds that by itself, but two might go to two ends
// of d.
func (a *attempt) fitNarrower(d topology.DomainID) bool {
	if a.active() < 2 || len(a.bound) > 0 {
		return false
	}
	if a.fitNode(d) {
		return true
	}
	level := topology.Level(len(a.t.Levels) - 1)
	for ; level > a.t.Domains[d].Level; level-- {
		a.inner = a.inner[:0]
		for _, e := range a.t.DomainsAt(level) {
			if a.within(e, d) && a.holdsAll(e) {
				a.inner = append(a.inner, candidate{domain: e})
			}
		}
		slices.SortFunc(a.inner, a.compare)
		for _, c := range a.inner[:min(len(a.inner), maxNarrower)] {
			if a.try(c.domain) {
				return true
			}
		}
	}
	return false
}

// active is the number of roles that have members to place.
func (a *attempt) active() int {
	n := 0
	for r := range a.roles {
		if a.roles[r].count > 0 {
			n++
		}
	}
	return n
}

// fitNode places all the counted members on one node inside d, the one with the
// least room for the scarcest role.
func (a *attempt) fitNode(d topology.DomainID) bool {
	scarce := a.roles[a.order[0]].rooms
	best := NoNode
	for n := a.t.Domains[d].First; n < a.t.Domains[d].End; n++ {
		if (best == NoNode || scarce.node[n] < scarce.node[best]) && a.nodeHoldsAll(n) {
			best = n
		}
	}
	if best == NoNode {
		return false
	}
	for r := range a.roles {
		role := &a.roles[r]
		for m := range role.out {
			role.out[m] = NoNode
			if m < role.count {
				role.out[m] = best
			}
		}
	}
	return true
}

// nodeHoldsAll tells whether node n has room for all the counted members.
func (a *attempt) nodeHoldsAll(n topology.NodeID) bool {
	leaf := a.t.LeafDomain(n)
	for _, r := range a.order {
		role := &a.roles[r]
		if role.count > 0 && (int(role.rooms.node[n]) < role.count || int(role.rooms.layer[leaf]) != len(role.rooms.layers)) {
			return false
		}
	}
	for c, free := range a.p.u.FreeRow(n) {
		for r := range a.roles {
			if asked := int64(a.roles[r].count) * a.roles[r].Request[c]; asked > 0 {
				free -= asked
				if free < 0 {
					return false
				}
			}
		}
	}
	return true
}

// holdsAll tells whether d has room for each counted role alone.
func (a *attempt) holdsAll(d topology.DomainID) bool {
	for r := range a.roles {
		if role := &a.roles[r]; role.rooms.dom[d] < int64(role.count) {
			return false
		}
	}
	return true
}

// spread goes through the ways to spread extra members, on top of what each
// role needs, over the roles from r on, until one attempt succeeds. Earlier
// roles get as many as they can take first.
func (a *attempt) spread(r, extra int, attempt func() bool) bool {
	if r == len(a.roles) {
		a.ways--
		return attempt()
	}
	rest := 0
	for i := r + 1; i < len(a.roles); i++ {
		rest += a.roles[i].limit - a.roles[i].need
	}
	role := &a.roles[r]
	for x := min(extra, role.limit-role.need); x >= max(0, extra-rest) && a.ways > 0 && a.effort >= 0; x-- {
		role.count = role.need + x
		if a.spread(r+1, extra-x, attempt) {
			return true
		}
	}
	return false
}

// grow adds members to a gang that fits in d, role by role, up to the longest
// run that fits too.
func (a *attempt) grow(d topology.DomainID) bool {
	for r := range a.roles {
		role := &a.roles[r]
		fits, most := role.count, role.limit
		for fits < most {
			role.count = (fits + most + 1) / 2
			if a.tryGaps(d) {
				fits = role.count
			} else {
				most = role.count - 1
			}
		}
		role.count = fits
	}
	return a.tryGaps(d)
}

// tryGaps tries as try does, and searches where slices miss members: these are
// boxes of different sizes, which pack in more ways than one.
func (a *attempt) tryGaps(d topology.DomainID) bool {
	if a.try(d) {
		return true
	}
	return slices.ContainsFunc(a.roles, func(r role) bool { return r.gaps && len(r.layers) > 0 }) && a.search(d)
}

// counted is the number of members to place.
func (a *attempt) counted() int {
	n := 0
	for r := range a.roles {
		n += a.roles[r].count
	}
	return n
}

// try places as many members of each role as its count says inside domain d,
// role by role. It gives up where a better way may exist; search finds that.
func (a *attempt) try(d topology.DomainID) bool {
	if a.tryWishes(d, a.order) {
		return true
	}
	return len(a.bySize) > 0 && a.tryWishes(d, a.bySize)
}

// tryWishes places the roles in one order: with preferred slices first, and
// without where whole slices are in the way of the rest.
func (a *attempt) tryWishes(d topology.DomainID, order []int) bool {
	ok := a.place(d, order)
	a.giveBack(d)
	if !ok && a.soft {
		a.soft = false
		ok = a.place(d, order)
		a.giveBack(d)
		a.soft = true
	}
	return ok
}

// place runs the jobs of every role in order. Jobs after the first see what the
// ones before them have taken.
func (a *attempt) place(d topology.DomainID, order []int) bool {
	a.jobs, a.members = a.jobs[:0], a.members[:0]
	a.effort -= 1 + a.counted()
	for i, r := range order {
		role := &a.roles[r]
		for m := range role.out {
			role.out[m] = NoNode
		}
		first := len(a.jobs)
		if !a.list(r, d) {
			return false
		}
		for j := first; j < len(a.jobs); j++ {
			job := &a.jobs[j]
			if job.rooms.dom[job.domain] < int64(len(job.members)) {
				a.blocked = job.domain
				return false
			}
			a.assign(job)
			if j+1 < len(a.jobs) || i+1 < len(order) {
				a.take(job, d)
			}
		}
	}
	return true
}

// take subtracts what a job has placed from the room of every role inside d.
func (a *attempt) take(job *job, d topology.DomainID) {
	role := &a.roles[job.role]
	width := len(role.Request)
	if cells := len(a.t.Nodes) * width; len(a.p.taken) != cells {
		a.p.taken = resize(a.p.taken, cells)
		clear(a.p.taken)
	}
	first := len(a.touched)
	for _, m := range job.members {
		if m == nobody {
			continue
		}
		n := role.out[m]
		cells := a.p.taken[int(n)*width:]
		for c, q := range role.Request {
			cells[c] += q
		}
		if last := len(a.touched) - 1; last < first || a.touched[last] != n {
			a.touched = append(a.touched, n)
		}
	}
	a.recount(a.touched[first:], d)
}

// giveBack undoes every take.
func (a *attempt) giveBack(d topology.DomainID) {
	if len(a.touched) == 0 {
		return
	}
	width := len(a.p.u.Resources)
	for _, n := range a.touched {
		clear(a.p.taken[int(n)*width : (int(n)+1)*width])
	}
	a.recount(a.touched, d)
	a.touched = a.touched[:0]
}

// recount brings the rooms inside d up to date with what is taken on nodes.
func (a *attempt) recount(nodes []topology.NodeID, d topology.DomainID) {
	width := len(a.p.u.Resources)
	for r := range a.roles {
		for _, rooms := range []*rooms{a.roles[r].rooms, a.roles[r].wished} {
			if rooms == nil {
				continue
			}
			for _, n := range nodes {
				rooms.update(n, a.p.taken[int(n)*width:(int(n)+1)*width])
			}
			rooms.sum(d)
		}
	}
}
