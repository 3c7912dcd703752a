// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/test/process"
)

// countedScheduler is a replica whose bindings are counted as they are sent.
type countedScheduler struct {
	*process.Process
	binds *atomic.Int64
}

// shortLease and longLease are what a lease is here, and by default.
var (
	shortLease = []string{"--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=500ms"}
	longLease  = []string{"--leader-elect-lease-duration=15s", "--leader-elect-renew-deadline=10s", "--leader-elect-retry-period=2s"}
)

// startCounted starts a replica that binds slowly.
func startCounted(t *testing.T, c *cluster, lease []string) countedScheduler {
	t.Helper()
	f, kubeconfig := faulty(t, c.box)
	counted := countedScheduler{binds: &atomic.Int64{}}
	f.when(func(r *http.Request) fault {
		if isBind(r) {
			counted.binds.Add(1)
		}
		return fault{}
	})
	counted.Process = startScheduler(t, c.box, append([]string{
		kubeconfig, "--leader-elect=true", "--leader-elect-resource-namespace=" + c.namespace, "--kube-api-qps=20", "--kube-api-burst=5",
	}, lease...)...)
	return counted
}

func (s countedScheduler) leads() bool {
	return strings.Contains(s.Log(), "Successfully acquired lease")
}

// TestFence_AStoppedLeaderBindsNothingWhenItWakes stops the leader for longer than its
// lease, with bindings of five gangs in hand that fill the cluster. Gangs that came
// meanwhile have their rooms when it wakes: each binding that it sent would be one too
// many. The gang that it had begun is whole by then.
func TestFence_AStoppedLeaderBindsNothingWhenItWakes(t *testing.T) {
	for name, row := range map[string]struct {
		lease  []string
		pauses int
	}{
		"with a short lease":       {shortLease, rounds(1, 200)},
		"with the lease's default": {longLease, rounds(0, 20)},
	} {
		t.Run(name, func(t *testing.T) { stopLeaders(t, row.lease, row.pauses) })
	}
}

// stopLeaders stops one leader after the other.
func stopLeaders(t *testing.T, lease []string, pauses int) {
	const size, nodes = 8, 40
	if pauses == 0 {
		t.Skip("with -soak only")
	}
	c := on(t, takeStock(t), racks(nodes, size)...)
	c.priorityClass("top-never", 100_000, v1.PreemptNever)
	book := c.audit()
	leader := startCounted(t, c, lease)
	require.Eventually(t, leader.leads, patience, poll)
	for round := range pauses {
		next := startCounted(t, c, lease)
		awaitBinds := c.afterBinds(5)
		c.createGangs("early", size, nodes/size)
		awaitBinds()
		leader.Signal(syscall.SIGSTOP)
		require.Less(t, len(c.boundPods()), nodes, "the leader was to stop before the end")
		c.createGangs("late", size, 2, priority("top-never"))
		require.Eventually(t, func() bool { return len(c.boundPods()) == nodes }, patience, poll, "the other replica fills the cluster")
		require.True(t, next.leads())
		sent := leader.binds.Load()
		leader.Signal(syscall.SIGCONT)
		require.Error(t, leader.Wait(), "it does not lead any more")
		require.Equal(t, sent, leader.binds.Load(), "a binding was sent after pause %d", round)
		require.Contains(t, leader.Log(), "Another replica leads; ending at once")
		require.Len(t, c.bound("late0"), size, "it goes before those that the other one had planned")
		c.mustBeClean(book)
		c.empty()
		leader = next
	}
	t.Logf("%d pauses, no binding after them", pauses)
}

// createGangs creates gangs of one size, with names that are numbered.
func (c *cluster) createGangs(name string, size, count int, more ...func(*v1.Pod)) {
	c.t.Helper()
	var pods []*v1.Pod
	for i := range count {
		pods = append(pods, gangPods(fmt.Sprint(name, i), size, fmt.Sprint(size), more...)...)
	}
	c.create(pods...)
}

// boundPods are the pods that have a node.
func (c *cluster) boundPods() []v1.Pod {
	return slices.DeleteFunc(c.pods(""), func(p v1.Pod) bool { return p.Spec.NodeName == "" })
}

// TestFence_AShortStopLosesNothing stops the leader for less than its lease: it goes on
// where it was.
func TestFence_AShortStopLosesNothing(t *testing.T) {
	const size = 32
	c := on(t, takeStock(t), racks(40, 8)...)
	book := c.audit()
	leader := startCounted(t, c, shortLease)
	require.Eventually(t, leader.leads, patience, poll)
	awaitBinds := c.afterBinds(5)
	c.create(gangPods("train", size, fmt.Sprint(size))...)
	awaitBinds()
	leader.Signal(syscall.SIGSTOP)
	leader.Signal(syscall.SIGCONT)
	c.awaitBound("train", size)
	c.mustBeClean(book)
}
