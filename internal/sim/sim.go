// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"container/heap"
	"fmt"
	"time"

	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Config is one replay.
type Config struct {
	// Nodes is the fleet. Shape is the resources of a node that the file does not
	// have.
	Nodes []trace.Node
	Shape Shape
	// Gangs arrive in this order.
	Gangs []trace.Gang
	// Policy chooses the nodes.
	Policy Policy
	// Strict keeps gangs from passing one that waits.
	Strict bool
	// Clock measures how long decisions take; nil leaves that out.
	Clock func() time.Duration
	// Progress, unless nil, is called after each event with the number of gangs
	// that have ended.
	Progress func(ended int)
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
	// leaf, WholeNode the number of GPUs of most nodes.
	GPUs, Leaf int
	WholeNode  int64
	// Decisions are the times that the policy took for each gang it placed;
	// Deciding is what it took in all, for those too that it refused.
	Decisions []time.Duration
	Deciding  time.Duration
	// Partial gangs held nodes for some of their pods only, at some time; Stuck
	// ones still did at the end.
	Partial, Stuck int
	// Fits says how often a later gang would have found room.
	Fits []Fits
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
	singles Singles
	fits    *fitsMeter
	result  *Result
	queue   queue
	working finishes
	use     Use
	ended   int
}

// job is a gang under way.
type job struct {
	*Record

	ask     *gang.Gang
	nodes   []topology.NodeID // where its pods stand; fewer than Pods while it is partly placed
	partial bool              // it was counted as partly placed
}

func (j *job) request() []int64 { return j.ask.Roles[0].Request }

// Run replays the gangs.
func Run(cfg Config) (*Result, error) {
	cluster, err := NewCluster(cfg.Nodes, cfg.Shape)
	if err != nil {
		return nil, err
	}
	s := &simulation{cfg: &cfg, cluster: cluster, fits: newFitsMeter(0, 0), result: &Result{
		Records: make([]Record, len(cfg.Gangs)), GPUs: cluster.gpus, Leaf: cluster.largestLeaf(), WholeNode: cluster.wholeNode,
	}}
	if n := len(cfg.Gangs); n > 0 {
		s.fits = newFitsMeter(cfg.Gangs[0].Arrival, cfg.Gangs[n-1].Arrival)
	}
	if cfg.Policy.Singles != nil {
		s.singles = cfg.Policy.Singles(cluster)
	}
	if err := s.run(); err != nil {
		return nil, err
	}
	s.result.End, s.result.Fits = s.use.At, s.fits.result()
	for _, j := range s.queue.waiting {
		if len(j.nodes) > 0 {
			s.result.Stuck++
		}
	}
	return s.result, nil
}

func (s *simulation) run() error {
	gangs := s.cfg.Gangs
	next := 0
	for next < len(gangs) || len(s.working) > 0 {
		now := s.nextTime(next)
		s.advance(now)
		for len(s.working) > 0 && s.working[0].Ended <= now {
			s.finish(heap.Pop(&s.working).(*job))
		}
		for ; next < len(gangs) && gangs[next].Arrival <= now; next++ {
			if err := s.arrive(next); err != nil {
				return err
			}
		}
		if err := s.place(now); err != nil {
			return err
		}
		s.result.Use = append(s.result.Use, s.use)
		if s.cfg.Progress != nil {
			s.cfg.Progress(s.ended)
		}
	}
	return nil
}

// nextTime is that of the next arrival or finish.
func (s *simulation) nextTime(next int) time.Duration {
	if len(s.working) > 0 && (next == len(s.cfg.Gangs) || s.working[0].Ended < s.cfg.Gangs[next].Arrival) {
		return s.working[0].Ended
	}
	return max(s.use.At, s.cfg.Gangs[next].Arrival)
}

func (s *simulation) advance(now time.Duration) {
	s.fits.pass(s.cluster, s.use.At, now)
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
	s.queue.push(&job{Record: &s.result.Records[i], ask: s.cluster.ask(g)})
	if s.singles != nil {
		s.singles.Arrived(g)
	}
	return nil
}

// finish gives back what a gang held.
func (s *simulation) finish(j *job) {
	for _, n := range j.nodes {
		s.cluster.give(n, j.request())
	}
	s.use.Held -= j.TotalGPUs()
	s.use.Working -= j.TotalGPUs()
	s.ended++
	s.queue.roomGrew()
}

// start sets a gang to work that has all its nodes.
func (s *simulation) start(now time.Duration, j *job) {
	j.Placed, j.Ended = now, now+j.Run
	j.Leaves, j.Cliques = s.cluster.spread(j.nodes)
	s.use.Working += j.TotalGPUs()
	heap.Push(&s.working, j)
}

func (s *simulation) take(j *job, nodes []topology.NodeID) {
	for _, n := range nodes {
		s.cluster.take(n, j.request())
	}
	j.nodes = append(j.nodes, nodes...)
	s.use.Held += len(nodes) * j.GPUs
}

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
