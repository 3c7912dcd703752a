// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpuslices

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"

	"github.com/muster-scheduler/muster/pkg/gpu"
)

// DeviceOrder puts the devices in the slices of Driver into the order in which
// Kubernetes' allocator, which takes the first that fit, should try them: GPUs that
// reach each other well, and MIG instances that leave room for others. The order
// depends on the slices, on what is taken of them, and on the number of GPUs that
// is asked for. Names stay, and slices themselves are not changed: those in another
// order are copies. It is not safe for concurrent use.
type DeviceOrder struct {
	source sets.Set[*resourceapi.ResourceSlice]
	pools  map[string]*devicePool // by node
}

// OrderSlices returns slices with the devices of some nodes in the order for a pod
// that asks for so many GPUs. nodes lists those nodes; taken is what is allocated.
func (o *DeviceOrder) OrderSlices(all []*resourceapi.ResourceSlice, nodes []*v1.Node, taken sets.Set[structured.DeviceID], gpus int) []*resourceapi.ResourceSlice {
	o.readSlices(all)
	if len(o.pools) == 0 {
		return all
	}
	replaced := map[*resourceapi.ResourceSlice]*resourceapi.ResourceSlice{}
	for _, node := range nodes {
		pool := o.pools[node.Name]
		if pool == nil {
			continue
		}
		for i, s := range pool.orderFor(node, taken, gpus) {
			replaced[pool.slices[i]] = s
		}
	}
	if len(replaced) == 0 {
		return all
	}
	ordered := make([]*resourceapi.ResourceSlice, len(all))
	for i, s := range all {
		ordered[i] = cmp.Or(replaced[s], s)
	}
	return ordered
}

// readSlices reads slices, in any order, of which most are those of the last time.
func (o *DeviceOrder) readSlices(all []*resourceapi.ResourceSlice) {
	if len(o.source) == len(all) && o.source.HasAll(all...) {
		return
	}
	o.source = sets.New(all...)
	pools := map[string]*devicePool{}
	for node, published := range poolsOf(all) {
		published = latestSlices(published)
		slices.SortFunc(published, func(a, b *resourceapi.ResourceSlice) int { return strings.Compare(a.Name, b.Name) })
		if known := o.pools[node]; known != nil && slices.Equal(known.published, published) {
			pools[node] = known
		} else if pool := newDevicePool(published); pool != nil {
			pools[node] = pool
		}
	}
	o.pools = pools
}

// devicePool is the devices of one node that can be put into another order.
type devicePool struct {
	// published are all slices of the pool, and slices those of them that hold
	// devices, both in the order of names, in which the allocator goes.
	published, slices []*resourceapi.ResourceSlice
	// whole are the GPUs; nil where none is published as a whole.
	whole *NodeDevices
	parts []devicePart
	// units are all those of each device that is cut, and packer is for its board;
	// nil where there is no table of it.
	packer *gpu.Packer
	cut    []string // the counter sets, one for each device that is cut

	links linkSource
	memo  map[orderState][]*resourceapi.ResourceSlice
}

// devicePart is a device that uses counters of one that is cut: an instance, or the
// whole of it.
type devicePart struct {
	name string
	id   structured.DeviceID
	gpu.PublishedInstance
	instance bool
}

// orderState is what an order depends on.
type orderState struct {
	free gpu.DeviceSet
	used [gpu.MaxDevices]gpu.UnitSet
	gpus int
}

// maxOrders bounds the orders that are remembered of one node.
const maxOrders = 64

// newDevicePool reads the slices of one pool; nil where all that can be done is to
// leave them as they are.
func newDevicePool(published []*resourceapi.ResourceSlice) *devicePool {
	p := &devicePool{published: published, whole: readPool(published), memo: map[orderState][]*resourceapi.ResourceSlice{}}
	for _, s := range published {
		if len(s.Spec.Devices) == 0 {
			continue
		}
		if len(s.Spec.SharedCounters) > 0 {
			return nil // counters belong to their slice
		}
		p.slices = append(p.slices, s)
		for i := range s.Spec.Devices {
			p.readPart(s, &s.Spec.Devices[i])
		}
	}
	if len(p.cut) > gpu.MaxDevices || p.whole == nil && p.packer == nil {
		return nil
	}
	return p
}

// readPart reads a device that uses the counters of one that is cut.
func (p *devicePool) readPart(s *resourceapi.ResourceSlice, d *resourceapi.Device) {
	if len(d.ConsumesCounters) != 1 {
		return
	}
	use := d.ConsumesCounters[0]
	units := memoryUnits(use.Counters)
	if units == 0 {
		return
	}
	if p.packer == nil {
		board, found := gpu.FindBoard(gpu.ParseProduct(stringAttribute(d, "productName")).Board)
		if !found {
			return
		}
		p.packer = gpu.EvenPacker(board)
	}
	at := slices.Index(p.cut, use.CounterSet)
	if at < 0 {
		at = len(p.cut)
		p.cut = append(p.cut, use.CounterSet)
	}
	p.parts = append(p.parts, devicePart{
		name: d.Name, id: structured.MakeDeviceID(s.Spec.Driver, s.Spec.Pool.Name, d.Name),
		PublishedInstance: gpu.PublishedInstance{Device: at, Units: units}, instance: stringAttribute(d, "type") == "mig",
	})
}

