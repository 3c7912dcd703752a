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

// Shape is what a node offers where its file does not say: a fabric without
// GPUs gets Shape.GPUs each. A resource of 0 is without limit.
type Shape struct {
	GPUs     int
	CPUMilli int64
	MemBytes int64
}

// The levels of every fleet, widest first. A node that misses one hangs below
// the next wider.
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

// Cluster is the fleet and what is free on it.
type Cluster struct {
	usage   *topology.Usage
	planner *placement.Planner
	// spared is what gangs need, for singles to keep off.
	spared *placement.IdleIndex
	gpus   int
	// scrambled are the nodes in an order that has nothing to do with where they
	// stand: the order in which a scheduler without topology meets equal nodes.
	scrambled []topology.NodeID
	// wholeNode is the number of GPUs of most nodes; idle is the buffer of
	// countIdle.
	wholeNode int64
	idle      []int
}

// NewCluster is an empty fleet.
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
		row := offer(n, shape)
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
	c.scramble()
	return c, nil
}

// unlimited is more than any sum of requests, and far from overflow.
const unlimited = math.MaxInt64 / 4

func offer(n trace.Node, shape Shape) []int64 {
	row := []int64{shape.gpus(n), n.CPUMilli, shape.MemBytes}
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

func (s Shape) gpus(n trace.Node) int64 {
	if n.Model == "" && n.GPUs == 0 {
		return int64(s.GPUs)
	}
	return int64(n.GPUs)
}

// Total is the number of GPUs of all nodes.
func (s Shape) Total(nodes []trace.Node) int {
	total := 0
	for _, n := range nodes {
		total += int(s.gpus(n))
	}
	return total
}

func (c *Cluster) scramble() {
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

// ask is the gang as the engine knows it: it prefers one NVLink domain or leaf.
func (c *Cluster) ask(g trace.Gang) *gang.Gang {
	return c.askFor(g.Name, g.Pods, []int64{int64(g.GPUs), g.CPUMilli, g.MemBytes})
}

func (c *Cluster) askFor(name string, pods int, request []int64) *gang.Gang {
	return &gang.Gang{
		Name: name, MinCount: pods, Required: topology.NoLevel, Preferred: c.narrowest(),
		Roles: []gang.Role{{Count: pods, Required: topology.NoLevel, NearRole: -1, Request: request}},
	}
}

// narrowest is the narrowest level that any node carries.
func (c *Cluster) narrowest() topology.Level {
	for l := cliqueLevel; l >= coreLevel; l-- {
		if len(c.usage.Tree.DomainsAt(l)) > 0 {
			return l
		}
	}
	return topology.NoLevel
}

func (c *Cluster) take(n topology.NodeID, request []int64) {
	c.planner.AllocateOn(n, request)
	c.spared.SetIdle(n, c.usage.IsIdle(n))
}

func (c *Cluster) give(n topology.NodeID, request []int64) {
	c.planner.ReleaseOn(n, request)
	c.spared.SetIdle(n, c.usage.IsIdle(n))
}

// room reports whether the node has room for one more pod.
func (c *Cluster) room(n topology.NodeID, request []int64) bool {
	for i, free := range c.usage.FreeRow(n) {
		if request[i] > free {
			return false
		}
	}
	return true
}

// spread counts the distinct leaves and NVLink domains of nodes. Nodes outside
// any count as one more.
func (c *Cluster) spread(nodes []topology.NodeID) (leaves, cliques int) {
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

func (c *Cluster) largestLeaf() int {
	largest := 0
	for _, d := range c.usage.Tree.DomainsAt(leafLevel) {
		domain := c.usage.Tree.Domains[d]
		largest = max(largest, int(domain.End-domain.First))
	}
	return largest
}
