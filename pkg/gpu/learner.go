// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Learner scores by the pods that it has seen. It starts from nothing and makes
// a new Scorer each time that their number has grown by half. It is safe for
// concurrent use.
type Learner struct {
	weights Weights
	scorer  atomic.Pointer[Scorer]

	mu       sync.Mutex // guards what follows
	tally    Tally
	capacity []int
	next     int
	// taught is the workload that was given in place of what is seen.
	taught Workload
}

const (
	// typicalCover is the part of the pods seen that typical pods make up.
	typicalCover = 0.95
	// firstLesson is the number of pods after which a Learner first scores by
	// what it has seen.
	firstLesson = 16
	// memorySpan is the number of pods at which a Learner halves all its counts,
	// so that what a cluster ran long ago fades.
	memorySpan = 1 << 16
)

// NewLearner makes a learner for a cluster, see NewScorer.
func NewLearner(capacity []int, weights Weights) *Learner {
	l := &Learner{weights: weights, capacity: slices.Clone(capacity), next: firstLesson}
	l.scorer.Store(NewScorer(nil, l.capacity, weights))
	return l
}

// Observe counts a pod that asks for a node, each pod once, and tells whether
// the learner scores by new lights since.
func (l *Learner) Observe(pod Request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taught != nil {
		return false
	}
	l.tally.Add(pod)
	if l.tally.Total() < l.next {
		return false
	}
	if l.tally.Total() >= memorySpan {
		l.tally.fade()
	}
	l.next = l.tally.Total() + l.tally.Total()/2
	l.learn()
	return true
}

// Teach gives the learner the typical pods and the cluster. From then on it
// scores by them alone, whatever it sees. An empty workload changes nothing but
// the cluster.
func (l *Learner) Teach(typical Workload, capacity []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.capacity = slices.Clone(capacity)
	if len(typical) > 0 {
		l.taught = slices.Clone(typical)
	}
	l.learn()
}

// Resize tells the learner that the cluster has changed. The models keep their
// numbers; new ones come behind.
func (l *Learner) Resize(capacity []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Equal(capacity, l.capacity) {
		return
	}
	l.capacity = slices.Clone(capacity)
	l.learn()
}

func (l *Learner) learn() {
	typical := l.taught
	if typical == nil {
		typical = l.tally.Workload(typicalCover)
	}
	l.scorer.Store(NewScorer(typical, l.capacity, l.weights))
}

// Scorer is the scorer of the moment. Score all nodes for a pod by one and the
// same.
func (l *Learner) Scorer() *Scorer { return l.scorer.Load() }
