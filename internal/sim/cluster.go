// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"hash/fnv"
	"math"
	"slices"

	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Shape is the resources of a node where its file does not say: a fabric
// without GPUs gets Shape.GPUs each. A resource of 0 is without limit.
type Shape struct {
	GPUs     int
	CPUMilli int64
	MemBytes int64
}

// The levels of every fleet, widest first. A node that lacks one belongs to the
// next wider one directly.
const (
	coreLevel topology.Level = iota
	spineLevel
	leafLevel
	cliqueLevel
)

var levels = []string{"core", "spine", "leaf", "clique"}

// The columns of the usage.
const (
	gpuColumn = iota
	cpuColumn
	memColumn
)

var columns = []string{topology.GPU, "cpu", "memory"}

// Cluster is the fleet with its free resources.
type Cluster struct {
	usage   *topology.Usage
	planner *placement.Planner
	// spared is the idle nodes that gangs need, which single pods should leave
	// alone.
	spared *placement.IdleIndex
	gpus   int
	// scrambled are the nodes in an order that has nothing to do with the fabric:
	// the order in which a scheduler without topology considers equal nodes.
	scrambled []topology.NodeID
	// wholeNode is the number of GPUs of most nodes; idle is the buffer of
	// countIdle.
	wholeNode int64
	idle      []int
}

// NewCluster returns a fleet on which nothing runs.
func NewCluster(nodes []trace.Node, shape Shape) (*Cluster, error) {
	places := make([]topology.Node, len(nodes))
	for i, n := range nodes {
		places[i] = topology.Node{Name: n.Name, Model: n.Model, Domains: []string{n.Core, n.Spine, n.Leaf, n.Clique}}
	}
	tree, err := topology.NewTree(levels, places)
	if err != nil {
		return nil, err
	}
	c := &Cluster{usage: topology.NewUsage(tree, columns)}
	for _, n := range nodes {
		id, _ := tree.NodeByName(n.Name) // it was just put there
		row := nodeCapacity(n, shape)
		copy(c.usage.CapacityRow(id), row)
		copy(c.usage.FreeRow(id), row)
		c.gpus += int(row[gpuColumn])
	}
	c.planner, c.spared = placement.NewPlanner(c.usage), placement.NewIdleIndex(tree)
	for n := range tree.Nodes {
		c.spared.SetIdle(topology.NodeID(n), c.usage.IsIdle(topology.NodeID(n)))
	}
	c.wholeNode = c.commonGPUs()
	c.idle = make([]int, len(nodes)+1)
	c.scrambleNodes()
	return c, nil
}

// unlimited is more than any sum of requests, and far from overflow.
const unlimited = math.MaxInt64 / 4

// nodeCapacity returns the resources of a node by column: those of the trace,
// else those of the shape.
func nodeCapacity(n trace.Node, shape Shape) []int64 {
	row := []int64{shape.gpusOf(n), n.CPUMilli, shape.MemBytes}
	if row[cpuColumn] == 0 {
		row[cpuColumn] = shape.CPUMilli
	}
	for _, column := range []int{cpuColumn, memColumn} {
		if row[column] == 0 {
			row[column] = unlimited
		}
	}
	return row
}

// gpusOf returns the GPUs of a node. A node of an inventory may have none; a
// fabric does not say.
func (s Shape) gpusOf(n trace.Node) int64 {
	if n.Model == "" && n.GPUs == 0 {
		return int64(s.GPUs)
	}
	return int64(n.GPUs)
}

// TotalGPUs returns the number of GPUs of all nodes.
func (s Shape) TotalGPUs(nodes []trace.Node) int {
	total := 0
	for _, n := range nodes {
		total += int(s.gpusOf(n))
	}
	return total
}

// scrambleNodes puts the nodes in the order of a hash of their names: the order
// is the same in every run and says nothing about the fabric.
func (c *Cluster) scrambleNodes() {
	nodes := c.usage.Tree.Nodes
	key := make([]uint64, len(nodes))
	c.scrambled = make([]topology.NodeID, len(nodes))
	for i, n := range nodes {
		h := fnv.New64a()
		_, _ = h.Write([]byte(n.Name)) // never fails
		key[i] = h.Sum64() * 0x9e3779b97f4a7c15
		c.scrambled[i] = topology.NodeID(i)
	}
	slices.SortStableFunc(c.scrambled, func(a, b topology.NodeID) int {
		switch {
		case key[a] < key[b]:
			return -1
		case key[a] > key[b]:
			return 1
		}
		return 0
	})
}

// engineGang returns the gang as the engine knows it: it prefers one NVLink
// domain or leaf.
func (c *Cluster) engineGang(g trace.Gang) *gang.Gang {
	return c.newEngineGang(g.Name, g.Pods, []int64{int64(g.GPUs), g.CPUMilli, g.MemBytes})
}

// newEngineGang returns a gang of one role that prefers the narrowest level.
func (c *Cluster) newEngineGang(name string, pods int, request []int64) *gang.Gang {
	return &gang.Gang{
		Name: name, MinCount: pods, Required: topology.NoLevel, Preferred: c.narrowestLevel(),
		Roles: []gang.Role{{Count: pods, Required: topology.NoLevel, NearRole: -1, Request: request}},
	}
}

// narrowestLevel returns the narrowest level that any node has.
func (c *Cluster) narrowestLevel() topology.Level {
	for l := cliqueLevel; l >= coreLevel; l-- {
		if len(c.usage.Tree.DomainsAt(l)) > 0 {
			return l
		}
	}
	return topology.NoLevel
}

// allocateOn allocates the request of one pod on a node.
func (c *Cluster) allocateOn(n topology.NodeID, request []int64) {
	c.planner.AllocateOn(n, request)
	c.spared.SetIdle(n, c.usage.IsIdle(n))
}

// releaseOn frees the request of one pod on a node.
func (c *Cluster) releaseOn(n topology.NodeID, request []int64) {
	c.planner.ReleaseOn(n, request)
	c.spared.SetIdle(n, c.usage.IsIdle(n))
}

// hasRoom reports whether one more pod fits on the node.
func (c *Cluster) hasRoom(n topology.NodeID, request []int64) bool {
	for i, free := range c.usage.FreeRow(n) {
		if request[i] > free {
			return false
		}
	}
	return true
}

// countDomains returns the number of distinct leaves and NVLink domains of
// nodes. Nodes outside any count as one more.
func (c *Cluster) countDomains(nodes []topology.NodeID) (leaves, cliques int) {
	distinct := func(l topology.Level) int {
		seen := map[topology.DomainID]bool{}
		for _, n := range nodes {
			d, ok := c.usage.Tree.DomainAt(n, l)
			if !ok {
				d = -1
			}
			seen[d] = true
		}
		return len(seen)
	}
	return distinct(leafLevel), distinct(cliqueLevel)
}

// largestLeaf returns the number of nodes of the largest leaf.
func (c *Cluster) largestLeaf() int {
	largest := 0
	for _, d := range c.usage.Tree.DomainsAt(leafLevel) {
		domain := c.usage.Tree.Domains[d]
		largest = max(largest, int(domain.End-domain.First))
	}
	return largest
}
