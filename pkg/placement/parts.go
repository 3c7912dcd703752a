// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// tryParts tries to place a gang of several parts: one after the other, in both orders,
// and then by searching for all of them at once.
func (c *crossing) tryParts(i, product int, relaxed bool) (Plan, bool) {
	parts := slices.DeleteFunc(slices.Clone(c.arrangementsOf(i, relaxed)), func(a *arrangedGang) bool { return a.gang.WaitingCount() == 0 })
	for range 2 {
		if plan, ok := c.placeInTurn(parts, product, relaxed); ok {
			return plan, true
		}
		slices.Reverse(parts)
	}
	return c.searchNodes(i, product, relaxed)
}

// placeInTurn places all members, part after part. The domain that the first part chose
// to hold the whole gang is that of the others.
func (c *crossing) placeInTurn(parts []*arrangedGang, product int, relaxed bool) (Plan, bool) {
	u := c.planner.usage.Clone()
	plan := Plan{Nodes: make([][]topology.NodeID, len(c.gang.Roles))}
	for k, a := range parts {
		if k > 0 {
			again := *a
			a = &again
			c.readOn(a, u)
		}
		if a.refusal != nil {
			return Plan{}, false
		}
		part, d, ok := c.solve(a, product, relaxed)
		if !ok {
			return Plan{}, false
		}
		plan.Domain, plan.Model = part.Domain, part.Model
		for r, nodes := range part.Nodes {
			if k == 0 || len(nodes) > 0 {
				plan.Nodes[r] = nodes
			}
			for _, n := range nodes {
				u.AllocateOn(n, c.gang.Roles[r].Request)
			}
			u.Devices = topology.WithTaken(u.Devices, c.gang.Roles[r].Claims, nodes)
		}
		if k == 0 && a.gang.Required >= 0 {
			cordonOutside(u, a.view, d)
		}
	}
	return plan, keepsGroups(c.tree, c.gang, plan)
}

// cordonOutside leaves only the nodes of one domain of a view in use.
func cordonOutside(u *topology.Usage, v *topology.View, d topology.DomainID) {
	if u.Cordoned == nil {
		u.Cordoned = make([]bool, len(v.Source))
	}
	for i, n := range v.Source {
		u.Cordoned[n] = u.Cordoned[n] || !v.Tree.ContainsNode(d, topology.NodeID(i))
	}
}

// nodeSearch tries every node for every member, depth first, until a plan is found or
// its steps are spent.
type nodeSearch struct {
	crossing *crossing
	product  int
	relaxed  bool
	level    topology.Level // what is to hold the whole gang beside what is required
	free     []int64
	domains  map[sharedScope]*sharedDomain
	nodes    [][]topology.NodeID
	placed   int
	steps    int
}

// sharedScope is members that have to share a domain of a level: the gang, a role or a
// slice of one.
type sharedScope struct {
	role, slice, layer int
	level              topology.Level
}

// sharedDomain is the domain of those of them that have a node, and how many do.
type sharedDomain struct {
	domain  topology.DomainID
	members int
}

// searchNodes searches for a plan of all parts together.
func (c *crossing) searchNodes(i, product int, relaxed bool) (Plan, bool) {
	s := &nodeSearch{
		crossing: c, product: product, relaxed: relaxed, level: c.attempts[i], free: slices.Clone(c.planner.usage.Free),
		domains: map[sharedScope]*sharedDomain{}, steps: maxSearchSteps,
	}
	for r := range c.gang.Roles {
		s.nodes = append(s.nodes, slices.Repeat([]topology.NodeID{NoNode}, c.gang.Roles[r].Count))
	}
	for _, b := range c.gang.Bound {
		if b.Node >= 0 && int(b.Node) < len(c.tree.Nodes) && !s.share(b.Role, b.Rank, b.Node) {
			return Plan{}, false
		}
	}
	if !s.placeFrom(0, 0) {
		c.isCut = c.isCut || s.steps <= 0
		return Plan{}, false
	}
	plan := Plan{Nodes: s.nodes}
	if product >= 0 {
		plan.Model = c.tree.Products[product]
	}
	for _, l := range []topology.Level{c.gang.Required, s.level} {
		if shared := s.domains[sharedScope{role: -1, level: l}]; l >= 0 && shared != nil {
			plan.Domain = shared.domain
		}
	}
	return plan, true
}

