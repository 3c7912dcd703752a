// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"errors"
	"fmt"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Check returns an error for the first rule of g that p breaks on the cluster u, or
// nil. A refusal breaks none. It shares no code with Solve, so that a mistake in one
// shows in the other: the scheduler checks each plan before it commits to it, and the
// tests check every plan of every cluster that they make up.
func Check(u *topology.Usage, g *gang.Gang, p Plan) error {
	if p.Refusal != nil {
		if p.Nodes != nil {
			return fmt.Errorf("gang %s is refused, yet has nodes", g.Name)
		}
		return nil
	}
	c := checker{usage: u, tree: g.TreeOn(u.Tree), gang: g, plan: p}
	for _, rule := range []func() error{
		c.checkCounts, c.checkFilters, c.checkCapacity, c.checkDevices, c.checkDomain, c.checkRoleDomains, c.checkRoleGroups, c.checkModels, c.checkSlices,
	} {
		if err := rule(); err != nil {
			return fmt.Errorf("gang %s: %w", g.Name, err)
		}
	}
	return nil
}

// checker holds the arguments of one Check. Each of its rules is a method that
// returns how the plan breaks it.
type checker struct {
	usage *topology.Usage
	tree  *topology.Tree
	gang  *gang.Gang
	plan  Plan
}

// checkCounts: every waiting member is there once, those without a node are the
// last of their role, and the minimums are met.
func (c *checker) checkCounts() error {
	if len(c.plan.Nodes) != len(c.gang.Roles) {
		return fmt.Errorf("the plan has %d roles, the gang %d", len(c.plan.Nodes), len(c.gang.Roles))
	}
	// A member without a node is beyond the minimum, and the last of its role.
	total := len(c.gang.Bound)
	for r := range c.gang.Roles {
		role := &c.gang.Roles[r]
		if len(c.plan.Nodes[r]) != role.Count {
			return fmt.Errorf("role %d %s: the plan has %d members, the gang %d", r, role.Name, len(c.plan.Nodes[r]), role.Count)
		}
		placed := 0
		for i, n := range c.plan.Nodes[r] {
			switch {
			case n == NoNode:
				continue
			case n < 0 || int(n) >= len(c.tree.Nodes):
				return fmt.Errorf("role %d %s: member %d is on node number %d of %d", r, role.Name, i, n, len(c.tree.Nodes))
			case placed < i:
				return fmt.Errorf("role %d %s: member %d has a node, but member %d before it has none", r, role.Name, i, placed)
			}
			placed++
		}
		total += placed
		if has := placed + c.gang.BoundCount(r); has < role.MinCount {
			return fmt.Errorf("role %d %s: %d members have a node, the minimum is %d", r, role.Name, has, role.MinCount)
		}
	}
	if total < c.gang.MinCount {
		return fmt.Errorf("%d members have a node, the minimum is %d", total, c.gang.MinCount)
	}
	if c.gang.WaitingCount() > 0 && total == len(c.gang.Bound) {
		return errors.New("no member is placed and none refused")
	}
	return nil
}

