// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// offer is a node that offers count of a resource, used of them in use.
func offer(name, product string, device v1.ResourceName, count, used int64) fwk.NodeInfo {
	resources := v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("128"), v1.ResourceMemory: resource.MustParse("512Gi"), v1.ResourcePods: resource.MustParse("110"),
	}
	if count > 0 {
		resources[device] = *resource.NewQuantity(count, resource.DecimalSI)
	}
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}, Status: v1.NodeStatus{Allocatable: resources, Capacity: resources}}
	if product != "" {
		node.Labels[gpu.ProductLabel] = product
	}
	info := framework.NewNodeInfo()
	info.SetNode(node)
	if used > 0 {
		info.AddPod(want("on-"+name, device, used))
	}
	return info
}

func want(name string, device v1.ResourceName, count int64) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Annotations: map[string]string{}}}
	p.Spec.Containers = []v1.Container{{Name: "main", Resources: v1.ResourceRequirements{Requests: v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("1"), device: *resource.NewQuantity(count, resource.DecimalSI),
	}}}}
	return p
}

func alone() *Plugin { return with(&config.GPUs{}) }

func with(args *config.GPUs) *Plugin {
	all, err := config.Decode(nil)
	if err != nil {
		panic(err)
	}
	reports := newReporter(nil, byLabel{})
	gangs := newGangQueue(&snapshot{}, all.TopologyLevels(), reports, queue.Config{})
	planner := newPlanner(all, gangs, newBarriers(gangs, 0))
	return &Plugin{
		gangs: gangs, planner: planner,
		scorer: &podScorer{gpus: newGPUInventory(args, nil), planner: planner, reports: reports},
	}
}

// snapshot is a handle that knows a list of nodes and nothing else.
type snapshot struct {
	fwk.Handle
	fwk.SharedLister
	fwk.NodeInfoLister

	nodes []fwk.NodeInfo
}

func (s *snapshot) SnapshotSharedLister() fwk.SharedLister { return s }
func (s *snapshot) NodeInfos() fwk.NodeInfoLister          { return s }
func (s *snapshot) List() ([]fwk.NodeInfo, error)          { return s.nodes, nil }
func (s *snapshot) Get(string) (fwk.NodeInfo, error)       { return nil, fmt.Errorf("not needed") }

// learned is a plugin that has seen pods of 1 and of 8 GPUs.
func learned() *Plugin {
	pl := alone()
	for i := range 40 {
		pod := want(fmt.Sprint("seen-", i), gpu.Resource, int64(1+i%2*7))
		pl.scorer.gpus.observePod(pod, kube.WholeOnly.GPURequirementsOf(pod, nil, 0))
	}
	return pl
}

// refusedBy runs the plugin's filters for a single pod on one node.
func refusedBy(t *testing.T, pl *Plugin, pod *v1.Pod, info fwk.NodeInfo) string {
	t.Helper()
	state := framework.NewCycleState()
	_, status := pl.PreFilter(context.Background(), state, pod, []fwk.NodeInfo{info})
	if status.IsRejected() {
		return status.Message()
	}
	return pl.Filter(context.Background(), state, pod, info).Message()
}

// scores runs the plugin's scoring for a pod in a cluster of these nodes.
func scores(t *testing.T, pl *Plugin, pod *v1.Pod, nodes ...fwk.NodeInfo) map[string]int64 {
	t.Helper()
	pl.planner.handle = &snapshot{nodes: nodes}
	ctx, state := context.Background(), framework.NewCycleState()
	require.Nil(t, pl.PreScore(ctx, state, pod, nodes))
	var list fwk.NodeScoreList
	for _, n := range nodes {
		score, status := pl.Score(ctx, state, pod, n)
		require.Nil(t, status)
		list = append(list, fwk.NodeScore{Name: n.Node().Name, Score: score})
	}
	require.Nil(t, pl.ScoreExtensions().NormalizeScore(ctx, state, pod, list))
	byName := map[string]int64{}
	for i, s := range list {
		assert.Equal(t, nodes[i].Node().Name, s.Name, "the list keeps its order")
		assert.True(t, s.Score >= fwk.MinScore && s.Score <= fwk.MaxScore, "%s has %d", s.Name, s.Score)
		byName[s.Name] = s.Score
	}
	return byName
}