// scopesOf lists what a member of a role shares with others. A rank of -1 is not known.
func (s *nodeSearch) scopesOf(r, rank int) []sharedScope {
	g := s.crossing.gang
	scopes := []sharedScope{{role: -1, level: g.Required}, {role: -1, level: s.level}, {role: r, level: g.Roles[r].Required}}
	for i, slice := range g.SlicesOf(r) {
		if rank >= 0 && (!slice.Preferred || !s.relaxed) {
			scopes = append(scopes, sharedScope{role: r, layer: i + 1, slice: rank / slice.Size, level: slice.Level})
		}
	}
	for i, group := range g.RoleGroups {
		if slices.Contains(group.Roles, r) {
			scopes = append(scopes, sharedScope{role: -2 - i, level: group.Required})
		}
	}
	return slices.DeleteFunc(scopes, func(scope sharedScope) bool { return scope.level < 0 })
}

// share adds a member on a node to those it shares domains with; false, and nothing,
// where one of them has another domain.
func (s *nodeSearch) share(r, rank int, n topology.NodeID) bool {
	scopes := s.scopesOf(r, rank)
	for _, scope := range scopes {
		d, ok := s.crossing.tree.DomainAt(n, scope.level)
		if shared := s.domains[scope]; !ok || shared != nil && shared.members > 0 && shared.domain != d {
			return false
		}
	}
	for _, scope := range scopes {
		if s.domains[scope] == nil {
			s.domains[scope] = &sharedDomain{}
		}
		s.domains[scope].domain, _ = s.crossing.tree.DomainAt(n, scope.level)
		s.domains[scope].members++
	}
	return true
}

// placeFrom places member m of role r and all after it. Members beyond the minimum, the
// last of their role, may be left out.
func (s *nodeSearch) placeFrom(r, m int) bool {
	g := s.crossing.gang
	if r == len(g.Roles) {
		return s.placed >= neededOf(g)
	}
	role := &g.Roles[r]
	if m == role.Count {
		return s.placeFrom(r+1, 0)
	}
	rank := int(s.crossing.partOf(r).ranks[r][m])
	for n := range s.crossing.tree.Nodes {
		if s.steps--; s.steps <= 0 || s.crossing.planner.solver.isExhausted() {
			s.steps = 0
			return false
		}
		s.crossing.planner.solver.spend(2)
		node := topology.NodeID(n)
		if !s.hasRoom(r, node) || !s.share(r, rank, node) {
			continue
		}
		s.take(role, node, 1)
		s.nodes[r][m] = node
		if s.placeFrom(r, m+1) {
			return true
		}
		s.nodes[r][m] = NoNode
		s.take(role, node, -1)
		for _, scope := range s.scopesOf(r, rank) {
			s.domains[scope].members--
		}
	}
	left := 0
	for i := r + 1; i < len(g.Roles); i++ {
		left += g.Roles[i].Count
	}
	if m+g.BoundCount(r) < role.MinCount || s.placed+left < neededOf(g) {
		return false
	}
	return s.placeFrom(r+1, 0)
}

// take takes what members of a role ask for on a node; -1 gives it back.
func (s *nodeSearch) take(role *gang.Role, n topology.NodeID, times int) {
	width := len(role.Request)
	for c, q := range role.Request {
		s.free[int(n)*width+c] -= int64(times) * q
	}
	s.placed += times
}

// hasRoom reports whether a member of a role may use a node, and finds room there.
func (s *nodeSearch) hasRoom(r int, n topology.NodeID) bool {
	role, u := &s.crossing.gang.Roles[r], s.crossing.planner.usage
	switch {
	case role.Filter != nil && role.Filter.Exclusions[n] != gang.Eligible, u.Cordoned != nil && u.Cordoned[n]:
		return false
	case s.product != anyProduct && s.crossing.partOf(r).models[r] && s.crossing.tree.ProductIndex(n) != s.product:
		return false
	}
	width := len(role.Request)
	for c, q := range role.Request {
		if q > 0 && s.free[int(n)*width+c] < q {
			return false
		}
	}
	return true
}