// forEachPlaced calls f for every member that the plan gives a node.
func (c *checker) forEachPlaced(f func(r, i int, n topology.NodeID) error) error {
	for r, nodes := range c.plan.Nodes {
		for i, n := range nodes {
			if n == NoNode {
				continue
			}
			if err := f(r, i, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkFilters: no member is on a node that is left out.
func (c *checker) checkFilters() error {
	return c.forEachPlaced(func(r, i int, n topology.NodeID) error {
		if f := c.gang.Roles[r].Filter; f != nil && f.Exclusions[n] != gang.Eligible {
			return fmt.Errorf("member %d of role %d is on node %s, which it may not use: %s", i, r, c.tree.Nodes[n].Name, f.Exclusions[n])
		}
		if c.usage.Cordoned != nil && c.usage.Cordoned[n] {
			return fmt.Errorf("member %d of role %d is on node %s, which is cordoned", i, r, c.tree.Nodes[n].Name)
		}
		return nil
	})
}

// checkCapacity: no node gives more than it has free. What is not asked for does
// not matter, so that a node that owes one resource can still give another.
func (c *checker) checkCapacity() error {
	width := len(c.usage.Resources)
	first := make(map[topology.NodeID]int, c.gang.WaitingCount()) // where the row of a node starts
	var took []int64
	return c.forEachPlaced(func(r, i int, n topology.NodeID) error {
		at, ok := first[n]
		if !ok {
			at = len(took)
			first[n] = at
			took = append(took, make([]int64, width)...)
		}
		for col, q := range c.gang.Roles[r].RequestOf(i) {
			took[at+col] += q
			if free := c.usage.FreeRow(n)[col]; q > 0 && took[at+col] > free {
				return fmt.Errorf("node %s gives %d of %s, but has %d free", c.tree.Nodes[n].Name, took[at+col], c.usage.Resources[col], free)
			}
		}
		return nil
	})
}

// checkDevices: the members on a node, in the order of the gang, find their devices one
// after the other.
func (c *checker) checkDevices() error {
	states := map[topology.NodeID]topology.DeviceState{}
	return c.forEachPlaced(func(r, i int, n topology.NodeID) error {
		claims := c.gang.Roles[r].Claims
		if claims == nil {
			return nil
		}
		if c.usage.Devices == nil {
			return fmt.Errorf("member %d of role %d claims %s, of which nothing is known", i, r, claims)
		}
		state, ok := states[n]
		if !ok {
			state = c.usage.Devices.StateOf(n)
		}
		if states[n], ok = c.usage.Devices.Take(state, claims, 1); !ok {
			return fmt.Errorf("member %d of role %d does not find its %s on node %s", i, r, claims, c.tree.Nodes[n].Name)
		}
		return nil
	})
}

// checkDomain: the plan's domain is of a level at or below the required one, and
// holds every member, the bound ones included.
func (c *checker) checkDomain() error {
	d := c.plan.Domain
	if d < 0 || int(d) >= len(c.tree.Domains) {
		return fmt.Errorf("domain number %d of %d", d, len(c.tree.Domains))
	}
	if err := c.checkRequired(d); err != nil {
		return err
	}
	for _, b := range c.gang.Bound {
		if c.isKnownNode(b.Node) && !c.tree.ContainsNode(d, b.Node) {
			return fmt.Errorf("a member runs on node %s, outside the domain %s", c.tree.Nodes[b.Node].Name, c.tree.DomainPath(d))
		}
	}
	return c.forEachPlaced(func(r, i int, n topology.NodeID) error {
		if !c.tree.ContainsNode(d, n) {
			return fmt.Errorf("member %d of role %d is on node %s, outside the domain %s", i, r, c.tree.Nodes[n].Name, c.tree.DomainPath(d))
		}
		return nil
	})
}

// checkRequired: the plan's domain is of a level at or below the required one. Where the
// two cross, the members share one domain of both.
func (c *checker) checkRequired(d topology.DomainID) error {
	required := c.gang.Required
	level := c.tree.Domains[d].Level
	switch {
	case required < 0:
		return nil
	case !c.tree.AreOrdered(level, required):
		return c.checkTogether(required, c.allNodes())
	case level < required:
		return fmt.Errorf("the domain %s is a %s, wider than the required %s", c.tree.DomainPath(d), c.tree.LevelName(level), c.tree.LevelName(required))
	}
	if _, ok := c.tree.DomainAt(c.tree.Domains[d].First, required); !ok {
		return fmt.Errorf("the domain %s is in no %s", c.tree.DomainPath(d), c.tree.LevelName(required))
	}
	return nil
}

// allNodes returns the known nodes of all members that have one.
func (c *checker) allNodes() []topology.NodeID {
	var nodes []topology.NodeID
	for _, b := range c.gang.Bound {
		if c.isKnownNode(b.Node) {
			nodes = append(nodes, b.Node)
		}
	}
	_ = c.forEachPlaced(func(_, _ int, n topology.NodeID) error {
		nodes = append(nodes, n)
		return nil
	})
	return nodes
}

// isKnownNode reports whether a bound member's node is in the cluster: bound members
// may be on nodes that have left it.
func (c *checker) isKnownNode(n topology.NodeID) bool { return n >= 0 && int(n) < len(c.tree.Nodes) }

// checkRoleDomains: the members of a role with a level of its own, bound ones
// included, share one domain of it.
func (c *checker) checkRoleDomains() error {
	for r := range c.gang.Roles {
		level := c.gang.Roles[r].Required
		if level < 0 {
			continue
		}
		if err := c.checkTogether(level, c.nodesOf(r)); err != nil {
			return fmt.Errorf("role %d %s: %w", r, c.gang.Roles[r].Name, err)
		}
	}
	return nil
}

// checkRoleGroups: the members of a group of roles, bound ones included, share one
// domain of its level.
func (c *checker) checkRoleGroups() error {
	for i := range c.gang.RoleGroups {
		group := &c.gang.RoleGroups[i]
		var nodes []topology.NodeID
		for _, r := range group.Roles {
			nodes = append(nodes, c.nodesOf(r)...)
		}
		if err := c.checkTogether(group.Required, nodes); err != nil {
			return fmt.Errorf("group %s: %w", group.Name, err)
		}
	}
	return nil
}

// nodesOf returns the nodes of the members of a role, bound ones included.
func (c *checker) nodesOf(r int) (nodes []topology.NodeID) {
	for _, b := range c.gang.Bound {
		if b.Role == r && c.isKnownNode(b.Node) {
			nodes = append(nodes, b.Node)
		}
	}
	for _, n := range c.plan.Nodes[r] {
		if n != NoNode {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

// checkTogether: the nodes share one domain of a level.
func (c *checker) checkTogether(level topology.Level, nodes []topology.NodeID) error {
	var first topology.DomainID
	for i, n := range nodes {
		d, ok := c.tree.DomainAt(n, level)
		if !ok {
			return fmt.Errorf("node %s is in no %s", c.tree.Nodes[n].Name, c.tree.LevelName(level))
		}
		if i == 0 {
			first = d
		}
		if d != first {
			return fmt.Errorf("nodes %s and %s are not in one %s", c.tree.Nodes[nodes[0]].Name, c.tree.Nodes[n].Name, c.tree.LevelName(level))
		}
	}
	return nil
}

// checkModels: every member whose role is held to a model is on the plan's product,
// and that is one of those asked for, or the one that bound members use.
func (c *checker) checkModels() error {
	if len(c.gang.Models) == 0 {
		return nil
	}
	asked := false
	for _, want := range c.gang.Models {
		asked = asked || gpu.MatchesLabel(want, c.plan.Model)
	}
	for _, b := range c.gang.Bound {
		if !c.isKnownNode(b.Node) || !c.modelApplies(b.Role) || c.tree.Nodes[b.Node].Model == "" {
			continue
		}
		if model := c.tree.Nodes[b.Node].Model; model != c.plan.Model {
			return fmt.Errorf("a member runs on %q, the plan is for %q", model, c.plan.Model)
		}
		asked = true // the models may have changed since it was bound
	}
	return c.forEachPlaced(func(r, i int, n topology.NodeID) error {
		switch model := c.tree.Nodes[n].Model; {
		case !c.modelApplies(r):
			return nil
		case !asked:
			return fmt.Errorf("the model %q is none of %v", c.plan.Model, c.gang.Models)
		case model != c.plan.Model:
			return fmt.Errorf("member %d of role %d is on node %s with model %q, the gang is on %q", i, r, c.tree.Nodes[n].Name, model, c.plan.Model)
		}
		return nil
	})
}

// modelApplies reports whether the choice of a model binds role r: it asks for GPUs or
// claims devices, or no role of the gang does.
func (c *checker) modelApplies(r int) bool {
	others := false
	for i := range c.gang.Roles {
		has := topology.BindsModel(c.gang.Roles[i].Claims)
		for col, q := range c.gang.Roles[i].Request {
			has = has || q > 0 && topology.IsGPU(c.usage.Resources[col])
		}
		if has && i == r {
			return true
		}
		others = others || has
	}
	return !others
}

// checkSlices: the members of each required slice share a domain of its level.
func (c *checker) checkSlices() error {
	for r := range c.gang.Roles {
		ranks, nodes := c.rankedMembers(r)
		for _, s := range c.gang.SlicesOf(r) {
			if s.Preferred {
				continue
			}
			first := make(map[int]topology.NodeID, len(nodes)/s.Size+1)
			for i, n := range nodes {
				slice := ranks[i] / s.Size
				if _, ok := first[slice]; !ok {
					first[slice] = n
				}
				if err := c.checkTogether(s.Level, []topology.NodeID{first[slice], n}); err != nil {
					return fmt.Errorf("role %d %s, slice %d of %d: %w", r, c.gang.Roles[r].Name, slice, s.Size, err)
				}
			}
		}
	}
	return nil
}

// rankedMembers returns the members of role r that have a node and a known rank. The
// waiting members have the ranks that they say, or else the lowest that no bound
// one has.
func (c *checker) rankedMembers(r int) (ranks []int, nodes []topology.NodeID) {
	taken := map[int]bool{}
	for _, b := range c.gang.Bound {
		if b.Role == r && b.Rank >= 0 {
			taken[b.Rank] = true
			if c.isKnownNode(b.Node) {
				ranks, nodes = append(ranks, b.Rank), append(nodes, b.Node)
			}
		}
	}
	rank := 0
	for i, n := range c.plan.Nodes[r] {
		if given := c.gang.Roles[r].Ranks; given != nil {
			rank = given[i]
		}
		for taken[rank] && c.gang.Roles[r].Ranks == nil {
			rank++
		}
		if n != NoNode {
			ranks, nodes = append(ranks, rank), append(nodes, n)
		}
		rank++
	}
	return ranks, nodes
}
