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

// Check reports the first rule of g that p breaks on the cluster u. A refusal
// breaks none. It shares no code with Solve.
func Check(u *topology.Usage, g *gang.Gang, p Plan) error {
	if p.Refusal != nil {
		if p.Nodes != nil {
			return fmt.Errorf("gang %s is refused, yet has nodes", g.Name)
		}
		return nil
	}
	c := checker{u: u, t: u.Tree, g: g, p: p}
	for _, rule := range []func() error{
		c.counts, c.filters, c.capacity, c.domain, c.roleDomains, c.models, c.slices,
	} {
		if err := rule(); err != nil {
			return fmt.Errorf("gang %s: %w", g.Name, err)
		}
	}
	return nil
}

type checker struct {
	u *topology.Usage
	t *topology.Tree
	g *gang.Gang
	p Plan
}

// counts: every waiting member is there once, those without a node are the
// last of their role, and the minimums are met.
func (c *checker) counts() error {
	if len(c.p.Nodes) != len(c.g.Roles) {
		return fmt.Errorf("the plan has %d roles, the gang %d", len(c.p.Nodes), len(c.g.Roles))
	}
	total := len(c.g.Bound)
	for r := range c.g.Roles {
		role := &c.g.Roles[r]
		if len(c.p.Nodes[r]) != role.Count {
			return fmt.Errorf("role %d %s: the plan has %d members, the gang %d", r, role.Name, len(c.p.Nodes[r]), role.Count)
		}
		placed := 0
		for i, n := range c.p.Nodes[r] {
			switch {
			case n == NoNode:
				continue
			case n < 0 || int(n) >= len(c.t.Nodes):
				return fmt.Errorf("role %d %s: member %d is on node number %d of %d", r, role.Name, i, n, len(c.t.Nodes))
			case placed < i:
				return fmt.Errorf("role %d %s: member %d has a node, but member %d before it has none", r, role.Name, i, placed)
			}
			placed++
		}
		total += placed
		if has := placed + c.g.BoundCount(r); has < role.MinCount {
			return fmt.Errorf("role %d %s: %d members have a node, the minimum is %d", r, role.Name, has, role.MinCount)
		}
	}
	if total < c.g.MinCount {
		return fmt.Errorf("%d members have a node, the minimum is %d", total, c.g.MinCount)
	}
	if c.g.WaitingCount() > 0 && total == len(c.g.Bound) {
		return errors.New("no member is placed and none refused")
	}
	return nil
}

