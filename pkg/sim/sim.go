// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"container/heap"
	"fmt"
	"time"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
	"github.com/muster-scheduler/muster/pkg/trace"
)

// Config is one replay.
type Config struct {
	// Nodes is the fleet. Shape is what a node offers that the file does not
	// tell.
	Nodes []trace.Node
	Shape Shape
	// Gangs arrive in this order.
	Gangs []trace.Gang
	// Policy chooses the nodes.
	Policy Policy
	// Strict keeps gangs from passing one that waits.
	Strict bool
	// Probes are asked at every arrival.
	Probes []Probe
	// Clock measures how long decisions take; nil leaves that out.
	Clock func() time.Duration
}

// Record is what became of one gang. Times that never came are negative.
type Record struct {
	trace.Gang

	Placed, Ended time.Duration
	// Leaves is the number of distinct leaves that its pods stood in, Cliques
	// that of NVLink domains; pods outside any count as one more.
	Leaves, Cliques int
}

// Result is what a replay showed.
type Result struct {
	Records []Record
	// End is the time of the last event.
	End time.Duration
	// Use is the GPU time up to each event.
	Use []Use
	// GPUs is the size of the fleet, Leaf the number of nodes of the largest
	// leaf.
	GPUs, Leaf int
	// Decisions are the times that the policy took for each gang it placed.
	Decisions []time.Duration
	// Stuck gangs held nodes for some of their pods at the end. Only a policy
	// that places loose pods leaves any.
	Stuck int
	// Probes are aligned with Config.Probes.
	Probes []Answer
}

// Use is the state at one moment: GPU-seconds up to then, and GPUs from then on.
type Use struct {
	At               time.Duration
	HeldTime, Worked float64
	Held, Working    int
}

// simulation is a replay under way.
type simulation struct {
	cfg     *Config
	cluster *Cluster
	result  *Result
	waiting []*job
	working finishes
	use     Use
}

// job is a gang under way.
type job struct {
	*Record

	ask   *gang.Gang
	nodes []topology.NodeID // where its pods stand; fewer than Pods while it is partly placed
}

// Run replays the gangs.
func Run(cfg Config) (*Result, error) {
	cluster, err := NewCluster(cfg.Nodes, cfg.Shape)
	if err != nil {
		return nil, err
	}
	s := &simulation{cfg: &cfg, cluster: cluster, result: &Result{
		Records: make([]Record, len(cfg.Gangs)), GPUs: cluster.gpus, Leaf: cluster.largestLeaf(), Probes: make([]Answer, len(cfg.Probes)),
	}}
	next := 0
	for next < len(cfg.Gangs) || len(s.working) > 0 {
		now := s.nextTime(next)
		s.advance(now)
		for len(s.working) > 0 && s.working[0].Ended <= now {
			s.finish(heap.Pop(&s.working).(*job))
		}
		for ; next < len(cfg.Gangs) && cfg.Gangs[next].Arrival <= now; next++ {
			if err := s.arrive(next); err != nil {
				return nil, err
			}
		}
		if err := s.place(now); err != nil {
			return nil, err
		}
		s.result.Use = append(s.result.Use, s.use)
	}
	s.result.End = s.use.At
	for _, j := range s.waiting {
		if len(j.nodes) > 0 {
			s.result.Stuck++
		}
	}
	return s.result, nil
}

// nextTime is that of the next arrival or finish.
func (s *simulation) nextTime(next int) time.Duration {
	if len(s.working) > 0 && (next == len(s.cfg.Gangs) || s.working[0].Ended < s.cfg.Gangs[next].Arrival) {
		return s.working[0].Ended
	}
	return max(s.use.At, s.cfg.Gangs[next].Arrival)
}

func (s *simulation) advance(now time.Duration) {
	seconds := (now - s.use.At).Seconds()
	s.use.HeldTime += float64(s.use.Held) * seconds
	s.use.Worked += float64(s.use.Working) * seconds
	s.use.At = now
}

