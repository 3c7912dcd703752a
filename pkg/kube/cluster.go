// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/dra"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// The columns that every Usage starts with. Extended resources follow, by name.
var baseResources = []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory, v1.ResourceEphemeralStorage, v1.ResourcePods}

// Cluster keeps a topology.Usage in step with the scheduler's snapshot. Only
// the rows of nodes whose generation moved are read again; the tree is built
// again only when the set of nodes, their domains or their GPU models change.
// It is not safe for concurrent use.
type Cluster struct {
	// Sharing is the policy for plain requests for GPUs. Set it before the
	// first use.
	Sharing Sharing
	// Devices are those that drivers publish; nil where none are followed. Set it
	// before the first use.
	Devices *dra.Inventory

	levels Levels
	usage  *topology.Usage
	// order is the NodeID of each node of the last list, in its order.
	order []topology.NodeID
	// nodes is indexed by NodeID, ids by the snapshot's record of a node.
	nodes []nodeState
	ids   map[fwk.NodeInfo]topology.NodeID
	// columns maps a resource to its column of usage.
	columns map[v1.ResourceName]int
	// epoch counts the changes of what filters look at.
	epoch   uint64
	filters filterCache
	shapes  shapeCache
	// touched are the nodes whose rows changed in the last Update; rebuilt
	// says that the tree is a new one.
	touched []topology.NodeID
	rebuilt bool
	// deviceNodes is indexed by NodeID, empty without Devices; mapped are the extended
	// resources that device classes name.
	deviceNodes []*dra.Node
	mapped      []v1.ResourceName
}

// nodeState is what the cluster remembers of one node.
type nodeState struct {
	info       fwk.NodeInfo
	node       *v1.Node
	generation int64
	// changed is the epoch at which labels, taints or the cordon last changed.
	changed uint64
	// lowest is of its pods, as of the last question for it.
	lowest lowestPriority
	// devicesSeen is the version of the node's devices that its row was filled with.
	devicesSeen uint64
}

// NewCluster returns an empty cluster whose levels are those of ladder.
func NewCluster(levels Levels) *Cluster {
	return &Cluster{levels: levels, columns: map[v1.ResourceName]int{}}
}

// Usage returns the current state. It is valid until the next Update.
func (c *Cluster) Usage() *topology.Usage { return c.usage }

// TouchedNodes returns the nodes whose rows the last Update changed; rebuilt says
// that all of them did, because the tree or the columns are new.
func (c *Cluster) TouchedNodes() (nodes []topology.NodeID, rebuilt bool) { return c.touched, c.rebuilt }

// NodeInfo returns the snapshot's record of a node.
func (c *Cluster) NodeInfo(id topology.NodeID) fwk.NodeInfo { return c.nodes[id].info }

// NodeID returns the place of a record of the last snapshot.
func (c *Cluster) NodeID(info fwk.NodeInfo) (topology.NodeID, bool) {
	id, ok := c.ids[info]
	return id, ok
}

// UpdateNodes brings the cluster up to date with a snapshot. The error is that of
// topology.NewTree, or of reading the devices.
func (c *Cluster) UpdateNodes(nodes []fwk.NodeInfo) error {
	c.touched, c.rebuilt = c.touched[:0], false
	if c.Devices != nil {
		if err := c.Devices.Update(); err != nil {
			return err
		}
	}
	if !c.readChanges(nodes) {
		return c.rebuildTree(nodes)
	}
	return nil
}

// readChanges reads the nodes again that have changed. It reports false if the tree
// or the columns have to be built again, for other nodes than these.
func (c *Cluster) readChanges(nodes []fwk.NodeInfo) bool {
	if c.usage == nil || len(nodes) != len(c.order) || c.Devices != nil && !slices.Equal(c.mapped, c.Devices.MappedResources()) {
		return false
	}
	for i, info := range nodes {
		id := c.order[i]
		state := &c.nodes[id]
		// This is all that most nodes cost a plan.
		if state.info == info && state.generation == info.GetGeneration() && !c.devicesChanged(id) {
			continue
		}
		if !c.samePlace(state, info.Node()) || !c.hasColumnsFor(info.GetAllocatable()) {
			return false
		}
		if state.info != info {
			delete(c.ids, state.info)
			c.ids[info], state.info = id, info
		}
		state.generation = info.GetGeneration()
		c.fillRow(id, info)
		c.touched = append(c.touched, id)
	}
	return true
}

