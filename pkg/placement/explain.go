// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"slices"
	"strings"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// nearestDomain is the domain with the most room for a gang that fits in none.
type nearestDomain struct {
	domain  topology.DomainID
	fitting int  // members that fit, bound ones included
	role    int  // the first role that falls short of its own minimum, or -1
	atLeast bool // more may fit: the budget is spent
}

// explainRefusal returns why the gang fits in no domain. It counts and solves
// again, for each product and for an empty cluster: a refusal is off the path that
// must be fast, and is worth an exact sentence.
func (s *solver) explainRefusal() *Refusal {
	r := s.describeRequest()
	if len(s.roles) == 0 {
		return r
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
	// Bound members have room already, so that only a gang without any can be too
	// large for the cluster.
	if len(s.gang.Bound) == 0 {
		if empty, fits := s.solveEmptyCluster(); !fits {
			s.explainTooLarge(r, empty)
			return r
		}
	}
	s.explainNearest(r, best, product)
	return r
}

// describeRequest returns a refusal that states what the gang asked for, without
// how near the cluster came.
func (s *solver) describeRequest() *Refusal {
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
	return r
}

// explainTooLarge completes the refusal of a gang that even the empty cluster has
// no domain for; empty is the one that comes nearest.
func (s *solver) explainTooLarge(r *Refusal, empty nearestDomain) {
	r.Reason = GangTooLarge
	s.setNearest(r, empty)
	r.NoModel = s.products[0] == noProduct
	r.Unlabelled = r.NoModel && s.modelsAreUnknown()
	s.countPermanent(r, empty)
	if empty.fitting == 0 {
		r.Short = s.unknownClaims()
		r.Beyond = s.requestBeyondNodes()
	}
}

// requestBeyondNodes names the first device that some member asks for more of than any
// node has that it may use; "" if there is none, or no such node. What is shared among
// all pods of a node, such as memory, is left out: its amounts are in units of their own.
func (s *solver) requestBeyondNodes() string {
	u := s.planner.usage
	for r := range s.roles {
		role := &s.roles[r]
		for c, want := range role.Request {
			if want <= 0 || !strings.Contains(u.Resources[c], "/") {
				continue
			}
			largest, usable := int64(0), false
			for n := range topology.NodeID(len(s.tree.Nodes)) {
				if role.Filter != nil && role.Filter.Exclusions[n].IsPermanent() {
					continue
				}
				usable, largest = true, max(largest, u.CapacityRow(n)[c])
			}
			switch {
			case !usable || largest >= want:
			case largest == 0:
				return "no node has " + u.Resources[c]
			default:
				return fmt.Sprintf("no node has %d %s, the largest has %d", want, u.Resources[c], largest)
			}
		}
	}
	return ""
}

// modelsAreUnknown reports whether there are nodes with the devices that the gang
// asks for, and none of them tells its model.
func (s *solver) modelsAreUnknown() bool {
	u, unknown := s.planner.usage, false
	for n := range topology.NodeID(len(s.tree.Nodes)) {
		capacity := u.CapacityRow(n)
		for r := range s.roles {
			for c, q := range s.roles[r].Request {
				if q <= 0 || capacity[c] <= 0 || !topology.IsGPU(u.Resources[c]) {
					continue
				}
				if s.tree.ProductIndex(n) >= 0 {
					return false
				}
				unknown = true
			}
		}
	}
	return unknown
}

// explainNearest completes the refusal of a gang that has no room now, by the
// domain that comes nearest.
func (s *solver) explainNearest(r *Refusal, best nearestDomain, product int) {
	s.setNearest(r, best)
	if best.fitting == 0 {
		best.domain = 0 // no domain is better than another, so all nodes are counted
	}
	s.countExclusions(r, best.domain, product)
	r.Short = s.shortResource(best.domain, product)
	if r.Pinned {
		r.BoundThere = s.boundInDomain(best.domain)
		s.addRecovery(r, best, product)
	}
}

// blockedSlice finds the domain of a slice that lost a member and has no room
// to take it back. The counts of the roles are those that fit in n.
func (s *solver) blockedSlice(n nearestDomain) (topology.DomainID, bool) {
	for r := range s.roles {
		role := &s.roles[r]
		if role.unslicedHeadroom == nil || role.toPlace == role.Count || s.isExhausted() {
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

// boundInDomain returns the number of bound members on nodes of d.
func (s *solver) boundInDomain(d topology.DomainID) int {
	n := 0
	for _, node := range s.boundNodes {
		if s.tree.ContainsNode(d, node) {
			n++
		}
	}
	return n
}

// boundAndFitting returns the number of members that are bound in d or fit there.
func (s *solver) boundAndFitting(d topology.DomainID) int {
	sum := s.boundInDomain(d)
	for r := range s.roles {
		if role := &s.roles[r]; role.unslicedHeadroom != nil {
			sum += int(min(int64(role.Count), role.unslicedHeadroom.perDomain[d]))
		}
	}
	return sum
}

// addRecovery completes the refusal by what would make room in the one domain that
// the gang can use: nodes there that are excluded for now, or else more of the
// resource that is short.
func (s *solver) addRecovery(r *Refusal, n nearestDomain, product int) {
	role, product := s.scarcestRole(product)
	missing := max(1, int64(r.Needed-r.Room))
	if r.BoundThere < r.Bound { // a slice: one member at a time
		missing = 1
	}
	free := topology.Usage{Tree: s.tree, Resources: s.planner.usage.Resources, Free: s.planner.usage.Free, Devices: s.planner.usage.Devices}
	bare := headroom{usage: &free, product: anyProduct, terms: role.headroom.terms, claims: role.Claims}
	// What a node could hold does not depend on its exclusion: the bare headroom has
	// no filter, and leaves cordons aside.
	back := int64(0)
	for i := s.tree.Domains[n.domain].First; i < s.tree.Domains[n.domain].End && back < missing; i++ {
		why := s.exclusionOf(role, i, product)
		room := int64(bare.nodeHeadroom(i, nil, nil))
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

// findNearest returns the domain with the most room over all products, and the
// product. It leaves the solver counted for the last product, fully relaxed.
func (s *solver) findNearest() (best nearestDomain, product int) {
	best.fitting = -1
	wishes := s.relaxations()
	for i, p := range s.products {
		if i > 0 && s.isExhausted() {
			best.atLeast = true
			break
		}
		s.countHeadroom(p, wishes[len(wishes)-1])
		if n := s.nearestOfProduct(); n.fitting > best.fitting {
			best, product = n, p
		}
	}
	return best, product
}

// nearestOfProduct returns the domain with the most room as counted, and leaves
// the members that fit there in the roles.
func (s *solver) nearestOfProduct() nearestDomain {
	level := s.widestLevel()
	domains := s.tree.DomainsAt(level)
	if d, ok := topology.DomainID(0), false; len(s.boundNodes) > 0 && level >= 0 {
		if d, ok = s.pinnedDomain(level); ok {
			domains = []topology.DomainID{d}
		}
	}
	// The room of each role alone finds the domain; growRoles then counts the members
	// that fit together.
	most, best := -1, topology.DomainID(0)
	s.spend(len(domains) * len(s.roles))
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
	n.atLeast = s.isExhausted()
	for r := range s.roles {
		role := &s.roles[r]
		n.fitting += role.toPlace
		if role.toPlace < role.minToPlace && n.role < 0 {
			n.role = r
		}
	}
	return n
}

// solveEmptyCluster reports whether the gang would fit in the same cluster without
// any load and without exclusions that pass, or that is not known, and else the domain
// that comes nearest. It solves with a planner of its own: this one's counts stay as they are.
func (s *solver) solveEmptyCluster() (nearestDomain, bool) {
	full := s.planner.usage
	empty := &topology.Usage{Tree: s.tree, Resources: full.Resources, Free: full.Capacity, Capacity: full.Capacity, Devices: topology.WithoutTaken(full.Devices)}
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
	p.solver.stepsLeft = s.stepsLeft // one budget for all
	defer func() { s.stepsLeft = p.solver.stepsLeft }()
	if _, ok := p.solver.tryProducts(); ok || p.solver.isExhausted() {
		return nearestDomain{}, true
	}
	n, _ := p.solver.findNearest()
	return n, false
}

// permanentOnly returns the exclusions of a filter that an empty cluster would have
// too.
func permanentOnly(f *gang.Filter) *gang.Filter {
	kept := &gang.Filter{Exclusions: make([]gang.Exclusion, len(f.Exclusions))}
	for n, why := range f.Exclusions {
		if why.IsPermanent() {
			kept.Exclusions[n] = why
		}
	}
	return kept
}

// setNearest completes the refusal by the nearest domain. Its path is named where
// another domain of its level has the same name.
func (s *solver) setNearest(r *Refusal, n nearestDomain) {
	r.Room, r.RoomAtLeast = n.fitting, n.atLeast
	if n.role >= 0 && n.fitting >= r.Needed {
		role := &s.roles[n.role]
		r.Role, r.RoleNeeded = role.Name, role.minToPlace
	}
	if n.fitting == 0 {
		return
	}
	r.Best, r.Domain = uniqueName(s.tree, n.domain), n.domain
}

// uniqueName returns the name of a domain, or its path where another one of its level
// has the same name.
func uniqueName(t *topology.Tree, d topology.DomainID) string {
	for _, other := range t.DomainsAt(t.Domains[d].Level) {
		if other != d && t.Domains[other].Name == t.Domains[d].Name {
			return t.DomainPath(d)
		}
	}
	return t.Domains[d].Name
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

// countExclusions counts the nodes of d that are excluded, by reason, as the role
// with the least to spare sees it.
func (s *solver) countExclusions(r *Refusal, d topology.DomainID, product int) {
	role, product := s.scarcestRole(product)
	for n := s.tree.Domains[d].First; n < s.tree.Domains[d].End; n++ {
		if why := s.exclusionOf(role, n, product); why != gang.Eligible {
			r.Excluded[why]++
		}
	}
}

// shortResource returns the resource that runs out first on the eligible nodes of
// d, as the role with the least to spare sees it, or "" where the excluded nodes
// are all that is missing.
func (s *solver) shortResource(d topology.DomainID, product int) string {
	role, product := s.scarcestRole(product)
	u := s.planner.usage
	// Members that fit by each resource alone, on the eligible and on all nodes.
	eligible, all := make([]int64, len(u.Resources)+1), make([]int64, len(u.Resources)+1) // the last one is of devices
	for n := s.tree.Domains[d].First; n < s.tree.Domains[d].End; n++ {
		usable := s.exclusionOf(role, n, product) == gang.Eligible
		for c, q := range role.Request {
			if q == 0 || u.FreeRow(n)[c] < q {
				continue
			}
			fitting := u.FreeRow(n)[c] / q
			all[c] += fitting
			if usable {
				eligible[c] += fitting
			}
		}
		if role.Claims != nil && u.Devices != nil {
			fitting, _ := u.Devices.Fit(u.Devices.StateOf(n), role.Claims)
			all[len(u.Resources)] += int64(fitting)
			if usable {
				eligible[len(u.Resources)] += int64(fitting)
			}
		}
	}
	want := int64(min(role.Count, max(s.minToPlace, role.minToPlace)))
	least, name, short := want, "", false
	for c, q := range role.Request {
		// Of equals the last: extended resources come behind cpu and memory, and
		// are what the users of a gang watch.
		if q > 0 && (eligible[c] < least || eligible[c] == least && name != "") {
			name, least = u.Resources[c], eligible[c]
		}
		short = short || q > 0 && all[c] < want
	}
	if last := len(u.Resources); role.Claims != nil && (eligible[last] < least || eligible[last] == least && name != "") {
		name, short = role.Claims.String(), short || all[last] < want
	}
	if !short {
		return ""
	}
	return name
}

// scarcestRole returns the role with the least to spare, and the product that
// constrains it.
func (s *solver) scarcestRole(product int) (*roleState, int) {
	role := &s.roles[s.roleOrder[0]]
	if !role.modelApplies {
		product = anyProduct
	}
	return role, product
}

// exclusionOf returns the reason for which a role may not use a node of the cluster
// as it is, the first one in the order of gang.Exclusion that is known here.
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
