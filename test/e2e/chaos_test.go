// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// newFaultyCluster gives the test, which runs in parallel with others, a control
// plane with the given nodes, and a scheduler that reaches it through faults.
func newFaultyCluster(t *testing.T, nodes []*v1.Node, flags ...string) (*cluster, *faults) {
	t.Helper()
	c := on(t, takeStock(t), nodes...)
	f, flag := faulty(t, c.box)
	startScheduler(t, c.box, append(flags, flag)...)
	return c, f
}

// TestChaos_AnswersToBindingsAreLost has the API server bind pods and tell
// nobody. The pods hold what they have, and no gang is told that it could not
// be bound.
func TestChaos_AnswersToBindingsAreLost(t *testing.T) {
	c, f := newFaultyCluster(t, racks(4, 4))
	book := c.audit()
	f.when(everyNth(2, isBind, fault{lost: true}))
	for round := range rounds(4, 10) {
		gang, next := fmt.Sprintf("lost%d", round), fmt.Sprintf("next%d", round)
		c.create(gangPods(gang, 3, "3")...)
		c.create(gangPods(next, 2, "2")...)
		first, second := c.eitherOf(gang, 3, next, 2)
		c.removeAllOf(first)
		c.awaitBound(second.name, second.size)
		c.removeAllOf(second)
	}
	assert.NotZero(t, f.struck.Load())
	assert.Empty(t, c.events(string(kube.BindDenied)), "every one of them was bound")
	c.mustBeClean(book)
}

type sized struct {
	name string
	size int
}

// eitherOf waits until one of two gangs that exclude each other runs, and
// returns that one first.
func (c *cluster) eitherOf(a string, sizeA int, b string, sizeB int) (runs, waits sized) {
	c.t.Helper()
	one, two := sized{a, sizeA}, sized{b, sizeB}
	require.Eventually(c.t, func() bool { return len(c.bound(a)) == sizeA || len(c.bound(b)) == sizeB }, patience, poll)
	if len(c.bound(a)) == sizeA {
		return one, two
	}
	return two, one
}

func (c *cluster) removeAllOf(g sized) {
	c.t.Helper()
	c.remove(names(gangPods(g.name, g.size, ""))...)
	require.Eventually(c.t, func() bool { return len(c.pods(g.name+"-")) == 0 }, patience, poll)
}

// TestChaos_AnswersAreLostWhileNobodyWatches loses all that could tell the
// scheduler that a gang is bound. Another one that waits for room must not get
// the same.
func TestChaos_AnswersAreLostWhileNobodyWatches(t *testing.T) {
	c, f := newFaultyCluster(t, racks(4, 4))
	book := c.audit()
	ready, back := make(chan struct{}), make(chan struct{})
	lost := func(r *http.Request) fault {
		if isBind(r) {
			return fault{lost: true, until: ready}
		}
		return fault{}
	}
	f.when(lost)
	c.create(gangPods("first", 3, "3")...)
	require.Eventually(t, func() bool { return f.struck.Load() == 3 }, patience, poll)
	c.create(gangPods("second", 2, "2")...)
	c.awaitReason("second", kube.NoFittingDomain)
	f.when(func(r *http.Request) fault {
		if reads("/api/v1/pods")(r) {
			return fault{until: back}
		}
		return lost(r)
	})
	f.cut(reads("/api/v1/pods"))
	close(ready)
	c.awaitBound("first", 3)
	// Nothing can be awaited here: the scheduler does not hear of any pod.
	assert.Never(t, func() bool { return len(c.bound("second")) > 0 }, 1500*time.Millisecond, 5*poll)
	f.when(nil)
	close(back)
	c.removeAllOf(sized{"first", 3})
	c.awaitBound("second", 2)
	c.mustBeClean(book)
}

