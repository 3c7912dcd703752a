// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
)

func (c *cluster) changeNode(name, patch string, subresources ...string) {
	c.t.Helper()
	_, err := c.client.CoreV1().Nodes().Patch(background, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...)
	require.NoError(c.t, err)
}

// TestDrift_ANodeMovesToAnotherRack relabels the node of a running member: those
// that run go on, and nobody is placed so that the gang is split for good.
func TestDrift_ANodeMovesToAnotherRack(t *testing.T) {
	c := newCluster(t, racks(6, 3)...)
	pods := gangPods("train", 3, "3", annotation(kube.AnnotationTopologyRequired, "rack"))
	c.create(pods...)
	bound := c.awaitBound("train", 3)
	require.Len(t, c.domains(bound, rackKey), 1)
	// What is told within a moment of one another is told as one.
	require.Eventually(t, func() bool { return len(c.events("GangPlaced")) == 1 }, patience, poll)
	home := slices.Collect(maps.Keys(c.domains(bound, rackKey)))[0]
	move := func(rack string) {
		c.changeNode(bound["train-1"], fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, rackKey, rack))
	}
	move("rack-9")
	c.remove("train-2")
	c.create(gangPods("train", 3, "3", annotation(kube.AnnotationTopologyRequired, "rack"))[2])
	require.Eventually(t, func() bool { return len(c.events(string(kube.TopologyDrift))) > 0 }, patience, poll)
	c.passTurn()
	assert.Len(t, c.bound("train"), 2)
	move(home)
	assert.Len(t, c.domains(c.awaitBound("train", 3), rackKey), 1)
	// Events are written in their order.
	require.Eventually(t, func() bool { return len(c.events("GangPlaced")) == 2 }, patience, poll)
	assert.Len(t, c.events(string(kube.TopologyDrift)), 1, "told once, and not tried over and over")
}

// TestDrift_GPUsVanishFromUnderAGang has a device plugin take its GPUs back
// under pods that run, as it does when it restarts.
func TestDrift_GPUsVanishFromUnderAGang(t *testing.T) {
	c := newCluster(t, racks(4, 4)...)
	c.create(gangPods("old", 2, "2")...)
	bound := c.awaitBound("old", 2)
	have := func(gpus string) {
		for node := range maps.Values(bound) {
			c.changeNode(node, fmt.Sprintf(`{"status":{"allocatable":{%q:%q}}}`, gpu, gpus), "status")
		}
	}
	have("0")
	c.create(gangPods("new", 2, "2")...)
	for node := range maps.Values(c.awaitBound("new", 2)) {
		assert.NotContains(t, slices.Collect(maps.Values(bound)), node)
	}
	c.create(gangPods("none", 2, "2", ask(gpu, 1))...)
	require.Eventually(t, func() bool { return len(c.events(string(kube.NoFittingDomain))) > 0 }, patience, poll)
	c.create(pod("plain-0", 0))
	c.awaitBound("plain", 1)
	assert.Equal(t, bound, c.bound("old"), "those that run are left alone")
	have("8")
	// The sentinels need what becomes of a node after that.
	last := slices.Sorted(maps.Values(bound))[0]
	c.changeNode(last, `{"metadata":{"labels":{"seen":"yes"}}}`)
	c.stayPending("none", func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{"seen": "yes"} })
	c.remove("old-0")
	c.awaitBound("none", 2)
}

// TestDrift_AMinimumIsLoweredWhileTheGangWaits asks for fewer members than are
// there.
func TestDrift_AMinimumIsLoweredWhileTheGangWaits(t *testing.T) {
	c := newCluster(t, racks(4, 4)...)
	c.createGroup("train", map[string]any{"minMember": int64(4)})
	c.create(groupPods("train", 3)...)
	c.awaitReason("train", kube.GangIncomplete, "3 of the 4")
	_, err := c.groups().Patch(background, "train", types.MergePatchType, []byte(`{"spec":{"minMember":3}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	c.awaitBound("train", 3)
}
