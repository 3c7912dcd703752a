// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// GPU is the resource that a bare number in a drawing counts, unless the
// drawing says otherwise.
const GPU = "nvidia.com/gpu"

// The keywords of a drawing.
const (
	levelsKeyword    = "levels:"
	resourcesKeyword = "resources:"
	modelKeyword     = "model="
	cordonedKeyword  = "cordoned"
	noName           = "-"
)

// ParseUsage returns the tree and the usage of a drawn cluster:
//
//	# Lines without an amount are domains; deeper lines stand inside them.
//	block-a
//	  rack-1
//	    n1 8
//	    n2 4/8 cpu=96 model=NVIDIA-H100-80GB-HBM3 cordoned
//	  n3 0/8
//
// A line that has no deeper line below it is a node: its name, then what it
// has. "8" is eight free GPUs of eight, "4/8" four free of eight, "cpu=96"
// another resource, "model=" its GPU product. A node may hang below a wider
// domain than its neighbours (n3), and a domain called "-" skips a level.
//
// Two optional lines come first: "levels: block rack" names the levels, which
// else are called after their first domain up to its last dash ("block-a" is a
// block); "resources: nvidia.com/gpu cpu" orders the columns of the Usage, the
// first of which is what a bare number counts.
//
// Errors name the line or the node. Any text is accepted or refused; none makes
// it panic.
func ParseUsage(text string) (*Tree, *Usage, error) {
	d := drawing{}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if err := d.readLine(line); err != nil {
			return nil, nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return d.buildTree()
}

// drawing is the state of a parse: the lines read so far and the names of the
// columns and levels, which grow as lines name new ones.
type drawing struct {
	levels    []string // as given, or named by checkDomain in order of depth
	resources []string // the columns; the first is what a bare number counts
	lines     []line
}

// line is a domain or a node. Which one it is shows in the next line: only a
// domain has a deeper line below it.
type line struct {
	indent int
	name   string
	fields []string
}

// drawnNode is a node together with the usage that its line gives.
type drawnNode struct {
	Node
	amounts  []amount
	cordoned bool
}

// amount is one resource of one node, in the units of the drawing. Free may be
// negative: a node can be promised more than it has.
type amount struct {
	resource       string
	free, capacity int64
}

// readLine adds one line that is neither blank nor a comment.
func (d *drawing) readLine(text string) error {
	fields := strings.Fields(text)
	indent := len(text) - len(strings.TrimLeft(text, " \t"))
	switch first := fields[0]; {
	case (first == levelsKeyword || first == resourcesKeyword) && len(d.lines) > 0:
		return fmt.Errorf("%q stands below a node or a domain: it must come before them", first)
	case first == levelsKeyword:
		d.levels = fields[1:]
	case first == resourcesKeyword:
		d.resources = fields[1:]
		for i, r := range d.resources {
			if slices.Contains(d.resources[:i], r) {
				return fmt.Errorf("resource %s is named twice", r)
			}
		}
	default:
		d.lines = append(d.lines, line{indent: indent, name: first, fields: fields[1:]})
	}
	return nil
}

// buildTree returns the tree of the lines and its usage. One pass over the
// lines keeps the domains around the current one on a stack.
func (d *drawing) buildTree() (*Tree, *Usage, error) {
	if len(d.resources) == 0 {
		d.resources = []string{GPU}
	}
	given := len(d.levels)
	var nodes []Node
	var drawn []drawnNode
	var open []line // the domains around the line at hand
	for i, line := range d.lines {
		for len(open) > 0 && open[len(open)-1].indent >= line.indent {
			open = open[:len(open)-1]
		}
		if i+1 < len(d.lines) && d.lines[i+1].indent > line.indent {
			if err := d.checkDomain(line, len(open), given); err != nil {
				return nil, nil, err
			}
			open = append(open, line)
			continue
		}
		n, err := d.parseNode(line, open)
		if err != nil {
			return nil, nil, fmt.Errorf("node %s: %w", line.name, err)
		}
		drawn = append(drawn, n)
		nodes = append(nodes, n.Node)
	}
	// The number of levels is known only now that the deepest line is read.
	for i := range nodes {
		for len(nodes[i].Domains) < len(d.levels) {
			nodes[i].Domains = append(nodes[i].Domains, "")
		}
	}
	t, err := NewTree(d.levels, nodes)
	if err != nil {
		return nil, nil, err
	}
	return t, d.buildUsage(t, drawn), nil
}

// checkDomain refuses a domain with amounts or below the last given level, and,
// where the levels are not given, names a new depth after its first domain:
// "rack-7" is at the level "rack". A name that is taken becomes "level-<n>".
func (d *drawing) checkDomain(l line, depth, given int) error {
	if len(l.fields) > 0 {
		return fmt.Errorf("domain %s has an amount: amounts belong to nodes", l.name)
	}
	if given > 0 && depth >= given {
		return fmt.Errorf("domain %s is at depth %d, but there are %d levels", l.name, depth+1, given)
	}
	if depth < len(d.levels) {
		return nil
	}
	name := l.name
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		name = name[:i]
	}
	if name == noName || slices.Contains(d.levels, name) {
		name = fmt.Sprintf("level-%d", depth+1)
	}
	d.levels = append(d.levels, name)
	return nil
}

