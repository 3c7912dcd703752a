// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	"k8s.io/kubernetes/pkg/scheduler/util"
)

// conditionOf is the condition PodScheduled of a pod, as reason and message.
func (c *cluster) conditionOf(t *testing.T, name string) string {
	t.Helper()
	pod, err := c.api.CoreV1().Pods("ns").Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	for _, condition := range pod.Status.Conditions {
		if condition.Type == v1.PodScheduled {
			return condition.Reason + " | " + condition.Message
		}
	}
	return ""
}

func (c *cluster) awaitCondition(t *testing.T, name, want string) {
	t.Helper()
	require.Eventually(t, func() bool { return c.conditionOf(t, name) == want }, eventually, often, "%s has to say %s", name, want)
}

// unscheduled is what kube-scheduler writes of a pod after an attempt.
func (c *cluster) unscheduled(t *testing.T, name, reason, message, nominated string) {
	t.Helper()
	pod, err := c.InformerFactory().Core().V1().Pods().Lister().Pods("ns").Get(name)
	require.NoError(t, err)
	status := pod.Status.DeepCopy()
	status.Conditions = []v1.PodCondition{{Type: v1.PodScheduled, Status: v1.ConditionFalse, Reason: reason, Message: message}}
	status.NominatedNodeName = nominated
	require.NoError(t, util.PatchPodStatus(t.Context(), c.Client(), name, "ns", &pod.Status, status))
}

func TestSentence_StandsInEveryMember(t *testing.T) {
	gated := train("gated")
	gated.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "later"}}
	c := newCluster(t, nil, train("a"), train("b"), gated, newPod("loose"))
	pg := c.group(t, "label~train", func(*schedulingapi.PodGroup) bool { return true })

	c.SetSentence(pg, "Unschedulable", "NoFittingDomain: no room")
	c.awaitCondition(t, "a", "Unschedulable | NoFittingDomain: no room")
	c.awaitCondition(t, "b", "Unschedulable | NoFittingDomain: no room")
	assert.Empty(t, c.conditionOf(t, "loose"))
	assert.Empty(t, c.conditionOf(t, "gated"), "somebody else holds it back")

	// Neither a patch of kube-scheduler's own nor the same sentence again is written.
	known := func(name string) bool {
		pod, err := c.InformerFactory().Core().V1().Pods().Lister().Pods("ns").Get(name)
		return err == nil && len(pod.Status.Conditions) == 1
	}
	require.Eventually(t, func() bool { return known("a") && known("b") }, eventually, often)
	before := patches(c.api, "a")
	for i := range 20 {
		c.unscheduled(t, "a", "Unschedulable", fmt.Sprintf("0/%d nodes are available", i), "")
		c.SetSentence(pg, "Unschedulable", "NoFittingDomain: no room")
	}
	c.unscheduled(t, "loose", "Unschedulable", "0/8 nodes are available", "")
	assert.Equal(t, "Unschedulable | 0/8 nodes are available", c.conditionOf(t, "loose"), "a single pod has kube-scheduler's words")

	// A nomination is written, and nothing beside it.
	c.unscheduled(t, "a", "Unschedulable", "0/8 nodes are available, preempting", "n1")
	require.Eventually(t, func() bool { return c.PendingNominations(pg) == 0 }, eventually, often)
	assert.Equal(t, "Unschedulable | NoFittingDomain: no room", c.conditionOf(t, "a"))
	pod, err := c.api.CoreV1().Pods("ns").Get(t.Context(), "a", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "n1", pod.Status.NominatedNodeName)
	assert.Equal(t, before+1, patches(c.api, "a"))

	// A new member says it too.
	late := train("late")
	_, err = c.api.CoreV1().Pods("ns").Create(t.Context(), late, metav1.CreateOptions{})
	require.NoError(t, err)
	c.awaitCondition(t, "late", "Unschedulable | NoFittingDomain: no room")

	// An error is no word on the gang. The next attempt is.
	c.unscheduled(t, "b", v1.PodReasonSchedulerError, "denied", "")
	c.awaitCondition(t, "b", v1.PodReasonSchedulerError+" | denied")
	c.SetSentence(pg, "Unschedulable", "NoFittingDomain: room for 1")
	c.awaitCondition(t, "a", "Unschedulable | NoFittingDomain: room for 1")
	assert.Equal(t, v1.PodReasonSchedulerError+" | denied", c.conditionOf(t, "b"))
	c.unscheduled(t, "b", "Unschedulable", "0/8 nodes are available", "")
	c.awaitCondition(t, "b", "Unschedulable | NoFittingDomain: room for 1")

	// Where somebody listens it is a word of the sentence that is to come.
	c.Listen(pg)
	c.unscheduled(t, "b", v1.PodReasonSchedulerError, "binding rejected: "+strings.Repeat("x", 400), "")
	assert.Equal(t, []string{"binding rejected: " + strings.Repeat("x", 282) + "..."}, c.Objections(pg))
	assert.Equal(t, "Unschedulable | NoFittingDomain: room for 1", c.conditionOf(t, "b"))
	c.SetSentence(pg, "BindDenied", "BindDenied: denied")
	c.awaitCondition(t, "b", "BindDenied | BindDenied: denied")

	// Another group of that name does not take it away, and its own does.
	other := pg.DeepCopy()
	other.UID = "another"
	c.SetSentence(other, "", "")
	assert.Len(t, c.sentences.groups, 1)
	c.SetSentence(pg, "", "")
	assert.Empty(t, c.sentences.groups, "nothing is left of it")
	c.unscheduled(t, "a", "Unschedulable", "0/8 nodes are available", "")
	c.awaitCondition(t, "a", "Unschedulable | 0/8 nodes are available")
}

