// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"strconv"
	"strings"
)

// FormatUsage draws u in the form that ParseUsage reads. Parsing the drawing
// gives an equal tree and usage, as long as no name holds a blank or a "#".
// Amounts of zero are left out.
func FormatUsage(u *Usage) string {
	var b strings.Builder
	t := u.Tree
	if len(t.Levels) > 0 {
		fmt.Fprintln(&b, levelsKeyword, strings.Join(t.Levels, " "))
	}
	if len(u.Resources) > 0 {
		fmt.Fprintln(&b, resourcesKeyword, strings.Join(u.Resources, " "))
	}
	var shown []string // the path of the line above
	// Nodes are numbered depth first, so that a domain is named once, above the
	// first of its nodes.
	for n := range t.Nodes {
		path := trimEmpty(t.Nodes[n].Domains)
		same := 0
		for same < len(path) && same < len(shown) && path[same] == shown[same] {
			same++
		}
		for depth := same; depth < len(path); depth++ {
			name := path[depth]
			if name == "" {
				name = noName
			}
			fmt.Fprintf(&b, "%s%s\n", indentation(depth), name)
		}
		fmt.Fprintf(&b, "%s%s\n", indentation(len(path)), formatNode(u, NodeID(n)))
		shown = path
	}
	return b.String()
}

// formatNode returns the line of one node, without its indentation: the name,
// then "free/capacity" of each resource, shortened to the capacity where all of
// it is free. Only the first resource goes without its name.
func formatNode(u *Usage, n NodeID) string {
	fields := []string{u.Tree.Nodes[n].Name}
	for c, name := range u.Resources {
		free, capacity := u.FreeRow(n)[c], u.CapacityRow(n)[c]
		if free == 0 && capacity == 0 {
			continue
		}
		field := strconv.FormatInt(capacity, 10)
		if free != capacity {
			field = fmt.Sprintf("%d/%d", free, capacity)
		}
		if c > 0 {
			field = name + "=" + field
		}
		fields = append(fields, field)
	}
	if model := u.Tree.Nodes[n].Model; model != "" {
		fields = append(fields, modelKeyword+model)
	}
	if u.Cordoned != nil && u.Cordoned[n] {
		fields = append(fields, cordonedKeyword)
	}
	return strings.Join(fields, " ")
}

// trimEmpty returns path without the missing levels at its narrow end. Missing
// levels in the middle stay: a "-" stands for them in the drawing.
func trimEmpty(path []string) []string {
	for len(path) > 0 && path[len(path)-1] == "" {
		path = path[:len(path)-1]
	}
	return path
}

// indentation returns the blanks before a line at a depth, two for each level.
func indentation(depth int) string { return strings.Repeat("  ", depth) }
