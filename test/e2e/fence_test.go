// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/test/process"
)

// countedScheduler is a replica whose bindings are counted as they are sent.
type countedScheduler struct {
	*process.Process
	binds *atomic.Int64
}

// startCounted starts a replica with a short lease that binds slowly.
func startCounted(t *testing.T, c *cluster) countedScheduler {
	t.Helper()
	f, kubeconfig := faulty(t, c.box)
	counted := countedScheduler{binds: &atomic.Int64{}}
	f.when(func(r *http.Request) fault {
		if isBind(r) {
			counted.binds.Add(1)
		}
		return fault{}
	})
	counted.Process = startScheduler(t, c.box,
		kubeconfig, "--leader-elect=true", "--leader-elect-resource-namespace="+c.namespace,
		"--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=500ms",
		"--kube-api-qps=40", "--kube-api-burst=5")
	return counted
}

func (s countedScheduler) leads() bool {
	return strings.Contains(s.Log(), "Successfully acquired lease")
}

// TestFence_AStoppedLeaderBindsNothingWhenItWakes stops the leader in the middle of a
// gang for longer than its lease. The other replica ends what it began, and the one
// that wakes sends none of the bindings that it still had in hand, and ends.
func TestFence_AStoppedLeaderBindsNothingWhenItWakes(t *testing.T) {
	const size = 32
	c := on(t, takeStock(t), racks(40, 8)...)
	book := c.audit()
	leader := startCounted(t, c)
	require.Eventually(t, leader.leads, patience, poll)
	for round := range rounds(1, 40) {
		next := startCounted(t, c)
		gang := fmt.Sprintf("train%d", round)
		awaitBinds := c.afterBinds(5)
		c.create(gangPods(gang, size, fmt.Sprint(size))...)
		awaitBinds()
		leader.Signal(syscall.SIGSTOP)
		require.Less(t, len(c.bound(gang)), size, "the leader was to stop before the end")
		c.awaitBound(gang, size)
		require.True(t, next.leads())
		sent := leader.binds.Load()
		leader.Signal(syscall.SIGCONT)
		require.Error(t, leader.Wait(), "it does not lead any more")
		assert.Equal(t, sent, leader.binds.Load(), "no binding was sent after the pause")
		assert.Contains(t, leader.Log(), "Another replica leads; ending at once")
		c.removeAllOf(sized{gang, size})
		leader = next
	}
	c.mustBeClean(book)
}

// TestFence_AShortStopLosesNothing stops the leader for less than its lease: it goes on
// where it was.
func TestFence_AShortStopLosesNothing(t *testing.T) {
	const size = 32
	c := on(t, takeStock(t), racks(40, 8)...)
	book := c.audit()
	leader := startCounted(t, c)
	require.Eventually(t, leader.leads, patience, poll)
	awaitBinds := c.afterBinds(5)
	c.create(gangPods("train", size, fmt.Sprint(size))...)
	awaitBinds()
	leader.Signal(syscall.SIGSTOP)
	leader.Signal(syscall.SIGCONT)
	c.awaitBound("train", size)
	c.mustBeClean(book)
}