// placed calls f for every member that the plan gives a node.
func (c *checker) placed(f func(r, i int, n topology.NodeID) error) error {
	for r, nodes := range c.p.Nodes {
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

// filters: no member is on a node that is left out.
func (c *checker) filters() error {
	return c.placed(func(r, i int, n topology.NodeID) error {
		if f := c.g.Roles[r].Filter; f != nil && f.Exclusions[n] != gang.Eligible {
			return fmt.Errorf("member %d of role %d is on node %s, which it may not use: %s", i, r, c.t.Nodes[n].Name, f.Exclusions[n])
		}
		if c.u.Cordoned != nil && c.u.Cordoned[n] {
			return fmt.Errorf("member %d of role %d is on node %s, which is cordoned", i, r, c.t.Nodes[n].Name)
		}
		return nil
	})
}

// capacity: no node gives more than it has free. What is not asked for does
// not matter, so that a node that owes one resource can still give another.
func (c *checker) capacity() error {
	width := len(c.u.Resources)
	first := make(map[topology.NodeID]int, c.g.WaitingCount()) // where the row of a node starts
	var took []int64
	return c.placed(func(r, _ int, n topology.NodeID) error {
		at, ok := first[n]
		if !ok {
			at = len(took)
			first[n] = at
			took = append(took, make([]int64, width)...)
		}
		for col, q := range c.g.Roles[r].Request {
			took[at+col] += q
			if free := c.u.FreeRow(n)[col]; q > 0 && took[at+col] > free {
				return fmt.Errorf("node %s gives %d of %s, but has %d free", c.t.Nodes[n].Name, took[at+col], c.u.Resources[col], free)
			}
		}
		return nil
	})
}

// domain: the plan's domain is of a level at or below the required one, and
// holds every member, the bound ones included.
func (c *checker) domain() error {
	d := c.p.Domain
	if d < 0 || int(d) >= len(c.t.Domains) {
		return fmt.Errorf("domain number %d of %d", d, len(c.t.Domains))
	}
	if level := c.t.Domains[d].Level; level < c.g.Required {
		return fmt.Errorf("the domain %s is a %s, wider than the required %s", c.t.DomainPath(d), c.t.LevelName(level), c.t.LevelName(c.g.Required))
	}
	if c.g.Required >= 0 {
		if _, ok := c.t.DomainAt(c.t.Domains[d].First, c.g.Required); !ok {
			return fmt.Errorf("the domain %s is in no %s", c.t.DomainPath(d), c.t.LevelName(c.g.Required))
		}
	}
	for _, b := range c.g.Bound {
		if c.known(b.Node) && !c.t.ContainsNode(d, b.Node) {
			return fmt.Errorf("a member runs on node %s, outside the domain %s", c.t.Nodes[b.Node].Name, c.t.DomainPath(d))
		}
	}
	return c.placed(func(r, i int, n topology.NodeID) error {
		if !c.t.ContainsNode(d, n) {
			return fmt.Errorf("member %d of role %d is on node %s, outside the domain %s", i, r, c.t.Nodes[n].Name, c.t.DomainPath(d))
		}
		return nil
	})
}

func (c *checker) known(n topology.NodeID) bool { return n >= 0 && int(n) < len(c.t.Nodes) }

// roleDomains: a role with a level of its own stands in one domain of it.
func (c *checker) roleDomains() error {
	for r := range c.g.Roles {
		level := c.g.Roles[r].Required
		if level < 0 {
			continue
		}
		var nodes []topology.NodeID
		for _, b := range c.g.Bound {
			if b.Role == r && c.known(b.Node) {
				nodes = append(nodes, b.Node)
			}
		}
		for _, n := range c.p.Nodes[r] {
			if n != NoNode {
				nodes = append(nodes, n)
			}
		}
		if err := c.together(level, nodes); err != nil {
			return fmt.Errorf("role %d %s: %w", r, c.g.Roles[r].Name, err)
		}
	}
	return nil
}

// together: the nodes share one domain of a level.
func (c *checker) together(level topology.Level, nodes []topology.NodeID) error {
	var first topology.DomainID
	for i, n := range nodes {
		d, ok := c.t.DomainAt(n, level)
		if !ok {
			return fmt.Errorf("node %s is in no %s", c.t.Nodes[n].Name, c.t.LevelName(level))
		}
		if i == 0 {
			first = d
		}
		if d != first {
			return fmt.Errorf("nodes %s and %s are not in one %s", c.t.Nodes[nodes[0]].Name, c.t.Nodes[n].Name, c.t.LevelName(level))
		}
	}
	return nil
}

// models: every member whose role is held to a model is on the plan's product,
// and that is one of those asked for, or the one that bound members use.
func (c *checker) models() error {
	if len(c.g.Models) == 0 {
		return nil
	}
	asked := false
	for _, want := range c.g.Models {
		asked = asked || gpu.MatchesLabel(want, c.p.Model)
	}
	for _, b := range c.g.Bound {
		if !c.known(b.Node) || !c.modelled(b.Role) || c.t.Nodes[b.Node].Model == "" {
			continue
		}
		if model := c.t.Nodes[b.Node].Model; model != c.p.Model {
			return fmt.Errorf("a member runs on %q, the plan is for %q", model, c.p.Model)
		}
		asked = true // the models may have changed since it was bound
	}
	return c.placed(func(r, i int, n topology.NodeID) error {
		switch model := c.t.Nodes[n].Model; {
		case !c.modelled(r):
			return nil
		case !asked:
			return fmt.Errorf("the model %q is none of %v", c.p.Model, c.g.Models)
		case model != c.p.Model:
			return fmt.Errorf("member %d of role %d is on node %s with model %q, the gang is on %q", i, r, c.t.Nodes[n].Name, model, c.p.Model)
		}
		return nil
	})
}

// modelled tells whether the choice of a model binds role r: it asks for GPUs,
// or no role of the gang does.
func (c *checker) modelled(r int) bool {
	others := false
	for i := range c.g.Roles {
		for col, q := range c.g.Roles[i].Request {
			if q > 0 && topology.IsGPU(c.u.Resources[col]) {
				if i == r {
					return true
				}
				others = true
			}
		}
	}
	return !others
}

// slices: the members of each required slice share a domain of its level.
func (c *checker) slices() error {
	for r := range c.g.Roles {
		ranks, nodes := c.ranked(r)
		for _, s := range c.g.SlicesOf(r) {
			if s.Preferred {
				continue
			}
			first := make(map[int]topology.NodeID, len(nodes)/s.Size+1)
			for i, n := range nodes {
				slice := ranks[i] / s.Size
				if _, ok := first[slice]; !ok {
					first[slice] = n
				}
				if err := c.together(s.Level, []topology.NodeID{first[slice], n}); err != nil {
					return fmt.Errorf("role %d %s, slice %d of %d: %w", r, c.g.Roles[r].Name, slice, s.Size, err)
				}
			}
		}
	}
	return nil
}

// ranked lists the members of role r that have a node and a known rank. The
// waiting members have the ranks that they say, or else the lowest that no bound
// one has.
func (c *checker) ranked(r int) (ranks []int, nodes []topology.NodeID) {
	taken := map[int]bool{}
	for _, b := range c.g.Bound {
		if b.Role == r && b.Rank >= 0 {
			taken[b.Rank] = true
			if c.known(b.Node) {
				ranks, nodes = append(ranks, b.Rank), append(nodes, b.Node)
			}
		}
	}
	rank := 0
	for i, n := range c.p.Nodes[r] {
		if given := c.g.Roles[r].Ranks; given != nil {
			rank = given[i]
		}
		for taken[rank] && c.g.Roles[r].Ranks == nil {
			rank++
		}
		if n != NoNode {
			ranks, nodes = append(ranks, rank), append(nodes, n)
		}
		rank++
	}
	return ranks, nodes
}
