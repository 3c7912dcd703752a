// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package packing

import (
	"math"

	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/gpu"
)

// Result is what became of one replay. Percentages are of all GPUs.
type Result struct {
	// Allocated[l] is the GPU allocation in percent when l percent had
	// arrived: the mean over the arrivals that round to l (half to even), each
	// with two decimals, as published. NaN where none did.
	Allocated [overload + 1]float64
	// Fragmented[l] is the free GPU that typical pods cannot use, likewise.
	Fragmented [overload + 1]float64
	// Arrived and Dropped count pods.
	Arrived, Dropped int
	// Nodes is the node of each pod in order of arrival, -1 if it was dropped.
	Nodes []int
}

// Replay lets the pods arrive in the order of a seed and places each as the
// policy says.
func (e *Experiment) Replay(policy Policy, seed int64) *Result {
	pods, rank := e.Arrivals(seed)
	c := newCluster(e, pods, rank)
	chooser := policy.New(e, seed)
	typical := e.Typical()
	res := &Result{Arrived: len(pods), Nodes: make([]int, len(pods))}
	fragmented := 0.0
	for i := range c.nodes {
		fragmented += typical.NodeFragmentation(&c.nodes[i].state)
	}
	var m means
	arrived, allocated := 0, 0
	for i := range pods {
		if learner, ok := chooser.(Learner); ok && learner.Observe(&c.requests[c.kinds[i]]) {
			c.forget()
		}
		n, device := c.choose(i, chooser)
		res.Nodes[i] = n
		arrived += pods[i].Milli()
		if n < 0 {
			res.Dropped++
		} else {
			node := &c.nodes[n]
			fragmented -= typical.NodeFragmentation(&node.state)
			c.take(n, i, device)
			fragmented += typical.NodeFragmentation(&node.state)
			allocated += pods[i].Milli()
		}
		all := float64(e.devices * gpu.MilliPerGPU)
		m.add(float64(arrived)/all*100, math.Round(float64(allocated)/all*1e4)/100, fragmented/all*100)
	}
	res.Allocated, res.Fragmented = m.finish()
	return res
}

// means averages two figures over the arrivals at each whole load.
type means struct {
	allocated, fragmented [overload + 1]float64
	count                 [overload + 1]int
}

func (m *means) add(arrived, allocated, fragmented float64) {
	load := int(math.RoundToEven(arrived))
	if load > overload {
		return
	}
	m.allocated[load] += allocated
	m.fragmented[load] += fragmented
	m.count[load]++
}

func (m *means) finish() (allocated, fragmented [overload + 1]float64) {
	for load, n := range m.count {
		allocated[load] = m.allocated[load] / float64(n)
		fragmented[load] = m.fragmented[load] / float64(n)
	}
	return allocated, fragmented
}

// cluster is the state of a replay.
type cluster struct {
	nodes []simNode
	// byRank lists the nodes in the order in which they win ties.
	byRank []int
	// kinds is the kind of each arriving pod; pods of one kind ask for the
	// same. requests, memory and hopeless are by kind.
	kinds    []int
	requests []gpu.Request
	memory   []int64
	hopeless []bool
	// known[node*kinds+kind] is the last score of a kind of pod on a node,
	// Unfit without room.
	known []knownScore
}

type simNode struct {
	state   gpu.NodeState
	memory  int64
	version int32
}

type knownScore struct {
	score   int64
	version int32
	device  int8
}

func newCluster(e *Experiment, pods []trace.OpenbPod, rank []int) *cluster {
	c := &cluster{nodes: make([]simNode, len(e.Nodes)), byRank: make([]int, len(e.Nodes)), kinds: make([]int, len(pods))}
	models := map[string]int{}
	for m, name := range e.models {
		models[name] = m
	}
	for i, n := range e.Nodes {
		c.byRank[rank[i]] = i
		node := &c.nodes[i]
		node.memory, node.version = n.MemoryMiB, 1
		node.state = gpu.NodeState{Model: models[n.Model], CPUMilli: n.CPUMilli, GPUs: n.GPUs}
		for d := range n.GPUs {
			node.state.Free[d] = gpu.MilliPerGPU
		}
	}
	type kind struct {
		gpu.Request
		memory int64
		ok     bool
	}
	kinds := map[kind]int{}
	for i := range pods {
		r, ok := e.Request(&pods[i])
		k := kind{r, pods[i].MemoryMiB, ok}
		if _, found := kinds[k]; !found {
			kinds[k] = len(kinds)
			c.requests = append(c.requests, r)
			c.memory = append(c.memory, k.memory)
			c.hopeless = append(c.hopeless, !ok)
		}
		c.kinds[i] = kinds[k]
	}
	c.known = make([]knownScore, len(c.nodes)*len(c.requests))
	return c
}

// forget voids all known scores.
func (c *cluster) forget() {
	for i := range c.nodes {
		c.nodes[i].version++
	}
}

// choose returns the node for a pod, or -1.
func (c *cluster) choose(pod int, chooser Chooser) (node, device int) {
	kind := c.kinds[pod]
	request := &c.requests[kind]
	node, device = -1, -1
	best := int64(gpu.Unfit)
	if c.hopeless[kind] {
		return node, device
	}
	for _, i := range c.byRank {
		n := &c.nodes[i]
		k := &c.known[i*len(c.requests)+kind]
		if k.version != n.version {
			*k = knownScore{score: gpu.Unfit, version: n.version}
			if n.memory >= c.memory[kind] && n.state.HasRoomFor(request) {
				score, d := chooser.ScoreNode(&n.state, request)
				k.score, k.device = score, int8(d)
			}
		}
		if k.score > best {
			node, device, best = i, int(k.device), k.score
		}
	}
	return node, device
}

func (c *cluster) take(node, pod, device int) {
	n := &c.nodes[node]
	n.state.AllocatePod(&c.requests[c.kinds[pod]], device)
	n.memory -= c.memory[c.kinds[pod]]
	n.version++
}
