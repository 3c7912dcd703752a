// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// arrangement is an order of levels, some of which cross, in which a tree cuts no
// domain that members have to share: each level is cut only by levels that it nests in,
// and by those of which one domain holds all of the same members anyway.
type arrangement struct {
	tree   *topology.Tree
	order  []topology.Level
	uses   []levelUse
	nested map[[2]topology.Level]bool
	steps  int // what the passes over the nodes cost
}

// levelUse is a level that members have to share, and the levels that hold all of them.
type levelUse struct {
	level  topology.Level
	around []topology.Level
}

// nests reports whether domains of one level lie inside those of another.
func (a *arrangement) nests(inner, outer topology.Level) bool {
	pair := [2]topology.Level{inner, outer}
	is, known := a.nested[pair]
	if !known {
		is = a.tree.Nests(inner, outer)
		a.nested[pair] = is
		a.steps += len(a.tree.Nodes)
	}
	return is
}

// isImplied reports whether members that share domains of the levels around them share
// one of level l anyway.
func (a *arrangement) isImplied(l topology.Level, around []topology.Level) bool {
	return slices.ContainsFunc(around, func(w topology.Level) bool { return w == l || a.nests(w, l) && a.covers(w, l) })
}

// covers reports whether no node in a domain of one level misses another.
func (a *arrangement) covers(inner, outer topology.Level) bool {
	a.steps += len(a.tree.Nodes)
	for n := range a.tree.Nodes {
		if _, in := a.tree.DomainAt(topology.NodeID(n), inner); !in {
			continue
		}
		if _, has := a.tree.DomainAt(topology.NodeID(n), outer); !has {
			return false
		}
	}
	return true
}

// isExact reports whether the order cuts no domain that members have to share, and has
// the levels around them before their own.
func (a *arrangement) isExact() bool {
	return !slices.ContainsFunc(a.uses, func(use levelUse) bool {
		at := slices.Index(a.order, use.level)
		return slices.ContainsFunc(use.around, func(w topology.Level) bool { return slices.Index(a.order, w) > at }) ||
			slices.ContainsFunc(a.order[:at], func(w topology.Level) bool { return !slices.Contains(use.around, w) && !a.nests(use.level, w) })
	})
}

// add finds a place for a level that members have to share who share those around it,
// and reports whether there is one.
func (a *arrangement) add(l topology.Level, around []topology.Level) bool {
	if slices.ContainsFunc(a.uses, func(use levelUse) bool { return use.level == l && slices.Equal(use.around, around) }) {
		return true
	}
	a.uses = append(a.uses, levelUse{l, slices.Clone(around)})
	if slices.Contains(a.order, l) {
		if a.isExact() {
			return true
		}
		a.uses = a.uses[:len(a.uses)-1]
		return false
	}
	before := a.order
	for at := len(before); at >= 0; at-- {
		a.order = slices.Insert(slices.Clone(before), at, l)
		if a.isExact() {
			return true
		}
	}
	a.order, a.uses = before, a.uses[:len(a.uses)-1]
	return false
}

// addLocality adds the levels of the tree that nobody has to share: around those that
// nest in them, and else behind all, so that neighbors are still told from strangers.
func (a *arrangement) addLocality() {
	for l := range a.tree.Main().Levels {
		level := topology.Level(l)
		if slices.Contains(a.order, level) || len(a.tree.Main().DomainsAt(level)) == 0 {
			continue
		}
		at := len(a.order)
		for at > 0 && a.nests(a.order[at-1], level) {
			at--
		}
		if at == len(a.order) && slices.ContainsFunc(a.order, func(o topology.Level) bool { return a.nests(o, level) }) {
			continue // what is cut already tells no more
		}
		a.order = slices.Insert(a.order, at, level)
	}
}

// addGroups adds the levels that groups of roles have to share, the outermost groups
// first, and returns the groups that they hold together and nothing else does. Groups
// whose levels have no place are left to whoever checks the plan.
func (a *arrangement) addGroups(g *gang.Gang, around []topology.Level) []gang.RoleGroup {
	sorted := slices.Clone(g.RoleGroups)
	slices.SortStableFunc(sorted, func(x, y gang.RoleGroup) int { return len(y.Roles) - len(x.Roles) })
	var kept []gang.RoleGroup
	for _, group := range sorted {
		within := slices.Clone(around)
		for _, outer := range kept {
			if outer.Holds(&group) {
				within = append(within, outer.Required)
			}
		}
		if !a.isImplied(group.Required, within) && a.add(group.Required, within) {
			kept = append(kept, group)
		}
	}
	return kept
}

// levelsAround lists the levels of the groups that role r is in.
func levelsAround(groups []gang.RoleGroup, r int) []topology.Level {
	var levels []topology.Level
	for _, group := range groups {
		if slices.Contains(group.Roles, r) {
			levels = append(levels, group.Required)
		}
	}
	return levels
}

// addRole adds the levels that a role has to share, and returns it with its levels as
// positions in the order: see position. It reports false, and changes nothing, if they do
// not go together with those of the roles before it. Preferred slices that do not are
// left out of a relaxed pass.
func (a *arrangement) addRole(g *gang.Gang, r int, around []topology.Level, relaxed bool) (*gang.Role, bool) {
	order, uses := a.order, len(a.uses)
	undo := func() { a.order, a.uses = order, a.uses[:uses] }
	role := g.Roles[r]
	role.Slices = nil
	around = slices.Clone(around)
	if role.Required >= 0 {
		if a.isImplied(role.Required, around) {
			role.Required = topology.NoLevel
		} else if !a.add(role.Required, around) {
			undo()
			return nil, false
		} else {
			around = append(around, role.Required)
		}
	}
	var kept []gang.Slice
	whole := slices.Clone(around)
	for _, s := range g.SlicesOf(r) {
		switch {
		case a.isImplied(s.Level, around):
		case s.Preferred && relaxed:
			kept = append(kept, s)
		case !a.add(s.Level, around):
			undo()
			return nil, false
		default:
			around = append(around, s.Level)
			kept = append(kept, s)
		}
	}
	role.Slices = a.keepPreferred(kept, whole, relaxed)
	return &role, true
}

// keepPreferred adds the levels of the preferred slices among those of a role in a
// relaxed pass, without those that cut what is required; the whole role shares the levels
// around. In a strict pass all of them are required.
func (a *arrangement) keepPreferred(all []gang.Slice, around []topology.Level, relaxed bool) []gang.Slice {
	var kept []gang.Slice
	for i, s := range all {
		if !s.Preferred || !relaxed {
			s.Preferred = false
			kept = append(kept, s)
			continue
		}
		order, uses := a.order, len(a.uses)
		if !a.add(s.Level, slices.Concat(around, levelsOf(kept))) || slices.ContainsFunc(all[i+1:], func(inner gang.Slice) bool {
			return !inner.Preferred && slices.Index(a.order, inner.Level) < slices.Index(a.order, s.Level)
		}) {
			a.order, a.uses = order, a.uses[:uses]
			continue
		}
		kept = append(kept, s)
	}
	return kept
}

// levelsOf lists the levels of slices.
func levelsOf(all []gang.Slice) []topology.Level {
	levels := make([]topology.Level, len(all))
	for i, s := range all {
		levels[i] = s.Level
	}
	return levels
}

// position returns the position of a level in the order; levels that are none are kept.
func (a *arrangement) position(l topology.Level) topology.Level {
	if l < 0 {
		return l
	}
	return topology.Level(slices.Index(a.order, l))
}
