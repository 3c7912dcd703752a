// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"iter"
	"slices"
)

// Chain is levels over the nodes of a tree that nest in one another, the widest
// first, and not in the levels of the tree: NVLink domains that span switches.
type Chain []ChainLevel

// ChainLevel is one level of a Chain.
type ChainLevel struct {
	// Name is that of a level of the tree of which no node is in a domain, or the
	// name of another level.
	Name string
	// Domains is the name of each node's domain by NodeID, "" for none.
	Domains []string
}

// mainChain is the number of the levels that the tree itself is made of.
const mainChain = 0

// WithCrossing returns a tree of the same nodes that has the levels of chains too:
// those that it knows by name without domains at their position, others behind the
// last. Nodes and domains of t keep their numbers. A domain of a chain is no range of
// nodes: First and End bound it, and ContainsNode says which nodes between are in it.
func (t *Tree) WithCrossing(chains ...Chain) *Tree {
	out := *t
	out.main = t.Main()
	out.Levels, out.atLevel = slices.Clone(t.Levels), slices.Clone(t.atLevel)
	out.Domains, out.subtreeEnd = slices.Clone(t.Domains), slices.Clone(t.subtreeEnd)
	out.chainOf = make([]int, len(t.Levels))
	copy(out.chainOf, t.chainOf)
	first := slices.Max(append(out.chainOf, mainChain)) + 1
	var levels [][]Level
	for i, chain := range chains {
		levels = append(levels, nil)
		for _, level := range chain {
			l, known := out.LevelByName(level.Name)
			if !known {
				l = Level(len(out.Levels))
				out.Levels, out.atLevel, out.chainOf = append(out.Levels, level.Name), append(out.atLevel, nil), append(out.chainOf, mainChain)
			}
			out.chainOf[l] = first + i
			levels[i] = append(levels[i], l)
		}
	}
	out.domainAt = widenRows(t.domainAt, len(t.Nodes), len(out.Levels))
	for i, chain := range chains {
		out.addChain(chain, levels[i])
	}
	return &out
}

// widenRows copies a table of so many rows into wider ones, of noDomain.
func widenRows(cells []DomainID, rows, width int) []DomainID {
	wide := make([]DomainID, rows*width)
	for i := range wide {
		wide[i] = noDomain
	}
	for r := range rows {
		before := len(cells) / rows
		copy(wide[r*width:], cells[r*before:(r+1)*before])
	}
	return wide
}

// addChain adds the domains of one chain, depth first, by name.
func (t *Tree) addChain(chain Chain, levels []Level) {
	order := make([]NodeID, len(t.Nodes))
	for i := range order {
		order[i] = NodeID(i)
	}
	slices.SortStableFunc(order, func(a, b NodeID) int {
		for _, level := range chain {
			if x, y := level.Domains[a], level.Domains[b]; x != y {
				return compareNames(x, y)
			}
		}
		return 0
	})
	for i, n := range order {
		same, parent := i > 0, DomainID(0)
		for k, level := range chain {
			name := level.Domains[n]
			same = same && level.Domains[order[i-1]] == name
			at := &t.domainAt[int(n)*len(t.Levels)+int(levels[k])]
			switch {
			case name == "":
				*at = noDomain
				continue
			case same:
				*at = t.domainAt[int(order[i-1])*len(t.Levels)+int(levels[k])]
			default:
				*at = t.appendDomain(Domain{Level: levels[k], Name: name, Parent: parent, First: n})
				t.subtreeEnd = append(t.subtreeEnd, *at+1)
			}
			parent = *at
			d := &t.Domains[parent]
			d.First, d.End = min(d.First, n), max(d.End, n+1)
			for up := d.Parent; up != 0; up = t.Domains[up].Parent {
				t.subtreeEnd[up] = max(t.subtreeEnd[up], parent+1)
			}
		}
	}
}

// Main returns the tree without the levels that cross it, t itself if there are none.
// Its nodes, levels and domains have the numbers that they have in t.
func (t *Tree) Main() *Tree {
	if t.main != nil {
		return t.main
	}
	return t
}