// best is the node with the highest score; only one may have it.
func best(t *testing.T, byName map[string]int64) string {
	t.Helper()
	found := ""
	for name, score := range byName {
		if score == fwk.MaxScore {
			assert.Empty(t, found, "two nodes are the best")
			found = name
		}
	}
	return found
}

func TestScore_PicksOneNode(t *testing.T) {
	const product = "NVIDIA-H100-80GB-HBM3"
	whole := func(name string, used int64) fwk.NodeInfo { return offer(name, product, gpu.Resource, 8, used) }
	cut := func(name string, used int64) fwk.NodeInfo {
		return offer(name, product, "nvidia.com/mig-1g.10gb", 7, used)
	}
	rows := []struct {
		name  string
		pod   *v1.Pod
		nodes []fwk.NodeInfo
		want  string
	}{
		{"a GPU is taken from the node that is nearly full", want("p", gpu.Resource, 1), []fwk.NodeInfo{whole("a", 0), whole("b", 6), whole("c", 2)}, "b"},
		{"of equal nodes the first by name wins", want("p", gpu.Resource, 1), []fwk.NodeInfo{whole("c", 2), whole("b", 2), whole("d", 2)}, "b"},
		{"pods of several GPUs leave whole nodes whole", want("p", gpu.Resource, 2), []fwk.NodeInfo{whole("a", 0), whole("b", 6)}, "b"},
		{"MIG instances go where most are in use", want("p", "nvidia.com/mig-1g.10gb", 1), []fwk.NodeInfo{cut("a", 1), cut("b", 5), cut("c", 0)}, "b"},
		{"other devices are packed", want("p", "amd.com/gpu", 1), []fwk.NodeInfo{offer("a", "", "amd.com/gpu", 8, 1), offer("b", "", "amd.com/gpu", 8, 4)}, "b"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			assert.Equal(t, row.want, best(t, scores(t, alone(), row.pod, row.nodes...)), "before anything is learned")
			assert.Equal(t, row.want, best(t, scores(t, learned(), row.pod, row.nodes...)), "with a workload")
		})
	}
}

func TestScore_KeepsPodsWithoutDevicesOffGPUNodes(t *testing.T) {
	got := scores(t, alone(), want("p", v1.ResourceMemory, 1), offer("a", "", gpu.Resource, 8, 0), offer("b", "", "", 0, 0), offer("c", "", "", 0, 0))
	assert.Equal(t, map[string]int64{"a": 0, "b": 100, "c": 100}, got)
}

func TestScore_PrefersLinkedGPUs(t *testing.T) {
	slow := offer("a", "NVIDIA-A100-PCIE-40GB", gpu.Resource, 4, 0)
	slow.Node().Annotations = map[string]string{gpu.LinksAnnotation: "4*SYS"}
	fast := offer("b", "NVIDIA-A100-PCIE-40GB", gpu.Resource, 4, 0)
	fast.Node().Annotations = map[string]string{gpu.LinksAnnotation: "4*NV12"}
	assert.Equal(t, "b", best(t, scores(t, learned(), want("two", gpu.Resource, 2), slow, fast)))
	assert.Equal(t, "a", best(t, scores(t, learned(), want("one", gpu.Resource, 1), slow, fast)), "one GPU needs no link")
}