// memoryUnits are the memory slices that counters stand for: memory-slice-0 and so
// on (github.com/NVIDIA/k8s-dra-driver-gpu, cmd/gpu-kubelet-plugin/partitions.go).
func memoryUnits(counters map[string]resourceapi.Counter) (units gpu.UnitSet) {
	for name := range counters {
		digits, found := strings.CutPrefix(name, "memory-slice-")
		if n, err := strconv.Atoi(digits); found && err == nil && n >= 0 && n < 16 {
			units |= 1 << n
		}
	}
	return units
}

// orderFor returns the slices of the pool in the order for a pod, nil for the
// order in which they are published.
func (p *devicePool) orderFor(node *v1.Node, taken sets.Set[structured.DeviceID], gpus int) []*resourceapi.ResourceSlice {
	links := p.links.linksOf(node, p.whole)
	if links == nil && p.packer == nil {
		return nil
	}
	state := orderState{gpus: gpus}
	for _, part := range p.parts {
		if taken.Has(part.id) {
			state.used[part.Device] |= part.Units
		}
	}
	if links != nil {
		state.free = p.whole.FreeGPUs(taken)
	}
	if p.links.changed {
		clear(p.memo)
		p.links.changed = false
	}
	known, found := p.memo[state]
	if !found {
		if len(p.memo) >= maxOrders {
			clear(p.memo)
		}
		known = p.fillSlices(p.orderDevices(state, links))
		p.memo[state] = known
	}
	return known
}

// orderDevices returns all devices of the pool: the GPUs, the instances, the others.
func (p *devicePool) orderDevices(state orderState, links *gpu.Links) []*resourceapi.Device {
	var ordered []*resourceapi.Device
	placed := map[string]bool{}
	byName := map[string]*resourceapi.Device{}
	for _, s := range p.slices {
		for i := range s.Spec.Devices {
			byName[s.Spec.Devices[i].Name] = &s.Spec.Devices[i]
		}
	}
	add := func(name string) {
		if !placed[name] {
			placed[name] = true
			ordered = append(ordered, byName[name])
		}
	}
	if links != nil {
		for _, i := range links.OrderDevices(state.free, state.gpus) {
			add(p.whole.gpus[i].Device.String())
		}
	}
	if p.packer != nil {
		instances, published := make([]gpu.PublishedInstance, 0, len(p.parts)), make([]string, 0, len(p.parts))
		for _, part := range p.parts {
			if part.instance {
				instances, published = append(instances, part.PublishedInstance), append(published, part.name)
			}
		}
		for _, i := range p.packer.OrderInstances(state.used[:], instances) {
			add(published[i])
		}
	}
	for _, s := range p.slices {
		for i := range s.Spec.Devices {
			add(s.Spec.Devices[i].Name)
		}
	}
	return ordered
}

// fillSlices returns copies of the slices with devices in order, as many in each as
// before.
func (p *devicePool) fillSlices(ordered []*resourceapi.Device) []*resourceapi.ResourceSlice {
	filled := make([]*resourceapi.ResourceSlice, len(p.slices))
	next := 0
	for i, s := range p.slices {
		again := *s
		again.Spec.Devices = make([]resourceapi.Device, len(s.Spec.Devices))
		for at := range again.Spec.Devices {
			again.Spec.Devices[at] = *ordered[next]
			next++
		}
		filled[i] = &again
	}
	return filled
}

// linkSource is where the links of a pool's GPUs were read last.
type linkSource struct {
	read                bool
	annotation, product string
	links               *gpu.Links
	// changed says that orders from before hold no longer.
	changed bool
}

// linksOf returns the links of the GPUs of a node; nil where nothing is known of
// them, or all are the same: then any GPUs will do.
func (s *linkSource) linksOf(node *v1.Node, whole *NodeDevices) *gpu.Links {
	if whole == nil {
		return nil
	}
	annotation, product := node.Annotations[gpu.LinksAnnotation], cmp.Or(node.Labels[gpu.ProductLabel], whole.product)
	if !s.read || annotation != s.annotation || product != s.product {
		*s = linkSource{read: true, annotation: annotation, product: product, changed: true}
		if s.links = whole.readLinks(annotation, product); s.links != nil && s.links.IsUniform() {
			s.links = nil
		}
	}
	return s.links
}