// TestChaos_TheAPIServerRefusesABit has the API server answer a part of all
// writes with what an overloaded one answers.
func TestChaos_TheAPIServerRefusesABit(t *testing.T) {
	c, f := newFaultyCluster(t, racks(8, 4))
	book := c.audit()
	for _, status := range []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusConflict, http.StatusGatewayTimeout} {
		gang := fmt.Sprintf("refused%d", status)
		f.when(everyNth(3, func(r *http.Request) bool { return r.Method != http.MethodGet }, fault{status: status}))
		c.create(gangPods(gang, 8, "8")...)
		c.awaitBound(gang, 8)
		f.when(nil)
		c.removeAllOf(sized{gang, 8})
	}
	assert.NotZero(t, f.struck.Load())
	c.mustBeClean(book)
}

// TestChaos_TheAPIServerRestartsWhileGangsBind takes the API server away in the
// middle of a gang, again and again.
func TestChaos_TheAPIServerRestartsWhileGangsBind(t *testing.T) {
	const size = 32
	c, f := newFaultyCluster(t, racks(32, 8), "--kube-api-qps=50", "--kube-api-burst=5")
	book := c.audit()
	partial := 0
	for round := range rounds(2, 4) {
		gang := fmt.Sprintf("storm%d", round)
		awaitBinds := c.afterBinds(1 + 7*round)
		c.create(gangPods(gang, size, fmt.Sprint(size))...)
		awaitBinds()
		f.away()
		time.Sleep(time.Duration(round) * 500 * time.Millisecond) // how long it is away
		if n := len(c.bound(gang)); n < size {
			partial++
		}
		f.when(nil)
		c.awaitBound(gang, size)
		c.removeAllOf(sized{gang, size})
	}
	assert.NotZero(t, partial, "no restart hit a gang while it was binding")
	c.mustBeClean(book)
}

// TestChaos_PodsComeBackUnderTheirNamesWhileNobodyWatches deletes members and
// creates them again under their names, as a StatefulSet does, while the
// scheduler's watch of pods is away.
func TestChaos_PodsComeBackUnderTheirNamesWhileNobodyWatches(t *testing.T) {
	c, f := newFaultyCluster(t, racks(4, 4))
	book := c.audit()
	for round := range 4 {
		c.create(gangPods("train", 4, "4")...)
		c.awaitBound("train", 4)
		back, asked := make(chan struct{}), make(chan struct{})
		var once sync.Once
		f.when(func(r *http.Request) fault {
			switch {
			case !reads("/api/v1/pods")(r):
				return fault{}
			case isWatch(r) && r.URL.Query().Get("sendInitialEvents") == "":
				return fault{status: http.StatusGone} // it has to read all again
			}
			once.Do(func() { close(asked) })
			return fault{until: back}
		})
		f.cut(reads("/api/v1/pods"))
		<-asked
		// Some of the gang, or all of it.
		pods := gangPods("train", 4, "4")[:1+round]
		c.remove(names(pods)...)
		require.Eventually(t, func() bool { return len(c.pods("train-")) == 4-len(pods) }, patience, poll)
		c.create(pods...)
		f.when(nil)
		close(back)
		c.awaitBound("train", 4)
		c.removeAllOf(sized{"train", 4})
	}
	c.mustBeClean(book)
}

// TestChaos_WatchesAreCutAllTheTime ends every watch twice a second while gangs
// come and go.
func TestChaos_WatchesAreCutAllTheTime(t *testing.T) {
	c, f := newFaultyCluster(t, racks(8, 4))
	book := c.audit()
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-time.After(500 * time.Millisecond):
				f.cut(isWatch)
			case <-done:
				return
			}
		}
	}()
	for round := range rounds(4, 10) {
		gang := fmt.Sprintf("cut%d", round)
		pods := gangPods(gang, 6, "6")
		c.create(pods[:3]...)
		c.create(pods[3:]...)
		c.awaitBound(gang, 6)
		c.removeAllOf(sized{gang, 6})
	}
	close(done)
	<-ended
	c.mustBeClean(book)
}
