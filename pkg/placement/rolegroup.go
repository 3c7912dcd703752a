// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// groupedShare is how many times the steps of another gang one with groups of roles
// may take: it is planned part by part, in more orders than one.
const groupedShare = 8

// solveGrouped places a gang of which groups of roles share a domain. A plan for the
// roles without their groups often keeps them, and is the answer; else each group is
// placed as a gang of its own, one after the other, in a domain that may hold all. That
// may miss a plan where the groups compete for room.
func (p *Planner) solveGrouped(g *gang.Gang) Plan {
	if t := g.TreeOn(p.tree); g.NamesCrossing(t) {
		return p.solveCrossing(t, g)
	}
	if err := g.Validate(p.usage.Tree, len(p.usage.Resources)); err != nil {
		return Plan{Refusal: &Refusal{Reason: InvalidGangSpec, Gang: g.Name, Needed: g.MinCount, Detail: err.Error()}}
	}
	loose := withoutGroups(g)
	plan := p.Solve(loose)
	if plan.Refusal != nil {
		plan.Refusal.addGroups(p.usage.Tree, g)
		return plan
	}
	if drift := p.solver.driftOfGroups(g); drift != nil {
		return Plan{Refusal: drift}
	}
	if keepsGroups(p.usage.Tree, g, plan) {
		return plan
	}
	own := NewPlanner(p.usage.Clone())
	own.groupSteps = groupedShare * stepBudget(len(p.usage.Tree.Nodes), g.MemberCount())
	if plan, ok := own.placeWithin(g, 0); ok {
		return plan
	}
	return Plan{Refusal: own.explainGroups(g, loose)}
}

// withoutGroups returns a copy of g whose roles go where they like.
func withoutGroups(g *gang.Gang) *gang.Gang {
	loose := *g
	loose.RoleGroups = nil
	return &loose
}

// keepsGroups reports whether a plan holds each group of roles in one domain.
func keepsGroups(t *topology.Tree, g *gang.Gang, plan Plan) bool {
	for i := range g.RoleGroups {
		group := &g.RoleGroups[i]
		domain := topology.DomainID(-1)
		apart := func(n topology.NodeID) bool {
			if n < 0 || int(n) >= len(t.Nodes) {
				return false
			}
			d, ok := t.DomainAt(n, group.Required)
			if domain < 0 {
				domain = d
			}
			return !ok || d != domain
		}
		for _, r := range group.Roles {
			if slices.ContainsFunc(plan.Nodes[r], apart) {
				return false
			}
		}
		if slices.ContainsFunc(g.Bound, func(b gang.Bound) bool { return slices.Contains(group.Roles, b.Role) && apart(b.Node) }) {
			return false
		}
	}
	return true
}

// driftOfGroups returns the refusal of a gang of which a group stands in two domains.
func (s *solver) driftOfGroups(g *gang.Gang) *Refusal {
	for i := range g.RoleGroups {
		group := &g.RoleGroups[i]
		bound := 0
		var nodes []topology.NodeID
		for _, r := range group.Roles {
			bound += g.BoundCount(r)
			nodes = append(nodes, s.boundNodesOf(r)...)
		}
		if bound == 0 {
			continue
		}
		if drift := s.driftAtLevel(group.Required, nodes, "the running pods of group "+group.Name); drift != nil {
			return drift
		}
	}
	return nil
}

// groupPlace is a domain that may hold a whole gang, and the GPU model to use there.
type groupPlace struct {
	domain topology.DomainID
	models []string
}

// placeWithin returns a plan of a gang inside a domain, if it finds one. It takes what
// is placed so far from the usage of the planner, and gives it back.
func (p *Planner) placeWithin(g *gang.Gang, within topology.DomainID) (Plan, bool) {
	plan, ok := p.placeLoose(withoutGroups(g), within)
	if !ok || keepsGroups(p.usage.Tree, g, plan) {
		return plan, ok
	}
	for _, place := range p.groupPlaces(withoutGroups(g), within) {
		if plan, ok := p.placeParts(g, place); ok {
			return plan, true
		}
		if p.groupSteps < 0 {
			break
		}
	}
	return Plan{}, false
}

