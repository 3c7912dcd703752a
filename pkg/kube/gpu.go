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

// GPUWish is what a pod asks of the GPUs of its node, apart from their number.
// The zero value asks for whole devices.
type GPUWish struct {
	gpu.Requirements
	// Profile is the MIG profile of a pod that asks for one by resource name,
	// such as "1g.10gb"; the memory floor then concerns the instance.
	Profile string
}

// sharingLabels are the node labels that say how GPUs are cut or shared. A pod
// that selects nodes by one of them has chosen, and is left its choice.
var sharingLabels = []string{
	gpu.ProductLabel, gpu.ReplicasLabel, "nvidia.com/gpu.sharing-strategy",
	"nvidia.com/mig.strategy", "nvidia.com/mig.config",
}

// Sharing says what a pod gets that asks for nvidia.com/gpu and says nothing
// else about its GPUs.
type Sharing bool

// WholeOnly keeps such pods off MIG instances and time-shared GPUs; AnyShare
// does not.
const (
	WholeOnly Sharing = false
	AnyShare  Sharing = true
)

// GPUWishOf reads the wish of a pod. Models and memory are those of its gang,
// or its own. A pod that asks for nvidia.com/gpu gets whole devices, unless its
// models or its node selector say otherwise, or the policy where it names
// neither model nor memory.
func (s Sharing) GPUWishOf(pod *v1.Pod, models []string, memory gpu.MemoryFloor) GPUWish {
	devices, some, profile := false, len(pod.Spec.ResourceClaims) > 0, ""
	for name, quantity := range Requests(pod) {
		if quantity.IsZero() || !topology.IsGPU(string(name)) {
			continue
		}
		some = true
		devices = devices || name == gpu.Resource
		if p, ok := strings.CutPrefix(string(name), gpu.ResourcePrefix); ok && p > profile {
			profile = p
		}
	}
	if !some {
		return GPUWish{Requirements: gpu.Requirements{AnyShare: true}}
	}
	plain := len(models) == 0 && memory == 0
	return GPUWish{
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

// Any reports whether every node satisfies the wish.
func (w *GPUWish) Any() bool { return w.AnyShare && len(w.Models) == 0 && w.Memory == 0 }

// Refuse tells why the GPUs of a node do not suit, or returns nil.
func (w *GPUWish) Refuse(node *v1.Node) *gpu.Refusal {
	if w.Any() {
		return nil
	}
	known := knownGPUs.of(node)
	if w.Profile == "" {
		_, why := known.MatchModels(w.Requirements)
		return why
	}
	wish := w.Requirements
	wish.Memory = 0
	if _, why := known.MatchModels(wish); why != nil {
		return why
	}
	slice := known.Product
	slice.Profile = w.Profile
	if !w.Memory.IsSatisfiedBy(slice, 0) {
		return &gpu.Refusal{Mismatch: gpu.TooLittleMemory, Found: "MIG instances " + w.Profile, Want: "GPUs with " + w.Memory.String()}
	}
	return nil
}

// why is Refuse in the words of a plan.
func (w *GPUWish) why(node *v1.Node) gang.Exclusion {
	refusal := w.Refuse(node)
	switch {
	case refusal == nil:
		return gang.Eligible
	case refusal.Mismatch == gpu.NotWhole:
		return gang.Shared
	case refusal.Mismatch == gpu.TooLittleMemory:
		return gang.SmallMemory
	}
	return gang.WrongModel
}

// gpuLabels are the labels that decide whether a node's GPUs suit a pod.
type gpuLabels struct{ product, memory, replicas string }

// gpuKinds remembers what labels mean. A cluster has few kinds of nodes.
type gpuKinds struct {
	mu    sync.RWMutex
	kinds map[gpuLabels]*gpu.Node
}

var knownGPUs = gpuKinds{kinds: map[gpuLabels]*gpu.Node{}}

// maxKinds bounds the memory that labels of passing nodes take up.
const maxKinds = 4096

func (k *gpuKinds) of(node *v1.Node) *gpu.Node {
	labels := gpuLabels{node.Labels[gpu.ProductLabel], node.Labels[gpu.MemoryLabel], node.Labels[gpu.ReplicasLabel]}
	k.mu.RLock()
	kind, ok := k.kinds[labels]
	k.mu.RUnlock()
	if ok {
		return kind
	}
	// Whether GPUs are allocatable at the moment does not change their kind.
	read := gpu.ReadNode(gpu.NodeFacts{Labels: node.Labels, Allocatable: map[string]int64{gpu.Resource: 1}})
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.kinds) >= maxKinds {
		clear(k.kinds)
	}
	k.kinds[labels] = &read
	return &read
}

// GPUNode reads all that the API server says of a node's GPUs.
func GPUNode(node *v1.Node) gpu.Node {
	return gpu.ReadNode(gpu.NodeFacts{
		Labels: node.Labels, Annotations: node.Annotations,
		Allocatable: counts(node.Status.Allocatable), Capacity: counts(node.Status.Capacity),
	})
}

func counts(list v1.ResourceList) map[string]int64 {
	m := make(map[string]int64, len(list))
	for name, quantity := range list {
		m[string(name)] = quantity.Value()
	}
	return m
}

// CheckProfiles refuses a pod that asks for a MIG profile that no board has and
// no node offers.
func CheckProfiles(pod *v1.Pod, nodes []fwk.NodeInfo) *Invalid {
	for name := range Requests(pod) {
		if !strings.HasPrefix(string(name), gpu.ResourcePrefix) || offered(name) {
			continue
		}
		if slices.ContainsFunc(nodes, func(n fwk.NodeInfo) bool { return n.GetAllocatable().GetScalarResources()[name] > 0 }) {
			continue
		}
		return &Invalid{InvalidMIGProfile, fmt.Sprintf("pod %s asks for %s: no GPU has this MIG profile, and no node offers it; %s", pod.Name, name, offers(nodes))}
	}
	return nil
}

// offers says which MIG instances there are.
func offers(nodes []fwk.NodeInfo) string {
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

// offered reports whether any board has the MIG profile of a resource.
func offered(name v1.ResourceName) bool {
	profile := strings.TrimSuffix(string(name), ".shared")
	return slices.ContainsFunc(gpu.AllBoards(), func(b *gpu.Board) bool {
		_, err := b.FindProfile(profile)
		return err == nil
	})
}
