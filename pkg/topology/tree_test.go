// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func irregular() []Node {
	return []Node{
		{Name: "n10", Domains: []string{"block-a", "rack-2"}, Model: "B"},
		{Name: "n2", Domains: []string{"block-a", "rack-2"}, Model: "A"},
		{Name: "n1", Domains: []string{"block-a", "rack-10"}},
		{Name: "n3", Domains: []string{"block-a", ""}},
		{Name: "n4", Domains: []string{"", "rack-2"}},
		{Name: "n5", Domains: []string{"", ""}},
		{Name: "n6", Domains: []string{"block-b", "rack-2"}, Model: "A"},
	}
}

func TestNewTree(t *testing.T) {
	tree, err := NewTree([]string{"block", "rack"}, irregular())
	require.NoError(t, err)

	var names []string
	for _, n := range tree.Nodes {
		names = append(names, n.Name)
	}
	assert.Equal(t, []string{"n5", "n4", "n3", "n2", "n10", "n1", "n6"}, names)

	var paths []string
	for d := range tree.Domains {
		paths = append(paths, tree.DomainPath(DomainID(d)))
	}
	assert.Equal(t, []string{"cluster", "rack-2", "block-a", "block-a/rack-2", "block-a/rack-10", "block-b", "block-b/rack-2"}, paths)
	assert.Equal(t, Domain{Level: 0, Name: "block-a", Parent: 0, First: 2, End: 6}, tree.Domains[2])
	assert.Equal(t, Domain{Level: 1, Name: "rack-2", Parent: 0, First: 1, End: 2}, tree.Domains[1])
	assert.Equal(t, []DomainID{1, 3, 4, 6}, tree.DomainsAt(1))
	assert.Equal(t, []DomainID{0}, tree.DomainsAt(ClusterLevel))
	assert.Equal(t, DomainID(5), tree.SubtreeEnd(2))
	assert.Equal(t, DomainID(7), tree.SubtreeEnd(0))
	assert.Equal(t, []string{"A", "B"}, tree.Products)
	assert.Equal(t, 1, tree.ProductIndex(4))
	assert.Equal(t, -1, tree.ProductIndex(0))
}

func TestNewTree_IgnoresTheOrderOfItsInput(t *testing.T) {
	want, err := NewTree([]string{"block", "rack"}, irregular())
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		nodes := irregular()
		rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
		got, err := NewTree([]string{"block", "rack"}, nodes)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestNewTree_Refuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		levels []string
		nodes  []Node
		want   string
	}{
		{"two nodes of one name", nil, []Node{{Name: "n"}, {Name: "n"}}, `two nodes are called "n": nodes need distinct names`},
		{
			"one name in two racks",
			[]string{"rack"},
			[]Node{{Name: "n", Domains: []string{"a"}}, {Name: "n", Domains: []string{"b"}}},
			`two nodes are called "n": nodes need distinct names`,
		},
		{"a node without a name", nil, []Node{{}}, "node number 0 has no name"},
		{"domains that do not align", []string{"rack"}, []Node{{Name: "n"}}, "node n names 0 domains, but there are 1 levels"},
		{"a level without a name", []string{""}, nil, `level 0 is called "": levels need distinct names`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := NewTree(tc.levels, tc.nodes)
			assert.EqualError(t, err, tc.want)
		})
	}
}

func TestTree_Finds(t *testing.T) {
	tree, err := NewTree([]string{"block", "rack"}, irregular())
	require.NoError(t, err)

	n, ok := tree.NodeByName("n10")
	assert.True(t, ok)
	assert.Equal(t, NodeID(4), n)
	_, ok = tree.NodeByName("n11")
	assert.False(t, ok)
	l, ok := tree.LevelByName("rack")
	assert.True(t, ok)
	assert.Equal(t, Level(1), l)
	_, ok = tree.LevelByName("room")
	assert.False(t, ok)

	d, ok := tree.DomainAt(4, 1)
	assert.True(t, ok)
	assert.Equal(t, "block-a/rack-2", tree.DomainPath(d))
	for name, at := range map[string]struct {
		n NodeID
		l Level
	}{"a level that the node misses": {1, 0}, "no such node": {7, 0}, "no node": {-1, 0}, "no such level": {0, 2}, "no level": {0, NoLevel}} {
		_, ok = tree.DomainAt(at.n, at.l)
		assert.False(t, ok, name)
	}
	d, ok = tree.DomainAt(0, ClusterLevel)
	assert.True(t, ok)
	assert.Equal(t, DomainID(0), d)
	assert.Equal(t, "cluster", tree.LevelName(ClusterLevel))
	assert.Equal(t, "cluster", tree.LevelName(NoLevel))
	assert.Equal(t, "rack", tree.LevelName(1))
}

