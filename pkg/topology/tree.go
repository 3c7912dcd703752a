// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"slices"
	"strings"
)

// noDomain marks a level that a node misses.
const noDomain DomainID = -1

// Tree is the shape of a cluster. It never changes once built, so that any
// number of Usages and goroutines may share it. The exported fields are to be
// read only.
type Tree struct {
	// Levels are the names of the levels, the widest first.
	Levels []string
	// Nodes are the nodes in depth-first order.
	Nodes []Node
	// Domains are the inner vertices; a parent precedes its children.
	Domains []Domain
	// Products are the distinct GPU models of the nodes, by name; nodes without
	// a model are not among them.
	Products []string

	leafDomain   []DomainID        // narrowest domain of each node
	domainAt     []DomainID        // nodes x levels: the domain there, or noDomain
	subtreeEnd   []DomainID        // first domain after the subtree of each domain
	atLevel      [][]DomainID      // the domains of each level, in order
	productIndex []int32           // index into Products of each node, or -1
	byName       map[string]NodeID // for NodeID

	main    *Tree // the tree without the levels that cross it; nil for itself
	chainOf []int // the chain of each level, mainChain for those of the tree; nil for all
}

// NewTree returns the tree of the nodes, numbered depth first, with the domains
// that their names imply. The nodes may come in any order; the tree does not
// depend on it. It is an error if two nodes share a name, if a node's Domains do
// not align with levels, or if two levels share a name.
//
// It costs one sort of the nodes and one pass over their levels.
func NewTree(levels []string, nodes []Node) (*Tree, error) {
	t := &Tree{
		Levels: append([]string(nil), levels...),
		Nodes:  slices.Clone(nodes),
		byName: make(map[string]NodeID, len(nodes)),
	}
	for i, name := range levels {
		if name == "" || slices.Contains(levels[:i], name) {
			return nil, fmt.Errorf("level %d is called %q: levels need distinct names", i, name)
		}
	}
	for _, n := range nodes {
		if len(n.Domains) != len(levels) {
			return nil, fmt.Errorf("node %s names %d domains, but there are %d levels", n.Name, len(n.Domains), len(levels))
		}
	}
	slices.SortStableFunc(t.Nodes, compareNodes)
	for i, n := range t.Nodes {
		if n.Name == "" {
			return nil, fmt.Errorf("node number %d has no name", i)
		}
		if _, twice := t.byName[n.Name]; twice {
			return nil, fmt.Errorf("two nodes are called %q: nodes need distinct names", n.Name)
		}
		t.byName[n.Name] = NodeID(i)
	}
	t.addDomains(func(i, l int) bool { return t.Nodes[i-1].Domains[l] == t.Nodes[i].Domains[l] })
	t.addProducts()
	return t, nil
}

// compareNodes orders nodes by the domains around them, the widest first, then
// by name. A node that misses a level precedes those that have it.
func compareNodes(a, b Node) int {
	for l := range a.Domains {
		if c := compareNames(a.Domains[l], b.Domains[l]); c != 0 {
			return c
		}
	}
	return compareNames(a.Name, b.Name)
}

// addDomains derives the domains from the sorted nodes: a new one begins where a
// node's path leaves that of the node before. isSame reports whether node i is, at a
// level, where the node before it is.
func (t *Tree) addDomains(isSame func(i, l int) bool) {
	levels := len(t.Levels)
	t.Domains = []Domain{{Level: ClusterLevel, Name: "cluster", End: NodeID(len(t.Nodes))}}
	t.leafDomain = make([]DomainID, len(t.Nodes))
	t.domainAt = make([]DomainID, len(t.Nodes)*levels)
	t.atLevel = make([][]DomainID, levels)
	for i := range t.Nodes {
		row := t.domainAt[i*levels : (i+1)*levels]
		same := i > 0
		var parent DomainID
		for l, name := range t.Nodes[i].Domains {
			same = same && isSame(i, l)
			switch {
			case name == "":
				row[l] = noDomain
				continue
			case same:
				row[l] = t.domainAt[(i-1)*levels+l]
			default:
				row[l] = t.appendDomain(Domain{Level: Level(l), Name: name, Parent: parent, First: NodeID(i)})
			}
			parent = row[l]
			t.Domains[parent].End = NodeID(i + 1)
		}
		t.leafDomain[i] = parent
	}
	// Parents precede their children, so that from the back every subtree is
	// complete before its parent is reached.
	t.subtreeEnd = make([]DomainID, len(t.Domains))
	for d := len(t.Domains) - 1; d >= 0; d-- {
		id := DomainID(d)
		t.subtreeEnd[d] = max(t.subtreeEnd[d], id+1)
		parent := t.Domains[d].Parent
		t.subtreeEnd[parent] = max(t.subtreeEnd[parent], t.subtreeEnd[d])
	}
}

// appendDomain adds d behind the domains so far and returns its id.
func (t *Tree) appendDomain(d Domain) DomainID {
	id := DomainID(len(t.Domains))
	t.Domains = append(t.Domains, d)
	t.atLevel[d.Level] = append(t.atLevel[d.Level], id)
	return id
}

