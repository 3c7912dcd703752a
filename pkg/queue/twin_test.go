// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// settleTime is how long after the last event everybody has been tried who can
// be placed: the delay of events, the longest pace, a pause after a failure to
// bind, and the time-out of a turn for each gang without an answer.
const settleTime = 4 * time.Second

func TestTwin_NobodyWaitsWhoWouldFit(t *testing.T) {
	waited := 0
	for seed := range uint64(40) {
		w := newWorld(t, seed)
		placed := w.live(60)
		w.pass(settleTime)
		require.Empty(t, w.twinPlaces(), "seed %d: the twin would place these", seed)
		require.NotZero(t, placed, "seed %d: nobody was ever placed", seed)
		waited += len(w.q.KeptOut())
		w.end()
	}
	assert.Greater(t, waited, 40, "too few gangs waited for the test to mean anything")
}

// Where events are lost everybody is tried once in a while.
func TestTwin_NobodyWaitsForEverWhoWouldFitThoughEventsAreLost(t *testing.T) {
	late := 0
	for seed := range uint64(8) {
		w := newWorld(t, seed)
		w.loses = 1
		w.live(60)
		w.loses = 4
		w.setNode("unheard-of", 6)
		w.pass(settleTime)
		late += len(w.twinPlaces())
		w.pass(maxUnschedulable + resyncPeriod + settleTime)
		require.Empty(t, w.twinPlaces(), "seed %d: the twin would place these", seed)
		w.end()
	}
	assert.NotZero(t, late, "no event that was lost made a difference")
}

// live plays a random life of so many events, and returns how many gangs ran.
func (w *world) live(events int) int {
	w.step(Leading{})
	for i := range 4 {
		w.setNode(fmt.Sprint("n", i), 4)
	}
	ran := 0
	for range events {
		ran += len(w.running())
		w.happen()
		w.pass(time.Duration(w.dice.IntN(20)) * TickInterval)
	}
	return ran
}

// happen has something happen.
func (w *world) happen() {
	running := w.running()
	switch n := w.dice.IntN(20); {
	case n < 9:
		what := none
		if w.dice.IntN(4) == 0 {
			what = trouble(w.dice.IntN(int(allowance)))
		}
		w.addGang(1+w.dice.IntN(4), w.dice.IntN(2) == 0, what, int32(w.dice.IntN(2)))
	case n < 14 && len(running) > 0: // one ends, all at once
		w.removeGang(running[w.dice.IntN(len(running))])
	case n < 16 && len(running) > 0: // one ends slowly
		g := running[w.dice.IntN(len(running))]
		for len(g.pods) > 1 {
			w.endPod(g)
			w.pass(4 * TickInterval)
		}
		w.removeGang(g)
	case n < 18:
		w.setNode(fmt.Sprint("n", w.dice.IntN(5)), w.dice.IntN(6))
	case len(w.gangs) > 0: // any gang goes, whatever it does
		ids := slices.Sorted(maps.Keys(w.gangs))
		w.removeGang(w.gangs[ids[w.dice.IntN(len(ids))]])
	}
}

// end deletes everything, and fails if anything is remembered a while later.
func (w *world) end() {
	for _, id := range slices.Sorted(maps.Keys(w.gangs)) {
		w.removeGang(w.gangs[id])
	}
	for name := range w.nodes {
		w.step(NodeDeleted{Node: name})
	}
	w.pass(3 * eventTTL)
	assertEmpty(w.t, w.q)
}

// What a freed slot costs does not grow with the number of gangs that wait.
func TestTwin_AttemptsDoNotGrowWithTheQueue(t *testing.T) {
	const size, rounds, perSlot = 4, 10, 2
	for _, waiting := range []int{5, 50, 500} {
		t.Run(fmt.Sprint(waiting), func(t *testing.T) {
			w := newWorld(t, 1)
			w.large = true
			w.step(Leading{})
			w.setNode("n", 4*size)
			w.pass(time.Second)
			for range waiting + rounds {
				w.addGang(size, false, none, 0)
			}
			w.pass(2*time.Minute + settleTime) // each of them is tried once
			require.Len(t, w.running(), 4)
			before := w.attempts
			for range rounds {
				g := w.running()[0]
				for len(g.pods) > 1 {
					w.endPod(g)
					w.pass(4 * TickInterval)
				}
				w.removeGang(g)
				w.pass(settleTime)
				require.Len(t, w.running(), 4, "the next one took its place")
			}
			made := w.attempts - before
			assert.LessOrEqual(t, made, perSlot*size*rounds)
			assert.GreaterOrEqual(t, made, rounds)
			t.Logf("%d attempts for %d slots", made, size*rounds)
		})
	}
}