func TestSentence_IsTriedAgain(t *testing.T) {
	c := newCluster(t, nil, train("a"))
	pg := c.group(t, "label~train", func(*schedulingapi.PodGroup) bool { return true })
	failures := failPatches(c, 2)
	c.SetSentence(pg, "Unschedulable", "NoFittingDomain: no room")
	c.awaitCondition(t, "a", "Unschedulable | NoFittingDomain: no room")
	assert.Zero(t, failures())
}

// Each of many members is written once for a sentence, whatever comes between.
func TestSentence_IsWrittenOnceForEachMember(t *testing.T) {
	const members = 200
	c := newCluster(t, nil)
	for i := range members {
		_, err := c.api.CoreV1().Pods("ns").Create(t.Context(), train(fmt.Sprintf("m%d", i)), metav1.CreateOptions{})
		require.NoError(t, err)
	}
	pg := c.group(t, "label~train", func(*schedulingapi.PodGroup) bool { return true })
	lister := c.InformerFactory().Core().V1().Pods().Lister().Pods("ns")
	require.Eventually(t, func() bool {
		_, err := lister.Get(fmt.Sprintf("m%d", members-1))
		return err == nil
	}, eventually, often)
	c.SetSentence(pg, "Unschedulable", "NoFittingDomain: no room")
	for i := range members {
		c.unscheduled(t, fmt.Sprintf("m%d", i), "Unschedulable", "0/8 nodes are available", "")
	}
	count := func() int {
		n := 0
		for _, action := range c.api.Actions() {
			if action.GetVerb() == "patch" {
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return count() >= members }, eventually, often)
	c.awaitCondition(t, "m0", "Unschedulable | NoFittingDomain: no room")
	assert.LessOrEqual(t, count(), members+members/10)
}

func TestSentences_KeepObjectionsWhileSomebodyListens(t *testing.T) {
	translator := &Translator{}
	pg := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "label~train", UID: types.UID("g")}}
	r := translator.Recorders(func(string) events.EventRecorderLogger { return events.NewFakeRecorder(10) })("muster")
	refuse := func(message string) {
		r.Eventf(newPod("a", "group=label~train"), nil, "Warning", "FailedScheduling", "Scheduling", message)
	}
	refuse("0/1 nodes are available: 1 early.")
	assert.Empty(t, translator.Objections(pg), "nobody asked")
	translator.Listen(pg)
	refuse("0/1 nodes are available: 1 b.")
	refuse("0/2 nodes are available: 2 b, 1 a is 100% full.")
	refuse("NoFittingDomain: no room")
	assert.Equal(t, []string{"a is 100% full", "b"}, translator.Objections(pg), "sorted, and each once")
	refuse("0/1 nodes are available: 1 late.")
	assert.Empty(t, translator.Objections(pg))
	translator.Listen(pg)
	for i := range 100 {
		refuse(fmt.Sprintf("0/1 nodes are available: 1 volume-%d missing.", i))
	}
	assert.Len(t, translator.Objections(pg), maxObjections)
	assert.Empty(t, translator.sentences.groups, "nothing is left of it")
}

// failPatches has the next patches of pods fail, and returns how many are still to.
func failPatches(c *cluster, count int32) func() int32 {
	var left atomic.Int32
	left.Store(count)
	c.api.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		if left.Add(-1) >= 0 {
			return true, nil, apierrors.NewServiceUnavailable("later")
		}
		left.Store(0)
		return false, nil, nil
	})
	return left.Load
}