// addProducts lists the distinct models and the index of each node's own.
func (t *Tree) addProducts() {
	for _, n := range t.Nodes {
		if n.Model != "" {
			t.Products = append(t.Products, n.Model)
		}
	}
	slices.SortFunc(t.Products, compareNames)
	t.Products = slices.Compact(t.Products)
	t.productIndex = make([]int32, len(t.Nodes))
	for i, n := range t.Nodes {
		t.productIndex[i] = int32(slices.Index(t.Products, n.Model))
	}
}

// NodeByName returns the node of a name, and whether there is one.
func (t *Tree) NodeByName(name string) (NodeID, bool) {
	n, ok := t.byName[name]
	return n, ok
}

// LevelByName returns the level of a name, and whether there is one.
func (t *Tree) LevelByName(name string) (Level, bool) {
	l := slices.Index(t.Levels, name)
	return Level(l), l >= 0
}

// LevelName returns the name of a level; "cluster" for ClusterLevel and NoLevel.
func (t *Tree) LevelName(l Level) string {
	if l < 0 || int(l) >= len(t.Levels) {
		return t.Domains[0].Name
	}
	return t.Levels[l]
}

// DomainAt returns the domain of level l that contains node n, and false if the
// node misses that level. At ClusterLevel it is the root. It costs one lookup.
func (t *Tree) DomainAt(n NodeID, l Level) (DomainID, bool) {
	if l == ClusterLevel {
		return 0, true
	}
	if l < 0 || int(l) >= len(t.Levels) || n < 0 || int(n) >= len(t.Nodes) {
		return noDomain, false
	}
	d := t.domainAt[int(n)*len(t.Levels)+int(l)]
	return d, d != noDomain
}

// DomainsAt returns the domains of level l in the order of the tree. At
// ClusterLevel that is the root. The slice is to be read only.
func (t *Tree) DomainsAt(l Level) []DomainID {
	if l >= 0 && int(l) < len(t.Levels) {
		return t.atLevel[l]
	}
	return rootOnly
}

// rootOnly is the answer of DomainsAt for ClusterLevel, shared by all trees.
var rootOnly = []DomainID{0}

// LeafDomain returns the narrowest domain that contains node n.
func (t *Tree) LeafDomain(n NodeID) DomainID { return t.leafDomain[n] }

// SubtreeEnd returns the first domain after d that is not inside d, in the order
// of Domains. The children of d are found by starting at d+1 and going from each
// child to its SubtreeEnd, up to the SubtreeEnd of d.
func (t *Tree) SubtreeEnd(d DomainID) DomainID { return t.subtreeEnd[d] }

// ProductIndex returns the index into Products of the GPU model of node n, or
// -1 for a node without a model.
func (t *Tree) ProductIndex(n NodeID) int { return int(t.productIndex[n]) }

// ContainsNode reports whether node n is in domain d. Domains are contiguous
// ranges of nodes, so that it costs two comparisons; one of a crossing level costs a
// lookup.
func (t *Tree) ContainsNode(d DomainID, n NodeID) bool {
	domain := &t.Domains[d]
	if n < domain.First || domain.End <= n {
		return false
	}
	return !t.IsCrossing(domain.Level) || t.domainAt[int(n)*len(t.Levels)+int(domain.Level)] == d
}

// DomainPath returns the names of the domains around d and of d itself, such as
// "block-a/rack-7"; the root's own name for the root.
func (t *Tree) DomainPath(d DomainID) string {
	if d == 0 {
		return t.Domains[0].Name
	}
	path := t.Domains[d].Name
	for d = t.Domains[d].Parent; d != 0; d = t.Domains[d].Parent {
		path = t.Domains[d].Name + "/" + path
	}
	return path
}

// NodeDistance returns the number of levels to climb from either node to the
// narrowest domain that contains both: 0 for one node, 1 inside one domain of
// the last level, len(Levels)+1 where only the cluster contains both.
func (t *Tree) NodeDistance(a, b NodeID) int {
	if a == b {
		return 0
	}
	d := t.leafDomain[a]
	for !t.ContainsNode(d, b) {
		d = t.Domains[d].Parent
	}
	return len(t.Levels) - int(t.Domains[d].Level)
}

// compareNames orders names as people count: runs of digits by value, so that
// n2 precedes n10. Names that differ only in leading zeros are ordered as text.
func compareNames(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		dx, dy := leadingDigits(x), leadingDigits(y)
		if dx > 0 && dy > 0 {
			if c := compareDigits(x[:dx], y[:dy]); c != 0 {
				return c
			}
			x, y = x[dx:], y[dy:]
			continue
		}
		if x[0] != y[0] {
			return int(x[0]) - int(y[0])
		}
		x, y = x[1:], y[1:]
	}
	if len(x) != len(y) {
		return len(x) - len(y)
	}
	return strings.Compare(a, b)
}

// leadingDigits returns the length of the run of digits that s starts with.
func leadingDigits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

// compareDigits compares two runs of digits by value. They may be longer than
// any integer type: serial numbers occur in node names.
func compareDigits(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
