// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// hierarchyOf returns the hierarchy of a level by its keys, where its configuration
// names none.
func hierarchyOf(level LevelConfig) string {
	if level.Hierarchy != "" {
		return level.Hierarchy
	}
	for _, known := range DefaultLevels() {
		if known.Hierarchy != "" && slices.ContainsFunc(level.Keys, func(key string) bool { return slices.Contains(known.Keys, key) }) {
			return known.Hierarchy
		}
	}
	return ""
}

// WithHierarchies returns the levels, each with its hierarchy.
func (l Levels) WithHierarchies() Levels {
	out := slices.Clone(l)
	for i := range out {
		out[i].Hierarchy = hierarchyOf(out[i])
	}
	return out
}

// CrossingLevels returns the hierarchies that do not nest in the main one on these nodes,
// each as its levels, the widest first. rows are the domains of the nodes.
func (l Levels) CrossingLevels(rows [][]string) [][]topology.Level {
	var crossing [][]topology.Level
	var seen []string
	for _, level := range l {
		if level.Hierarchy == "" || slices.Contains(seen, level.Hierarchy) {
			continue
		}
		seen = append(seen, level.Hierarchy)
		var own []topology.Level
		for i := range l {
			if l[i].Hierarchy == level.Hierarchy {
				own = append(own, topology.Level(i))
			}
		}
		if slices.ContainsFunc(own, func(i topology.Level) bool { return l.isCut(rows, i) }) {
			crossing = append(crossing, own)
		}
	}
	return crossing
}

// isCut reports whether a domain of a level has nodes in two domains of a wider level of
// the main hierarchy, or holds only some of those of a narrower one.
func (l Levels) isCut(rows [][]string, level topology.Level) bool {
	around, within := map[string]string{}, map[string]string{}
	var wider, narrower strings.Builder
	for _, row := range rows {
		wider.Reset()
		narrower.Reset()
		inNarrower := false
		for i, name := range row {
			switch {
			case l[i].Hierarchy != "":
			case i < int(level):
				wider.WriteString(name + "\x00") // a label cannot hold it
			default:
				inNarrower = inNarrower || name != "" && !l[i].isHost()
				if !l[i].isHost() {
					narrower.WriteString(name + "\x00")
				}
			}
		}
		name := row[level]
		if first, known := around[name]; name != "" && known && first != wider.String() {
			return true
		}
		around[name] = wider.String()
		if !inNarrower {
			continue
		}
		box := wider.String() + narrower.String()
		if first, known := within[box]; known && first != name {
			return true
		}
		within[box] = name
	}
	return false
}

// isHost reports whether the domains of a level are the nodes themselves.
func (l *LevelConfig) isHost() bool { return slices.Contains(l.Keys, v1.LabelHostname) }

// newTree returns the tree of nodes, with the hierarchies that cross beside the main one.
func (l Levels) newTree(nodes []*v1.Node) (*topology.Tree, error) {
	rows := make([][]string, len(nodes))
	for i, node := range nodes {
		rows[i] = l.NodeDomains(node)
	}
	crossing := l.CrossingLevels(rows)
	known := make([]topology.Node, len(nodes))
	names := map[string][]string{}
	for i, node := range nodes {
		known[i] = topology.Node{Name: node.Name, Domains: rows[i], Model: GPUProduct(node)}
		if len(crossing) == 0 {
			continue
		}
		names[node.Name] = slices.Clone(rows[i])
		for _, level := range slices.Concat(crossing...) {
			rows[i][level] = ""
		}
	}
	tree, err := topology.NewTree(l.LevelNames(), known)
	if err != nil || len(crossing) == 0 {
		return tree, err
	}
	var chains []topology.Chain
	for _, levels := range crossing {
		var chain topology.Chain
		for _, level := range levels {
			of := topology.ChainLevel{Name: l[level].Name, Domains: make([]string, len(tree.Nodes))}
			for n := range tree.Nodes {
				of.Domains[n] = names[tree.Nodes[n].Name][level]
			}
			chain = append(chain, of)
		}
		chains = append(chains, chain)
	}
	return tree.WithCrossing(chains...), nil
}

// treeFor returns the tree whose levels a gang names: that of the cluster, with a chain
// for each node label key that the gang names as a level. It lives as long as the plan.
// Invalid says that no node has such a label.
func (c *Cluster) treeFor(spec *Spec) (*topology.Tree, *Invalid) {
	tree := c.usage.Tree
	if len(spec.keys) == 0 {
		return tree, nil
	}
	var chains []topology.Chain
	for i := range spec.keys {
		config := &spec.Levels[len(tree.Levels)+i]
		level := topology.ChainLevel{Name: config.Name, Domains: make([]string, len(c.nodes))}
		found := false
		for n := range c.nodes {
			level.Domains[n] = config.domainOf(c.nodes[n].node)
			found = found || level.Domains[n] != ""
		}
		if !found {
			_, err := c.levels.FindLevel(config.Name)
			return tree, &Invalid{TopologyUnknownLevel, fmt.Sprintf("%s: %v", spec.keys[i].where, err)}
		}
		chains = append(chains, topology.Chain{level})
	}
	return tree.WithCrossing(chains...), nil
}

// checkNestingOn is Spec.checkNesting on the hierarchies that a cluster has.
func (s *Spec) checkNestingOn(tree *topology.Tree) *Invalid {
	for _, layers := range s.layers {
		if why := s.nestingProblem(layers.all, tree.AreOrdered); why != "" {
			return &Invalid{InvalidGangSpec, layers.where + ": " + why}
		}
	}
	return nil
}