// IsCrossing reports whether the domains of a level do not nest in those of the tree.
func (t *Tree) IsCrossing(l Level) bool {
	return l >= 0 && int(l) < len(t.chainOf) && t.chainOf[l] != mainChain
}

// AreOrdered reports whether the domains of the narrower of two levels are known to
// lie inside those of the other: both are of the tree, or of one chain.
func (t *Tree) AreOrdered(a, b Level) bool {
	return a < 0 || b < 0 || t.chainOf == nil || t.chainOf[a] == t.chainOf[b]
}

// WiderLevel returns the next wider level of the tree, or of the chain that l is of;
// ClusterLevel if there is none.
func (t *Tree) WiderLevel(l Level) Level {
	for w := l - 1; w >= 0; w-- {
		if t.AreOrdered(w, l) {
			return w
		}
	}
	return ClusterLevel
}

// Nests reports whether each domain of one level lies inside one domain of another, or
// wholly outside of them all. It costs a pass over the nodes.
func (t *Tree) Nests(inner, outer Level) bool {
	if t.AreOrdered(inner, outer) {
		return inner >= outer
	}
	around := map[DomainID]DomainID{}
	for n := range t.Nodes {
		d, ok := t.DomainAt(NodeID(n), inner)
		if !ok {
			continue
		}
		box, _ := t.DomainAt(NodeID(n), outer)
		if first, known := around[d]; known && first != box {
			return false
		}
		around[d] = box
	}
	return true
}

// NodesOf returns the nodes of a domain, in order.
func (t *Tree) NodesOf(d DomainID) iter.Seq[NodeID] {
	return func(yield func(NodeID) bool) {
		for n := t.Domains[d].First; n < t.Domains[d].End; n++ {
			if t.ContainsNode(d, n) && !yield(n) {
				return
			}
		}
	}
}

// View is a tree over the nodes of another one, some of whose levels it has, each
// wholly inside the one before. Its nodes have numbers of their own.
type View struct {
	Tree *Tree
	// Source is the number that each node has in the other tree, ViewOf the number
	// that each of its nodes has here.
	Source []NodeID
	ViewOf []NodeID
}

// Arrange returns the view of t with these levels, the widest first: the domains of a
// level are cut along those of the levels before it. It costs a sort of the nodes.
func (t *Tree) Arrange(levels []Level) *View {
	v := &View{Source: make([]NodeID, len(t.Nodes)), ViewOf: make([]NodeID, len(t.Nodes))}
	for i := range v.Source {
		v.Source[i] = NodeID(i)
	}
	domainAt := func(n NodeID, l Level) DomainID { return t.domainAt[int(n)*len(t.Levels)+int(l)] }
	slices.SortStableFunc(v.Source, func(a, b NodeID) int {
		for _, l := range levels {
			if x, y := domainAt(a, l), domainAt(b, l); x != y {
				return int(x - y)
			}
		}
		return 0
	})
	v.Tree = &Tree{Nodes: make([]Node, len(t.Nodes)), Products: t.Products, productIndex: make([]int32, len(t.Nodes))}
	for _, l := range levels {
		v.Tree.Levels = append(v.Tree.Levels, t.Levels[l])
	}
	names := make([]string, len(t.Nodes)*len(levels))
	for i, n := range v.Source {
		v.ViewOf[n] = NodeID(i)
		path := names[i*len(levels) : (i+1)*len(levels)]
		for k, l := range levels {
			if d := domainAt(n, l); d != noDomain {
				path[k] = t.Domains[d].Name
			}
		}
		v.Tree.Nodes[i] = Node{Name: t.Nodes[n].Name, Domains: path, Model: t.Nodes[n].Model}
		v.Tree.productIndex[i] = t.productIndex[n]
	}
	v.Tree.addDomains(func(i, k int) bool { return domainAt(v.Source[i-1], levels[k]) == domainAt(v.Source[i], levels[k]) })
	return v
}