func TestDistance(t *testing.T) {
	tree, err := NewTree([]string{"block", "rack"}, irregular())
	require.NoError(t, err)
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"n2", "n2", 0},
		{"n2", "n10", 1},
		{"n2", "n1", 2},
		{"n2", "n3", 2},
		{"n2", "n6", 3},
		{"n4", "n5", 3},
	} {
		a, _ := tree.NodeByName(tc.a)
		b, _ := tree.NodeByName(tc.b)
		assert.Equal(t, tc.want, tree.NodeDistance(a, b), "%s to %s", tc.a, tc.b)
		assert.Equal(t, tc.want, tree.NodeDistance(b, a), "%s to %s", tc.b, tc.a)
	}
}

// A domain is one range of nodes, inside that of its parent, and numbered
// after it.
func TestNewTree_KeepsItsInvariants(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 200 {
		tree := randomTree(t, rng)
		for d, dom := range tree.Domains[1:] {
			id, parent := DomainID(d+1), tree.Domains[dom.Parent]
			require.Less(t, dom.Parent, id)
			require.Less(t, parent.Level, dom.Level)
			require.Less(t, dom.First, dom.End)
			require.True(t, parent.First <= dom.First && dom.End <= parent.End)
			require.LessOrEqual(t, tree.SubtreeEnd(id), tree.SubtreeEnd(dom.Parent))
		}
		for n := range tree.Nodes {
			for l, name := range tree.Nodes[n].Domains {
				d, ok := tree.DomainAt(NodeID(n), Level(l))
				require.Equal(t, name != "", ok)
				if ok {
					require.Equal(t, name, tree.Domains[d].Name)
					require.True(t, tree.ContainsNode(d, NodeID(n)))
				}
			}
		}
	}
}

func randomTree(t *testing.T, rng *rand.Rand) *Tree {
	var nodes []Node
	for i := range rng.IntN(30) {
		n := Node{Name: string(rune('a' + i)), Domains: make([]string, 3)}
		for l := range n.Domains {
			n.Domains[l] = []string{"", "x", "y", "z9", "z10"}[rng.IntN(5)]
		}
		nodes = append(nodes, n)
	}
	tree, err := NewTree([]string{"zone", "block", "rack"}, nodes)
	require.NoError(t, err)
	return tree
}

func TestCompareNames(t *testing.T) {
	ordered := []string{"", "a", "n-1", "n-2", "n-2a", "n-10", "n02", "n2", "n10", "n10-3", "n10-12", "n99999999999999999999", "n100000000000000000000"}
	for i, a := range ordered {
		for j, b := range ordered {
			got := compareNames(a, b)
			switch {
			case i < j:
				assert.Negative(t, got, "%s before %s", a, b)
			case i > j:
				assert.Positive(t, got, "%s after %s", a, b)
			default:
				assert.Zero(t, got, "%s is itself", a)
			}
		}
	}
}

func TestUsage(t *testing.T) {
	_, u, err := ParseUsage("a\n  n1 8 cpu=4\n  n2 8 cpu=4 cordoned")
	require.NoError(t, err)
	was := u.Clone()
	u.AllocateOn(1, []int64{3, 5})
	assert.Equal(t, []int64{5, -1}, u.FreeRow(1))
	assert.Equal(t, []int64{8, 4}, u.CapacityRow(1))
	assert.Equal(t, []int64{8, 4}, was.FreeRow(1), "the copy keeps its own rows")
	u.ReleaseOn(1, []int64{3, 5})
	assert.Equal(t, was, u)
	c, ok := u.ResourceIndex("cpu")
	assert.True(t, ok)
	assert.Equal(t, 1, c)
	_, ok = u.ResourceIndex("memory")
	assert.False(t, ok)
}

func TestIsGPU(t *testing.T) {
	for _, name := range []string{"nvidia.com/gpu", "amd.com/gpu", "gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb"} {
		assert.True(t, IsGPU(name), name)
	}
	for _, name := range []string{"cpu", "memory", "pods", "rdma/hca", "gpu.example.com/memory"} {
		assert.False(t, IsGPU(name), name)
	}
}

func TestUsage_Idle(t *testing.T) {
	tree, err := NewTree(nil, []Node{{Name: "n"}})
	require.NoError(t, err)
	u := NewUsage(tree, []string{"cpu", "nvidia.com/gpu", "nvidia.com/mig-1g.10gb"})
	for _, tc := range []struct {
		capacity, free []int64
		want           bool
	}{
		{[]int64{8, 8, 0}, []int64{8, 8, 0}, true},
		{[]int64{8, 8, 0}, []int64{1, 8, 0}, true}, // processors are always in use
		{[]int64{8, 8, 0}, []int64{8, 7, 0}, false},
		{[]int64{8, 4, 7}, []int64{8, 4, 6}, false},
		{[]int64{8, 0, 7}, []int64{8, 0, 7}, true},
		{[]int64{8, 0, 0}, []int64{8, 0, 0}, false}, // a node without GPUs
		{[]int64{8, 0, 0}, []int64{8, -1, 0}, false},
	} {
		copy(u.Capacity, tc.capacity)
		copy(u.Free, tc.free)
		assert.Equal(t, tc.want, u.IsIdle(0), "%v of %v free", tc.free, tc.capacity)
	}
}
