// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// inRack wants all of a gang in one rack.
var inRack = annotation(kube.AnnotationTopologyRequired, "rack")

// awaitStopping waits until count pods whose names begin with something were
// deleted and are still there.
func (c *cluster) awaitStopping(prefix string, count int) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		stopping := 0
		for _, p := range c.pods(prefix + "-") {
			if p.DeletionTimestamp != nil && p.Status.Phase == v1.PodRunning {
				stopping++
			}
		}
		return stopping == count
	}, patience, poll, "%d pods %s have to be stopping", count, prefix)
}

// nominated lists the nodes that are set aside for pods of a gang in their
// status.
func (c *cluster) nominated(gang string) (nodes []string) {
	for _, p := range c.pods(gang + "-") {
		if p.Status.NominatedNodeName != "" {
			nodes = append(nodes, p.Status.NominatedNodeName)
		}
	}
	return nodes
}

// victims puts a slow pod of low priority on each node: victim-0 on the first.
func (c *cluster) victims(nodes []*v1.Node) {
	c.t.Helper()
	for i, n := range nodes {
		c.create(pod(fmt.Sprintf("victim-%d", i), 8, onNode(n.Name), slowly, priority("low")))
	}
	c.reachPhase("victim", len(nodes), v1.PodRunning)
}

// TestQueue_AGangThatNoLongerFitsHoldsNothing has a gang preempt slow pods and
// lose one of the nodes before they have stopped.
func TestQueue_AGangThatNoLongerFitsHoldsNothing(t *testing.T) {
	nodes := racks(8, 4)
	c := newCluster(t, nodes...)
	c.classes()
	c.victims(nodes[:4])
	c.fill(nodes[4:], priority("high"))
	c.create(gangPods("first", 4, "4", inRack, priority("high"))...)
	c.awaitStopping("victim", 4)

	// Another scheduler is quicker at the first node that is free.
	c.remove("victim-3")
	c.create(pod("squatter-0", 8, ofOthers, onNode(nodes[3].Name), priority("high")))
	c.reachPhase("squatter", 1, v1.PodRunning)
	c.remove("victim-0", "victim-1", "victim-2")

	c.create(gangPods("next", 2, "2", inRack, priority("low"))...)
	c.create(pod("single-0", 8, priority("low")))
	c.boundPromptly("next", 2)
	c.boundPromptly("single", 1)
	require.Eventually(t, func() bool { return len(c.nominated("first")) == 0 }, promptly, poll, "no node is set aside for a gang that does not fit")
	assert.Empty(t, c.bound("first"))
}

// TestQueue_NominatedNodesAreNotPlannedForOthers has a gang wait for slow pods
// that it preempted in a rack that is free in part. Who comes later and is of no
// higher priority takes another rack at once, however well the rest fits.
func TestQueue_NominatedNodesAreNotPlannedForOthers(t *testing.T) {
	for _, class := range []string{"high", "low"} {
		t.Run("a gang of "+class+" priority", func(t *testing.T) {
			nodes := racks(8, 4)
			c := newCluster(t, nodes...)
			c.classes()
			c.victims(nodes[:2])
			home := func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{rackKey: nodes[0].Labels[rackKey]} }
			c.create(gangPods("first", 4, "4", inRack, home, priority("high"))...)
			c.awaitStopping("victim", 2)

			c.create(gangPods("next", 2, "2", inRack, priority(class))...)
			assert.Equal(t, map[string]int{nodes[4].Labels[rackKey]: 2}, c.domains(c.boundPromptly("next", 2), rackKey))
			assert.Empty(t, c.bound("first"))

			c.remove("victim-0", "victim-1")
			c.boundPromptly("first", 4)
		})
	}
}

// TestQueue_ARunningDummyDoesNotBuyTheHead has a gang of low priority with a
// member that asks for next to nothing, bound past the scheduler, wait for the
// same room as one of a much higher priority.
func TestQueue_ARunningDummyDoesNotBuyTheHead(t *testing.T) {
	nodes := racks(1, 1)
	c := newCluster(t, nodes...)
	c.priorityClass("top-never", 100_000, v1.PreemptNever)
	c.fill(nodes, priority("top-never"))
	tiny := func(p *v1.Pod) {
		p.Spec.Containers[0].Resources = v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse("1m")}}
	}
	c.create(gangPods("sly", 2, "2", onNode(nodes[0].Name), tiny)[0])
	c.reachPhase("sly", 1, v1.PodRunning)
	c.create(gangPods("sly", 2, "2")[1])
	c.awaitPending("sly-1", kube.NoFittingDomain)
	c.create(gangPods("urgent", 1, "1", priority("top-never"))...)
	c.awaitReason("urgent", kube.NoFittingDomain)

	c.remove("holder-0")
	c.boundPromptly("urgent", 1)
	assert.Len(t, c.bound("sly"), 1, "it has what it had")
}

