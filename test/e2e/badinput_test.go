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
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// TestBadInput gives one scheduler every malformed gang at once. Each of them
// has to stay Pending with its own reason, and a good gang among them has to
// run.
func TestBadInput(t *testing.T) {
	c := newCluster(t, racks(4, 2)...)
	for _, class := range []*schedulingv1.PriorityClass{
		{ObjectMeta: metav1.ObjectMeta{Name: "high"}, Value: 1000},
		{ObjectMeta: metav1.ObjectMeta{Name: "low"}, Value: 1},
	} {
		_, err := c.client.SchedulingV1().PriorityClasses().Create(background, class, metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) {
			require.NoError(t, err)
		}
	}
	rows := []struct {
		name   string
		pods   func(gang string) []*v1.Pod
		reason kube.Reason
		says   string
	}{
		{"min-count is missing", func(g string) []*v1.Pod {
			return gangPods(g, 1, "", func(p *v1.Pod) { delete(p.Annotations, kube.AnnotationMinCount) })
		}, kube.InvalidGangSpec, kube.AnnotationMinCount},
		{"min-count is zero", count("0"), kube.InvalidGangSpec, `"0"`},
		{"min-count is negative", count("-1"), kube.InvalidGangSpec, `"-1"`},
		{"min-count is in scientific notation", count("1e9"), kube.InvalidGangSpec, `"1e9"`},
		{"min-count has a leading zero", count("08"), kube.InvalidGangSpec, `"08"`},
		{"min-count has a sign", count("+8"), kube.InvalidGangSpec, `"+8"`},
		{"min-count has a space", count(" 8"), kube.InvalidGangSpec, `" 8"`},
		{"min-count is a word", count("eight"), kube.InvalidGangSpec, `"eight"`},
		{"min-count is in other digits", count("٨"), kube.InvalidGangSpec, kube.AnnotationMinCount},
		{"min-count is beyond every number", count("99999999999999999999"), kube.InvalidGangSpec, kube.AnnotationMinCount},
		{"min-count is above the pods that exist", count("3"), kube.GangIncomplete, "1 of the 3 pods"},
		{"min-count is above what the cluster holds", func(g string) []*v1.Pod { return gangPods(g, 5, "5") }, kube.GangTooLarge, "needs 5 pods"},
		{"members disagree on min-count", func(g string) []*v1.Pod {
			pods := gangPods(g, 2, "2")
			pods[1].Annotations[kube.AnnotationMinCount] = "1"
			return pods
		}, kube.GangConfigConflict, kube.AnnotationMinCount},
		{"members disagree on the level", func(g string) []*v1.Pod {
			pods := gangPods(g, 2, "2", annotation(kube.AnnotationTopologyRequired, "rack"))
			pods[1].Annotations[kube.AnnotationTopologyRequired] = "block"
			return pods
		}, kube.GangConfigConflict, kube.AnnotationTopologyRequired},
		{"members disagree on priority", func(g string) []*v1.Pod {
			pods := gangPods(g, 2, "2")
			pods[0].Spec.PriorityClassName, pods[1].Spec.PriorityClassName = "high", "low"
			return pods
		}, kube.PriorityMismatch, "priority"},
		{"the level is unknown", func(g string) []*v1.Pod {
			return gangPods(g, 1, "1", annotation(kube.AnnotationTopologyRequired, "galaxy"))
		}, kube.TopologyUnknownLevel, `"galaxy"; the levels are zone`},
		{"no node carries the level", func(g string) []*v1.Pod {
			return gangPods(g, 1, "1", annotation(kube.AnnotationTopologyRequired, "clique"))
		}, kube.TopologyLevelUnused, "clique"},
		{"the slice has no level", func(g string) []*v1.Pod {
			return gangPods(g, 1, "1", annotation(kube.AnnotationSliceSize, "1"))
		}, kube.InvalidGangSpec, kube.AnnotationSliceTopology},
		{"the models are empty", func(g string) []*v1.Pod {
			return gangPods(g, 1, "1", annotation(kube.AnnotationGPUModels, "H100,,A100"))
		}, kube.InvalidGangSpec, kube.AnnotationGPUModels},
		{"one pod has two gang markers", func(g string) []*v1.Pod {
			return gangPods(g, 1, "1", label(kube.LabelPodGroup, "other"))
		}, kube.GangConfigConflict, kube.LabelPodGroup},
		{"the group object does not exist", func(g string) []*v1.Pod {
			return []*v1.Pod{pod(g+"-0", 8, label(kube.LabelPodGroup, "nowhere"))}
		}, kube.GangNotFound, "nowhere"},
		{"the gang has min-count but no name", func(g string) []*v1.Pod {
			return []*v1.Pod{pod(g+"-0", 8, annotation(kube.AnnotationMinCount, "2"))}
		}, kube.InvalidGangSpec, kube.LabelGang},
	}
	for i, row := range rows {
		c.create(row.pods(fmt.Sprintf("bad%02d", i))...)
	}
	c.create(gangPods("good", 4, "4")...)
	c.awaitBound("good", 4)
	for i, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			gang := fmt.Sprintf("bad%02d", i)
			c.awaitReason(gang, row.reason, row.says)
			assert.Empty(t, c.bound(gang))
		})
	}
	require.Eventually(t, func() bool { return len(c.events(string(kube.InvalidGangSpec))) >= 8 }, patience, poll, "each is told by an event")
	for _, note := range c.events("FailedScheduling") {
		assert.Fail(t, "an event for one pod and attempt", note)
	}
}

