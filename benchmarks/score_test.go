// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package benchmarks

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/noderesources"

	"github.com/muster-scheduler/muster/internal/sim/packing"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/plugin"
	pluginconfig "github.com/muster-scheduler/muster/pkg/plugin/config"
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
// Muster's score of a shape that it has met, of one that it has not, and the
// plugin around it; beside them MostAllocated, upstream's way to pack.
func BenchmarkScore(b *testing.B) {
	e, err := packing.LoadExperiment("default")
	require.NoError(b, err)
	pod := &gpu.Request{CPUMilli: 8000, GPUs: 1, GPUMilli: gpu.MilliPerGPU}
	nodes := make([]gpu.NodeState, scoredNodes)
	for i := range nodes {
		nodes[i] = gpu.CountedNode(0, int64(cores(i))*1000, gpusPerNode-used(i), gpusPerNode)
	}
	scorer := func() *gpu.Scorer {
		return gpu.NewScorer(e.TypicalWorkload(), []int{scoredNodes * gpusPerNode}, gpu.DefaultWeights())
	}
	b.Run("muster/known-shape", func(b *testing.B) {
		s := scorer()
		for i := range nodes {
			s.ScoreNode(&nodes[i], pod)
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			s.ScoreNode(&nodes[i%scoredNodes], pod)
		}
	})
	b.Run("muster/new-shape", func(b *testing.B) {
		s := scorer()
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			n := nodes[i%scoredNodes]
			n.CPUMilli += int64(i) * 1_000_000 // never seen before
			s.ScoreNode(&n, pod)
		}
	})
	b.Run("plugin/score", func(b *testing.B) { benchmarkPlugin(b, false) })
	b.Run("plugin/cycle", func(b *testing.B) { benchmarkPlugin(b, true) })
	b.Run("upstream/MostAllocated", benchmarkMostAllocated)
}

// handle is what the plugin needs of the scheduler to score single pods.
type handle struct {
	fwk.Handle
	fwk.SharedLister
	fwk.NodeInfoLister

	factory informers.SharedInformerFactory
	nodes   []fwk.NodeInfo
}

func (h *handle) SharedInformerFactory() informers.SharedInformerFactory { return h.factory }
func (h *handle) SharedDRAManager() fwk.SharedDRAManager                 { return nil }
func (h *handle) SnapshotSharedLister() fwk.SharedLister                 { return h }
func (h *handle) NodeInfos() fwk.NodeInfoLister                          { return h }
func (h *handle) List() ([]fwk.NodeInfo, error)                          { return h.nodes, nil }

// noGroups is a cluster without gangs.
type noGroups struct{ plugin.Groups }

func (noGroups) GroupOf(*v1.Pod) string                  { return "" }
func (noGroups) FollowNominations(func(*v1.Pod, string)) {}
func (noGroups) Leading() <-chan struct{}                { return nil }

// benchmarkPlugin measures the plugin as the framework calls it, per node: Score
// alone, or all of PreScore, Score and NormalizeScore for one pod after another,
// where a node changes between two pods.
func benchmarkPlugin(b *testing.B, cycle bool) {
	pl, nodes := newPlugin(b)
	pod := gpuPod("p", 8, 1)
	state := framework.NewCycleState()
	scores := make(fwk.NodeScoreList, len(nodes))
	start := func() { require.True(b, pl.PreScore(b.Context(), state, pod, nodes).IsSuccess()) }
	at := func(i int) {
		score, _ := pl.Score(b.Context(), state, pod, nodes[i])
		scores[i] = fwk.NodeScore{Name: nodes[i].Node().Name, Score: score}
	}
	end := func() { require.True(b, pl.NormalizeScore(b.Context(), state, pod, scores).IsSuccess()) }
	start()
	for i := range nodes {
		at(i)
	}
	b.ReportAllocs()
	done, before := 0, processorTime(b)
	for b.Loop() {
		at(done % scoredNodes)
		if done++; cycle && done%scoredNodes == 0 {
			end()
			changed := nodes[done/scoredNodes%scoredNodes].(*framework.NodeInfo)
			changed.SetNode(changed.Node())
			start()
		}
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(done), "cpu-ns/op")
}

// newPlugin is a plugin that has met pods of 1 and of 8 GPUs, in a cluster of
// racks of 16 nodes.
func newPlugin(b *testing.B) (*plugin.Plugin, []fwk.NodeInfo) {
	args, err := pluginconfig.Decode(nil)
	require.NoError(b, err)
	h := &handle{nodes: takenNodes(), factory: informers.NewSharedInformerFactory(fake.NewClientset(), 0)}
	pl, err := plugin.New(b.Context(), args, h, noGroups{})
	require.NoError(b, err)
	for i := range 40 {
		pod := gpuPod("seen", 8, 1+i%2*7)
		pod.UID = types.UID(fmt.Sprint(i))
		_, status := pl.PreFilter(b.Context(), framework.NewCycleState(), pod, h.nodes)
		require.True(b, status.IsSuccess(), status.Message())
	}
	return pl, h.nodes
}

// processorTime is what this process has used: on a busy machine it says more
// than the time that has passed.
func processorTime(b *testing.B) int64 {
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return used.Utime.Nano() + used.Stime.Nano()
}

// takenNodes is the nodes in racks, with what is taken of them.
func takenNodes() []fwk.NodeInfo {
	nodes := make([]fwk.NodeInfo, scoredNodes)
	for i := range nodes {
		info := framework.NewNodeInfo(gpuPod(fmt.Sprint("on-", i), 12*gpusPerNode+97-cores(i), used(i)))
		name := fmt.Sprint("node-", i)
		info.SetNode(&v1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
				v1.LabelHostname: name, "topology.kubernetes.io/rack": fmt.Sprint("rack-", i/16), gpu.ProductLabel: "NVIDIA-H100-80GB-HBM3",
			}},
			Status: v1.NodeStatus{Allocatable: amounts(12*gpusPerNode+97, gpusPerNode)},
		})
		nodes[i] = info
	}
	return nodes
}

func benchmarkMostAllocated(b *testing.B) {
	resources := []config.ResourceSpec{{Name: "cpu", Weight: 1}, {Name: "nvidia.com/gpu", Weight: 1}}
	plugin, err := noderesources.NewFit(b.Context(), &config.NodeResourcesFitArgs{
		ScoringStrategy: &config.ScoringStrategy{Type: config.MostAllocated, Resources: resources},
	}, nil, feature.Features{})
	require.NoError(b, err)
	fit := plugin.(*noderesources.Fit)
	pod := gpuPod("p", 8, 1)
	nodes := takenNodes()
	state := framework.NewCycleState()
	require.True(b, fit.PreScore(b.Context(), state, pod, nodes).IsSuccess())
	b.ReportAllocs()
	done, before := 0, processorTime(b)
	for b.Loop() {
		if _, status := fit.Score(b.Context(), state, pod, nodes[done%scoredNodes]); !status.IsSuccess() {
			b.Fatal(status)
		}
		done++
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(done), "cpu-ns/op")
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
			Workloads: packing.WorkloadNames(),
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
