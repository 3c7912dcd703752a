// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// crossing solves a gang that names levels of several hierarchies over the same nodes.
// It arranges the levels that matter so that one tree, a view of the cluster, says what
// is asked for, and solves there. Roles whose levels fit no common order are placed one
// after the other, and where that fails are searched for together.
type crossing struct {
	planner *Planner
	tree    *topology.Tree
	gang    *gang.Gang
	nested  map[[2]topology.Level]bool
	// attempts are the levels that are tried as the one that holds the whole gang, the
	// narrowest first; none, for what is required alone, is the last.
	attempts []topology.Level
	// arranged is by attempt: those of a strict pass and of a relaxed one.
	arranged [2][][]*arrangedGang
	// planners are those of the views, to be given back.
	planners []*Planner
	// isCut reports whether a search ended for want of steps.
	isCut bool
}

// arrangedGang is a part of the roles of a gang in terms of a view.
type arrangedGang struct {
	order   []topology.Level
	whole   []topology.Level // of each of which one domain holds the gang
	view    *topology.View
	gang    gang.Gang
	planner *Planner
	refusal *Refusal // why readGang refuses it
	// ranks and models are of each role: the ranks of its waiting members, and whether
	// the choice of a GPU model binds it.
	ranks  [][]int32
	models []bool
}

// solveCrossing is Solve for a gang that names levels which cross those of the tree.
func (p *Planner) solveCrossing(t *topology.Tree, g *gang.Gang) Plan {
	s := &p.solver
	s.startBudget(len(t.Nodes), g)
	s.domainsEvaluated = 0
	if err := validateOn(t, p.usage, g); err != nil {
		return Plan{Refusal: &Refusal{Reason: InvalidGangSpec, Gang: g.Name, Needed: g.MinCount, Detail: err.Error()}}
	}
	if needed := neededOf(g); needed > g.WaitingCount() {
		return Plan{Refusal: &Refusal{Reason: GangIncomplete, Gang: g.Name, Needed: g.MinCount, Bound: len(g.Bound), Room: g.MemberCount()}}
	}
	c := &crossing{planner: p, tree: t, gang: g, nested: map[[2]topology.Level]bool{}}
	defer c.releasePlanners()
	c.listAttempts()
	base := c.arrangementsOf(len(c.attempts)-1, c.isRelaxable())
	for _, a := range base {
		if a.refusal != nil {
			return Plan{Refusal: c.refusalOf(a, a.refusal)}
		}
	}
	if plan, ok := c.tryAttempts(base[0].planner.solver.products); ok {
		return plan
	}
	return Plan{Refusal: c.explainRefusal(base)}
}

// neededOf returns the number of waiting members that must be placed. A gang that has
// its minimum still needs room for one more: else there is nothing to plan.
func neededOf(g *gang.Gang) int { return max(g.MinCount-len(g.Bound), min(1, g.WaitingCount())) }

// releasePlanners gives the planners of the views back.
func (c *crossing) releasePlanners() {
	for _, p := range c.planners {
		p.resetTo(nil)
		planners.Put(p)
	}
}

// validateOn returns why a gang makes no sense on a cluster, or nil.
func validateOn(t *topology.Tree, u *topology.Usage, g *gang.Gang) error {
	if err := g.Validate(t, len(u.Resources)); err != nil {
		return err
	}
	for r := range g.Roles {
		if f := g.Roles[r].Filter; f != nil && len(f.Exclusions) != len(t.Nodes) {
			return fmt.Errorf("role %d %s: the filter is for %d nodes, the cluster has %d", r, g.Roles[r].Name, len(f.Exclusions), len(t.Nodes))
		}
	}
	return nil
}

// listAttempts lists the levels to try for the whole gang: the preferred one, the wider
// ones of its hierarchy, and where that one stands among the levels of the tree, the wider
// ones of those.
func (c *crossing) listAttempts() {
	required, preferred := c.gang.Required, c.gang.Preferred
	add := func(l topology.Level) bool {
		if l < 0 || c.tree.AreOrdered(l, required) && l <= required {
			return false
		}
		if len(c.tree.DomainsAt(l)) > 0 {
			c.attempts = append(c.attempts, l)
		}
		return true
	}
	l := preferred
	if c.gang.WaitingCount() == 0 {
		l, preferred = topology.NoLevel, topology.NoLevel
	}
	for ; l >= 0 && add(l); l = c.tree.WiderLevel(l) {
	}
	if main := topology.Level(len(c.tree.Main().Levels)); c.tree.IsCrossing(preferred) && preferred < main {
		for l = preferred - 1; l >= 0; l-- {
			if !c.tree.IsCrossing(l) && !add(l) {
				break
			}
		}
	}
	c.attempts = append(c.attempts, topology.NoLevel)
}

