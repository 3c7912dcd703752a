// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
)

// gpuInventory knows the GPUs of every node and what the pods seen so far ask for.
// It is safe for concurrent use.
type gpuInventory struct {
	learner *gpu.Learner
	// sharing is the policy for plain requests, and typical the workload that
	// was given in place of what is seen.
	sharing kube.Sharing
	typical []config.TypicalPod
	claims  allocations

	mu    sync.RWMutex // guards what follows
	nodes map[string]*nodeGPUs
	// models numbers the GPU products, kinds has a node of each. A product
	// keeps its number when its last node goes.
	models   map[string]int
	kinds    []gpu.Node
	capacity []int
	// resized says that the learner does not know the capacity yet.
	resized bool
	// seen are the pods that were learned from.
	seen map[types.UID]struct{}
}

// nodeGPUs is what a node's object says of its GPUs.
type nodeGPUs struct {
	object *v1.Node
	gpu.Node
	model int
	// slices are the resources of Node.Slices.
	slices []v1.ResourceName
	// reach[count] is the last score of the links of a node with links, for
	// pods of count GPUs.
	reach *[gpu.MaxDevices + 1]atomic.Pointer[linkScore]
}

func newGPUInventory(args *config.GPUs, claims fwk.SharedDRAManager) *gpuInventory {
	return &gpuInventory{
		claims:  allocations{manager: claims},
		learner: gpu.NewLearner(nil, args.Weights.Merge()),
		sharing: args.SharingPolicy(), typical: args.TypicalPods,
		nodes: map[string]*nodeGPUs{}, models: map[string]int{}, seen: map[types.UID]struct{}{},
	}
}

// watchNodesAndPods follows nodes, learns from the pods that run already, so that a restart
// is no loss, and forgets pods that are gone.
func (a *gpuInventory) watchNodesAndPods(factory informers.SharedInformerFactory) error {
	if _, err := factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { a.nodeGPUsOf(obj.(*v1.Node)) },
		UpdateFunc: func(_, obj any) { a.nodeGPUsOf(obj.(*v1.Node)) },
		DeleteFunc: func(obj any) {
			if node, ok := lastState(obj).(*v1.Node); ok {
				a.removeNode(node.Name)
			}
		},
	}); err != nil {
		return err
	}
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			pod := obj.(*v1.Pod)
			if wish, err := a.requirementsOf(pod); err == nil && pod.Spec.NodeName != "" {
				a.observePod(pod, wish)
			}
		},
		DeleteFunc: func(obj any) {
			if pod, ok := lastState(obj).(*v1.Pod); ok {
				a.forgetPod(pod.UID)
			}
		},
	})
	return err
}

// of returns what a node says of its GPUs, read once for each state of it.
func (a *gpuInventory) nodeGPUsOf(node *v1.Node) *nodeGPUs {
	a.mu.RLock()
	known := a.nodes[node.Name]
	a.mu.RUnlock()
	if known != nil && known.object == node {
		return known
	}
	n := &nodeGPUs{object: node, Node: kube.GPUNode(node), model: -1}
	for name, quantity := range node.Status.Allocatable {
		if strings.HasPrefix(string(name), gpu.ResourcePrefix) && quantity.Value() > 0 {
			n.slices = append(n.slices, name)
		}
	}
	slices.Sort(n.slices) // as Node.Slices
	if n.Links != nil {
		n.reach = new([gpu.MaxDevices + 1]atomic.Pointer[linkScore])
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.adjustCapacity(a.nodes[node.Name], -1)
	n.model = a.modelIndex(n)
	a.nodes[node.Name] = n
	a.adjustCapacity(n, 1)
	return n
}

// number is the number of a node's product; -1 for a node without GPUs, and for
// products beyond those that the scorer tells apart.
func (a *gpuInventory) modelIndex(n *nodeGPUs) int {
	if n.GPUs == 0 && n.Product.Label == "" {
		return -1
	}
	model, ok := a.models[n.Product.Label]
	if ok {
		return model
	}
	if len(a.kinds) == gpu.MaxModels {
		return -1
	}
	a.models[n.Product.Label] = len(a.kinds)
	a.kinds = append(a.kinds, n.Node)
	a.capacity = append(a.capacity, 0)
	return len(a.kinds) - 1
}

func (a *gpuInventory) adjustCapacity(n *nodeGPUs, sign int) {
	if n != nil && n.model >= 0 {
		a.capacity[n.model] += sign * n.GPUs
		a.resized = true
	}
}

func (a *gpuInventory) removeNode(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.adjustCapacity(a.nodes[name], -1)
	delete(a.nodes, name)
}

func (a *gpuInventory) forgetPod(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seen, uid)
}

// observePod learns from a pod, once.
func (a *gpuInventory) observePod(pod *v1.Pod, wish kube.GPURequirements) {
	a.mu.Lock()
	_, seen := a.seen[pod.UID]
	a.seen[pod.UID] = struct{}{}
	a.mu.Unlock()
	if !seen {
		a.currentScorer()
		a.learner.ObservePod(a.requestOf(pod, wish))
	}
}

// currentScorer is the scorer of the moment.
func (a *gpuInventory) currentScorer() *gpu.Scorer {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.resized {
		a.resized = false
		if len(a.typical) > 0 {
			a.learner.SetWorkload(a.typicalWorkload(), a.capacity)
		} else {
			a.learner.SetCapacity(a.capacity)
		}
	}
	return a.learner.CurrentScorer()
}

