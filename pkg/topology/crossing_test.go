// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crossed is two racks of two nodes, and domains that hold a node of each.
func crossed(t *testing.T) *Tree {
	t.Helper()
	tree, err := NewTree([]string{"rack", "domain"}, []Node{
		{Name: "n1", Domains: []string{"rack-1", ""}}, {Name: "n2", Domains: []string{"rack-1", ""}},
		{Name: "n3", Domains: []string{"rack-2", ""}}, {Name: "n4", Domains: []string{"rack-2", ""}},
	})
	require.NoError(t, err)
	return tree.WithCrossing(
		Chain{{Name: "domain", Domains: []string{"d10", "d2", "d10", ""}}, {Name: "tray", Domains: []string{"1", "1", "2", "1"}}},
		Chain{{Name: "row", Domains: []string{"a", "a", "a", "b"}}},
	)
}

func TestTree_WithCrossing(t *testing.T) {
	tree := crossed(t)
	assert.Equal(t, []string{"rack", "domain", "tray", "row"}, tree.Levels)
	paths := func(l Level) []string {
		var all []string
		for _, d := range tree.DomainsAt(l) {
			all = append(all, tree.DomainPath(d))
		}
		return all
	}
	assert.Equal(t, []string{"rack-1", "rack-2"}, paths(0))
	assert.Equal(t, []string{"d2", "d10"}, paths(1))
	assert.Equal(t, []string{"1", "d2/1", "d10/1", "d10/2"}, paths(2))
	assert.Equal(t, []string{"a", "b"}, paths(3))

	d, ok := tree.DomainAt(0, 1)
	require.True(t, ok)
	assert.Equal(t, []NodeID{0, 2}, slices.Collect(tree.NodesOf(d)))
	assert.False(t, tree.ContainsNode(d, 1))
	_, ok = tree.DomainAt(3, 1)
	assert.False(t, ok)

	assert.False(t, tree.IsCrossing(0))
	assert.True(t, tree.IsCrossing(1))
	assert.False(t, tree.IsCrossing(ClusterLevel))
	assert.True(t, tree.AreOrdered(1, 2))
	assert.False(t, tree.AreOrdered(2, 3))
	assert.Equal(t, Level(1), tree.WiderLevel(2))
	assert.Equal(t, ClusterLevel, tree.WiderLevel(1))
	assert.Equal(t, ClusterLevel, tree.WiderLevel(3))
	assert.False(t, tree.Nests(1, 0))
	assert.True(t, tree.Nests(1, 3), "every domain is in row a")
	assert.True(t, tree.Nests(2, 1))

	main := tree.Main()
	assert.Same(t, main, main.Main())
	assert.Empty(t, main.DomainsAt(1))
	assert.Equal(t, main.Domains, tree.Domains[:len(main.Domains)])
}

// A view has every node once, and each of its domains inside one domain of every level
// before it.
func TestTree_Arrange(t *testing.T) {
	tree := crossed(t)
	v := tree.Arrange([]Level{1, 0})
	var found []string
	for i, n := range v.Source {
		assert.Equal(t, NodeID(i), v.ViewOf[n])
		assert.Equal(t, tree.Nodes[n].Name, v.Tree.Nodes[i].Name)
		found = append(found, v.Tree.DomainPath(v.Tree.LeafDomain(NodeID(i)))+" "+v.Tree.Nodes[i].Name)
	}
	assert.Equal(t, []string{"rack-2 n4", "d2/rack-1 n2", "d10/rack-1 n1", "d10/rack-2 n3"}, found)
}

func TestTree_ArrangeKeepsEveryDomain(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 200 {
		tree := randomTree(t, rng)
		chain := Chain{{Name: "x"}}
		for range tree.Nodes {
			chain[0].Domains = append(chain[0].Domains, []string{"", "p", "q"}[rng.IntN(3)])
		}
		tree = tree.WithCrossing(chain)
		order := []Level{3, 0, 1, 2}
		v := tree.Arrange(order)
		for i, n := range v.Source {
			for k, l := range order {
				d, ok := v.Tree.DomainAt(NodeID(i), Level(k))
				was, had := tree.DomainAt(n, l)
				require.Equal(t, had, ok)
				if ok {
					require.Equal(t, tree.Domains[was].Name, v.Tree.Domains[d].Name)
					require.True(t, v.Tree.ContainsNode(d, NodeID(i)))
				}
			}
		}
	}
}
