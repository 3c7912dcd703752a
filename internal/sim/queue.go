// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"

	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// queue is what waits, in the order of arrival. While room only shrinks, what
// was refused once stays so, and so does everything of the same shape.
type queue struct {
	waiting []*job
	tried   int // of waiting, since room last grew
	refused map[shape]bool
}

// shape is what makes two gangs the same to a policy.
type shape struct {
	pods, gpus int
	cpu, mem   int64
}

func shapeOf(j *job) shape { return shape{j.Pods, j.GPUs, j.CPUMilli, j.MemBytes} }

func (q *queue) push(j *job) { q.waiting = append(q.waiting, j) }

// roomGrew says that what was refused may fit now.
func (q *queue) roomGrew() {
	q.tried = 0
	clear(q.refused)
}

// try calls place for everything that may fit, and keeps what it refuses.
func (q *queue) try(place func(*job) (bool, error)) error {
	if q.refused == nil {
		q.refused = map[shape]bool{}
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

// place tries the gangs that wait.
func (s *simulation) place(now time.Duration) error {
	var err error
	if s.cfg.Policy.Loose != nil {
		s.placeLoose(now)
	} else {
		blocked := s.cfg.Strict && s.queue.tried > 0
		err = s.queue.try(func(j *job) (bool, error) {
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
	plan := s.decide(j)
	if err := placement.Check(s.cluster.usage, j.ask, plan); err != nil {
		return false, err
	}
	if plan.Refusal != nil {
		return false, nil
	}
	s.take(j, plan.Nodes[0])
	s.start(now, j)
	return true, nil
}

// decide asks the policy, and takes the time.
func (s *simulation) decide(j *job) placement.Plan {
	var begin time.Duration
	if s.cfg.Clock != nil {
		begin = s.cfg.Clock()
	}
	var plan placement.Plan
	if j.Pods > 1 {
		plan = s.cfg.Policy.Gang(s.cluster, j.ask)
		s.cluster.spared.RecordPlan(j.Name, plan)
	} else if n := s.singles.Place(s.cluster, j.request()); n == placement.NoNode {
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

// placeLoose gives the gangs that wait a node each in turn, for as long as any
// gets one.
func (s *simulation) placeLoose(now time.Duration) {
	full := map[shape]bool{} // shapes of pods that found no room
	for progress := true; progress; {
		progress = false
		left := s.queue.waiting[:0]
		for _, j := range s.queue.waiting {
			pod := shapeOf(j)
			pod.pods = 1
			if !full[pod] {
				n := s.cfg.Policy.Loose(s.cluster, j.request())
				if full[pod] = n == placement.NoNode; !full[pod] {
					s.take(j, []topology.NodeID{n})
					progress = true
				}
			}
			if len(j.nodes) == j.Pods {
				s.start(now, j)
				continue
			}
			left = append(left, j)
		}
		clear(s.queue.waiting[len(left):])
		s.queue.waiting = left
	}
}
