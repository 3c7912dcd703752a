// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// GPURequirements is what a pod asks of the GPUs of its node, apart from their number.
// The zero value asks for whole devices.
type GPURequirements struct {
	gpu.Requirements
	// Profile is the MIG profile of a pod that asks for one by resource name,
	// such as "1g.10gb"; the memory floor then concerns the instance.
	Profile string
}

// sharingLabels are the node labels that say how GPUs are cut or shared. A pod
// that selects nodes by one of them has chosen, and is left its choice.
var sharingLabels = gpu.SharingLabels()

// Sharing says what a pod gets that asks for nvidia.com/gpu and says nothing
// else about its GPUs.
type Sharing bool

// WholeOnly keeps such pods off MIG instances and time-shared GPUs; AnyShare
// does not.
const (
	WholeOnly Sharing = false
	AnyShare  Sharing = true
)

// GPURequirementsOf reads the wish of a pod. Models and memory are those of its gang,
// or its own. A pod that asks for whole devices, such as nvidia.com/gpu, gets whole
// ones, unless its models or its node selector say otherwise, or the policy where it names
// neither model nor memory.
func (s Sharing) GPURequirementsOf(pod *v1.Pod, models []string, memory gpu.MemoryFloor) GPURequirements {
	devices, some, profile := false, len(pod.Spec.ResourceClaims) > 0, ""
	for name, quantity := range PodRequests(pod) {
		if quantity.IsZero() || !topology.IsGPU(string(name)) {
			continue
		}
		some = true
		devices = devices || gpu.KindOf(string(name)) == gpu.WholeDevice
		if p, ok := strings.CutPrefix(string(name), gpu.ResourcePrefix); ok && p > profile {
			profile = p
		}
	}
	if !some {
		return GPURequirements{Requirements: gpu.Requirements{AnyShare: true}}
	}
	plain := len(models) == 0 && memory == 0
	return GPURequirements{
		Requirements: gpu.Requirements{Models: models, Memory: memory, AnyShare: !devices || selectsSharing(pod) || plain && s == AnyShare},
		Profile:      strings.TrimSuffix(profile, ".shared"),
	}
}

func selectsSharing(pod *v1.Pod) bool {
	for _, label := range sharingLabels {
		if _, ok := pod.Spec.NodeSelector[label]; ok {
			return true
		}
	}
	required := constraintsOf(pod).Affinity
	if required == nil {
		return false
	}
	return slices.ContainsFunc(required.NodeSelectorTerms, func(term v1.NodeSelectorTerm) bool {
		return slices.ContainsFunc(term.MatchExpressions, func(r v1.NodeSelectorRequirement) bool {
			return slices.Contains(sharingLabels, r.Key)
		})
	})
}

// AcceptsAny reports whether every node satisfies the wish.
func (w *GPURequirements) AcceptsAny() bool { return w.AnyShare && len(w.Models) == 0 && w.Memory == 0 }

// CheckNode tells why the GPUs of a node do not suit, or returns nil.
func (w *GPURequirements) CheckNode(node *v1.Node) *gpu.Refusal {
	if w.AcceptsAny() {
		return nil
	}
	known := gpuNodes.nodeOf(node)
	if w.Profile == "" {
		_, why := known.MatchModels(w.Requirements)
		return why
	}
	requirements := w.Requirements
	requirements.Memory = 0
	if _, why := known.MatchModels(requirements); why != nil {
		return why
	}
	slice := known.Product
	slice.Profile = w.Profile
	if !w.Memory.IsSatisfiedBy(slice, 0) {
		return &gpu.Refusal{Mismatch: gpu.TooLittleMemory, Found: "MIG instances " + w.Profile, Want: "GPUs with " + w.Memory.String()}
	}
	return nil
}

// exclusionOf is Refuse in the words of a plan.
func (w *GPURequirements) exclusionOf(node *v1.Node) gang.Exclusion {
	refusal := w.CheckNode(node)
	switch {
	case refusal == nil:
		return gang.Eligible
	case refusal.Mismatch == gpu.NotWhole:
		return gang.Shared
	case refusal.Mismatch == gpu.TooLittleMemory:
		return gang.SmallMemory
	case refusal.Mismatch == gpu.UnknownModel:
		return gang.UnknownModel
	case refusal.Mismatch == gpu.UnknownMemory:
		return gang.UnknownMemory
	}
	return gang.WrongModel
}

// nodeKind is what decides whether a node's GPUs suit a pod.
type nodeKind struct {
	labels gpu.DeviceLabels
	// advertised is the number of devices of the resources that a label counts.
	advertised int64
	// devices says that there are devices, and sharing that their memory is handed
	// out beside them.
	devices, sharing bool
}

