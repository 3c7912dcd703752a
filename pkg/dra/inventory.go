// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dra

import (
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
)

// Bounds of what is remembered. An entry is some 100 bytes, an answer one more for each
// member that fits.
const (
	maxConfigs = 2048
	maxStates  = 16384
	maxAnswers = 16384
	maxClaims  = 1024
	maxViews   = 8
	// maxExpressions bounds the compiled selectors.
	maxExpressions = 256
)

// Inventory is the devices of all nodes, and what was counted of them. It is not safe
// for concurrent use.
type Inventory struct {
	source   Source
	features structured.Features
	cel      *cel.Cache

	known  map[*resourceapi.ResourceSlice]bool
	nodes  map[string]*Node
	index  map[structured.DeviceID]place
	names  attributeNames
	loose  []*resourceapi.ResourceSlice // devices that are not of one node
	looseN uint64                       // tells the lists of loose slices apart

	// allocated is what was read last of what is taken; nil if the nodes are not up to
	// date with it.
	allocated *structured.AllocatedState

	classes []*resourceapi.DeviceClass
	// mapped are the extended resources that classes name, in order.
	mapped  []v1.ResourceName
	version uint64 // of the latest change of a node

	configs   memory[[16]byte, *config]
	states    memory[stateKey, *state]
	answers   memory[question, *chain]
	matchings memory[matchKey, *matching]
	looseOf   memory[looseKey, bool]
	claims    memory[string, *Claims]
	pods      memory[podKey, *PodClaims]
	single    map[v1.ResourceName]*singleDevice // of each mapped resource
	views     []*view
}

// place is one device of a node.
type place struct {
	node   *Node
	device int
}

// NewInventory returns an inventory of what a source has, as an allocator with these
// features sees it.
func NewInventory(source Source, features structured.Features) *Inventory {
	return &Inventory{
		source: source, features: features,
		cel: cel.NewCache(maxExpressions, cel.Features{
			EnableConsumableCapacity: features.ConsumableCapacity, EnableListTypeAttributes: features.ListTypeAttributes,
		}),
		nodes: map[string]*Node{}, names: attributeNames{}, single: map[v1.ResourceName]*singleDevice{},
		configs: memory[[16]byte, *config]{limit: maxConfigs}, states: memory[stateKey, *state]{limit: maxStates},
		answers: memory[question, *chain]{limit: maxAnswers}, claims: memory[string, *Claims]{limit: maxClaims},
		pods:      memory[podKey, *PodClaims]{limit: maxAnswers},
		matchings: memory[matchKey, *matching]{limit: maxConfigs}, looseOf: memory[looseKey, bool]{limit: maxClaims},
	}
}

// Update reads what has changed since the last time.
func (v *Inventory) Update() error {
	all, err := v.source.Slices()
	if err != nil {
		return err
	}
	v.readSlices(all)
	classes, err := v.source.Classes()
	if err != nil {
		return err
	}
	if !slices.Equal(classes, v.classes) {
		v.readClasses(classes)
	}
	allocated, err := v.source.Allocated()
	if err != nil {
		return err
	}
	if allocated != v.allocated {
		v.readTaken(allocated)
		v.allocated = allocated
	}
	return nil
}

// readSlices reads the slices of the nodes of which some are new, changed or gone.
func (v *Inventory) readSlices(all []*resourceapi.ResourceSlice) {
	same := len(all) == len(v.known)
	for _, s := range all {
		same = same && v.known[s]
	}
	if same && v.known != nil {
		return
	}
	v.allocated = nil
	v.known = make(map[*resourceapi.ResourceSlice]bool, len(all))
	byNode := map[string][]*resourceapi.ResourceSlice{}
	poolNode := map[[2]string]string{}
	v.loose = nil
	v.looseN++
	for _, s := range all {
		v.known[s] = true
		pool := [2]string{s.Spec.Driver, s.Spec.Pool.Name}
		if s.Spec.NodeName == nil || *s.Spec.NodeName == "" {
			v.loose = append(v.loose, s)
			continue
		}
		if at, ok := poolNode[pool]; ok && at != *s.Spec.NodeName { // a pool of several nodes
			v.loose = append(v.loose, s)
		}
		poolNode[pool] = *s.Spec.NodeName
		byNode[*s.Spec.NodeName] = append(byNode[*s.Spec.NodeName], s)
	}
	for name, n := range v.nodes {
		if byNode[name] == nil && len(n.slices) > 0 {
			v.readNode(n, nil)
		}
	}
	for name, list := range byNode {
		n := v.Node(name)
		if !sameSlices(n.published, list) {
			v.readNode(n, list)
		}
	}
	v.index = make(map[structured.DeviceID]place, len(v.index))
	for _, n := range v.nodes {
		for i := range n.devices {
			v.index[n.devices[i].id] = place{n, i}
		}
	}
}

