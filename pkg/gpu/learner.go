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

	mu        sync.Mutex // guards what follows
	histogram RequestHistogram
	capacity  []int
	relearnAt int
	// fixedWorkload is the workload that was given in place of what is seen.
	fixedWorkload Workload
}

const (
	// typicalCoverage is the part of the pods seen that typical pods make up.
	typicalCoverage = 0.95
	// minObserved is the number of pods after which a Learner first scores by
	// what it has seen.
	minObserved = 16
	// decayAt is the number of pods at which a Learner halves all its counts,
	// so that what a cluster ran long ago fades.
	decayAt = 1 << 16
)

// NewLearner makes a learner for a cluster, see NewScorer.
func NewLearner(capacity []int, weights Weights) *Learner {
	l := &Learner{weights: weights, capacity: slices.Clone(capacity), relearnAt: minObserved}
	l.scorer.Store(NewScorer(nil, l.capacity, weights))
	return l
}

// ObservePod counts a pod that asks for a node, each pod once, and reports whether
// the learner scores by new lights since.
func (l *Learner) ObservePod(pod Request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fixedWorkload != nil {
		return false
	}
	l.histogram.AddPod(pod)
	if l.histogram.PodCount() < l.relearnAt {
		return false
	}
	if l.histogram.PodCount() >= decayAt {
		l.histogram.halveCounts()
	}
	l.relearnAt = l.histogram.PodCount() + l.histogram.PodCount()/2
	l.rebuildScorer()
	return true
}

// SetWorkload gives the learner the typical pods and the cluster. From then on it
// scores by them alone, whatever it sees. An empty workload changes nothing but
// the cluster.
func (l *Learner) SetWorkload(typical Workload, capacity []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.capacity = slices.Clone(capacity)
	if len(typical) > 0 {
		l.fixedWorkload = slices.Clone(typical)
	}
	l.rebuildScorer()
}

// SetCapacity tells the learner that the cluster has changed. The models keep their
// numbers; new ones come behind.
func (l *Learner) SetCapacity(capacity []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Equal(capacity, l.capacity) {
		return
	}
	l.capacity = slices.Clone(capacity)
	l.rebuildScorer()
}

func (l *Learner) rebuildScorer() {
	typical := l.fixedWorkload
	if typical == nil {
		typical = l.histogram.TypicalWorkload(typicalCoverage)
	}
	l.scorer.Store(NewScorer(typical, l.capacity, l.weights))
}

// CurrentScorer is the scorer of the moment. Score all nodes for a pod by one and the
// same.
func (l *Learner) CurrentScorer() *Scorer { return l.scorer.Load() }
