// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/test/process"
)

// shut lets no more pods onto a node, or lets them again.
func (c *cluster) shut(node string, yes bool) {
	c.t.Helper()
	_, err := c.client.CoreV1().Nodes().Patch(background, node, types.MergePatchType, fmt.Appendf(nil, `{"spec":{"unschedulable":%t}}`, yes), metav1.PatchOptions{})
	assert.NoError(c.t, err)
}

// TestMoments_NodesAreCordonedWhileGangsArePlaced cordons one node after the
// other while gangs are planned, reserved and bound: a plan that a cordon broke
// is dropped whole.
func TestMoments_NodesAreCordonedWhileGangsArePlaced(t *testing.T) {
	const size = 36
	gangs := rounds(4, 12)
	c := on(t, takeStock(t), racks(40, 40)...)
	scheduler := startScheduler(t, c.box)
	book := c.audit()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			name := fmt.Sprintf("n%d", i%40)
			c.shut(name, true)
			c.shut(name, false)
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	for round := range gangs {
		gang := fmt.Sprintf("train%d", round)
		c.create(gangPods(gang, size, fmt.Sprint(size))...)
		c.awaitBound(gang, size)
		c.removeAllOf(sized{gang, size})
	}
	close(done)
	<-ended
	broken := strings.Count(scheduler.Log(), "was cordoned while the gang was being placed")
	t.Logf("%d lines in the log of %d gangs tell of a plan that a cordon broke", broken, gangs)
	c.startedWhole(gangs, size)
	c.mustBeClean(book)
}

// startedWhole checks that each gang was placed by one plan with all of its
// pods.
func (c *cluster) startedWhole(gangs, size int) {
	c.t.Helper()
	want := fmt.Sprintf("%d pods placed together", size)
	require.Eventually(c.t, func() bool { return len(c.events("GangPlaced")) >= gangs }, patience, poll)
	for _, note := range c.events("GangPlaced") {
		assert.Contains(c.t, note, want)
	}
}

// TestMoments_MembersComeBackWhileTheirGangIsPlaced deletes a member at any
// moment of its gang's start and creates it again under its name.
func TestMoments_MembersComeBackWhileTheirGangIsPlaced(t *testing.T) {
	const size = 8
	moments := rounds(8, 24)
	c := newCluster(t, racks(8, 8)...)
	book := c.audit()
	for round := range moments {
		gang := fmt.Sprintf("train%d", round)
		c.create(gangPods(gang, size, fmt.Sprint(size))...)
		time.Sleep(time.Duration(round) * 48 * time.Millisecond / time.Duration(moments)) // the moment
		again := gangPods(gang, size, fmt.Sprint(size))[round%size]
		c.remove(again.Name)
		c.create(again)
		c.awaitBound(gang, size)
		c.removeAllOf(sized{gang, size})
	}
	assert.Empty(t, c.events(string(kube.BindDenied)), "nobody denied anything")
	c.mustBeClean(book)
}

// TestMoments_TheGroupIsReplacedWhileItsGangIsPlaced replaces the group of a
// gang, at any moment of its start, by one that needs more pods.
func TestMoments_TheGroupIsReplacedWhileItsGangIsPlaced(t *testing.T) {
	c := newCluster(t, racks(6, 6)...)
	moments := rounds(4, 8)
	for round := range moments {
		gang := fmt.Sprintf("train%d", round)
		c.createGroup(gang, map[string]any{"minMember": int64(4)})
		pods := groupPods(gang, 6)
		c.create(pods[:4]...)
		time.Sleep(time.Duration(round) * 32 * time.Millisecond / time.Duration(moments)) // the moment
		require.NoError(t, c.groups().Delete(background, gang, metav1.DeleteOptions{}))
		c.createGroup(gang, map[string]any{"minMember": int64(6)})
		require.Eventually(t, func() bool {
			bound := len(c.bound(gang))
			return bound == 0 || bound == 4
		}, patience, poll, "all of it or nothing")
		c.create(pods[4:]...)
		c.awaitBound(gang, 6)
		require.NoError(t, c.groups().Delete(background, gang, metav1.DeleteOptions{}))
		c.remove(names(pods)...)
		require.Eventually(t, func() bool { return len(c.pods(gang+"-")) == 0 }, patience, poll)
	}
}