// placeLoose places a gang without groups inside a domain.
func (p *Planner) placeLoose(g *gang.Gang, within topology.DomainID) (Plan, bool) {
	try := func(g *gang.Gang) (Plan, bool) {
		s := &p.solver
		if refusal := s.readGang(p, g); refusal != nil {
			return Plan{Refusal: refusal}, false
		}
		s.within = within
		plan, ok := s.tryProducts()
		p.groupSteps -= p.SpentSteps()
		return plan, ok
	}
	plan, ok := try(g)
	if ok || !isUneven(g) {
		return plan, ok
	}
	plan, ok = try(leastRequests(g))
	return plan, ok && p.fitsUneven(g, plan)
}

// groupPlaces lists where a gang may go as a whole, the best first.
func (p *Planner) groupPlaces(g *gang.Gang, within topology.DomainID) (places []groupPlace) {
	s := &p.solver
	if s.readGang(p, g) != nil {
		return nil
	}
	s.within = within
	for _, product := range s.products {
		place := groupPlace{}
		if product >= 0 {
			place.models = []string{s.tree.Products[product]}
		}
		s.countHeadroom(product, false)
		for level := s.narrowestLevel(); level >= s.widestLevel(); level-- {
			s.listCandidates(level)
			slices.SortFunc(s.candidates, s.compareCandidates)
			for _, c := range s.candidates {
				place.domain = c.domain
				places = append(places, place)
			}
		}
	}
	return places
}

// gangPart is a group of roles that is placed by itself, or the roles that are in none.
type gangPart struct {
	group gang.RoleGroup
	// inner are the groups inside the group.
	inner []gang.RoleGroup
}

// partsOf splits a gang into its outermost groups, those with most members first, and
// the roles in none.
func partsOf(g *gang.Gang) []gangPart {
	var parts []gangPart
	rest := gangPart{group: gang.RoleGroup{Required: topology.NoLevel}}
	grouped := map[int]bool{}
	for i := range g.RoleGroups {
		group := &g.RoleGroups[i]
		outermost := true
		part := gangPart{group: *group}
		for j := range g.RoleGroups {
			other := &g.RoleGroups[j]
			switch {
			case i == j || !group.Holds(other) && !other.Holds(group):
			case group.Holds(other) && (!other.Holds(group) || i < j):
				part.inner = append(part.inner, *other)
			default:
				outermost = false
			}
		}
		if !outermost {
			continue
		}
		for _, r := range group.Roles {
			grouped[r] = true
		}
		parts = append(parts, part)
	}
	for r := range g.Roles {
		if !grouped[r] {
			rest.group.Roles = append(rest.group.Roles, r)
		}
	}
	slices.SortStableFunc(parts, func(x, y gangPart) int { return cmp.Compare(y.waitingCount(g), x.waitingCount(g)) })
	return append(parts, rest)
}

func (part *gangPart) waitingCount(g *gang.Gang) int {
	n := 0
	for _, r := range part.group.Roles {
		n += g.Roles[r].Count
	}
	return n
}

// placeParts places the parts of a gang in one domain, one after the other. A part that
// finds no room goes first in the next try. Each try begins with all members, and falls
// back on as many as must be; the others follow when those are bound.
func (p *Planner) placeParts(g *gang.Gang, place groupPlace) (Plan, bool) {
	parts := partsOf(g)
	for range parts {
		failed := 0
		for _, all := range []bool{true, false} {
			plan, at := p.placeInOrder(g, parts, place, all)
			if at < 0 {
				return plan, true
			}
			failed = at
		}
		if failed == 0 || p.groupSteps < 0 {
			break
		}
		first := parts[failed]
		parts = slices.Insert(slices.Delete(parts, failed, failed+1), 0, first)
	}
	return Plan{}, false
}