// isRelaxable reports whether the gang has slices that may be split.
func (c *crossing) isRelaxable() bool {
	for r := range c.gang.Roles {
		if slices.ContainsFunc(c.gang.SlicesOf(r), func(s gang.Slice) bool { return s.Preferred }) {
			return true
		}
	}
	return false
}

// tryAttempts tries one pass, product and level after the other, in the order of the
// package.
func (c *crossing) tryAttempts(products []int) (Plan, bool) {
	passes := []bool{false, true}
	if !c.isRelaxable() {
		passes = passes[:1]
	}
	for _, relaxed := range passes {
		for _, product := range products {
			for i := range c.attempts {
				if c.planner.solver.isExhausted() {
					return Plan{}, false
				}
				if plan, ok := c.tryAttempt(i, product, relaxed); ok {
					return plan, true
				}
			}
		}
	}
	return Plan{}, false
}

// tryAttempt tries to place the gang with one level to hold all of it.
func (c *crossing) tryAttempt(i, product int, relaxed bool) (Plan, bool) {
	parts := c.arrangementsOf(i, relaxed)
	for _, a := range parts {
		if a.refusal != nil {
			return Plan{}, false
		}
	}
	if len(parts) > 1 {
		return c.tryParts(i, product, relaxed)
	}
	plan, _, ok := c.solve(parts[0], product, relaxed)
	return plan, ok
}

// solve places an arranged gang on one product. It returns the plan, and its domain in
// the view.
func (c *crossing) solve(a *arrangedGang, product int, relaxed bool) (Plan, topology.DomainID, bool) {
	if len(a.gang.RoleGroups) > 0 {
		g := a.gang
		if product >= 0 {
			g.Models = []string{c.tree.Products[product]}
		}
		plan := a.planner.Solve(&g)
		c.planner.solver.spend(a.planner.SpentSteps())
		d := plan.Domain
		return c.planOf(a, plan), d, plan.Refusal == nil
	}
	s := &a.planner.solver
	s.stepsLeft, s.stepsKept = c.planner.solver.stepsLeft, 0
	s.countHeadroom(product, relaxed)
	d, ok := s.chooseDomain()
	c.planner.solver.stepsLeft = s.stepsLeft
	c.planner.solver.domainsEvaluated += s.domainsEvaluated
	s.domainsEvaluated = 0
	if !ok {
		return Plan{}, 0, false
	}
	return c.planOf(a, s.buildPlan(d, product)), d, true
}

// arrangementsOf returns the parts of the gang for an attempt, each arranged on a view:
// one part where the levels of all roles go together.
func (c *crossing) arrangementsOf(i int, relaxed bool) []*arrangedGang {
	pass := 0
	if relaxed {
		pass = 1
	}
	if c.arranged[pass] == nil {
		c.arranged[pass] = make([][]*arrangedGang, len(c.attempts))
	}
	if c.arranged[pass][i] == nil {
		c.arranged[pass][i] = c.arrangeParts(c.attempts[i], relaxed)
	}
	return c.arranged[pass][i]
}

// arrangeParts sorts the roles into parts whose levels go together. One domain of a
// level, if it is any, has to hold the whole gang.
func (c *crossing) arrangeParts(level topology.Level, relaxed bool) []*arrangedGang {
	var parts []*arrangedGang
	var rest []int
	for r := range c.gang.Roles {
		if c.gang.Roles[r].Count > 0 || c.gang.BoundCount(r) > 0 {
			rest = append(rest, r)
		}
	}
	for first := true; first || len(rest) > 0; first = false {
		order := &arrangement{tree: c.tree, nested: c.nested}
		var around []topology.Level
		for _, l := range []topology.Level{c.gang.Required, level} {
			if l >= 0 && !order.isImplied(l, around) && order.add(l, around) {
				around = append(around, l)
			}
		}
		groups := order.addGroups(c.gang, around)
		roles := make([]gang.Role, len(c.gang.Roles))
		var later []int
		for r := range roles {
			roles[r] = withoutMembers(c.gang.Roles[r])
			if first && c.gang.Roles[r].Count == 0 {
				roles[r].MinCount = c.gang.Roles[r].MinCount
			}
		}
		for _, r := range rest {
			if role, ok := order.addRole(c.gang, r, slices.Concat(around, levelsAround(groups, r)), relaxed); ok {
				roles[r] = *role
			} else {
				later = append(later, r)
			}
		}
		order.addLocality()
		c.planner.solver.spend(order.steps)
		parts = append(parts, c.arrange(order, around, roles, len(later) == 0 && len(parts) == 0))
		parts[len(parts)-1].setGroups(order, groups)
		rest = later
	}
	return parts
}

