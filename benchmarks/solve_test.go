// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package benchmarks measures the core of Muster: see README.md for the
// commands and the figures.
package benchmarks

import (
	"fmt"
	"testing"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// fleet is a cluster of so many nodes of 8 GPUs in racks of 32 and blocks of
// 16 racks. Every seventh node is busy and every fifth half full, so that the
// racks differ.
func fleet(nodeCount int) *topology.Usage {
	nodes := make([]topology.Node, nodeCount)
	for i := range nodes {
		nodes[i] = topology.Node{
			Name:    fmt.Sprintf("node-%d", i),
			Domains: []string{fmt.Sprintf("block-%d", i/512), fmt.Sprintf("rack-%d", i/32)},
			Model:   "NVIDIA-H100-80GB-HBM3",
		}
	}
	tree, err := topology.NewTree([]string{"block", "rack"}, nodes)
	if err != nil {
		panic(err)
	}
	u := topology.NewUsage(tree, []string{"nvidia.com/gpu", "cpu", "memory", "pods"})
	for n := range tree.Nodes {
		id := topology.NodeID(n)
		copy(u.CapacityRow(id), []int64{8, 192_000, 2 << 40, 110})
		copy(u.FreeRow(id), u.CapacityRow(id))
		switch {
		case n%7 == 3:
			u.AllocateOn(id, []int64{8, 64_000, 1 << 40, 8})
		case n%5 == 2:
			u.AllocateOn(id, []int64{4, 32_000, 1 << 39, 4})
		}
	}
	return u
}

// workers is a gang of so many pods of 8 GPUs (1 if they are many for the
// fleet), as close together as can be.
func workers(u *topology.Usage, count int) *gang.Gang {
	gpus := int64(8)
	if count > len(u.Tree.Nodes)/2 {
		gpus = 1
	}
	rack, _ := u.Tree.LevelByName("rack")
	return &gang.Gang{
		Name: "train", MinCount: count, Required: topology.NoLevel, Preferred: rack,
		Roles: []gang.Role{{Count: count, Request: []int64{gpus, 16_000, 1 << 36, 1}, Required: topology.NoLevel, NearRole: -1}},
	}
}

// BenchmarkSolve plans one gang on a cluster that it has not seen before.
func BenchmarkSolve(b *testing.B) {
	for _, nodes := range []int{100, 1000, 5000} {
		u := fleet(nodes)
		for _, count := range []int{8, 64, 512} {
			g := workers(u, count)
			b.Run(fmt.Sprintf("nodes=%d/gang=%d", nodes, count), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if p := placement.Solve(u, g); p.Refusal != nil {
						b.Fatal(p.Refusal)
					}
				}
			})
		}
	}
}

// BenchmarkSolve_Large plans the largest gangs, from scratch too.
func BenchmarkSolve_Large(b *testing.B) {
	for _, nodes := range []int{5000, 20_000, 100_000} {
		u := fleet(nodes)
		g := workers(u, 1000)
		b.Run(fmt.Sprintf("nodes=%d/gang=1000", nodes), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if p := placement.Solve(u, g); p.Refusal != nil {
					b.Fatal(p.Refusal)
				}
			}
		})
	}
}

// BenchmarkCheck goes through the rules for a plan, as is done before a commit.
func BenchmarkCheck(b *testing.B) {
	u := fleet(5000)
	for _, count := range []int{8, 1000} {
		g := workers(u, count)
		plan := placement.Solve(u, g)
		b.Run(fmt.Sprintf("gang=%d", count), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := placement.Check(u, g, plan); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPlanner plans one gang after another, each time with the gang before
// it gone and the one before that back: the changes are twice the gang.
func BenchmarkPlanner(b *testing.B) {
	for _, nodes := range []int{1000, 5000, 20_000, 100_000} {
		u := fleet(nodes)
		for _, count := range []int{8, 64, 1000} {
			b.Run(fmt.Sprintf("nodes=%d/gang=%d", nodes, count), func(b *testing.B) {
				cycle(b, u, workers(u, count))
			})
		}
	}
}

// cycle plans g, takes what the plan takes, and gives back the plan before.
func cycle(b *testing.B, u *topology.Usage, g *gang.Gang) {
	p := placement.NewPlanner(u)
	var last placement.Plan
	give := func() {
		for r, nodes := range last.Nodes {
			for _, n := range nodes {
				p.ReleaseOn(n, g.Roles[r].Request)
			}
		}
	}
	defer give()
	b.ReportAllocs()
	for b.Loop() {
		plan := p.Solve(g)
		if plan.Refusal != nil {
			b.Fatal(plan.Refusal)
		}
		give()
		for r, nodes := range plan.Nodes {
			for _, n := range nodes {
				p.AllocateOn(n, g.Roles[r].Request)
			}
		}
		last = plan
	}
}

// BenchmarkPlanner_Levels grows the tree under the same nodes.
func BenchmarkPlanner_Levels(b *testing.B) {
	for levels := range 7 {
		u := tower(5000, levels)
		for _, count := range []int{8, 1000} {
			g := workers(u, count)
			g.Preferred = topology.Level(levels - 1)
			b.Run(fmt.Sprintf("levels=%d/gang=%d", levels, count), func(b *testing.B) { cycle(b, u, g) })
		}
	}
}

// tower is a fleet with so many levels, each domain of four narrower ones, the
// narrowest of 8 nodes.
func tower(nodeCount, levels int) *topology.Usage {
	flat := fleet(nodeCount)
	var names []string
	for l := range levels {
		names = append(names, fmt.Sprintf("level-%d", l))
	}
	nodes := append([]topology.Node(nil), flat.Tree.Nodes...)
	for i := range nodes {
		nodes[i].Domains = make([]string, levels)
		size := 8
		for l := levels - 1; l >= 0; l-- {
			nodes[i].Domains[l] = fmt.Sprint(i / size)
			size *= 4
		}
	}
	tree, err := topology.NewTree(names, nodes)
	if err != nil {
		panic(err)
	}
	return &topology.Usage{Tree: tree, Resources: flat.Resources, Free: flat.Free, Capacity: flat.Capacity}
}

// BenchmarkPlanner_Slices asks for nested slices and for roles.
func BenchmarkPlanner_Slices(b *testing.B) {
	u := tower(5000, 3)
	sliced := workers(u, 512)
	sliced.Slices = []gang.Slice{{Size: 16, Level: 1}, {Size: 4, Level: 2}}
	b.Run("slices=16,4/gang=512", func(b *testing.B) { cycle(b, u, sliced) })
	roles := workers(u, 512)
	roles.MinCount++
	roles.Roles = append(roles.Roles, gang.Role{
		Name: "launcher", Count: 1, Request: []int64{0, 4000, 1 << 33, 1}, Required: topology.NoLevel, NearRole: 0,
	})
	b.Run("launcher/gang=512", func(b *testing.B) { cycle(b, u, roles) })
}

// BenchmarkRefusal explains why a gang fits nowhere, which counts the whole
// cluster again as if it were empty.
func BenchmarkRefusal(b *testing.B) {
	for _, nodes := range []int{1000, 5000, 100_000} {
		u := fleet(nodes)
		p := placement.NewPlanner(u)
		g := workers(u, 40)
		g.Roles[0].Request[0] = 8
		g.Required = 1
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if plan := p.Solve(g); plan.Refusal == nil {
					b.Fatal("a rack of 32 holds 40")
				}
			}
		})
	}
}