// placeInOrder places parts in their order and returns which of them found no room,
// -1 for none.
func (p *Planner) placeInOrder(g *gang.Gang, parts []gangPart, place groupPlace, all bool) (plan Plan, failed int) {
	plan = Plan{Domain: place.domain, Nodes: make([][]topology.NodeID, len(g.Roles))}
	for r := range g.Roles {
		plan.Nodes[r] = slices.Repeat([]topology.NodeID{NoNode}, g.Roles[r].Count)
	}
	devices := p.usage.Devices
	defer func() {
		p.usage.Devices = devices
		p.forEachPlaced(g, plan, p.ReleaseOn)
	}()
	for i := range parts {
		sub, needed := p.partGang(g, &parts[i], place, all)
		if sub.WaitingCount() == 0 {
			continue
		}
		its, ok := p.placeWithin(sub, place.domain)
		if !ok {
			if needed > 0 {
				return plan, i
			}
			continue
		}
		plan.Model = cmp.Or(plan.Model, its.Model)
		for j, r := range parts[i].group.Roles {
			copy(plan.Nodes[r], its.Nodes[j])
		}
		p.forEachPlaced(sub, its, p.AllocateOn)
		for r, nodes := range its.Nodes {
			p.usage.Devices = topology.WithTaken(p.usage.Devices, sub.Roles[r].Claims, nodes)
		}
	}
	if placed := placedCount(plan); placed == 0 || placed+len(g.Bound) < g.MinCount {
		return plan, 0
	}
	return plan, -1
}

func (p *Planner) forEachPlaced(g *gang.Gang, plan Plan, f func(topology.NodeID, []int64)) {
	for r, nodes := range plan.Nodes {
		for i, n := range nodes {
			if n != NoNode {
				f(n, g.Roles[r].RequestOf(i))
			}
		}
	}
}

// partGang returns a part of a gang as one of its own, with all of its members or as
// many as must be placed, and how many those are.
func (p *Planner) partGang(g *gang.Gang, part *gangPart, place groupPlace, all bool) (sub *gang.Gang, needed int) {
	sub = &gang.Gang{Name: g.Name, Preferred: topology.NoLevel, Slices: g.Slices, Models: place.models}
	sub.Required = max(part.group.Required, p.usage.Tree.Domains[place.domain].Level)
	index := map[int]int{}
	for i, r := range part.group.Roles {
		index[r] = i
	}
	for _, r := range part.group.Roles {
		role := g.Roles[r]
		must := max(0, role.MinCount-g.BoundCount(r))
		needed += must
		sub.MinCount += role.MinCount
		if !all {
			role = firstMembers(role, must)
		}
		if near, ok := index[role.NearRole]; ok {
			role.NearRole = near
		} else {
			role.NearRole = -1
		}
		sub.Roles = append(sub.Roles, role)
	}
	for _, b := range g.Bound {
		if at, ok := index[b.Role]; ok {
			b.Role = at
			sub.Bound = append(sub.Bound, b)
		}
	}
	for _, inner := range part.inner {
		roles := make([]int, len(inner.Roles))
		for i, r := range inner.Roles {
			roles[i] = index[r]
		}
		inner.Roles = roles
		sub.RoleGroups = append(sub.RoleGroups, inner)
	}
	return sub, needed
}

// firstMembers returns a role with its first n waiting members alone.
func firstMembers(role gang.Role, n int) gang.Role {
	role.Count = n
	if role.Ranks != nil {
		role.Ranks = role.Ranks[:n]
	}
	if role.MemberRequests != nil {
		role.MemberRequests = role.MemberRequests[:n]
	}
	return role
}

// explainGroups returns why a gang fits nowhere with its groups, although its roles fit
// without them: a group that fits nowhere even by itself, or else all of them together.
func (p *Planner) explainGroups(g, loose *gang.Gang) *Refusal {
	if p.groupSteps < 0 {
		refusal := p.solver.complexRefusal()
		refusal.Gang, refusal.Needed = g.Name, g.MinCount
		return refusal
	}
	for _, part := range partsOf(g) {
		sub, needed := p.partGang(g, &part, groupPlace{models: g.Models}, true)
		sub.Required = max(part.group.Required, g.Required)
		if needed == 0 || part.group.Required < 0 {
			continue
		}
		if refusal := p.Solve(sub).Refusal; refusal != nil {
			refusal.Gang = fmt.Sprintf("%s, group %s,", g.Name, part.group.Name)
			return refusal
		}
	}
	s := &p.solver
	if refusal := s.readGang(p, loose); refusal != nil {
		return refusal
	}
	s.countHeadroom(s.products[0], false)
	refusal := s.describeRequest()
	refusal.addGroups(p.usage.Tree, g)
	return refusal
}

// addGroups adds the groups of a gang to what it asks for.
func (r *Refusal) addGroups(t *topology.Tree, g *gang.Gang) {
	for i := range g.RoleGroups {
		group := &g.RoleGroups[i]
		r.Together = append(r.Together, RoleConstraint{group.Name, t.LevelName(group.Required)})
	}
}
