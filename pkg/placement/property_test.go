// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// large draws a cluster of some hundred nodes and a gang that may ask for
// slices at several levels.
func large(rng *rand.Rand) (*topology.Usage, *gang.Gang) {
	u := largeUsage(rng)
	return u, largeGang(rng, u)
}

func largeUsage(rng *rand.Rand) *topology.Usage {
	perRack, perBlock := 3+rng.IntN(16), 2+rng.IntN(6)
	var nodes []topology.Node
	for i := range 20 + rng.IntN(200) {
		r := i / perRack
		n := topology.Node{Name: fmt.Sprintf("n%d", i), Model: "NVIDIA-H100-80GB-HBM3"}
		n.Domains = []string{fmt.Sprintf("b%d", r/perBlock), fmt.Sprintf("r%d", r), fmt.Sprintf("c%d", i/3)}
		if rng.IntN(12) == 0 {
			n.Domains[rng.IntN(3)] = ""
		}
		if rng.IntN(4) == 0 {
			n.Model = "NVIDIA-A100-SXM4-40GB"
		}
		nodes = append(nodes, n)
	}
	t, err := topology.NewTree([]string{"block", "rack", "clique"}, nodes)
	if err != nil {
		panic(err)
	}
	u := topology.NewUsage(t, []string{"nvidia.com/gpu", "cpu"})
	for n := range t.Nodes {
		row := u.CapacityRow(topology.NodeID(n))
		row[0], row[1] = 8, 96
		copy(u.FreeRow(topology.NodeID(n)), []int64{int64(rng.IntN(3)) * 4, int64(rng.IntN(97))})
	}
	return u
}

func largeGang(rng *rand.Rand, u *topology.Usage) *gang.Gang {
	level := func() topology.Level { return topology.Level(rng.IntN(5)) - 2 }
	g := &gang.Gang{Name: "g", Required: level(), Preferred: level()}
	count := 1 + rng.IntN(60)
	g.Roles = []gang.Role{{
		Name: "worker", Count: count, Required: topology.NoLevel, NearRole: -1,
		Request: []int64{[]int64{1, 4, 8}[rng.IntN(3)], int64(rng.IntN(13))},
	}}
	size := []int{16, 8, 12}[rng.IntN(3)]
	for l := range u.Tree.Levels {
		if rng.IntN(3) == 0 {
			g.Slices = append(g.Slices, gang.Slice{Size: size, Level: topology.Level(l), Preferred: rng.IntN(3) == 0})
			size /= 2
		}
	}
	if rng.IntN(2) == 0 {
		g.Models = []string{"A100", "H100"}[rng.IntN(2):]
	}
	g.MinCount = count
	if rng.IntN(3) == 0 {
		g.MinCount = 1 + rng.IntN(count)
	}
	return g
}

// withLauncher adds a second role to a gang.
func withLauncher(rng *rand.Rand, g *gang.Gang) *gang.Gang {
	launcher := gang.Role{
		Name: "launcher", Count: 1 + rng.IntN(3), Request: []int64{0, int64(1 + rng.IntN(8))},
		Required: topology.NoLevel, NearRole: rng.IntN(2) - 1,
	}
	g.Roles = append(g.Roles, launcher)
	g.MinCount += launcher.Count
	return g
}

func TestSolve_KeepsEveryRuleOnLargerClusters(t *testing.T) {
	placed := 0
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 3))
		u, g := large(rng)
		if seed%3 == 0 {
			g = withLauncher(rng, g)
		}
		before := u.Clone()
		p := solved(t, u, g)
		require.Equal(t, before.Free, u.Free, "seed %d: Solve changed the usage", seed)
		require.Equal(t, p, solved(t, u, g), "seed %d: the same input gave another plan", seed)
		if p.Refusal == nil {
			placed++
		}
	}
	require.Greater(t, placed, 1000, "too few of the cases can be placed")
	require.Less(t, placed, 2700, "too few of the cases are refused")
}

// A free node can only help: whoever could be placed still can.
func TestSolve_FreeNodeNeverHurts(t *testing.T) {
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 4))
		u, g := large(rng)
		if seed%2 == 0 {
			u, g = small(rng)
		}
		if solved(t, u, g).Refusal != nil {
			continue
		}
		wider, moved := addNode(t, rng, u, g)
		require.Nil(t, solved(t, wider, moved).Refusal, "seed %d\n%s%+v", seed, topology.FormatUsage(u), *g)
	}
}

// addNode copies a case with one more node, like one of the others but empty.
func addNode(t *testing.T, rng *rand.Rand, u *topology.Usage, g *gang.Gang) (*topology.Usage, *gang.Gang) {
	like := topology.NodeID(rng.IntN(len(u.Tree.Nodes)))
	twin := u.Tree.Nodes[like]
	twin.Name = "new"
	wider, moved := rebuild(t, u, g, append(slices.Clone(u.Tree.Nodes), twin), func(name string) string {
		if name == "new" {
			return u.Tree.Nodes[like].Name
		}
		return name
	})
	n, _ := wider.Tree.NodeByName("new")
	copy(wider.FreeRow(n), wider.CapacityRow(n))
	return wider, moved
}