// samePlace reports whether a node is the one that was known, in the same place
// of the tree, and notes if it changed in what filters look at.
func (c *Cluster) samePlace(state *nodeState, node *v1.Node) bool {
	before := state.node
	if node == before {
		return true
	}
	if node == nil || node.Name != before.Name {
		return false
	}
	sameLabels := maps.Equal(node.Labels, before.Labels)
	if !sameLabels && c.levels.NodeMoved(before, node) {
		return false
	}
	if !sameLabels || node.Spec.Unschedulable != before.Spec.Unschedulable || !slices.Equal(node.Spec.Taints, before.Spec.Taints) {
		c.epoch++
		state.changed = c.epoch
	}
	state.node = node
	return true
}

func (c *Cluster) hasColumnsFor(allocatable fwk.Resource) bool {
	for name := range allocatable.GetScalarResources() {
		if _, ok := c.columns[name]; !ok {
			return false
		}
	}
	return true
}

func (c *Cluster) rebuildTree(nodes []fwk.NodeInfo) error {
	known := make([]*v1.Node, len(nodes))
	for i, info := range nodes {
		known[i] = info.Node()
	}
	tree, err := c.levels.newTree(known)
	if err != nil {
		return err
	}
	c.followDevices(tree)
	c.setColumns(nodes)
	names := make([]string, len(c.columns)+1) // the last one is what no node offers
	for name, column := range c.columns {
		names[column] = string(name)
	}
	c.usage = topology.NewUsage(tree, names)
	c.order = make([]topology.NodeID, len(nodes))
	c.nodes, c.ids = make([]nodeState, len(nodes)), make(map[fwk.NodeInfo]topology.NodeID, len(nodes))
	c.epoch++
	c.filters.clearFilters()
	for i, info := range nodes {
		id, _ := tree.NodeByName(info.Node().Name)
		c.order[i], c.ids[info] = id, id
		c.nodes[id] = nodeState{info: info, node: info.Node(), generation: info.GetGeneration(), changed: c.epoch}
		c.fillRow(id, info)
	}
	c.rebuilt = true
	return nil
}

// setColumns gives a column to each resource that a node offers, by name. What pods
// alone name has none, so that no tenant's words stay behind.
func (c *Cluster) setColumns(nodes []fwk.NodeInfo) {
	offered := map[v1.ResourceName]struct{}{}
	for _, info := range nodes {
		for name := range info.GetAllocatable().GetScalarResources() {
			offered[name] = struct{}{}
		}
	}
	for _, name := range c.mapped {
		offered[name] = struct{}{}
	}
	c.columns = map[v1.ResourceName]int{}
	for i, name := range slices.Concat(baseResources, slices.Sorted(maps.Keys(offered))) {
		c.columns[name] = i
	}
}

// nameUnknownResource calls the last column what the pods of a gang ask for and no node
// offers: the first such name, or "".
func (c *Cluster) nameUnknownResource(sets []*podSet) {
	first := v1.ResourceName("")
	for _, set := range sets {
		for name, quantity := range set.requests {
			if _, known := c.columns[name]; !known && !quantity.IsZero() && (first == "" || name < first) && !c.isMapped(name) {
				first = name
			}
		}
	}
	c.usage.Resources[len(c.columns)] = string(first)
}

// fillRow reads capacity and free amounts of one node: milli-cores, bytes,
// pods and counts, as the scheduler's own resource filter counts them.
func (c *Cluster) fillRow(id topology.NodeID, info fwk.NodeInfo) {
	capacity, free := c.usage.CapacityRow(id), c.usage.FreeRow(id)
	allocatable, requested := info.GetAllocatable(), info.GetRequested()
	capacity[0], free[0] = allocatable.GetMilliCPU(), allocatable.GetMilliCPU()-requested.GetMilliCPU()
	capacity[1], free[1] = allocatable.GetMemory(), allocatable.GetMemory()-requested.GetMemory()
	capacity[2], free[2] = allocatable.GetEphemeralStorage(), allocatable.GetEphemeralStorage()-requested.GetEphemeralStorage()
	pods := int64(allocatable.GetAllowedPodNumber())
	capacity[3], free[3] = pods, pods-int64(len(info.GetPods()))
	for i := len(baseResources); i < len(capacity); i++ {
		capacity[i], free[i] = 0, 0
	}
	for name, amount := range allocatable.GetScalarResources() {
		capacity[c.columns[name]], free[c.columns[name]] = amount, amount
	}
	for name, amount := range requested.GetScalarResources() {
		if column, ok := c.columns[name]; ok {
			free[column] -= amount
		}
	}
	c.fillDevices(id, info, capacity, free)
}

// GPUProduct returns the product of the GPUs of a node, or "". Where only other
// labels tell how devices are shared, the suffix that the product then has
// elsewhere is added.
func GPUProduct(node *v1.Node) string { return gpuNodes.nodeOf(node).ModelName() }