// sameSlices reports whether two lists hold the same objects.
func sameSlices(a, b []*resourceapi.ResourceSlice) bool {
	return len(a) == len(b) && !slices.ContainsFunc(b, func(s *resourceapi.ResourceSlice) bool { return !slices.Contains(a, s) })
}

// readNode reads the slices of a node, of which it is to be found again what is taken.
func (v *Inventory) readNode(n *Node, list []*resourceapi.ResourceSlice) {
	n.published = list
	n.read(slices.Clone(list), v.names)
	n.taken.reset()
	v.touch(n)
}

// touch marks a node as changed.
func (v *Inventory) touch(n *Node) {
	v.version++
	n.version = v.version
}

// readClasses notes the classes. What was counted with them is kept under what they
// said then.
func (v *Inventory) readClasses(classes []*resourceapi.DeviceClass) {
	v.classes = classes
	names := map[v1.ResourceName]bool{}
	for _, c := range classes {
		if name := c.Spec.ExtendedResourceName; name != nil && v.source.ClassOf(v1.ResourceName(*name)) != nil {
			names[v1.ResourceName(*name)] = true
		}
	}
	v.mapped = slices.Sorted(maps.Keys(names))
	v.pods = memory[podKey, *PodClaims]{limit: v.pods.limit}
	clear(v.single)
	for _, n := range v.nodes { // what is free of a mapped resource may differ
		v.touch(n)
	}
}

// readTaken notes what is allocated, and which nodes that changes.
func (v *Inventory) readTaken(allocated *structured.AllocatedState) {
	v.version++
	mark := v.version
	at := func(id structured.DeviceID) (place, bool) {
		p, ok := v.index[id]
		if ok && p.node.mark != mark {
			p.node.mark = mark
			p.node.next.reset()
		}
		return p, ok
	}
	for id := range allocated.AllocatedDevices {
		if p, ok := at(id); ok {
			p.node.next.set(p.device)
		}
	}
	for shared := range allocated.AllocatedSharedDeviceIDs {
		if p, ok := at(shared.GetDeviceID()); ok {
			p.node.next.consume(p.device, nil)
		}
	}
	for id, consumed := range allocated.AggregatedCapacity {
		if p, ok := at(id); ok {
			p.node.next.consume(p.device, valuesOf(consumed))
		}
	}
	for _, n := range v.nodes {
		if n.mark != mark {
			n.next.reset()
		}
		n.next.join(&n.assumed)
		if !sameTaken(&n.next, &n.taken) {
			n.taken, n.next = n.next, n.taken
			v.touch(n)
		}
	}
}

// Node returns the devices of a node, which may be none.
func (v *Inventory) Node(name string) *Node {
	n := v.nodes[name]
	if n == nil {
		n = &Node{name: name}
		n.read(nil, v.names)
		v.nodes[name] = n
		v.touch(n)
	}
	return n
}

// RetainNodes forgets the nodes that publish nothing and are not asked for any more.
func (v *Inventory) RetainNodes(keep func(name string) bool) {
	maps.DeleteFunc(v.nodes, func(name string, n *Node) bool { return len(n.slices) == 0 && !keep(name) })
	v.views = nil
}

// MappedResources returns the extended resources that device classes name.
func (v *Inventory) MappedResources() []v1.ResourceName { return v.mapped }

// IsMapped reports whether a class stands behind an extended resource.
func (v *Inventory) IsMapped(name v1.ResourceName) bool { return v.source.ClassOf(name) != nil }

// SetServed says which mapped resources a device plugin serves on a node: there they
// are counted as amounts, and claimed elsewhere.
func (v *Inventory) SetServed(n *Node, names []v1.ResourceName) {
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		text.WriteString(string(name))
		text.WriteByte(' ')
	}
	if n.served != text.String() {
		n.served = text.String()
		v.touch(n)
	}
}
