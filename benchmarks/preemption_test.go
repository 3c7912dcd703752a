// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package benchmarks

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/preemption"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// BenchmarkPreempt chooses the victims of one gang on 5,000 nodes that are full of
// 1,250 gangs of 4 nodes, and of single pods on a fifth of the nodes: racks of 16
// and blocks of 20 racks.
func BenchmarkPreempt(b *testing.B) {
	u, workloads := fullCluster(b, 5000, 4)
	for _, size := range []int{1, 8, 64, 500} {
		for name, level := range map[string]topology.Level{"cluster": topology.NoLevel, "block": 0, "rack": 1} {
			if name == "rack" && size > 16 || name == "block" && size > 320 {
				continue
			}
			b.Run(fmt.Sprintf("gang=%d/%s", size, name), func(b *testing.B) {
				p := &preemption.Problem{Usage: u, Priority: 10, Workloads: workloads, Gang: &gang.Gang{
					Name: "high", MinCount: size, Required: level, Preferred: topology.NoLevel,
					Roles: []gang.Role{{Count: size, Request: []int64{8, 64}, Required: topology.NoLevel, NearRole: -1}},
				}}
				planner := placement.NewPlanner(u)
				require.Nil(b, preemption.ChooseVictims(planner, p).Plan.Refusal)
				b.ReportAllocs()
				for b.Loop() {
					preemption.ChooseVictims(planner, p)
				}
			})
		}
	}
}

// fullCluster is a cluster of full nodes: gangs of whole nodes, but for every fifth
// group of nodes, which holds single pods of 4 and 2 GPUs.
func fullCluster(b *testing.B, nodes, perGang int) (*topology.Usage, []preemption.Workload) {
	b.Helper()
	var all []topology.Node
	for i := range nodes {
		all = append(all, topology.Node{Name: fmt.Sprintf("n%d", i), Domains: []string{fmt.Sprintf("block-%d", i/320), fmt.Sprintf("rack-%d", i/16)}})
	}
	tree, err := topology.NewTree([]string{"block", "rack"}, all)
	require.NoError(b, err)
	u := topology.NewUsage(tree, []string{topology.GPU, "cpu"})
	for n := range nodes {
		copy(u.CapacityRow(topology.NodeID(n)), []int64{8, 96})
		copy(u.FreeRow(topology.NodeID(n)), []int64{0, 24})
	}
	var workloads []preemption.Workload
	for at := 0; at < nodes; at += perGang {
		if at/perGang%5 == 4 {
			for n := at; n < at+perGang; n++ {
				for _, gpus := range []int64{4, 2, 2} {
					workloads = append(workloads, preemption.Workload{Name: fmt.Sprintf("pod-%d", len(workloads)), Pods: []preemption.Pod{
						{Node: topology.NodeID(n), Request: []int64{gpus, 8 * gpus}, Work: gpus * int64(n%977)}}})
				}
			}
			continue
		}
		w := preemption.Workload{Name: fmt.Sprintf("gang-%d", len(workloads)), Gang: true}
		for n := at; n < at+perGang; n++ {
			w.Pods = append(w.Pods, preemption.Pod{Node: topology.NodeID(n), Request: []int64{8, 64}, Work: 8 * int64(at%1009)})
		}
		workloads = append(workloads, w)
	}
	return u, workloads
}
