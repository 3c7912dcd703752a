// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package benchmarks

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/noderesources"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/sim/packing"
)

const (
	scoredNodes = 5000
	gpusPerNode = 8
)

// used is how many GPUs are taken on a node of the benchmark.
func used(node int) int { return node * 7 % (gpusPerNode + 1) }

// cores is the number of free cores there, different from node to node.
func cores(node int) int { return 12*(gpusPerNode-used(node)) + node%97 }

// BenchmarkScore measures one pod of one GPU on one of 5,000 nodes, in turn:
// Muster's score of a shape that it has met, of one that it has not, and beside
// it MostAllocated, upstream's way to pack.
func BenchmarkScore(b *testing.B) {
	e, err := packing.Load("default")
	require.NoError(b, err)
	pod := &gpu.Request{CPUMilli: 8000, GPUs: 1, GPUMilli: gpu.Whole}
	nodes := make([]gpu.NodeState, scoredNodes)
	for i := range nodes {
		nodes[i] = gpu.CountedNode(0, int64(cores(i))*1000, gpusPerNode-used(i), gpusPerNode)
	}
	scorer := func() *gpu.Scorer {
		return gpu.NewScorer(e.Typical(), []int{scoredNodes * gpusPerNode}, gpu.DefaultWeights())
	}
	b.Run("muster/known-shape", func(b *testing.B) {
		s := scorer()
		for i := range nodes {
			s.Score(&nodes[i], pod)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			s.Score(&nodes[i%scoredNodes], pod)
		}
	})
	b.Run("muster/new-shape", func(b *testing.B) {
		s := scorer()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			n := nodes[i%scoredNodes]
			n.CPUMilli += int64(i) * 1_000_000 // never seen before
			s.Score(&n, pod)
		}
	})
	b.Run("upstream/MostAllocated", benchmarkMostAllocated)
}

func benchmarkMostAllocated(b *testing.B) {
	resources := []config.ResourceSpec{{Name: "cpu", Weight: 1}, {Name: "nvidia.com/gpu", Weight: 1}}
	plugin, err := noderesources.NewFit(b.Context(), &config.NodeResourcesFitArgs{
		ScoringStrategy: &config.ScoringStrategy{Type: config.MostAllocated, Resources: resources},
	}, nil, feature.Features{})
	require.NoError(b, err)
	fit := plugin.(*noderesources.Fit)
	pod := gpuPod("p", 8, 1)
	nodes := make([]fwk.NodeInfo, scoredNodes)
	for i := range nodes {
		info := framework.NewNodeInfo(gpuPod(fmt.Sprint("on-", i), 12*gpusPerNode+97-cores(i), used(i)))
		info.SetNode(&v1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("node-", i)},
			Status:     v1.NodeStatus{Allocatable: amounts(12*gpusPerNode+97, gpusPerNode)},
		})
		nodes[i] = info
	}
	state := framework.NewCycleState()
	require.True(b, fit.PreScore(b.Context(), state, pod, nodes).IsSuccess())
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, status := fit.Score(b.Context(), state, pod, nodes[i%scoredNodes]); !status.IsSuccess() {
			b.Fatal(status)
		}
	}
}

func amounts(cores, gpus int) v1.ResourceList {
	return v1.ResourceList{
		"cpu":            *resource.NewQuantity(int64(cores), resource.DecimalSI),
		"nvidia.com/gpu": *resource.NewQuantity(int64(gpus), resource.DecimalSI),
	}
}

func gpuPod(name string, cores, gpus int) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1.PodSpec{Containers: []v1.Container{{
			Name: "main", Resources: v1.ResourceRequirements{Requests: amounts(cores, gpus), Limits: amounts(cores, gpus)},
		}}},
	}
}

// BenchmarkPacking replays the published experiments in full and writes the
// tables of packing.md: run it with -benchtime 1x.
func BenchmarkPacking(b *testing.B) {
	for b.Loop() {
		require.NoError(b, packing.WriteTable(os.Stdout, packing.Options{
			Workloads: packing.Workloads(),
			Policies:  []string{"muster", "muster-learned", "fgd", "bestfit", "packing", "random"},
			Seeds:     packing.PublishedSeeds(),
			Load:      100,
			Workers:   2,
		}))
		require.NoError(b, packing.WriteMIGTable(os.Stdout, packing.MIGOptions{
			Boards:   []string{"A100-80GB", "H100-94GB", "A30-24GB", "RTX-PRO-6000-96GB"},
			Loads:    []float64{0.7, 0.85, 1, 1.3},
			Devices:  128,
			Arrivals: 8000,
			Seeds:    []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
		}))
	}
}
