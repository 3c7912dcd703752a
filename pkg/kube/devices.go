// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"

	"github.com/muster-scheduler/muster/pkg/gpu"
)

// GPUDriver is NVIDIA's driver for dynamic resource allocation. Its devices are
// whole GPUs, of type "gpu", and MIG instances that name their GPU (attributes
// in github.com/NVIDIA/k8s-dra-driver-gpu, cmd/gpu-kubelet-plugin).
const GPUDriver = "gpu.nvidia.com"

// NodeDevices are the GPUs of one node as a driver publishes them.
type NodeDevices struct {
	// gpus are numbered as nvidia-smi does, by their place on the PCI bus.
	gpus []structured.DeviceID
	// parts are devices cut from one of the gpus.
	parts map[structured.DeviceID]int
	// sound are the gpus that are not tainted.
	sound gpu.DeviceSet
}

// Count is the number of GPUs.
func (d *NodeDevices) Count() int { return len(d.gpus) }

// Free are the GPUs of which nothing is allocated and that are not tainted.
func (d *NodeDevices) Free(allocated sets.Set[structured.DeviceID]) gpu.DeviceSet {
	free := d.sound
	for i, id := range d.gpus {
		if allocated.Has(id) {
			free &^= 1 << i
		}
	}
	for id, i := range d.parts {
		if allocated.Has(id) {
			free &^= 1 << i
		}
	}
	return free
}

// ReadDevices reads the slices of GPUDriver, by the name of the node. Left out is
// a node whose pool is not complete, or has more GPUs than a matrix of links
// holds: of it only counts are known.
func ReadDevices(all []*resourceapi.ResourceSlice) map[string]*NodeDevices {
	pools := map[string][]*resourceapi.ResourceSlice{}
	for _, s := range all {
		if s.Spec.Driver == GPUDriver && s.Spec.NodeName != nil {
			pools[*s.Spec.NodeName] = append(pools[*s.Spec.NodeName], s)
		}
	}
	nodes := map[string]*NodeDevices{}
	for node, pool := range pools {
		if devices := readPool(newest(pool)); devices != nil {
			nodes[node] = devices
		}
	}
	return nodes
}

// newest are the slices of the last generation, if all of them are there and
// belong to one pool.
func newest(pool []*resourceapi.ResourceSlice) []*resourceapi.ResourceSlice {
	last := int64(-1)
	for _, s := range pool {
		last = max(last, s.Spec.Pool.Generation)
	}
	pool = slices.DeleteFunc(slices.Clone(pool), func(s *resourceapi.ResourceSlice) bool { return s.Spec.Pool.Generation < last })
	for _, s := range pool {
		if s.Spec.Pool.Name != pool[0].Spec.Pool.Name || s.Spec.Pool.ResourceSliceCount != int64(len(pool)) {
			return nil
		}
	}
	return pool
}

// published is a device with what is read of it.
type published struct {
	id           structured.DeviceID
	name, bus    string
	uuid, parent string
	sound        bool
}

func readPool(pool []*resourceapi.ResourceSlice) *NodeDevices {
	var whole, parts []published
	for _, s := range pool {
		for i := range s.Spec.Devices {
			d := &s.Spec.Devices[i]
			p := published{
				id:   structured.MakeDeviceID(s.Spec.Driver, s.Spec.Pool.Name, d.Name),
				name: d.Name, uuid: attribute(d, "uuid"), parent: attribute(d, "parentUUID"),
				bus:   cmp.Or(attribute(d, "resource.kubernetes.io/pciBusID"), attribute(d, "pcieBusID")),
				sound: !slices.ContainsFunc(d.Taints, func(t resourceapi.DeviceTaint) bool { return t.Effect != resourceapi.DeviceTaintEffectNone }),
			}
			switch attribute(d, "type") {
			case "gpu":
				whole = append(whole, p)
			case "mig":
				parts = append(parts, p)
			}
		}
	}
	if len(whole) == 0 || len(whole) > gpu.MaxDevices {
		return nil
	}
	slices.SortFunc(whole, func(a, b published) int {
		return cmp.Or(strings.Compare(a.bus, b.bus), cmp.Compare(trailing(a.name), trailing(b.name)), strings.Compare(a.name, b.name))
	})
	devices := &NodeDevices{parts: map[structured.DeviceID]int{}}
	for i, p := range whole {
		devices.gpus = append(devices.gpus, p.id)
		if p.sound {
			devices.sound |= 1 << i
		}
	}
	for _, p := range parts {
		if i := slices.IndexFunc(whole, func(w published) bool { return w.uuid != "" && w.uuid == p.parent }); i >= 0 {
			devices.parts[p.id] = i
		}
	}
	return devices
}

// attribute is a string attribute of a device, under its short name or with the
// driver's domain before it.
func attribute(d *resourceapi.Device, name resourceapi.QualifiedName) string {
	for _, key := range []resourceapi.QualifiedName{name, GPUDriver + "/" + name} {
		if a, ok := d.Attributes[key]; ok && a.StringValue != nil {
			return *a.StringValue
		}
	}
	return ""
}

// trailing is the number at the end of a name such as "gpu-10".
func trailing(name string) int {
	n, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	if err != nil {
		return -1
	}
	return n
}

// ClaimedGPUs is the number of whole GPUs that a claim asks for. Classes that
// select from GPUDriver, and say nothing of MIG, count as classes of GPUs; of
// alternatives the first counts. It is what nodes are scored by: what a claim
// really gets is the business of the scheduler's DynamicResources plugin.
func ClaimedGPUs(claim *resourceapi.ResourceClaim, class func(name string) *resourceapi.DeviceClass) int {
	sum := 0
	for _, r := range claim.Spec.Devices.Requests {
		name, mode, count := "", resourceapi.DeviceAllocationModeAll, int64(0)
		switch {
		case r.Exactly != nil:
			name, mode, count = r.Exactly.DeviceClassName, r.Exactly.AllocationMode, r.Exactly.Count
		case len(r.FirstAvailable) > 0:
			first := r.FirstAvailable[0]
			name, mode, count = first.DeviceClassName, first.AllocationMode, first.Count
		}
		if mode == resourceapi.DeviceAllocationModeExactCount && isGPUClass(class(name)) {
			sum += int(min(count, gpu.MaxDevices))
		}
	}
	return sum
}

func isGPUClass(class *resourceapi.DeviceClass) bool {
	if class == nil {
		return false
	}
	named := class.Name == GPUDriver
	for _, s := range class.Spec.Selectors {
		if s.CEL == nil {
			continue
		}
		if strings.Contains(strings.ToLower(s.CEL.Expression), "mig") {
			return false
		}
		named = named || strings.Contains(s.CEL.Expression, GPUDriver)
	}
	return named
}
