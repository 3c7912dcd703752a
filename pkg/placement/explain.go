// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// nearest is how near the gang came to fit: the domain with the most room for
// it.
type nearest struct {
	domain topology.DomainID
	room   int // members that fit, bound ones included
	role   int // the first role that falls short of its own minimum, or -1
}

// explain says why the gang fits in no domain. It may count anew, as a refusal
// is off the path that must be fast.
func (a *attempt) explain() *Refusal {
	g := a.g
	r := &Refusal{
		Reason: NoFittingDomain, Gang: g.Name, Want: a.want + len(g.Bound), Bound: len(g.Bound),
		Level: a.t.LevelName(a.widestLevel()), Pinned: len(a.bound) > 0 && g.Required >= 0, Models: g.Models,
	}
	if len(a.roles) == 0 {
		return r
	}
	for _, s := range a.layersOf(nil, a.order[0], false) {
		if s.Size != wholeRole {
			r.Slices = append(r.Slices, SliceWant{Size: s.Size, Level: a.t.LevelName(s.Level)})
		}
	}
	for i := range g.Roles {
		if own := g.Roles[i].Required; own > g.Required && own >= 0 {
			r.Together = append(r.Together, RoleWant{g.Roles[i].Name, a.t.LevelName(own)})
		}
	}
	if a.levelUnused() {
		r.Reason = TopologyLevelUnused
		return r
	}
	best, product := a.nearest()
	if d, ok := a.blockedSlice(best); ok {
		best.domain, best.room = d, a.roomAround(d)
		r.Pinned = true
	}
	if len(g.Bound) == 0 {
		if empty, fits := a.whenEmpty(); !fits {
			r.Reason = GangTooLarge
			r.name(a, empty)
			r.NoModel = a.products[0] == noProduct
			a.countLasting(r, empty)
			return r
		}
	}
	r.name(a, best)
	if best.room == 0 {
		best.domain = 0 // no domain stands out, so all nodes are counted
	}
	a.countLeft(r, best.domain, product)
	if r.Pinned {
		r.BoundThere = a.boundIn(best.domain)
		a.help(r, best, product)
	}
	return r
}

// blockedSlice finds the domain of a slice that lost a member and has no room
// to take it back. The counts of the roles are those that fit in n.
func (a *attempt) blockedSlice(n nearest) (topology.DomainID, bool) {
	for r := range a.roles {
		role := &a.roles[r]
		if role.plain == nil || role.count == role.Count {
			continue
		}
		role.count++
		a.blocked = n.domain
		blocked := !a.try(n.domain) && a.blocked != n.domain && a.boundIn(a.blocked) > 0
		role.count--
		if blocked {
			return a.blocked, true
		}
	}
	return 0, false
}

// boundIn is the number of bound members that stand in d.
func (a *attempt) boundIn(d topology.DomainID) int {
	n := 0
	for _, node := range a.bound {
		if a.t.ContainsNode(d, node) {
			n++
		}
	}
	return n
}

// roomAround is the number of members that stand in d or have room there.
func (a *attempt) roomAround(d topology.DomainID) int {
	sum := a.boundIn(d)
	for r := range a.roles {
		if role := &a.roles[r]; role.plain != nil {
			sum += int(min(int64(role.Count), role.plain.dom[d]))
		}
	}
	return sum
}

// help says what would make room in the one domain that the gang can use: nodes
// there that are left out for now, or else more of what is short.
func (a *attempt) help(r *Refusal, n nearest, product int) {
	role := &a.roles[a.order[0]]
	if !role.modelled {
		product = anyProduct
	}
	missing := max(1, int64(r.Want-r.Room))
	if r.BoundThere < r.Bound { // a slice: one member at a time
		missing = 1
	}
	free := topology.Usage{Tree: a.t, Resources: a.p.u.Resources, Free: a.p.u.Free}
	bare := rooms{u: &free, product: anyProduct, asks: role.rooms.asks}
	back := int64(0)
	for i := a.t.Domains[n.domain].First; i < a.t.Domains[n.domain].End && back < missing; i++ {
		why := a.why(role, i, product)
		room := int64(bare.roomOn(i, nil))
		if why == gang.Eligible || why.IsPermanent() || room == 0 {
			continue
		}
		back += room
		r.Help = append(r.Help, NodeBack{Node: a.t.Nodes[i].Name, Why: why})
	}
	if back < missing {
		r.Help = nil
	}
	if c, ok := a.p.u.ResourceIndex(r.Short); ok && r.Help == nil {
		r.Missing = missing * role.Request[c]
	}
}

// levelUnused tells whether no node carries the required level that the gang
// could ever use.
func (a *attempt) levelUnused() bool {
	if a.g.Required < 0 {
		return false
	}
	for n := range a.t.Nodes {
		if _, ok := a.t.DomainAt(topology.NodeID(n), a.g.Required); !ok {
			continue
		}
		for r := range a.roles {
			if f := a.roles[r].Filter; f == nil || !f.Exclusions[n].IsPermanent() {
				return false
			}
		}
	}
	return true
}

// nearest finds the domain with the most room over all products.
func (a *attempt) nearest() (best nearest, product int) {
	best.room = -1
	wishes := a.wishes()
	for _, p := range a.products {
		a.count(p, wishes[len(wishes)-1])
		if n := a.nearestNow(); n.room > best.room {
			best, product = n, p
		}
	}
	return best, product
}

