// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"

	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// waitQueue is the gangs that wait, in the order of arrival. As long as nothing
// is freed, what was refused once stays so, and so does everything of the same
// shape.
type waitQueue struct {
	waiting []*job
	tried   int // of waiting, since room last grew
	refused map[gangShape]bool
}

// gangShape is the size and the request of a gang: a policy cannot tell two
// gangs of one shape apart.
type gangShape struct {
	pods, gpus int
	cpu, mem   int64
}

// shapeOf returns the shape of a gang.
func shapeOf(j *job) gangShape { return gangShape{j.Pods, j.GPUs, j.CPUMilli, j.MemBytes} }

// addJob puts a gang at the end.
func (q *waitQueue) addJob(j *job) { q.waiting = append(q.waiting, j) }

// retryRefused has everything tried again that was refused, because something
// was freed.
func (q *waitQueue) retryRefused() {
	q.tried = 0
	clear(q.refused)
}

// tryWaiting calls place for everything that may fit, and keeps what it
// refuses.
func (q *waitQueue) tryWaiting(place func(*job) (bool, error)) error {
	if q.refused == nil {
		q.refused = map[gangShape]bool{}
	}
	left := q.waiting[:q.tried]
	for i, j := range q.waiting[q.tried:] {
		placed := false
		if !q.refused[shapeOf(j)] {
			var err error
			if placed, err = place(j); err != nil {
				return fmt.Errorf("gang %s, number %d in the queue: %w", j.Name, q.tried+i, err)
			}
		}
		if !placed {
			q.refused[shapeOf(j)] = true
			left = append(left, j)
		}
	}
	clear(q.waiting[len(left):])
	q.waiting, q.tried = left, len(left)
	return nil
}

// placeWaiting tries the gangs that wait.
func (s *simulation) placeWaiting(now time.Duration) error {
	var err error
	if s.cfg.Policy.Loose != nil {
		s.placeLoose(now)
	} else {
		blocked := s.cfg.Strict && s.queue.tried > 0
		err = s.queue.tryWaiting(func(j *job) (bool, error) {
			if blocked {
				return false, nil
			}
			placed, err := s.placeWhole(now, j)
			blocked = s.cfg.Strict && !placed
			return placed, err
		})
	}
	for _, j := range s.queue.waiting {
		if len(j.nodes) > 0 && !j.partial {
			j.partial = true
			s.result.Partial++
		}
	}
	return err
}

// placeWhole places a gang, or a single pod. Every answer is checked against
// the rules of gangs, whoever gave it.
func (s *simulation) placeWhole(now time.Duration, j *job) (bool, error) {
	plan := s.choosePlan(j)
	if err := placement.Check(s.cluster.usage, j.request, plan); err != nil {
		return false, err
	}
	if plan.Refusal != nil {
		return false, nil
	}
	s.allocateNodes(j, plan.Nodes[0])
	s.startGang(now, j)
	return true, nil
}

// choosePlan asks the policy, and measures how long it takes.
func (s *simulation) choosePlan(j *job) placement.Plan {
	var begin time.Duration
	if s.cfg.Clock != nil {
		begin = s.cfg.Clock()
	}
	var plan placement.Plan
	if j.Pods > 1 {
		plan = s.cfg.Policy.Gang(s.cluster, j.request)
		s.cluster.spared.RecordPlan(j.Name, plan)
	} else if n := s.singles.PlacePod(s.cluster, j.podRequest()); n == placement.NoNode {
		plan.Refusal = &placement.Refusal{Reason: placement.NoFittingDomain, Gang: j.Name}
	} else {
		plan.Nodes = [][]topology.NodeID{{n}}
	}
	if s.cfg.Clock != nil {
		took := s.cfg.Clock() - begin
		s.result.Deciding += took
		if plan.Refusal == nil {
			s.result.Decisions = append(s.result.Decisions, took)
		}
	}
	return plan
}

// placeLoose gives the waiting gangs a node each in turn, for as long as any
// gets one.
func (s *simulation) placeLoose(now time.Duration) {
	full := map[gangShape]bool{} // shapes of pods that found no room
	for progress := true; progress; {
		progress = false
		left := s.queue.waiting[:0]
		for _, j := range s.queue.waiting {
			pod := shapeOf(j)
			pod.pods = 1
			if !full[pod] {
				n := s.cfg.Policy.Loose(s.cluster, j.podRequest())
				if full[pod] = n == placement.NoNode; !full[pod] {
					s.allocateNodes(j, []topology.NodeID{n})
					progress = true
				}
			}
			if len(j.nodes) == j.Pods {
				s.startGang(now, j)
				continue
			}
			left = append(left, j)
		}
		clear(s.queue.waiting[len(left):])
		s.queue.waiting = left
	}
}
