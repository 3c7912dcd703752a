// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpuslices

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/deviceattribute"
	"k8s.io/dynamic-resource-allocation/structured"

	"github.com/muster-scheduler/muster/pkg/gpu"
)

// Driver is the name of NVIDIA's driver for dynamic resource allocation. Its devices are
// whole GPUs, of type "gpu", and MIG instances that name their GPU (attributes
// in github.com/NVIDIA/k8s-dra-driver-gpu, cmd/gpu-kubelet-plugin).
const Driver = "gpu.nvidia.com"

// NodeDevices are the GPUs of one node as a driver publishes them.
type NodeDevices struct {
	// gpus are numbered as nvidia-smi does, by their place on the PCI bus.
	gpus []structured.DeviceID
	// parts are devices cut from one of the gpus.
	parts map[structured.DeviceID]int
	// healthy are the gpus that are not tainted.
	healthy gpu.DeviceSet
	// product is the name of the first one, and roots and numaNodes are the places
	// of all.
	product   string
	roots     []string
	numaNodes []int
}

// GPUCount is the number of GPUs.
func (d *NodeDevices) GPUCount() int { return len(d.gpus) }

// FreeGPUs are the GPUs of which nothing is allocated and that are not tainted.
func (d *NodeDevices) FreeGPUs(allocated sets.Set[structured.DeviceID]) gpu.DeviceSet {
	free := d.healthy
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

// readLinks returns the links of the GPUs: those of the annotation, or of the known
// shape of the product; where there is no NVLink, those of their places. nil where
// nothing is known.
func (d *NodeDevices) readLinks(annotation, product string) *gpu.Links {
	if links, err := gpu.ParseLinks(annotation); err == nil && links.DeviceCount() == len(d.gpus) {
		return links
	}
	places := gpu.LinksOfPlaces(d.roots, d.numaNodes)
	if read := gpu.ParseProduct(product); read.IsWhole() {
		links, known := gpu.KnownLinks(read, len(d.gpus))
		if known && (places == nil || !links.IsUniform() || links.LinkBetween(0, 1).IsNVLink()) {
			return links
		}
	}
	return places
}

// ReadDevices reads the slices of Driver, by the name of the node. Left out is
// a node whose pool is not complete, or has more GPUs than a matrix of links
// holds: of it only counts are known.
func ReadDevices(all []*resourceapi.ResourceSlice) map[string]*NodeDevices {
	nodes := map[string]*NodeDevices{}
	for node, pool := range poolsOf(all) {
		if devices := readPool(latestSlices(pool)); devices != nil {
			nodes[node] = devices
		}
	}
	return nodes
}

// poolsOf returns the slices of Driver by the name of the node.
func poolsOf(all []*resourceapi.ResourceSlice) map[string][]*resourceapi.ResourceSlice {
	pools := map[string][]*resourceapi.ResourceSlice{}
	for _, s := range all {
		if s.Spec.Driver == Driver && s.Spec.NodeName != nil {
			pools[*s.Spec.NodeName] = append(pools[*s.Spec.NodeName], s)
		}
	}
	return pools
}

// latestSlices are the slices of the last generation, if all of them are there and
// belong to one pool.
func latestSlices(pool []*resourceapi.ResourceSlice) []*resourceapi.ResourceSlice {
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

// publishedDevice is a device with what is read of it.
type publishedDevice struct {
	id           structured.DeviceID
	name, bus    string
	uuid, parent string
	product      string
	root         string
	numaNode     int
	healthy      bool
}

func readPool(pool []*resourceapi.ResourceSlice) *NodeDevices {
	var whole, parts []publishedDevice
	for _, s := range pool {
		for i := range s.Spec.Devices {
			d := &s.Spec.Devices[i]
			p := publishedDevice{
				id:   structured.MakeDeviceID(s.Spec.Driver, s.Spec.Pool.Name, d.Name),
				name: d.Name, uuid: stringAttribute(d, "uuid"), parent: stringAttribute(d, "parentUUID"),
				bus:     cmp.Or(stringAttribute(d, "resource.kubernetes.io/pciBusID"), stringAttribute(d, "pcieBusID")),
				product: stringAttribute(d, "productName"), root: stringAttribute(d, deviceattribute.StandardDeviceAttributePCIeRoot), numaNode: numaNodeOf(d),
				healthy: !slices.ContainsFunc(d.Taints, func(t resourceapi.DeviceTaint) bool { return t.Effect != resourceapi.DeviceTaintEffectNone }),
			}
			switch stringAttribute(d, "type") {
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
	slices.SortFunc(whole, func(a, b publishedDevice) int {
		return cmp.Or(strings.Compare(a.bus, b.bus), cmp.Compare(trailingIndex(a.name), trailingIndex(b.name)), strings.Compare(a.name, b.name))
	})
	devices := &NodeDevices{parts: map[structured.DeviceID]int{}, product: whole[0].product}
	for i, p := range whole {
		devices.gpus = append(devices.gpus, p.id)
		devices.roots, devices.numaNodes = append(devices.roots, p.root), append(devices.numaNodes, p.numaNode)
		if p.healthy {
			devices.healthy |= 1 << i
		}
	}
	for _, p := range parts {
		if i := slices.IndexFunc(whole, func(w publishedDevice) bool { return w.uuid != "" && w.uuid == p.parent }); i >= 0 {
			devices.parts[p.id] = i
		}
	}
	return devices
}

// stringAttribute is a string attribute of a device, under its short name or with the
// driver's domain before it.
func stringAttribute(d *resourceapi.Device, name resourceapi.QualifiedName) string {
	for _, key := range []resourceapi.QualifiedName{name, Driver + "/" + name} {
		if a, ok := d.Attributes[key]; ok && a.StringValue != nil {
			return *a.StringValue
		}
	}
	return ""
}

// numaNodeOf is the NUMA node that a device is at, -1 if that is not published.
func numaNodeOf(d *resourceapi.Device) int {
	if a, ok := d.Attributes[deviceattribute.StandardDeviceAttributeNUMANode]; ok && a.IntValue != nil {
		return int(*a.IntValue)
	}
	return -1
}

// trailingIndex is the number at the end of a name such as "gpu-10".
func trailingIndex(name string) int {
	n, err := strconv.Atoi(name[strings.LastIndexByte(name, '-')+1:])
	if err != nil {
		return -1
	}
	return n
}

// ClaimedGPUs is the number of whole GPUs that a claim asks for. Classes that
// select from Driver, and say nothing of MIG, count as classes of GPUs; of
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

// TakesGPUsInOrder reports whether a claim takes the first free GPUs of its node in
// the order of DeviceOrder, whichever they are: nothing in it tells GPUs apart.
func TakesGPUsInOrder(claim *resourceapi.ResourceClaim, class func(name string) *resourceapi.DeviceClass) bool {
	if len(claim.Spec.Devices.Constraints) > 0 {
		return false
	}
	return !slices.ContainsFunc(claim.Spec.Devices.Requests, func(r resourceapi.DeviceRequest) bool {
		return r.Exactly == nil || len(r.Exactly.Selectors) > 0 || r.Exactly.AdminAccess != nil || r.Exactly.Capacity != nil || !isGPUClass(class(r.Exactly.DeviceClassName))
	})
}

func isGPUClass(class *resourceapi.DeviceClass) bool {
	if class == nil {
		return false
	}
	named := class.Name == Driver
	for _, s := range class.Spec.Selectors {
		if s.CEL == nil {
			continue
		}
		if strings.Contains(strings.ToLower(s.CEL.Expression), "mig") {
			return false
		}
		named = named || strings.Contains(s.CEL.Expression, Driver)
	}
	return named
}