// count builds one pod of a gang whose min-count is the given text.
func count(text string) func(gang string) []*v1.Pod {
	return func(gang string) []*v1.Pod { return gangPods(gang, 1, text) }
}

var podGroups = schema.GroupVersionResource{Group: "scheduling.x-k8s.io", Version: "v1alpha1", Resource: "podgroups"}

// groups is the client for scheduling.x-k8s.io PodGroups of the namespace.
func (c *cluster) groups() dynamic.ResourceInterface {
	client, err := dynamic.NewForConfig(c.box.Config())
	require.NoError(c.t, err)
	return client.Resource(podGroups).Namespace(c.namespace)
}

func (c *cluster) createGroup(name string, spec map[string]any, annotations ...string) {
	c.t.Helper()
	group := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup",
		"metadata": map[string]any{"name": name}, "spec": spec,
	}}
	if len(annotations) > 0 {
		group.SetAnnotations(map[string]string{annotations[0]: annotations[1]})
	}
	_, err := c.groups().Create(background, group, metav1.CreateOptions{})
	require.NoError(c.t, err)
}

// groupPods builds the pods of a gang that is declared by a scheduling.x-k8s.io
// PodGroup.
func groupPods(name string, count int) []*v1.Pod {
	pods := make([]*v1.Pod, count)
	for i := range pods {
		pods[i] = pod(fmt.Sprintf("%s-%d", name, i), 8, label(kube.LabelPodGroup, name))
	}
	return pods
}

func TestBadInput_GroupObjects(t *testing.T) {
	c := newCluster(t, racks(2, 2)...)
	c.createGroup("zero", map[string]any{"minMember": int64(0)})
	c.createGroup("minus", map[string]any{"minMember": int64(-4)})
	c.create(groupPods("zero", 1)...)
	c.create(groupPods("minus", 1)...)
	c.awaitReason("zero", kube.InvalidGangSpec, "minMember")
	c.awaitReason("minus", kube.InvalidGangSpec, "minMember", "-4")
}

func TestBadInput_TheGroupIsDeletedAndCreatedAgain(t *testing.T) {
	c := newCluster(t, racks(2, 2)...)
	c.createGroup("train", map[string]any{"minMember": int64(3)})
	c.create(groupPods("train", 2)...)
	c.awaitReason("train", kube.GangIncomplete, "2 of the 3")
	require.NoError(t, c.groups().Delete(background, "train", metav1.DeleteOptions{}))
	c.awaitReason("train", kube.GangNotFound)
	c.stayPending("train")
	c.createGroup("train", map[string]any{"minMember": int64(2)})
	c.awaitBound("train", 2)
}

func TestBadInput_AGangOfAnotherNamespaceIsAnotherGang(t *testing.T) {
	c := newCluster(t, racks(4, 4)...)
	other := on(t, c.box)
	c.create(gangPods("train", 1, "2")...)
	other.create(gangPods("train", 1, "2")...)
	c.awaitReason("train", kube.GangIncomplete, "1 of the 2")
	other.awaitReason("train", kube.GangIncomplete, "1 of the 2")
	c.stayPending("train")
	c.create(pod("train-1", 8, label(kube.LabelGang, "train"), annotation(kube.AnnotationMinCount, "2")))
	c.awaitBound("train", 2)
	other.stayPending("train")
}

func TestBadInput_MembersAreDeletedAtAnyPhase(t *testing.T) {
	c := newCluster(t, racks(2, 2)...)
	c.create(gangPods("holder", 1, "1")...)
	c.awaitBound("holder", 1)

	pods := gangPods("train", 2, "2")
	c.create(pods[0])
	c.awaitReason("train", kube.GangIncomplete, "1 of the 2")
	c.remove("train-0")
	c.create(gangPods("train", 2, "2")...)
	c.awaitReason("train", kube.NoFittingDomain)
	c.remove("train-1")
	c.awaitReason("train", kube.GangIncomplete, "1 of the 2")
	c.remove("train-0", "holder-0")
	c.create(gangPods("train", 2, "2")...)
	c.awaitBound("train", 2)
	c.remove("train-1")
	require.Eventually(t, func() bool { return len(c.pods("train-")) == 1 }, patience, poll)
	c.create(gangPods("train", 2, "2")[1])
	c.awaitBound("train", 2)
}

// TestPodJoinsNoGangLater gives a single pod that waits for room the marker of a
// gang. It may not run on its own then, until the marker is gone again.
func TestPodJoinsNoGangLater(t *testing.T) {
	c := newCluster(t, racks(1, 1)...)
	c.create(pod("holder", 8))
	require.Eventually(t, func() bool { return len(c.running()) == 1 }, patience, poll)
	c.create(pod("late-0", 8))
	mark := func(value string) {
		patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, kube.LabelGang, value)
		_, err := c.client.CoreV1().Pods(c.namespace).Patch(background, "late-0", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
		require.NoError(t, err)
	}
	mark(`"train"`)
	c.remove("holder")
	require.Eventually(t, func() bool {
		return strings.Contains(fmt.Sprint(c.pods("late-0")[0].Status.Conditions), "pod late-0 was not in gang train when it was created")
	}, patience, poll)
	assert.Empty(t, c.running())
	mark("null")
	require.Eventually(t, func() bool { return len(c.running()) == 1 }, patience, poll)
}
