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
			u.Take(id, []int64{8, 64_000, 1 << 40, 8})
		case n%5 == 2:
			u.Take(id, []int64{4, 32_000, 1 << 39, 4})
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
	rack, _ := u.Tree.Level("rack")
	return &gang.Gang{
		Name: "train", MinCount: count, Required: topology.NoLevel, Preferred: rack,
		Roles: []gang.Role{{Count: count, Request: []int64{gpus, 16_000, 1 << 36, 1}, Required: topology.NoLevel, With: -1}},
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