func TestScore_WhatThePodPrefersIsHeard(t *testing.T) {
	nodes := []fwk.NodeInfo{offer("a", "", gpu.Resource, 8, 0), offer("b", "", gpu.Resource, 8, 0)}
	assert.Equal(t, map[string]int64{"a": 100, "b": 99 - preferenceMargin}, scores(t, alone(), want("p", gpu.Resource, 1), nodes...))
	p := want("p", gpu.Resource, 1)
	p.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []v1.PreferredSchedulingTerm{{Weight: 1}}}}
	assert.Equal(t, map[string]int64{"a": 100, "b": 99}, scores(t, alone(), p, nodes...))
}

func TestAppraiser_LearnsEachPodOnceAndFollowsNodes(t *testing.T) {
	a := newGPUInventory(&config.GPUs{}, nil)
	h100, t4 := offer("a", "NVIDIA-H100-80GB-HBM3", gpu.Resource, 8, 0).Node(), offer("b", "Tesla-T4", gpu.Resource, 4, 0).Node()
	a.nodeGPUsOf(h100)
	a.nodeGPUsOf(t4)
	a.nodeGPUsOf(h100)
	assert.Equal(t, []int{8, 4}, a.capacity)
	wish, err := a.requirementsOf(want("p", gpu.Resource, 1))
	require.NoError(t, err)
	for range 40 {
		a.observePod(want("same", gpu.Resource, 1), wish)
	}
	assert.Empty(t, a.currentScorer().Workload(), "one pod is no workload")
	for i := range 40 {
		a.observePod(want(fmt.Sprint(i), gpu.Resource, 1), wish)
	}
	assert.Len(t, a.currentScorer().Workload(), 1)

	choosy := want("choosy", gpu.Resource, 1)
	choosy.Annotations[kube.AnnotationGPUModels] = "T4"
	wish, err = a.requirementsOf(choosy)
	require.NoError(t, err)
	assert.Equal(t, gpu.ModelSet(1<<1), a.requestOf(choosy, wish).Models)

	a.removeNode("a")
	assert.Equal(t, []int{0, 4}, a.capacity)
	smaller := t4.DeepCopy()
	smaller.Status.Allocatable[gpu.Resource] = resource.MustParse("2")
	a.nodeGPUsOf(smaller)
	assert.Equal(t, []int{0, 2}, a.capacity)
}

func TestAppraiser_ScoresByTheTypicalPodsOfTheArgs(t *testing.T) {
	a := newGPUInventory(&config.GPUs{TypicalPods: []config.TypicalPod{
		{Share: 3, GPUs: 1, CPU: resource.MustParse("2")},
		{Share: 1, GPUs: 8, Models: []string{"H100"}},
		{Share: 5, GPUs: 1, Models: []string{"B200"}},
	}}, nil)
	assert.Empty(t, a.currentScorer().Workload(), "no node is known yet")
	a.nodeGPUsOf(offer("b", "Tesla-T4", gpu.Resource, 4, 0).Node())
	a.nodeGPUsOf(offer("a", "NVIDIA-H100-80GB-HBM3", gpu.Resource, 8, 0).Node())
	want1, want8 := gpu.Request{CPUMilli: 2000, GPUs: 1, GPUMilli: gpu.MilliPerGPU}, gpu.Request{GPUs: 8, GPUMilli: gpu.MilliPerGPU, Models: 1 << 1}
	given := gpu.Workload{{Request: want1, Share: 750_000_000}, {Request: want8, Share: 250_000_000}}
	assert.Equal(t, given, a.currentScorer().Workload(), "no node has a B200")
	wish, err := a.requirementsOf(want("p", gpu.Resource, 1))
	require.NoError(t, err)
	for i := range 100 {
		a.observePod(want(fmt.Sprint(i), gpu.Resource, 2), wish)
	}
	assert.Equal(t, given, a.currentScorer().Workload(), "what is seen changes nothing")
}