func kindOfNode(node *v1.Node) nodeKind {
	var kind nodeKind
	for name, quantity := range node.Status.Capacity {
		if what := gpu.KindOf(string(name)); what != gpu.NoDevice && !quantity.IsZero() {
			kind.devices = kind.devices || what != gpu.DeviceMeasure
			kind.sharing = kind.sharing || gpu.SharesMemory(string(name))
		}
	}
	if !kind.devices && node.Labels[gpu.ProductLabel] == "" {
		return kind // most nodes without GPUs, at little cost
	}
	kind.labels = gpu.ReadDeviceLabels(node.Labels, node.Annotations)
	kind.advertised = kind.labels.Advertised(func(resource string) int64 {
		quantity := node.Status.Capacity[v1.ResourceName(resource)]
		return quantity.Value()
	})
	return kind
}

// gpuNodeCache remembers what labels mean. A cluster has few kinds of nodes.
type gpuNodeCache struct {
	mu    sync.RWMutex
	nodes map[nodeKind]*gpu.Node
}

var gpuNodes = gpuNodeCache{nodes: map[nodeKind]*gpu.Node{}}

// maxGPUNodes bounds the memory that labels of passing nodes take up.
const maxGPUNodes = 4096

func (k *gpuNodeCache) nodeOf(node *v1.Node) *gpu.Node {
	kind := kindOfNode(node)
	k.mu.RLock()
	known, ok := k.nodes[kind]
	k.mu.RUnlock()
	if ok {
		return known
	}
	facts := gpu.NodeFacts{Capacity: countsOf(node.Status.Capacity)}
	if kind.labels != (gpu.DeviceLabels{}) {
		facts.Labels, facts.Annotations = node.Labels, node.Annotations
	}
	if facts.Allocatable = facts.Capacity; kind.labels.Product != "" {
		// Whether GPUs are allocatable at the moment does not change their kind.
		facts.Allocatable = map[string]int64{gpu.Resource: 1}
	}
	read := gpu.ReadNode(facts)
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.nodes) >= maxGPUNodes {
		clear(k.nodes)
	}
	k.nodes[kind] = &read
	return &read
}

// GPUNode reads all that the API server says of a node's GPUs.
func GPUNode(node *v1.Node) gpu.Node {
	return gpu.ReadNode(gpu.NodeFacts{
		Labels: node.Labels, Annotations: node.Annotations,
		Allocatable: countsOf(node.Status.Allocatable), Capacity: countsOf(node.Status.Capacity),
	})
}

func countsOf(list v1.ResourceList) map[string]int64 {
	m := make(map[string]int64, len(list))
	for name, quantity := range list {
		m[string(name)] = quantity.Value()
	}
	return m
}

// CheckProfiles refuses a pod that asks for a MIG profile that no board has and
// no node offers. Boards that are not known may have it.
func CheckProfiles(pod *v1.Pod, nodes []fwk.NodeInfo) *Invalid {
	for name := range PodRequests(pod) {
		if !strings.HasPrefix(string(name), gpu.ResourcePrefix) || isKnownProfile(name) {
			continue
		}
		if slices.ContainsFunc(nodes, func(n fwk.NodeInfo) bool { return mayOffer(n.Node(), name) }) {
			continue
		}
		return &Invalid{InvalidMIGProfile, fmt.Sprintf("pod %s asks for %s: no GPU has this MIG profile, and no node offers it; %s", pod.Name, name, offeredProfiles(nodes))}
	}
	return nil
}

// mayOffer reports whether a node offers a MIG resource, if not at the moment, or has
// NVIDIA's GPUs of a product that is in no table.
func mayOffer(node *v1.Node, name v1.ResourceName) bool {
	if node == nil {
		return false
	}
	offered, asAllocatable := node.Status.Capacity[name], node.Status.Allocatable[name]
	if !offered.IsZero() || !asAllocatable.IsZero() {
		return true
	}
	product := node.Labels[gpu.ProductLabel]
	return product != "" && gpu.IsMIGProfile(string(name)) && gpu.ParseProduct(product).Family == ""
}

// offeredProfiles says which MIG instances there are.
func offeredProfiles(nodes []fwk.NodeInfo) string {
	const most = 8
	found := map[string]bool{}
	for _, n := range nodes {
		for name, amount := range n.GetAllocatable().GetScalarResources() {
			if amount > 0 && strings.HasPrefix(string(name), gpu.ResourcePrefix) {
				found[string(name)] = true
			}
		}
	}
	names := slices.Sorted(maps.Keys(found))
	switch {
	case len(names) == 0:
		return "no node offers MIG instances by name; ask for " + gpu.Resource + ", or have nodes cut (strategy \"mixed\")"
	case len(names) > most:
		return fmt.Sprintf("nodes offer %s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return "nodes offer " + strings.Join(names, ", ")
}

// isKnownProfile reports whether any board has the MIG profile of a resource.
func isKnownProfile(name v1.ResourceName) bool {
	profile := strings.TrimSuffix(string(name), ".shared")
	return slices.ContainsFunc(gpu.AllBoards(), func(b *gpu.Board) bool {
		_, err := b.FindProfile(profile)
		return err == nil
	})
}