// TestMoments_TheLeaderGoesWhileAGangBinds kills the leader of two schedulers in
// the middle of a gang: the other one finishes it.
func TestMoments_TheLeaderGoesWhileAGangBinds(t *testing.T) {
	const size = 32
	c := on(t, takeStock(t), racks(40, 8)...)
	book := c.audit()
	flags := []string{
		"--leader-elect=true", "--leader-elect-resource-namespace=" + c.namespace,
		"--leader-elect-lease-duration=4s", "--leader-elect-renew-deadline=3s", "--leader-elect-retry-period=1s",
		"--kube-api-qps=40", "--kube-api-burst=5",
	}
	leads := func(p *process.Process) bool { return strings.Contains(p.Log(), "Successfully acquired lease") }
	leader := startScheduler(t, c.box, flags...)
	require.Eventually(t, func() bool { return leads(leader) }, patience, poll)
	for round := range rounds(1, 2) {
		next := startScheduler(t, c.box, flags...)
		gang := fmt.Sprintf("train%d", round)
		awaitBinds := c.afterBinds(5 + 12*round)
		c.create(gangPods(gang, size, fmt.Sprint(size))...)
		awaitBinds()
		leader.Kill()
		assert.Less(t, len(c.bound(gang)), size, "the leader was to go before the end")
		c.awaitBound(gang, size)
		assert.True(t, leads(next))
		c.removeAllOf(sized{gang, size})
		leader = next
	}
	c.mustBeClean(book)
}

// TestMoments_AMinimumIsRaisedWhileTheGangRuns asks for more members of a gang
// than there is room for: those that run go on.
func TestMoments_AMinimumIsRaisedWhileTheGangRuns(t *testing.T) {
	c := on(t, takeStock(t), racks(2, 2)...)
	startQuickScheduler(t, c.box, "partialGangGracePeriod: 1s")
	c.createGroup("train", map[string]any{"minMember": int64(2)})
	pods := groupPods("train", 3)
	for _, p := range pods {
		owned(p)
	}
	c.create(pods[:2]...)
	c.awaitBound("train", 2)
	_, err := c.groups().Patch(background, "train", types.MergePatchType, []byte(`{"spec":{"minMember":3}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	c.create(pods[2])
	require.Eventually(t, func() bool { return len(c.events(string(kube.NoFittingDomain))) > 0 }, patience, poll)
	c.passGracePeriod()
	assert.Len(t, c.bound("train"), 2, "nobody is evicted for it")
	assert.Len(t, slices.Compact(c.events(string(kube.PartialGang))), 1, "that of the other gang")

	require.NoError(t, c.box.CreateNodes(background, []*v1.Node{node("n2", nil, 8)}))
	c.awaitBound("train", 3)
}

// TestMoments_PodsOfAnotherSchedulerAreNoMembers gives a gang a member that is
// for another scheduler.
func TestMoments_PodsOfAnotherSchedulerAreNoMembers(t *testing.T) {
	c := newCluster(t, racks(4, 4)...)
	pods := gangPods("train", 4, "3")
	pods[0].Spec.SchedulerName = v1.DefaultSchedulerName
	c.create(pods[:3]...)
	c.awaitPending("train-1", kube.GangIncomplete, "gang train has 2 of the 3 pods")
	c.stayPending("train")
	c.create(pods[3])
	assert.NotContains(t, c.awaitBound("train", 3), "train-0")
}

// TestMoments_NamesAreAsLongAsTheyMayBe has a gang, a group and pods with the
// longest names that an API server takes.
func TestMoments_NamesAreAsLongAsTheyMayBe(t *testing.T) {
	c := newCluster(t, racks(4, 4)...)
	long := strings.Repeat("x", 63)
	c.createGroup(long, map[string]any{"minMember": int64(2)})
	for i := range 4 {
		p := pod(fmt.Sprintf("%s-%s%d", long, strings.Repeat("y", 253-63-2), i), 8, label(kube.LabelGang, long), annotation(kube.AnnotationMinCount, "2"))
		if i >= 2 {
			p = pod(p.Name, 8, label(kube.LabelPodGroup, long))
		}
		c.create(p)
	}
	c.awaitBound(long, 4)
	require.Eventually(t, func() bool {
		status, _ := c.group(long)["status"].(map[string]any)
		return status["phase"] == "Running"
	}, patience, poll)
}

// TestMany_TinyGangs starts hundreds of gangs of a pod or two at once, and again
// in the same room.
func TestMany_TinyGangs(t *testing.T) {
	gangs := rounds(100, 500)
	nodes := make([]*v1.Node, 100)
	for i := range nodes {
		nodes[i] = sandbox.NewNode(fmt.Sprintf("n%d", i), sandbox.NodeShape{Extended: map[string]int64{gpu: 8}})
	}
	c := newCluster(t, nodes...)
	book := c.audit()
	for round := range 2 {
		var pods []*v1.Pod
		for g := range gangs {
			pods = append(pods, gangPods(fmt.Sprintf("tiny%d-%d", round, g), 1+g%2, fmt.Sprint(1+g%2), ask(gpu, 1))...)
		}
		c.create(pods...)
		require.Eventually(t, func() bool { return len(c.running()) == len(pods) }, 3*patience, 10*poll)
		c.empty()
	}
	c.mustBeClean(book)
}
