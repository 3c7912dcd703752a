// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// nearestDomain is how near the gang came to fit: the domain with the most room for
// it.
type nearestDomain struct {
	domain  topology.DomainID
	fitting int // members that fit, bound ones included
	role    int // the first role that falls short of its own minimum, or -1
}

// explainRefusal says why the gang fits in no domain. It may count anew, as a refusal
// is off the path that must be fast.
func (s *solver) explainRefusal() *Refusal {
	g := s.gang
	r := &Refusal{
		Reason: NoFittingDomain, Gang: g.Name, Needed: s.minToPlace + len(g.Bound), Bound: len(g.Bound),
		Level: s.tree.LevelName(s.widestLevel()), Pinned: len(s.boundNodes) > 0 && g.Required >= 0, Models: g.Models,
	}
	if len(s.roles) == 0 {
		return r
	}
	for _, layer := range s.sliceLayers(nil, s.roleOrder[0], false) {
		if layer.Size != wholeRole {
			r.Slices = append(r.Slices, SliceConstraint{Size: layer.Size, Level: s.tree.LevelName(layer.Level)})
		}
	}
	for i := range g.Roles {
		if own := g.Roles[i].Required; own > g.Required && own >= 0 {
			r.Together = append(r.Together, RoleConstraint{g.Roles[i].Name, s.tree.LevelName(own)})
		}
	}
	if s.levelUnused() {
		r.Reason = TopologyLevelUnused
		return r
	}
	best, product := s.findNearest()
	if d, ok := s.blockedSlice(best); ok {
		best.domain, best.fitting = d, s.boundAndFitting(d)
		r.Pinned = true
	}
	if len(g.Bound) == 0 {
		if empty, fits := s.solveEmptyCluster(); !fits {
			r.Reason = GangTooLarge
			r.setNearest(s, empty)
			r.NoModel = s.products[0] == noProduct
			s.countPermanent(r, empty)
			return r
		}
	}
	r.setNearest(s, best)
	if best.fitting == 0 {
		best.domain = 0 // no domain stands out, so all nodes are counted
	}
	s.countExcluded(r, best.domain, product)
	if r.Pinned {
		r.BoundThere = s.boundInDomain(best.domain)
		s.addRecovery(r, best, product)
	}
	return r
}

// blockedSlice finds the domain of a slice that lost a member and has no room
// to take it back. The counts of the roles are those that fit in n.
func (s *solver) blockedSlice(n nearestDomain) (topology.DomainID, bool) {
	for r := range s.roles {
		role := &s.roles[r]
		if role.unslicedHeadroom == nil || role.toPlace == role.Count {
			continue
		}
		role.toPlace++
		s.failedDomain = n.domain
		blocked := !s.tryDomain(n.domain) && s.failedDomain != n.domain && s.boundInDomain(s.failedDomain) > 0
		role.toPlace--
		if blocked {
			return s.failedDomain, true
		}
	}
	return 0, false
}

// boundInDomain is the number of bound members that stand in d.
func (s *solver) boundInDomain(d topology.DomainID) int {
	n := 0
	for _, node := range s.boundNodes {
		if s.tree.ContainsNode(d, node) {
			n++
		}
	}
	return n
}

// boundAndFitting is the number of members that stand in d or have room there.
func (s *solver) boundAndFitting(d topology.DomainID) int {
	sum := s.boundInDomain(d)
	for r := range s.roles {
		if role := &s.roles[r]; role.unslicedHeadroom != nil {
			sum += int(min(int64(role.Count), role.unslicedHeadroom.perDomain[d]))
		}
	}
	return sum
}

// addRecovery says what would make room in the one domain that the gang can use: nodes
// there that are left out for now, or else more of what is short.
func (s *solver) addRecovery(r *Refusal, n nearestDomain, product int) {
	role := &s.roles[s.roleOrder[0]]
	if !role.modelApplies {
		product = anyProduct
	}
	missing := max(1, int64(r.Needed-r.Room))
	if r.BoundThere < r.Bound { // a slice: one member at a time
		missing = 1
	}
	free := topology.Usage{Tree: s.tree, Resources: s.planner.usage.Resources, Free: s.planner.usage.Free}
	bare := headroom{usage: &free, product: anyProduct, terms: role.headroom.terms}
	back := int64(0)
	for i := s.tree.Domains[n.domain].First; i < s.tree.Domains[n.domain].End && back < missing; i++ {
		why := s.exclusionOf(role, i, product)
		room := int64(bare.nodeHeadroom(i, nil))
		if why == gang.Eligible || why.IsPermanent() || room == 0 {
			continue
		}
		back += room
		r.Recoverable = append(r.Recoverable, RecoverableNode{Node: s.tree.Nodes[i].Name, Exclusion: why})
	}
	if back < missing {
		r.Recoverable = nil
	}
	if c, ok := s.planner.usage.ResourceIndex(r.Short); ok && r.Recoverable == nil {
		r.Missing = missing * role.Request[c]
	}
}

// levelUnused reports whether no node carries the required level that the gang
// could ever use.
func (s *solver) levelUnused() bool {
	if s.gang.Required < 0 {
		return false
	}
	for n := range s.tree.Nodes {
		if _, ok := s.tree.DomainAt(topology.NodeID(n), s.gang.Required); !ok {
			continue
		}
		for r := range s.roles {
			if f := s.roles[r].Filter; f == nil || !f.Exclusions[n].IsPermanent() {
				return false
			}
		}
	}
	return true
}