// parseNode returns the node of a line below the open domains. Its Domains are
// as long as the depth of the line; buildTree fills them up.
func (d *drawing) parseNode(l line, open []line) (drawnNode, error) {
	n := drawnNode{Node: Node{Name: l.name}}
	if n.Name == noName {
		return n, errors.New("a node needs a name")
	}
	for _, o := range open {
		name := o.name
		if name == noName {
			name = ""
		}
		n.Domains = append(n.Domains, name)
	}
	for _, f := range l.fields {
		model, isModel := strings.CutPrefix(f, modelKeyword)
		switch {
		case isModel:
			n.Model = model
		case f == cordonedKeyword:
			n.cordoned = true
		default:
			a, err := d.parseAmount(f)
			if err != nil {
				return n, err
			}
			n.amounts = append(n.amounts, a)
		}
	}
	return n, nil
}

// parseAmount returns the amount written as "8", "4/8", "cpu=96" or "cpu=12/96",
// and adds its resource to the columns if it is new. Amounts are bounded so that
// sums over any cluster stay far from overflow.
func (d *drawing) parseAmount(field string) (amount, error) {
	a := amount{resource: d.resources[0]}
	quantity := field
	if name, q, ok := strings.Cut(field, "="); ok {
		a.resource, quantity = name, q
	}
	free, capacity, ok := strings.Cut(quantity, "/")
	if !ok {
		capacity = free
	}
	var err1, err2 error
	a.free, err1 = strconv.ParseInt(free, 10, 64)
	a.capacity, err2 = strconv.ParseInt(capacity, 10, 64)
	if err1 != nil || err2 != nil || a.resource == "" {
		return a, fmt.Errorf("%q is no amount: write 8, 4/8 or cpu=4/8", field)
	}
	if a.capacity < 0 || a.free > a.capacity || a.capacity > math.MaxInt32 || a.free < -math.MaxInt32 {
		return a, fmt.Errorf("%q is impossible: free is at most the capacity, which is from 0 to %d", field, math.MaxInt32)
	}
	if !slices.Contains(d.resources, a.resource) {
		d.resources = append(d.resources, a.resource)
	}
	return a, nil
}

// buildUsage returns the usage of t with the rows of the drawn nodes.
func (d *drawing) buildUsage(t *Tree, nodes []drawnNode) *Usage {
	u := NewUsage(t, d.resources)
	for _, drawn := range nodes {
		n, _ := t.NodeByName(drawn.Name)
		for _, a := range drawn.amounts {
			c, _ := u.ResourceIndex(a.resource)
			u.FreeRow(n)[c], u.CapacityRow(n)[c] = a.free, a.capacity
		}
		if !drawn.cordoned {
			continue
		}
		if u.Cordoned == nil {
			u.Cordoned = make([]bool, len(t.Nodes))
		}
		u.Cordoned[n] = true
	}
	return u
}
