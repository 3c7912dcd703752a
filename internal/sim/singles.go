// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"math"
	"strings"

	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Singles chooses nodes for pods that belong to no gang. One is made for each
// replay, so that it may learn.
type Singles interface {
	// Arrived is told of every gang and of every single pod, a gang of one, as
	// it comes.
	Arrived(g trace.Gang)
	// Place returns a node with room for the request, or NoNode where there is
	// none. It takes nothing.
	Place(c *Cluster, request []int64) topology.NodeID
}

// rule is a way to place single pods.
type rule struct {
	name string
	make func(*Cluster) Singles
}

// rules are the ways to place single pods that can stand behind the name of a
// policy, as in "muster/most-allocated".
//
//   - sparing: by the score of the scheduler plugin;
//   - scored: by the same score but for what gangs lose, see placement.IdleIndex;
//   - planned: as gangs of one, by placement.Solve;
//   - most-allocated: on the node with the fewest free GPUs that has room, the
//     first by place of equals;
//   - least-allocated: on the node with the most free GPUs.
var rules = []rule{
	{"scored", newScored},
	{"sparing", newSparing},
	{"planned", func(*Cluster) Singles { return planned{} }},
	{"most-allocated", func(*Cluster) Singles { return podRule(fullest) }},
	{"least-allocated", func(*Cluster) Singles { return podRule(emptiest) }},
}

func ruleNames() string {
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = r.name
	}
	return strings.Join(names, ", ")
}

// podRule is a rule that needs nothing but the cluster and the pod.
type podRule func(*Cluster, []int64) topology.NodeID

// Arrived does nothing.
func (podRule) Arrived(trace.Gang) {}

// Place applies the rule.
func (r podRule) Place(c *Cluster, request []int64) topology.NodeID { return r(c, request) }

// planned places single pods as gangs of one.
type planned struct{}

// Arrived does nothing.
func (planned) Arrived(trace.Gang) {}

// Place plans a gang of one.
func (planned) Place(c *Cluster, request []int64) topology.NodeID {
	if plan := c.planner.Solve(c.askFor("single", 1, request)); plan.Refusal == nil {
		return plan.Nodes[0][0]
	}
	return placement.NoNode
}

// scored is what the plugin's Score does: the best score wins, of equals the
// first node by place. Before anything has been learned that is the node in use
// the most. Two things are left out, because no trace tells them: links inside
// a node, and what the pod prefers by itself.
type scored struct {
	learner *gpu.Learner
	model   []int // of each node
	sparing bool
}

func newScored(c *Cluster) Singles { return newScorer(c, false) }

func newSparing(c *Cluster) Singles { return newScorer(c, true) }

func newScorer(c *Cluster, sparing bool) *scored {
	number := map[string]int{}
	var capacity []int
	s := &scored{model: make([]int, len(c.usage.Tree.Nodes)), sparing: sparing}
	for n, node := range c.usage.Tree.Nodes {
		m, known := number[node.Model]
		if !known {
			m = len(capacity)
			number[node.Model], capacity = m, append(capacity, 0)
		}
		s.model[n] = m
		capacity[m] += int(c.usage.CapacityRow(topology.NodeID(n))[gpuColumn])
	}
	s.learner = gpu.NewLearner(capacity, gpu.DefaultWeights())
	return s
}

// Arrived learns from every pod, those of gangs included, as the plugin does.
func (s *scored) Arrived(g trace.Gang) {
	for range g.Pods {
		s.learner.ObservePod(requestOf(g.CPUMilli, int64(g.GPUs)))
	}
}

func requestOf(cpuMilli, gpus int64) gpu.Request {
	r := gpu.Request{CPUMilli: cpuMilli, GPUs: int(gpus)}
	if gpus > 0 {
		r.GPUMilli = gpu.MilliPerGPU
	}
	return r
}

// mostCPU is what a node without a limit has in the eyes of the scorer, in
// milli-cores: far more than any pod asks for, and far from overflow.
const mostCPU = 1 << 30

// Place scores every node with room.
func (s *scored) Place(c *Cluster, request []int64) topology.NodeID {
	scorer, pod := s.learner.CurrentScorer(), requestOf(request[cpuColumn], request[gpuColumn])
	cold := len(scorer.Workload()) == 0
	best, most := placement.NoNode, int64(math.MinInt64)
	for i := range c.usage.Tree.Nodes {
		n := topology.NodeID(i)
		if !c.room(n, request) {
			continue
		}
		free, total := c.usage.FreeRow(n), c.usage.CapacityRow(n)[gpuColumn]
		var score int64
		if cold {
			score = 100 * (total - free[gpuColumn] + request[gpuColumn]) / max(1, total)
		} else {
			state := gpu.CountedNode(s.model[n], min(free[cpuColumn], mostCPU), int(free[gpuColumn]), int(total))
			score, _ = scorer.ScoreNode(&state, &pod)
		}
		if s.sparing {
			score -= scorer.GangPenalty(c.spared.BreakupCost(n))
		}
		if best == placement.NoNode || score > most {
			best, most = n, score
		}
	}
	return best
}
