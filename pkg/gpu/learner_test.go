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
	assert.Empty(t, l.Scorer().Workload(), "nothing seen")
	n, half := node(64, 1000, 500), share(4, 500)
	_, device := l.Scorer().ScoreNode(n, &half)
	assert.GreaterOrEqual(t, device, 0, "it scores all the same")

	choosy := whole(8, 1)
	choosy.Models = 1 << 1
	var lessons []int
	for i := 1; i <= 100; i++ {
		pod := whole(8, 1)
		if i%4 == 0 {
			pod = choosy
		}
		if l.Observe(pod) {
			lessons = append(lessons, i)
		}
	}
	assert.Equal(t, []int{16, 24, 36, 54, 81}, lessons, "by half more each time")
	assert.Len(t, l.Scorer().Workload(), 2)

	easy := whole(8, 1)
	score := func(model int) int64 {
		s, _ := l.Scorer().ScoreNode(onModel(node(64, 1000, 1000), model), &easy)
		return s
	}
	scarce := score(0) - score(1)
	assert.Positive(t, scarce, "model 1 is left to those who need it")
	l.Resize([]int{80, 2000})
	assert.Less(t, score(0)-score(1), scarce, "there is more of it now")
	before := l.Scorer()
	l.Resize([]int{80, 2000})
	assert.Same(t, before, l.Scorer(), "nothing has changed")
}

func TestLearner_Forgets(t *testing.T) {
	l := NewLearner([]int{8}, DefaultWeights())
	for range 2 * memorySpan {
		l.Observe(whole(8, 1))
	}
	for range 8 * memorySpan {
		l.Observe(whole(4, 1))
	}
	assert.Equal(t, Workload{{whole(4, 1), shareUnit}}, l.Scorer().Workload())
}

func TestLearner_FromManyGoroutines(t *testing.T) {
	l := NewLearner([]int{80}, DefaultWeights())
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			pod := whole(8, 1)
			for range 200 {
				l.Observe(pod)
				l.Scorer().ScoreNode(node(64, 1000), &pod)
				l.Resize([]int{80})
			}
		})
	}
	wait.Wait()
	assert.Len(t, l.Scorer().Workload(), 1)
}
