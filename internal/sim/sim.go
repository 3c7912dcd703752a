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

// Record is the outcome of one gang. Times that never came are negative.
type Record struct {
	trace.Gang

	Placed, Ended time.Duration
	// Leaves is the number of distinct leaves that its pods stood in, Cliques
	// that of NVLink domains; pods outside any count as one more.
	Leaves, Cliques int
}

// Result is the outcome of a replay.
type Result struct {
	Records []Record
	// End is the time of the last event.
	End time.Duration
	// Usage is the GPU time up to each event.
	Usage []Usage
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

// Usage is the state at one moment: GPU-seconds up to then, and GPUs from then
// on.
type Usage struct {
	At               time.Duration
	HeldTime, Worked float64
	Held, Working    int
}

// simulation is a replay in progress.
type simulation struct {
	cfg     *Config
	cluster *Cluster
	singles Singles
	fits    *fitsMeter
	result  *Result
	queue   waitQueue
	working finishHeap
	usage   Usage
	ended   int
}

// job is a gang of the replay that has arrived.
type job struct {
	*Record

	request *gang.Gang
	nodes   []topology.NodeID // where its pods stand; fewer than Pods while it is partly placed
	partial bool              // it was counted as partly placed
}

// podRequest returns the request of each pod.
func (j *job) podRequest() []int64 { return j.request.Roles[0].Request }

// Run replays the gangs. The same input gives the same result, but for
// Decisions and Deciding.
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
	s.result.End, s.result.Fits = s.usage.At, s.fits.fitResults()
	for _, j := range s.queue.waiting {
		if len(j.nodes) > 0 {
			s.result.Stuck++
		}
	}
	return s.result, nil
}

// run handles one event time after the other. Gangs that end free their nodes
// before those that arrive at the same time are tried.
func (s *simulation) run() error {
	gangs := s.cfg.Gangs
	next := 0
	for next < len(gangs) || len(s.working) > 0 {
		now := s.nextTime(next)
		s.advanceTime(now)
		for len(s.working) > 0 && s.working[0].Ended <= now {
			s.finishGang(heap.Pop(&s.working).(*job))
		}
		for ; next < len(gangs) && gangs[next].Arrival <= now; next++ {
			if err := s.addArrival(next); err != nil {
				return err
			}
		}
		if err := s.placeWaiting(now); err != nil {
			return err
		}
		s.result.Usage = append(s.result.Usage, s.usage)
		if s.cfg.Progress != nil {
			s.cfg.Progress(s.ended)
		}
	}
	return nil
}

// nextTime returns the time of the next arrival or end.
func (s *simulation) nextTime(next int) time.Duration {
	if len(s.working) > 0 && (next == len(s.cfg.Gangs) || s.working[0].Ended < s.cfg.Gangs[next].Arrival) {
		return s.working[0].Ended
	}
	return max(s.usage.At, s.cfg.Gangs[next].Arrival)
}

// advanceTime integrates GPU use up to now.
func (s *simulation) advanceTime(now time.Duration) {
	s.fits.addPeriod(s.cluster, s.usage.At, now)
	seconds := (now - s.usage.At).Seconds()
	s.usage.HeldTime += float64(s.usage.Held) * seconds
	s.usage.Worked += float64(s.usage.Working) * seconds
	s.usage.At = now
}

// addArrival puts a gang into the queue.
func (s *simulation) addArrival(i int) error {
	g := s.cfg.Gangs[i]
	if g.Pods < 1 || g.Run < 0 {
		return fmt.Errorf("gang %s has %d pods and runs for %s: want at least one pod and no negative time", g.Name, g.Pods, g.Run)
	}
	s.result.Records[i] = Record{Gang: g, Placed: -1, Ended: -1}
	s.queue.addJob(&job{Record: &s.result.Records[i], request: s.cluster.engineGang(g)})
	if s.singles != nil {
		s.singles.ObserveArrival(g)
	}
	return nil
}

// finishGang frees what a gang held.
func (s *simulation) finishGang(j *job) {
	for _, n := range j.nodes {
		s.cluster.releaseOn(n, j.podRequest())
	}
	s.usage.Held -= j.TotalGPUs()
	s.usage.Working -= j.TotalGPUs()
	s.ended++
	s.queue.retryRefused()
}

// startGang starts the work of a gang that has all its nodes.
func (s *simulation) startGang(now time.Duration, j *job) {
	j.Placed, j.Ended = now, now+j.Run
	j.Leaves, j.Cliques = s.cluster.countDomains(j.nodes)
	s.usage.Working += j.TotalGPUs()
	heap.Push(&s.working, j)
}

// allocateNodes allocates one pod of a gang on each of the nodes.
func (s *simulation) allocateNodes(j *job, nodes []topology.NodeID) {
	for _, n := range nodes {
		s.cluster.allocateOn(n, j.podRequest())
	}
	j.nodes = append(j.nodes, nodes...)
	s.usage.Held += len(nodes) * j.GPUs
}

// finishHeap is a heap of working gangs, the first to end on top; ties in the
// order of their names, so that a replay is repeatable.
type finishHeap []*job

func (f finishHeap) Len() int { return len(f) }
func (f finishHeap) Less(a, b int) bool {
	if f[a].Ended != f[b].Ended {
		return f[a].Ended < f[b].Ended
	}
	return f[a].Name < f[b].Name
}
func (f finishHeap) Swap(a, b int) { f[a], f[b] = f[b], f[a] }

// Push and Pop are for package heap.
func (f *finishHeap) Push(x any) { *f = append(*f, x.(*job)) }

// Pop is for package heap.
func (f *finishHeap) Pop() any {
	last := len(*f) - 1
	j := (*f)[last]
	*f = (*f)[:last]
	return j
}
