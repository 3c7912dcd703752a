// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

const rackKey = "topology.kubernetes.io/rack"

func TestGang_IsPlacedInOneRackOrRefusedWithNumbers(t *testing.T) {
	c := newCluster(t, racks(8, 4)...)
	inRack := annotation(kube.AnnotationTopologyRequired, "rack")

	c.create(gangPods("train", 4, "4", inRack)...)
	assert.Len(t, c.domains(c.awaitBound("train", 4), rackKey), 1)

	c.create(gangPods("huge", 5, "5", inRack)...)
	c.awaitReason("huge", kube.GangTooLarge, "gang huge needs 5 pods in one rack", "4")

	c.create(gangPods("next", 3, "3", inRack)...)
	assert.Len(t, c.domains(c.awaitBound("next", 3), rackKey), 1)

	c.create(gangPods("late", 2, "2", inRack)...)
	c.awaitReason("late", kube.NoFittingDomain, "gang late needs 2 pods in one rack; the best, rack-", "has room for 1")
	c.remove("next-0")
	assert.Len(t, c.domains(c.awaitBound("late", 2), rackKey), 1, "it runs as soon as there is room")
	c.stayPending("huge")
}

func TestGang_WaitsForItsMembers(t *testing.T) {
	c := newCluster(t, racks(4, 4)...)
	pods := gangPods("train", 4, "4")
	c.create(pods[:3]...)
	c.awaitReason("train", kube.GangIncomplete, "gang train has 3 of the 4 pods that must start together")
	c.stayPending("train")
	c.create(pods[3])
	c.awaitBound("train", 4)
}

func TestGang_TellsEachVerdictOnce(t *testing.T) {
	c := newCluster(t, racks(2, 2)...)
	c.create(gangPods("holder", 1, "1")...)
	c.awaitBound("holder", 1)
	c.create(gangPods("train", 2, "2")...)
	c.awaitReason("train", kube.NoFittingDomain)
	c.stayPending("train")
	c.remove("holder-0")
	c.awaitBound("train", 2)
	require.Eventually(t, func() bool { return len(c.events("GangPlaced")) == 2 }, patience, poll)
	// Events are written in their order: all of those of the refusal are there.
	for _, pod := range []string{"train-0", "train-1"} {
		assert.Len(t, c.eventsOn("Pod", pod, string(kube.NoFittingDomain)), 1, pod)
	}
	assert.Empty(t, c.events("FailedScheduling"), "no event for each pod and attempt")
}

func TestGang_PrefersOneRackAndFallsBack(t *testing.T) {
	c := newCluster(t, racks(4, 2)...)
	prefer := annotation(kube.AnnotationTopologyPreferred, "rack")
	c.create(gangPods("two", 2, "2", prefer)...)
	assert.Len(t, c.domains(c.awaitBound("two", 2), rackKey), 1)
	c.remove("two-0", "two-1")
	c.create(gangPods("three", 3, "3", prefer)...)
	assert.Len(t, c.domains(c.awaitBound("three", 3), rackKey), 2)
}

func TestGang_GetsOneModelForAll(t *testing.T) {
	var nodes []*v1.Node
	for i := range 3 {
		nodes = append(nodes,
			node(fmt.Sprintf("a%d", i), map[string]string{kube.LabelGPUProduct: "NVIDIA-A100-SXM4-80GB"}, 8),
			node(fmt.Sprintf("h%d", i), map[string]string{kube.LabelGPUProduct: "NVIDIA-H100-80GB-HBM3"}, 8))
	}
	c := newCluster(t, nodes...)
	models := annotation(kube.AnnotationGPUModels, "H100,A100")
	c.create(gangPods("first", 2, "2", models)...)
	assert.Equal(t, map[string]int{"NVIDIA-H100-80GB-HBM3": 2}, c.domains(c.awaitBound("first", 2), kube.LabelGPUProduct))
	c.create(gangPods("second", 3, "3", models)...)
	assert.Equal(t, map[string]int{"NVIDIA-A100-SXM4-80GB": 3}, c.domains(c.awaitBound("second", 3), kube.LabelGPUProduct))
	c.create(pod("single-0", 1, models))
	assert.Equal(t, map[string]int{"NVIDIA-H100-80GB-HBM3": 1}, c.domains(c.awaitBound("single", 1), kube.LabelGPUProduct))
	c.create(gangPods("third", 1, "1", annotation(kube.AnnotationGPUModels, "B200"))...)
	c.awaitReason("third", kube.GangTooLarge, "B200")
}

func TestGang_AsksForMIGSlicesAndOtherShapes(t *testing.T) {
	cut := sandbox.NewNode("cut", sandbox.NodeShape{Extended: map[string]int64{"nvidia.com/mig-1g.10gb": 7}})
	c := newCluster(t, cut, node("whole", nil, 8))
	pods := gangPods("mixed", 4, "4", ask("nvidia.com/mig-1g.10gb", 2))
	ask(gpu, 8)(pods[3])
	c.create(pods...)
	assert.Equal(t, map[string]string{"mixed-0": "cut", "mixed-1": "cut", "mixed-2": "cut", "mixed-3": "whole"}, c.awaitBound("mixed", 4))
}

func TestGang_RespectsTaintsSelectorsAndCordons(t *testing.T) {
	nodes := racks(5, 5)
	nodes[0].Spec.Unschedulable = true
	nodes[1].Spec.Taints = []v1.Taint{{Key: "team", Value: "other", Effect: v1.TaintEffectNoSchedule}}
	nodes[2].Labels["pool"] = "infra"
	pooled := func(p *v1.Pod) {
		p.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{
			NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{{Key: "pool", Operator: v1.NodeSelectorOpDoesNotExist}}}},
		}}}
	}
	c := newCluster(t, nodes...)
	c.create(gangPods("big", 3, "3", pooled)...)
	c.awaitReason("big", kube.NoFittingDomain, "needs 3 pods", "room for 2", "cordoned", "taint")
	c.create(gangPods("fits", 2, "2", pooled)...)
	assert.Equal(t, map[string]int{"n3": 1, "n4": 1}, c.domains(c.awaitBound("fits", 2), v1.LabelHostname))
}

func TestGang_ConstraintsOfOtherPluginsHold(t *testing.T) {
	c := newCluster(t, racks(6, 3)...)
	apart := func(p *v1.Pod) {
		ask(gpu, 1)(p)
		p.Spec.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{{
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{kube.LabelGang: p.Labels[kube.LabelGang]}},
			TopologyKey:   v1.LabelHostname,
		}}}}
	}
	inRack := annotation(kube.AnnotationTopologyRequired, "rack")
	c.create(gangPods("apart", 3, "3", inRack, apart)...)
	bound := c.awaitBound("apart", 3)
	assert.Len(t, c.domains(bound, v1.LabelHostname), 3)
	assert.Len(t, c.domains(bound, rackKey), 1)

	c.create(gangPods("toofew", 4, "4", inRack, apart)...)
	require.Eventually(t, func() bool { return len(c.events(string(kube.NoFittingDomain))) == 4 }, patience, poll, "each of its pods tells it once")
	c.stayPending("toofew")
}

func TestSinglePods_PackGPUsAndLeaveWholeNodesFree(t *testing.T) {
	c := newCluster(t, racks(3, 3)...)
	for i := range 8 {
		c.create(pod(fmt.Sprintf("single-%d", i), 1))
		c.awaitBound("single", i+1)
	}
	assert.Len(t, c.domains(c.bound("single"), v1.LabelHostname), 1)
	c.create(pod("plain-0", 0))
	c.awaitBound("plain", 1)
}