func (s *simulation) arrive(i int) error {
	g := s.cfg.Gangs[i]
	if g.Pods < 1 || g.Run < 0 {
		return fmt.Errorf("gang %s has %d pods and runs for %s: want at least one pod and no negative time", g.Name, g.Pods, g.Run)
	}
	s.result.Records[i] = Record{Gang: g, Placed: -1, Ended: -1}
	s.waiting = append(s.waiting, &job{Record: &s.result.Records[i], ask: s.cluster.ask(g)})
	for p, probe := range s.cfg.Probes {
		s.result.Probes[p].add(s.cluster.fits(probe))
	}
	return nil
}

// finish gives back what a gang held.
func (s *simulation) finish(j *job) {
	for _, n := range j.nodes {
		s.cluster.give(n, j.ask.Roles[0].Request)
	}
	s.use.Held -= j.TotalGPUs()
	s.use.Working -= j.TotalGPUs()
}

// start sets a gang to work that has all its nodes.
func (s *simulation) start(now time.Duration, j *job) {
	j.Placed, j.Ended = now, now+j.Run
	j.Leaves, j.Cliques = s.cluster.spread(j.nodes)
	s.use.Working += j.TotalGPUs()
	heap.Push(&s.working, j)
}

// place tries the gangs that wait.
func (s *simulation) place(now time.Duration) error {
	if s.cfg.Policy.Loose {
		s.placeLoose(now)
		return nil
	}
	left := s.waiting[:0]
	refused := map[shape]bool{} // while room only shrinks, a shape refused once stays so
	for i, j := range s.waiting {
		if refused[shapeOf(j)] || (s.cfg.Strict && len(left) > 0) {
			left = append(left, j)
			continue
		}
		nodes, err := s.decide(j)
		if err != nil {
			return fmt.Errorf("gang %s, number %d in the queue: %w", j.Name, i, err)
		}
		if nodes == nil {
			refused[shapeOf(j)] = true
			left = append(left, j)
			continue
		}
		s.take(j, nodes)
		s.start(now, j)
	}
	clear(s.waiting[len(left):])
	s.waiting = left
	return nil
}

func (s *simulation) decide(j *job) ([]topology.NodeID, error) {
	if s.cfg.Clock == nil {
		return s.cfg.Policy.Gang(s.cluster, j.ask)
	}
	begin := s.cfg.Clock()
	nodes, err := s.cfg.Policy.Gang(s.cluster, j.ask)
	if nodes != nil {
		s.result.Decisions = append(s.result.Decisions, s.cfg.Clock()-begin)
	}
	return nodes, err
}

// placeLoose gives the gangs that wait a node each in turn, for as long as any
// gets one.
func (s *simulation) placeLoose(now time.Duration) {
	for progress := true; progress; {
		progress = false
		left := s.waiting[:0]
		for _, j := range s.waiting {
			if n, ok := s.cfg.Policy.Pod(s.cluster, j.ask.Roles[0].Request); ok {
				s.take(j, []topology.NodeID{n})
				progress = true
			}
			if len(j.nodes) == j.Pods {
				s.start(now, j)
				continue
			}
			left = append(left, j)
		}
		clear(s.waiting[len(left):])
		s.waiting = left
	}
}

func (s *simulation) take(j *job, nodes []topology.NodeID) {
	for _, n := range nodes {
		s.cluster.take(n, j.ask.Roles[0].Request)
	}
	j.nodes = append(j.nodes, nodes...)
	s.use.Held += len(nodes) * j.GPUs
}

// shape is what makes two gangs the same to a policy.
type shape struct {
	pods, gpus int
	cpu, mem   int64
}

func shapeOf(j *job) shape { return shape{j.Pods, j.GPUs, j.CPUMilli, j.MemBytes} }

// finishes is a heap of working gangs, the first to end on top; ties in the
// order of arrival.
type finishes []*job

func (f finishes) Len() int { return len(f) }
func (f finishes) Less(a, b int) bool {
	if f[a].Ended != f[b].Ended {
		return f[a].Ended < f[b].Ended
	}
	return f[a].Name < f[b].Name
}
func (f finishes) Swap(a, b int) { f[a], f[b] = f[b], f[a] }

// Push and Pop are for package heap.
func (f *finishes) Push(x any) { *f = append(*f, x.(*job)) }

// Pop is for package heap.
func (f *finishes) Pop() any {
	last := len(*f) - 1
	j := (*f)[last]
	*f = (*f)[:last]
	return j
}