// nearestNow finds the domain with the most room as counted.
func (a *attempt) nearestNow() nearest {
	level := a.widestLevel()
	domains := a.t.DomainsAt(level)
	if d, ok := topology.DomainID(0), false; len(a.bound) > 0 && level >= 0 {
		if d, ok = a.pinned(level); ok {
			domains = []topology.DomainID{d}
		}
	}
	most, best := -1, topology.DomainID(0)
	for _, d := range domains {
		sum := 0
		for r := range a.roles {
			sum += a.limit(r, d)
		}
		if sum > most {
			most, best = sum, d
		}
	}
	n := nearest{domain: best, role: -1, room: len(a.g.Bound)}
	for r := range a.roles {
		a.roles[r].limit, a.roles[r].count = a.limit(r, best), 0
	}
	a.grow(best)
	for r := range a.roles {
		role := &a.roles[r]
		n.room += role.count
		if role.count < role.need && n.role < 0 {
			n.role = r
		}
	}
	return n
}

// whenEmpty tries the gang on the same cluster without any load, with every
// node that passing reasons leave out back in.
func (a *attempt) whenEmpty() (nearest, bool) {
	empty := &topology.Usage{Tree: a.t, Resources: a.p.u.Resources, Free: a.p.u.Capacity, Capacity: a.p.u.Capacity}
	g := *a.g
	g.Roles = slices.Clone(g.Roles)
	for r := range g.Roles {
		if f := g.Roles[r].Filter; f != nil {
			g.Roles[r].Filter = lasting(f)
		}
	}
	p := planners.Get().(*Planner)
	defer planners.Put(p)
	p.reset(empty)
	defer p.reset(nil)
	if refusal := p.attempt.begin(p, &g); refusal != nil {
		return nearest{role: -1}, false
	}
	if _, ok := p.attempt.solve(); ok {
		return nearest{}, true
	}
	n, _ := p.attempt.nearest()
	return n, false
}

// lasting keeps the reasons of a filter that an empty cluster would have too.
func lasting(f *gang.Filter) *gang.Filter {
	kept := &gang.Filter{Exclusions: make([]gang.Exclusion, len(f.Exclusions))}
	for n, why := range f.Exclusions {
		if why.IsPermanent() {
			kept.Exclusions[n] = why
		}
	}
	return kept
}

// name writes the nearest domain into the refusal.
func (r *Refusal) name(a *attempt, n nearest) {
	r.Room = n.room
	if n.role >= 0 && n.room >= r.Want {
		role := &a.roles[n.role]
		r.Role, r.RoleWant = role.Name, role.need
	}
	if n.room == 0 {
		return
	}
	d := a.t.Domains[n.domain]
	r.Best, r.Domain = d.Name, n.domain
	for _, other := range a.t.DomainsAt(d.Level) { // one name, two domains
		if other != n.domain && a.t.Domains[other].Name == d.Name {
			r.Best = a.t.DomainPath(n.domain)
		}
	}
}

// countLasting counts the nodes of the nearest domain that even an empty cluster
// would leave out, as the role with the least to spare sees it.
func (a *attempt) countLasting(r *Refusal, n nearest) {
	d := n.domain
	if n.room == 0 {
		d = 0
	}
	f := a.roles[a.order[0]].Filter
	for i := a.t.Domains[d].First; f != nil && i < a.t.Domains[d].End; i++ {
		if f.Exclusions[i].IsPermanent() {
			r.Left[f.Exclusions[i]]++
		}
	}
}

// countLeft counts the nodes of d that are left out and names the resource that
// is short on the rest, both as the role with the least to spare sees it.
func (a *attempt) countLeft(r *Refusal, d topology.DomainID, product int) {
	role := &a.roles[a.order[0]]
	if !role.modelled {
		product = anyProduct
	}
	u := a.p.u
	free, back := make([]int64, len(u.Resources)), make([]int64, len(u.Resources))
	for n := a.t.Domains[d].First; n < a.t.Domains[d].End; n++ {
		sum := free
		if why := a.why(role, n, product); why != gang.Eligible {
			r.Left[why]++
			sum = back
		}
		for c, q := range role.Request {
			if q > 0 && u.FreeRow(n)[c] >= q {
				sum[c] += u.FreeRow(n)[c] / q
			}
		}
	}
	want := int64(min(role.Count, max(a.want, role.need)))
	least, short := want, false
	for c, q := range role.Request {
		// Of equals the last: extended resources stand behind cpu and memory,
		// and are what the users of a gang look at.
		if q > 0 && (free[c] < least || free[c] == least && r.Short != "") {
			r.Short, least = u.Resources[c], free[c]
		}
		short = short || q > 0 && free[c]+back[c] < want
	}
	if !short { // the nodes that are left out are all that is missing
		r.Short = ""
	}
}

// why is the reason for which a role may not use a node.
func (a *attempt) why(role *role, n topology.NodeID, product int) gang.Exclusion {
	switch {
	case a.p.u.Cordoned != nil && a.p.u.Cordoned[n]:
		return gang.Cordoned
	case role.Filter != nil && role.Filter.Exclusions[n] != gang.Eligible:
		return min(role.Filter.Exclusions[n], gang.Other)
	case product != anyProduct && a.t.ProductIndex(n) != product:
		return gang.WrongModel
	}
	return gang.Eligible
}