func TestScore_WeighsAsTheArgsSay(t *testing.T) {
	none := int64(0)
	pl := with(&config.GPUs{Weights: config.Weights{Links: &none}, TypicalPods: []config.TypicalPod{{Share: 1, GPUs: 2}}})
	slow, fast := offer("a", "NVIDIA-A100-PCIE-40GB", gpu.Resource, 4, 0), offer("b", "NVIDIA-A100-PCIE-40GB", gpu.Resource, 4, 0)
	slow.Node().Annotations = map[string]string{gpu.LinksAnnotation: "4*SYS"}
	fast.Node().Annotations = map[string]string{gpu.LinksAnnotation: "4*NV12"}
	assert.Equal(t, "a", best(t, scores(t, pl, want("two", gpu.Resource, 2), slow, fast)), "links do not count")
}

func TestFilter_AnyLetsPlainPodsOnSlices(t *testing.T) {
	pl := with(&config.GPUs{PlainRequests: config.PlainAny})
	cut := offer("cut", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", gpu.Resource, 7, 0)
	assert.Empty(t, refusedBy(t, pl, want("p", gpu.Resource, 1), cut))
	named := want("p", gpu.Resource, 1)
	named.Annotations[kube.AnnotationGPUModels] = "A100"
	assert.Contains(t, refusedBy(t, pl, named, cut), "the pod wants whole GPUs")
}

func TestFilter_SaysWhyANodeDoesNotSuit(t *testing.T) {
	cut := offer("cut", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", gpu.Resource, 7, 0)
	assert.Equal(t, "the node has NVIDIA-A100-SXM4-40GB cut into 1g.5gb; the pod wants whole GPUs", refusedBy(t, alone(), want("p", gpu.Resource, 1), cut))
	led := want("p", gpu.Resource, 1)
	led.Annotations[kube.AnnotationGPUModels] = "MIG-1g.5gb"
	assert.Empty(t, refusedBy(t, alone(), led, cut))
	unclear := want("p", gpu.Resource, 1)
	unclear.Annotations[kube.AnnotationGPUMemory] = "plenty"
	assert.Contains(t, refusedBy(t, alone(), unclear, cut), "InvalidGangSpec: muster.sh/gpu-memory")
	assert.Contains(t, refusedBy(t, alone(), want("p", "nvidia.com/mig-9g.99gb", 1), cut), "InvalidMIGProfile: ")
}

func TestScore_SeesWhatChanged(t *testing.T) {
	pl, pod := alone(), want("p", gpu.Resource, 1)
	a, b := offer("a", "NVIDIA-H100-80GB-HBM3", gpu.Resource, 8, 4), offer("b", "NVIDIA-H100-80GB-HBM3", gpu.Resource, 8, 2)
	assert.Equal(t, "a", best(t, scores(t, pl, pod, a, b)))
	b.(*framework.NodeInfo).AddPod(want("more", gpu.Resource, 5))
	assert.Equal(t, "b", best(t, scores(t, pl, pod, a, b)), "b is the fuller one now")
	assert.Equal(t, "a", best(t, scores(t, pl, pod, a, offer("b", "NVIDIA-H100-80GB-HBM3", gpu.Resource, 8, 2))), "b is a new node of the same name")
	assert.Equal(t, "c", best(t, scores(t, pl, pod, a, offer("c", "NVIDIA-H100-80GB-HBM3", gpu.Resource, 8, 7))), "c is there in its place")
}

func TestScore_DoesNotAllocate(t *testing.T) {
	pl, ctx := learned(), context.Background()
	node := offer("a", "NVIDIA-H100-80GB-HBM3", gpu.Resource, 8, 3)
	pl.planner.handle = &snapshot{nodes: []fwk.NodeInfo{node}}
	for _, pod := range []*v1.Pod{want("whole", gpu.Resource, 2), want("slice", "nvidia.com/mig-1g.10gb", 1)} {
		state := framework.NewCycleState()
		require.Nil(t, pl.PreScore(ctx, state, pod, nil))
		assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = pl.Score(ctx, state, pod, node) }), pod.Name)
	}
}
