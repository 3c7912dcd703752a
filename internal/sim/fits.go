// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"time"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// LaterSizes are the sizes of the later gangs that Fits is about, in pods that
// take a whole node each.
var LaterSizes = []int{1, 2, 4, 8, 16, 32, 64}

// Fits is the share of the time between the first and the last arrival in which
// a later gang of Nodes whole nodes would have fitted. Shares go from 0 to 1.
type Fits struct {
	Nodes int `json:"nodes"`
	// Leaf asks for one leaf, Spine for one spine, Cluster for any nodes.
	Leaf    float64 `json:"leaf"`
	Spine   float64 `json:"spine"`
	Cluster float64 `json:"cluster"`
}

// fitsWidths names the fields of Fits.
var fitsWidths = []struct {
	Name  string
	Share func(Fits) float64
}{
	{"one leaf", func(f Fits) float64 { return f.Leaf }},
	{"one spine", func(f Fits) float64 { return f.Spine }},
	{"cluster", func(f Fits) float64 { return f.Cluster }},
}

// widths are where a later gang must find its nodes: the fields of Fits.
var widths = [...]topology.Level{leafLevel, spineLevel, topology.ClusterLevel}

// fitsMeter adds up, size by size, the seconds in which a later gang would fit.
type fitsMeter struct {
	from, to time.Duration // first and last arrival
	total    float64
	in       [len(widths)][]float64 // aligned with LaterSizes
}

// newFitsMeter returns a meter of the time between two moments.
func newFitsMeter(from, to time.Duration) *fitsMeter {
	m := &fitsMeter{from: from, to: to}
	for i := range m.in {
		m.in[i] = make([]float64, len(LaterSizes))
	}
	return m
}

// addPeriod adds a period in which the cluster does not change.
func (m *fitsMeter) addPeriod(c *Cluster, from, to time.Duration) {
	seconds := (min(to, m.to) - max(from, m.from)).Seconds()
	if seconds <= 0 {
		return
	}
	idle := c.countIdle()
	m.total += seconds
	for w, level := range widths {
		most := c.mostIdle(idle, level)
		for i, size := range LaterSizes {
			if size <= most {
				m.in[w][i] += seconds
			}
		}
	}
}

// fitResults returns a row for each size, nil for a trace without duration.
func (m *fitsMeter) fitResults() []Fits {
	if m.total <= 0 {
		return nil
	}
	rows := make([]Fits, len(LaterSizes))
	for i, size := range LaterSizes {
		rows[i] = Fits{Nodes: size, Leaf: m.in[0][i] / m.total, Spine: m.in[1][i] / m.total, Cluster: m.in[2][i] / m.total}
	}
	return rows
}

// countIdle returns, for each node, the number of nodes before it that are idle
// and have as many GPUs as most nodes of the fleet: prefix sums, so that a
// domain costs one subtraction. It asks neither policy nor engine, and so
// measures all alike.
func (c *Cluster) countIdle() []int {
	for n := range c.usage.Tree.Nodes {
		c.idle[n+1] = c.idle[n]
		if c.isIdle(topology.NodeID(n)) {
			c.idle[n+1]++
		}
	}
	return c.idle
}

// idleIn returns the number of idle nodes in a domain, from what countIdle
// returned.
func (c *Cluster) idleIn(idle []int, d topology.DomainID) int {
	domain := &c.usage.Tree.Domains[d]
	return idle[domain.End] - idle[domain.First]
}

// mostIdle returns the largest number of idle nodes in one domain of a level.
func (c *Cluster) mostIdle(idle []int, l topology.Level) int {
	most := 0
	for _, d := range c.usage.Tree.DomainsAt(l) {
		most = max(most, c.idleIn(idle, d))
	}
	return most
}

// isIdle reports whether a node is idle and has as many GPUs as most nodes.
func (c *Cluster) isIdle(n topology.NodeID) bool {
	free, capacity := c.usage.FreeRow(n), c.usage.CapacityRow(n)
	for i := range free {
		if free[i] != capacity[i] {
			return false
		}
	}
	return free[gpuColumn] >= c.wholeNode
}

// commonGPUs returns the number of GPUs that most nodes have, the larger of
// equals; at least 1.
func (c *Cluster) commonGPUs() int64 {
	count := map[int64]int{}
	for n := range c.usage.Tree.Nodes {
		count[c.usage.CapacityRow(topology.NodeID(n))[gpuColumn]]++
	}
	delete(count, 0)
	best := int64(1)
	for gpus, nodes := range count {
		if nodes > count[best] || nodes == count[best] && gpus > best {
			best = gpus
		}
	}
	return best
}