// withoutMembers returns a role of which nothing is to be placed.
func withoutMembers(r gang.Role) gang.Role {
	r.Count, r.MinCount, r.Ranks, r.MemberRequests = 0, 0, nil, nil
	r.Required, r.Slices = topology.NoLevel, nil
	return r
}

// arrange puts roles, with levels of the gang's tree, on the view of an order. Only a
// gang that is all of one part may start with fewer than all of its members.
func (c *crossing) arrange(order *arrangement, whole []topology.Level, roles []gang.Role, isAll bool) *arrangedGang {
	a := &arrangedGang{order: order.order, whole: whole, view: c.tree.Arrange(order.order), gang: *c.gang}
	a.gang.Tree, a.gang.Roles, a.gang.Slices = nil, roles, nil
	a.gang.Required, a.gang.Preferred = topology.NoLevel, topology.NoLevel
	if len(whole) > 0 {
		a.gang.Required = order.position(whole[len(whole)-1])
	}
	for r := range roles {
		role := &roles[r]
		role.Required = order.position(role.Required)
		for i := range role.Slices {
			role.Slices[i].Level = order.position(role.Slices[i].Level)
		}
		role.Filter = filterOn(a.view, role.Filter)
	}
	a.gang.Bound = slices.Clone(c.gang.Bound)
	for i, b := range a.gang.Bound {
		if b.Node >= 0 && int(b.Node) < len(a.view.ViewOf) {
			a.gang.Bound[i].Node = a.view.ViewOf[b.Node]
		}
	}
	if !isAll {
		a.gang.MinCount = a.gang.WaitingCount() + len(a.gang.Bound)
	}
	a.gang.RoleGroups = nil
	c.readOn(a, c.planner.usage)
	return a
}

// setGroups has the roles of groups share domains of a view.
func (a *arrangedGang) setGroups(order *arrangement, groups []gang.RoleGroup) {
	for _, group := range groups {
		if group.Required = order.position(group.Required); group.Required >= 0 {
			a.gang.RoleGroups = append(a.gang.RoleGroups, group)
		}
	}
}

// readOn gives an arranged gang a planner over what is free in a usage.
func (c *crossing) readOn(a *arrangedGang, u *topology.Usage) {
	c.planner.solver.spend(4 * len(a.view.Source))
	a.planner = planners.Get().(*Planner)
	c.planners = append(c.planners, a.planner)
	arranged := u.ArrangedAs(a.view)
	c.cordonOutsideWhole(arranged, a)
	a.planner.resetTo(arranged)
	a.refusal = a.planner.solver.readGang(a.planner, &a.gang)
	a.ranks, a.models = nil, nil
	for r := range a.planner.solver.roles {
		a.ranks = append(a.ranks, slices.Clone(a.planner.solver.roles[r].waitingRanks))
		a.models = append(a.models, a.planner.solver.roles[r].modelApplies)
	}
}

// cordonOutsideWhole leaves only the nodes in use that are in domains of all levels that
// are to hold the gang: a domain of the last one may lie outside of those of the first.
func (c *crossing) cordonOutsideWhole(u *topology.Usage, a *arrangedGang) {
	for i := 0; i+1 < len(a.whole); i++ {
		if u.Cordoned == nil {
			u.Cordoned = make([]bool, len(a.view.Source))
		}
		for v, n := range a.view.Source {
			_, in := c.tree.DomainAt(n, a.whole[i])
			u.Cordoned[v] = u.Cordoned[v] || !in
		}
	}
}

// filterOn returns a filter for the nodes of a view.
func filterOn(v *topology.View, f *gang.Filter) *gang.Filter {
	if f == nil {
		return nil
	}
	out := &gang.Filter{Exclusions: make([]gang.Exclusion, len(f.Exclusions))}
	for i, n := range v.Source {
		out.Exclusions[i] = f.Exclusions[n]
	}
	return out
}

// planOf returns a plan on a view in terms of the gang's own tree.
func (c *crossing) planOf(a *arrangedGang, plan Plan) Plan {
	d := plan.Domain
	for _, nodes := range plan.Nodes {
		for i, n := range nodes {
			if n != NoNode {
				nodes[i] = a.view.Source[n]
			}
		}
	}
	plan.Domain = 0
	if a.gang.Required >= 0 {
		n := a.view.Source[a.view.Tree.Domains[d].First]
		plan.Domain, _ = c.tree.DomainAt(n, a.order[a.gang.Required])
	}
	return plan
}