// TestQueue_GangsOfOneSecondKeepTheOrderOfTheirArrival has gangs wait whose
// names say the opposite of the order in which they came.
func TestQueue_GangsOfOneSecondKeepTheOrderOfTheirArrival(t *testing.T) {
	nodes := racks(1, 1)
	c := newCluster(t, nodes...)
	c.create(gangPods("first", 1, "1")...)
	c.awaitBound("first", 1) // the scheduler runs: what was there before has no order of arrival
	c.remove("first-0")
	c.fill(nodes)
	order := c.inOneSecond("z", "m", "a")
	for _, gang := range order {
		c.awaitReason(gang, kube.NoFittingDomain)
	}
	last := "holder-0"
	for i, gang := range order {
		c.remove(last)
		c.boundPromptly(gang, 1)
		for _, later := range order[i+1:] {
			assert.Empty(t, c.bound(later), "%s came after %s", later, gang)
		}
		last = gang + "-0"
	}
}

// inOneSecond creates gangs of one pod one after the other, so that the API
// server gives them all the same time of creation, and returns their names in
// this order.
func (c *cluster) inOneSecond(suffixes ...string) []string {
	c.t.Helper()
	for try := range 20 {
		var gangs []string
		for _, suffix := range suffixes {
			gangs = append(gangs, fmt.Sprintf("%s%d", suffix, try))
			c.create(gangPods(gangs[len(gangs)-1], 1, "1")...)
		}
		times := map[int64]bool{}
		for _, gang := range gangs {
			times[c.pods(gang + "-")[0].CreationTimestamp.Unix()] = true
		}
		if len(times) == 1 {
			return gangs
		}
		for _, gang := range gangs {
			c.remove(gang + "-0")
		}
	}
	require.Fail(c.t, "no second was long enough to create gangs in", suffixes)
	return nil
}

// TestQueue_ALargeGangGetsTheRackThatEmptiesForIt has the pods of a rack stop
// one after the other while a gang waits that needs the whole of it, and small
// ones keep coming.
func TestQueue_ALargeGangGetsTheRackThatEmptiesForIt(t *testing.T) {
	const size = 8
	nodes := racks(size, size)
	c, scheduler := newWatchedCluster(t, nodes...)
	c.fill(nodes, slowly)
	c.create(gangPods("large", size, fmt.Sprint(size), inRack)...)
	c.awaitReason("large", kube.NoFittingDomain)
	holders := c.stopAll(size)
	require.Eventually(t, func() bool { return strings.Contains(scheduler.Log(), `decision="reserved"`) }, patience, poll, "nothing is reserved")
	for i, holder := range holders[:size-1] {
		c.remove(holder)
		gang, single := fmt.Sprintf("small%d", i), fmt.Sprintf("single%d", i)
		c.create(gangPods(gang, 1, "1")...)
		require.False(t, c.awaitAnswer(gang), "gang %s came later and took what the large one waits for", gang)
		c.create(pod(single+"-0", 8))
		require.False(t, c.awaitAnswer(single), "pod %s came later and took what the large gang waits for", single)
	}
	c.remove(holders[size-1])
	c.boundPromptly("large", size)
}

// TestQueue_ARackIsNotHeldForEver has one of the pods of a rack not stop: what
// is free of it goes to others after a while, though a large gang is ahead.
func TestQueue_ARackIsNotHeldForEver(t *testing.T) {
	const size = 4
	nodes := racks(size, size)
	c := newCluster(t, nodes...)
	c.fill(nodes, slowly)
	c.create(gangPods("large", size, fmt.Sprint(size), inRack)...)
	c.awaitReason("large", kube.NoFittingDomain)
	holders := c.stopAll(size)
	c.remove(holders[1:]...)
	c.create(gangPods("small", 1, "1")...)
	c.create(pod("single-0", 8))
	c.awaitBound("small", 1)
	c.awaitBound("single", 1)
	assert.Empty(t, c.bound("large"))
}

// stopAll stops all pods of fill, which are slow, and returns their names.
func (c *cluster) stopAll(count int) (holders []string) {
	c.t.Helper()
	for i := range count {
		holders = append(holders, fmt.Sprintf("holder-%d", i))
	}
	c.stop(holders...)
	c.awaitStopping("holder", count)
	return holders
}