// rebuild makes the case anew over other nodes; was tells which old node each
// of them takes its state from.
func rebuild(t *testing.T, u *topology.Usage, g *gang.Gang, nodes []topology.Node, was func(string) string) (*topology.Usage, *gang.Gang) {
	tree, err := topology.NewTree(u.Tree.Main().Levels, nodes)
	require.NoError(t, err)
	tree = withChainsOf(tree, u.Tree, was)
	v := topology.NewUsage(tree, u.Resources)
	v.Cordoned = make([]bool, len(nodes))
	moved := *g
	if g.Tree != nil {
		moved.Tree = withChainsOf(tree, g.Tree, was)
	}
	moved.Roles = slices.Clone(g.Roles)
	for r := range moved.Roles {
		if moved.Roles[r].Filter != nil {
			moved.Roles[r].Filter = &gang.Filter{Exclusions: make([]gang.Exclusion, len(nodes))}
		}
	}
	now := map[topology.NodeID]topology.NodeID{}
	for n := range tree.Nodes {
		old, ok := u.Tree.NodeByName(was(tree.Nodes[n].Name))
		require.True(t, ok)
		id := topology.NodeID(n)
		now[old] = id
		copy(v.FreeRow(id), u.FreeRow(old))
		copy(v.CapacityRow(id), u.CapacityRow(old))
		v.Cordoned[n] = u.Cordoned != nil && u.Cordoned[old]
		for r := range moved.Roles {
			if moved.Roles[r].Filter != nil {
				moved.Roles[r].Filter.Exclusions[n] = g.Roles[r].Filter.Exclusions[old]
			}
		}
	}
	moved.Bound = slices.Clone(g.Bound)
	for i, b := range moved.Bound {
		if b.Node >= 0 && int(b.Node) < len(u.Tree.Nodes) {
			moved.Bound[i].Node = now[b.Node]
		}
	}
	return v, &moved
}

// withChainsOf adds to a tree the levels that cross old and not the tree yet.
func withChainsOf(tree, old *topology.Tree, was func(string) string) *topology.Tree {
	var chain topology.Chain
	for l := len(tree.Levels); l < len(old.Levels); l++ {
		level := topology.ChainLevel{Name: old.Levels[l]}
		for _, n := range tree.Nodes {
			id, _ := old.NodeByName(was(n.Name))
			name := ""
			if d, ok := old.DomainAt(id, topology.Level(l)); ok {
				name = old.Domains[d].Name
			}
			level.Domains = append(level.Domains, name)
		}
		chain = append(chain, level)
	}
	if chain == nil {
		return tree
	}
	return tree.WithCrossing(chain)
}

// Names are only names: what nodes and domains are called does not decide
// whether a gang fits.
func TestSolve_RenamingKeepsFeasibility(t *testing.T) {
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 5))
		u, g := large(rng)
		if seed%2 == 0 {
			u, g = small(rng)
		}
		names := rng.Perm(len(u.Tree.Nodes))
		old := map[string]string{}
		nodes := slices.Clone(u.Tree.Nodes)
		for i := range nodes {
			nodes[i].Name = fmt.Sprintf("x%d", names[i])
			old[nodes[i].Name] = u.Tree.Nodes[i].Name
			nodes[i].Domains = slices.Clone(nodes[i].Domains)
			for l, d := range nodes[i].Domains {
				if d != "" {
					nodes[i].Domains[l] = fmt.Sprintf("%x", d[len(d)-1]^5) + d
				}
			}
		}
		v, h := rebuild(t, u, g, nodes, func(name string) string { return old[name] })
		require.Equal(t, solved(t, u, g).Refusal == nil, solved(t, v, h).Refusal == nil, "seed %d", seed)
	}
}

// A Planner that follows the changes gives the plans of a fresh Solve.
func TestPlanner_AgreesWithSolve(t *testing.T) {
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 6))
		u := largeUsage(rng)
		p := NewPlanner(u)
		gangs := make([]*gang.Gang, 6)
		for i := range gangs {
			gangs[i] = largeGang(rng, u)
			if rng.IntN(2) == 0 {
				withLauncher(rng, gangs[i])
			}
			if rng.IntN(2) == 0 {
				gangs[i].Roles[0].Filter = &gang.Filter{Exclusions: make([]gang.Exclusion, len(u.Tree.Nodes))}
			}
		}
		var running []func()
		for step := range 40 {
			g := gangs[rng.IntN(len(gangs))]
			plan := p.Solve(g)
			require.Equal(t, solved(t, u, g), plan, "seed %d step %d", seed, step)
			for r, nodes := range plan.Nodes {
				for _, n := range nodes {
					if n != NoNode {
						p.AllocateOn(n, g.Roles[r].Request)
						running = append(running, func() { p.ReleaseOn(n, g.Roles[r].Request) })
					}
				}
			}
			for len(running) > 0 && rng.IntN(3) > 0 {
				i := rng.IntN(len(running))
				running[i]()
				running = slices.Delete(running, i, i+1)
			}
			if f := g.Roles[0].Filter; f != nil {
				n := topology.NodeID(rng.IntN(len(f.Exclusions)))
				f.Exclusions[n] = gang.Exclusion(rng.IntN(int(gang.NumExclusions)))
				p.MarkChanged(n)
			}
		}
	}
}

// The same on small clusters, where gangs of every kind meet: repairs, roles,
// refusals after many tries.
func TestPlanner_AgreesWithSolveOnSmallClusters(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 8))
		u := smallUsage(rng)
		p := NewPlanner(u)
		for step := range 30 {
			g := smallGang(rng, u)
			plan := p.Solve(g)
			require.Equal(t, solved(t, u, g), plan, "seed %d step %d", seed, step)
			for range rng.IntN(3) {
				n := topology.NodeID(rng.IntN(len(u.Tree.Nodes)))
				u.FreeRow(n)[rng.IntN(len(u.Resources))] = int64(rng.IntN(6) - 1)
				p.MarkChanged(n)
			}
		}
	}
}