// findNearest finds the domain with the most room over all products.
func (s *solver) findNearest() (best nearestDomain, product int) {
	best.fitting = -1
	wishes := s.relaxations()
	for _, p := range s.products {
		s.countHeadroom(p, wishes[len(wishes)-1])
		if n := s.nearestOfProduct(); n.fitting > best.fitting {
			best, product = n, p
		}
	}
	return best, product
}

// nearestOfProduct finds the domain with the most room as counted.
func (s *solver) nearestOfProduct() nearestDomain {
	level := s.widestLevel()
	domains := s.tree.DomainsAt(level)
	if d, ok := topology.DomainID(0), false; len(s.boundNodes) > 0 && level >= 0 {
		if d, ok = s.pinnedDomain(level); ok {
			domains = []topology.DomainID{d}
		}
	}
	most, best := -1, topology.DomainID(0)
	for _, d := range domains {
		sum := 0
		for r := range s.roles {
			sum += s.placeableMembers(r, d)
		}
		if sum > most {
			most, best = sum, d
		}
	}
	n := nearestDomain{domain: best, role: -1, fitting: len(s.gang.Bound)}
	for r := range s.roles {
		s.roles[r].maxToPlace, s.roles[r].toPlace = s.placeableMembers(r, best), 0
	}
	s.growRoles(best)
	for r := range s.roles {
		role := &s.roles[r]
		n.fitting += role.toPlace
		if role.toPlace < role.minToPlace && n.role < 0 {
			n.role = r
		}
	}
	return n
}

// solveEmptyCluster tries the gang on the same cluster without any load, with every
// node that passing reasons leave out back in.
func (s *solver) solveEmptyCluster() (nearestDomain, bool) {
	empty := &topology.Usage{Tree: s.tree, Resources: s.planner.usage.Resources, Free: s.planner.usage.Capacity, Capacity: s.planner.usage.Capacity}
	g := *s.gang
	g.Roles = slices.Clone(g.Roles)
	for r := range g.Roles {
		if f := g.Roles[r].Filter; f != nil {
			g.Roles[r].Filter = permanentOnly(f)
		}
	}
	p := planners.Get().(*Planner)
	defer planners.Put(p)
	p.resetTo(empty)
	defer p.resetTo(nil)
	if refusal := p.solver.readGang(p, &g); refusal != nil {
		return nearestDomain{role: -1}, false
	}
	if _, ok := p.solver.tryProducts(); ok {
		return nearestDomain{}, true
	}
	n, _ := p.solver.findNearest()
	return n, false
}

// permanentOnly keeps the reasons of a filter that an empty cluster would have too.
func permanentOnly(f *gang.Filter) *gang.Filter {
	kept := &gang.Filter{Exclusions: make([]gang.Exclusion, len(f.Exclusions))}
	for n, why := range f.Exclusions {
		if why.IsPermanent() {
			kept.Exclusions[n] = why
		}
	}
	return kept
}

// setNearest writes the nearest domain into the refusal.
func (r *Refusal) setNearest(a *solver, n nearestDomain) {
	r.Room = n.fitting
	if n.role >= 0 && n.fitting >= r.Needed {
		role := &a.roles[n.role]
		r.Role, r.RoleNeeded = role.Name, role.minToPlace
	}
	if n.fitting == 0 {
		return
	}
	d := a.tree.Domains[n.domain]
	r.Best, r.Domain = d.Name, n.domain
	for _, other := range a.tree.DomainsAt(d.Level) { // one name, two domains
		if other != n.domain && a.tree.Domains[other].Name == d.Name {
			r.Best = a.tree.DomainPath(n.domain)
		}
	}
}

// countPermanent counts the nodes of the nearest domain that even an empty cluster
// would leave out, as the role with the least to spare sees it.
func (s *solver) countPermanent(r *Refusal, n nearestDomain) {
	d := n.domain
	if n.fitting == 0 {
		d = 0
	}
	f := s.roles[s.roleOrder[0]].Filter
	for i := s.tree.Domains[d].First; f != nil && i < s.tree.Domains[d].End; i++ {
		if f.Exclusions[i].IsPermanent() {
			r.Excluded[f.Exclusions[i]]++
		}
	}
}

// countExcluded counts the nodes of d that are left out and names the resource that
// is short on the rest, both as the role with the least to spare sees it.
func (s *solver) countExcluded(r *Refusal, d topology.DomainID, product int) {
	role := &s.roles[s.roleOrder[0]]
	if !role.modelApplies {
		product = anyProduct
	}
	u := s.planner.usage
	free, back := make([]int64, len(u.Resources)), make([]int64, len(u.Resources))
	for n := s.tree.Domains[d].First; n < s.tree.Domains[d].End; n++ {
		sum := free
		if why := s.exclusionOf(role, n, product); why != gang.Eligible {
			r.Excluded[why]++
			sum = back
		}
		for c, q := range role.Request {
			if q > 0 && u.FreeRow(n)[c] >= q {
				sum[c] += u.FreeRow(n)[c] / q
			}
		}
	}
	want := int64(min(role.Count, max(s.minToPlace, role.minToPlace)))
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

// exclusionOf is the reason for which a role may not use a node.
func (s *solver) exclusionOf(role *roleState, n topology.NodeID, product int) gang.Exclusion {
	switch {
	case s.planner.usage.Cordoned != nil && s.planner.usage.Cordoned[n]:
		return gang.Cordoned
	case role.Filter != nil && role.Filter.Exclusions[n] != gang.Eligible:
		return min(role.Filter.Exclusions[n], gang.Other)
	case product != anyProduct && s.tree.ProductIndex(n) != product:
		return gang.WrongModel
	}
	return gang.Eligible
}
