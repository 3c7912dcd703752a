// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLearner(t *testing.T) {
	l := NewLearner([]int{80, 20}, DefaultWeights())
	assert.Empty(t, l.CurrentScorer().Workload(), "nothing seen")
	n, half := node(64, 1000, 500), share(4, 500)
	_, device := l.CurrentScorer().ScoreNode(n, &half)
	assert.GreaterOrEqual(t, device, 0, "it scores all the same")

	choosy := whole(8, 1)
	choosy.Models = 1 << 1
	var lessons []int
	for i := 1; i <= 100; i++ {
		pod := whole(8, 1)
		if i%4 == 0 {
			pod = choosy
		}
		if l.ObservePod(pod) {
			lessons = append(lessons, i)
		}
	}
	assert.Equal(t, []int{16, 24, 36, 54, 81}, lessons, "by half more each time")
	assert.Len(t, l.CurrentScorer().Workload(), 2)

	easy := whole(8, 1)
	score := func(model int) int64 {
		s, _ := l.CurrentScorer().ScoreNode(onModel(node(64, 1000, 1000), model), &easy)
		return s
	}
	scarce := score(0) - score(1)
	assert.Positive(t, scarce, "model 1 is left to those who need it")
	l.SetCapacity([]int{80, 2000})
	assert.Less(t, score(0)-score(1), scarce, "there is more of it now")
	before := l.CurrentScorer()
	l.SetCapacity([]int{80, 2000})
	assert.Same(t, before, l.CurrentScorer(), "nothing has changed")
}

func TestLearner_Forgets(t *testing.T) {
	l := NewLearner([]int{8}, DefaultWeights())
	for range 2 * decayAt {
		l.ObservePod(whole(8, 1))
	}
	for range 8 * decayAt {
		l.ObservePod(whole(4, 1))
	}
	assert.Equal(t, Workload{{whole(4, 1), shareUnit}}, l.CurrentScorer().Workload())
}

func TestLearner_FromManyGoroutines(t *testing.T) {
	l := NewLearner([]int{80}, DefaultWeights())
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			pod := whole(8, 1)
			for range 200 {
				l.ObservePod(pod)
				l.CurrentScorer().ScoreNode(node(64, 1000), &pod)
				l.SetCapacity([]int{80})
			}
		})
	}
	wait.Wait()
	assert.Len(t, l.CurrentScorer().Workload(), 1)
}