// partOf returns the part that has the waiting members of role r.
func (c *crossing) partOf(r int) *arrangedGang {
	base := c.arrangementsOf(len(c.attempts)-1, c.isRelaxable())
	for _, a := range base {
		if len(a.ranks[r]) > 0 {
			return a
		}
	}
	return base[0]
}

// explainRefusal returns why the gang fits nowhere; base are its parts without anything
// that is only preferred.
func (c *crossing) explainRefusal(base []*arrangedGang) *Refusal {
	steps := &c.planner.solver
	if steps.isExhausted() || c.isCut {
		return c.refusalOf(base[0], base[0].planner.solver.complexRefusal())
	}
	steps.releaseReserve()
	for _, a := range base {
		if len(base) > 1 && c.fitsAlone(a) {
			continue
		}
		if len(a.gang.RoleGroups) > 0 {
			if refusal := a.planner.Solve(&a.gang).Refusal; refusal != nil {
				return c.refusalOf(a, refusal)
			}
		}
		s := &a.planner.solver
		s.stepsLeft, s.stepsKept = steps.stepsLeft, 0
		refusal := s.explainRefusal()
		steps.stepsLeft = s.stepsLeft
		return c.refusalOf(a, refusal)
	}
	refusal := base[0].planner.solver.describeRequest()
	refusal.Needed, refusal.Together = neededOf(c.gang)+len(c.gang.Bound), nil
	for r := range c.gang.Roles {
		if own := c.gang.Roles[r].Required; own >= 0 {
			refusal.Together = append(refusal.Together, RoleConstraint{c.gang.Roles[r].Name, c.tree.LevelName(own)})
		}
	}
	refusal.Detail = "each part would fit, but not all of them at the same time"
	if len(c.gang.Bound) == 0 && !c.fitsEmptyCluster() {
		refusal.Reason, refusal.Detail = GangTooLarge, refusal.Detail+", even if the cluster were empty"
	}
	return refusal
}

// fitsAlone reports whether a part of the gang would fit if it were all.
func (c *crossing) fitsAlone(a *arrangedGang) bool {
	return slices.ContainsFunc(a.planner.solver.products, func(product int) bool {
		_, _, ok := c.solve(a, product, c.isRelaxable())
		return ok
	})
}

// fitsEmptyCluster reports whether the gang would fit without any load and without
// exclusions that pass, or that is not known.
func (c *crossing) fitsEmptyCluster() bool {
	u, g := c.planner.usage, *c.gang
	p := NewPlanner(&topology.Usage{Tree: u.Tree, Resources: u.Resources, Free: u.Capacity, Capacity: u.Capacity, Devices: topology.WithoutTaken(u.Devices)})
	g.Tree, g.Roles = c.tree, slices.Clone(g.Roles)
	for r := range g.Roles {
		if f := g.Roles[r].Filter; f != nil {
			g.Roles[r].Filter = permanentOnly(f)
		}
	}
	p.solver.stepsLeft = c.planner.solver.stepsLeft // one budget for all
	defer func() { c.planner.solver.stepsLeft = p.solver.stepsLeft }()
	e := &crossing{planner: p, tree: c.tree, gang: &g, nested: c.nested}
	defer e.releasePlanners()
	e.attempts = []topology.Level{topology.NoLevel}
	_, ok := e.tryAttempts(e.arrangementsOf(0, e.isRelaxable())[0].planner.solver.products)
	return ok || e.isCut || p.solver.isExhausted()
}

// refusalOf returns a refusal on a view in terms of the gang's own tree.
func (c *crossing) refusalOf(a *arrangedGang, r *Refusal) *Refusal {
	if r.Domain == 0 {
		return r
	}
	in := a.view.Tree.Domains[r.Domain]
	n := a.view.Source[in.First]
	r.Domain = 0
	d, ok := c.tree.DomainAt(n, a.order[in.Level])
	if ok && len(slices.Collect(c.tree.NodesOf(d))) == int(in.End-in.First) {
		r.Domain, r.Best = d, uniqueName(c.tree, d)
	}
	return r
}
