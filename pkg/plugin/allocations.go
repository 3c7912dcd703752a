// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"math/bits"
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/dynamic-resource-allocation/structured"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/gpuslices"
)

// allocations sees which GPUs are free where a driver publishes them one by one
// (dynamic resource allocation), through the manager that kube-scheduler's own
// plugin allocates with: allocations that are not written yet count too. It is
// safe for concurrent use.
type allocations struct {
	manager fwk.SharedDRAManager // nil without dynamic resource allocation

	mu     sync.Mutex // guards what follows
	slices []*resourceapi.ResourceSlice
	nodes  map[string]*gpuslices.NodeDevices
}

// devices are the GPUs of nodes and those of them that are allocated, at one
// moment. The zero value knows no node.
type devices struct {
	nodes map[string]*gpuslices.NodeDevices
	taken sets.Set[structured.DeviceID]
}

// look takes a picture. What cannot be listed is not known.
func (a *allocations) snapshotDevices() devices {
	if a.manager == nil {
		return devices{}
	}
	all, err := a.manager.ResourceSlices().ListWithDeviceTaintRules()
	if err != nil || len(all) == 0 {
		return devices{}
	}
	nodes := a.readSlices(all)
	if len(nodes) == 0 {
		return devices{}
	}
	taken, err := a.manager.ResourceClaims().ListAllAllocatedDevices()
	if err != nil { // a claim changed while it was looked at
		return devices{}
	}
	return devices{nodes, taken}
}

// readSlices reads slices, once for each state of them.
func (a *allocations) readSlices(all []*resourceapi.ResourceSlice) map[string]*gpuslices.NodeDevices {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !sameSlices(a.slices, all) {
		a.slices, a.nodes = slices.Clone(all), gpuslices.ReadDevices(all)
	}
	return a.nodes
}

// sameSlices tells whether two lists hold the same objects, in any order.
func sameSlices(a, b []*resourceapi.ResourceSlice) bool {
	if slices.Equal(a, b) {
		return true
	}
	if len(a) != len(b) {
		return false
	}
	known := sets.New(a...)
	return !slices.ContainsFunc(b, func(s *resourceapi.ResourceSlice) bool { return !known.Has(s) })
}

// claimedGPUs is the number of GPUs that a pod's claims ask for.
func (a *allocations) claimedGPUs(pod *v1.Pod) (sum int) {
	for _, claim := range a.claimsOf(pod) {
		sum += gpuslices.ClaimedGPUs(claim, a.classOf)
	}
	return sum
}

// takesInOrder reports whether a pod takes the GPUs that come first on its node in
// the order for it: those are then the ones that reach each other best.
func (a *allocations) takesInOrder(pod *v1.Pod) bool {
	return !slices.ContainsFunc(a.claimsOf(pod), func(c *resourceapi.ResourceClaim) bool { return !gpuslices.TakesGPUsInOrder(c, a.classOf) })
}

// claimsOf lists the claims of a pod that are there.
func (a *allocations) claimsOf(pod *v1.Pod) (claims []*resourceapi.ResourceClaim) {
	if a.manager == nil {
		return nil
	}
	for i := range pod.Spec.ResourceClaims {
		name, _, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i])
		if err != nil || name == nil {
			continue // not created yet: the scheduler's own plugin says so
		}
		if claim, err := a.manager.ResourceClaims().Get(pod.Namespace, *name); err == nil {
			claims = append(claims, claim)
		}
	}
	return claims
}

// classOf returns a device class, nil if there is none of that name.
func (a *allocations) classOf(name string) *resourceapi.DeviceClass {
	found, err := a.manager.DeviceClasses().Get(name)
	if err != nil {
		return nil
	}
	return found
}

// freeGPUs is what is known of the free GPUs of a node.
type freeGPUs struct {
	free, total int
	// set are the free ones, where exact says that they are known.
	set   gpu.DeviceSet
	exact bool
}

// freeOn looks at the devices of a node, or else counts.
func (d *devices) freeOn(info fwk.NodeInfo) freeGPUs {
	if known := d.nodes[info.Node().Name]; known != nil {
		set := known.FreeGPUs(d.taken)
		return freeGPUs{free: bits.OnesCount32(uint32(set)), total: known.GPUCount(), set: set, exact: true}
	}
	return countGPUs(info)
}

// count is what the device plugin and the pods' requests say.
func countGPUs(info fwk.NodeInfo) freeGPUs {
	total := int(info.GetAllocatable().GetScalarResources()[gpu.Resource])
	return freeGPUs{free: total - int(info.GetRequested().GetScalarResources()[gpu.Resource]), total: total}
}