// typicalWorkload is the typical pods in the scorer's terms. A pod whose models no node
// has is left out: it says nothing about the nodes that there are.
func (a *gpuInventory) typicalWorkload() gpu.Workload {
	var tally gpu.RequestHistogram
	for i := range a.typical {
		pod := &a.typical[i]
		r := gpu.Request{CPUMilli: pod.CPU.MilliValue(), GPUs: pod.GPUs}
		if pod.GPUs > 0 {
			r.GPUMilli = gpu.MilliPerGPU
			r.Models = a.modelsFor(gpu.Requirements{Models: pod.Models})
		}
		if r.Models != 0 || len(pod.Models) == 0 {
			tally.AddPods(r, pod.Share)
		}
	}
	return tally.TypicalWorkload(1)
}

// modelsFor is the set of the models that meet requirements; empty for any.
func (a *gpuInventory) modelsFor(w gpu.Requirements) (set gpu.ModelSet) {
	if len(w.Models) == 0 && w.Memory == 0 {
		return 0
	}
	for model := range a.kinds {
		if _, why := a.kinds[model].MatchModels(w); why == nil {
			set |= 1 << model
		}
	}
	return set
}

// requestOf is what the scorer knows of a pod.
func (a *gpuInventory) requestOf(pod *v1.Pod, wish kube.GPURequirements) gpu.Request {
	asked := kube.PodRequests(pod)
	r := gpu.Request{CPUMilli: asked.Cpu().MilliValue()}
	counted := asked[gpu.Resource]
	if r.GPUs = int(counted.Value()) + a.claims.claimedGPUs(pod); r.GPUs == 0 {
		return r
	}
	r.GPUMilli = gpu.MilliPerGPU
	a.mu.RLock()
	defer a.mu.RUnlock()
	r.Models = a.modelsFor(wish.Requirements)
	return r
}

// rowOf reads a node.
func (a *gpuInventory) rowOf(info fwk.NodeInfo) nodeRow {
	n, counted := a.nodeGPUsOf(info.Node()), countGPUs(info)
	cpu := info.GetAllocatable().GetMilliCPU() - info.GetRequested().GetMilliCPU()
	return nodeRow{
		generation: info.GetGeneration(), node: n, counted: counted,
		state:  gpu.CountedNode(n.model, cpu, counted.free, counted.total),
		slices: n.sliceScore(info),
	}
}

// sliceScore is how well a node suits a pod that asks for MIG instances.
func (n *nodeGPUs) sliceScore(info fwk.NodeInfo) int64 {
	allocatable, requested := info.GetAllocatable().GetScalarResources(), info.GetRequested().GetScalarResources()
	var room [2 * gpu.MaxDevices]int // more than any board has profiles
	free := room[:min(len(n.slices), len(room))]
	for i := range free {
		free[i] = int(allocatable[n.slices[i]] - requested[n.slices[i]])
	}
	return n.SliceScore(free, int(allocatable[gpu.Resource]-requested[gpu.Resource]))
}

// reachOf is how well count GPUs of the node can reach each other, and whether
// anything is known of that.
func (n *nodeGPUs) reachOf(f freeGPUs, count int) (gpu.LinkQuality, bool) {
	switch {
	case n.Links == nil || f.free > n.Links.DeviceCount() || count > f.free:
		return gpu.LinkQuality{}, false
	case f.exact && f.total == n.Links.DeviceCount():
		return n.Links.BestDevices(f.set, count)
	}
	return n.Links.EstimateQuality(f.free, count)
}

// linkScore is the score of the links of a node in one state.
type linkScore struct {
	freeGPUs
	count, score int
}

// linkScoreOf is the score of reachOf, from 0, as on nodes of which nothing is known,
// to 100. It is worked out once for each state of the node.
func (n *nodeGPUs) linkScoreOf(f freeGPUs, count int) int {
	if n.Links == nil {
		return 0
	}
	slot := &n.reach[min(max(0, count), gpu.MaxDevices)]
	if last := slot.Load(); last != nil && last.freeGPUs == f && last.count == count {
		return last.score
	}
	reach, _ := n.reachOf(f, count)
	slot.Store(&linkScore{f, count, reach.Score})
	return reach.Score
}

// requirementsOf reads the annotations of a single pod.
func (a *gpuInventory) requirementsOf(pod *v1.Pod) (kube.GPURequirements, error) {
	var models []string
	var memory gpu.MemoryFloor
	var err error
	if text, ok := pod.Annotations[kube.AnnotationGPUModels]; ok {
		if models, err = kube.ParseModels(text); err != nil {
			return kube.GPURequirements{}, fmt.Errorf("%s: %w", kube.AnnotationGPUModels, err)
		}
	}
	if text, ok := pod.Annotations[kube.AnnotationGPUMemory]; ok {
		if memory, err = gpu.ParseMemoryFloor(text); err != nil {
			return kube.GPURequirements{}, fmt.Errorf("%s: %w", kube.AnnotationGPUMemory, err)
		}
	}
	return a.sharing.GPURequirementsOf(pod, models, memory), nil
}

// observedPods lists the pods that were learned from.
func (a *gpuInventory) observedPods() []types.UID {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return slices.Collect(maps.Keys(a.seen))
}
