// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/scheduler/util"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/kube"
)

func native(minCount int32) *schedulingapi.PodGroup {
	return &schedulingapi.PodGroup{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "train", UID: "u1", Generation: 5},
		Spec: schedulingapi.PodGroupSpec{SchedulingPolicy: schedulingapi.PodGroupSchedulingPolicy{
			Gang: &schedulingapi.GangSchedulingPolicy{MinCount: minCount},
		}},
	}
}

// initially is the condition that a native group has, in short.
func initially(t *testing.T, c *cluster) string {
	t.Helper()
	u, err := c.crds.Resource(podGroups).Namespace("ns").Get(t.Context(), "train", metav1.GetOptions{})
	require.NoError(t, err)
	pg := &schedulingapi.PodGroup{}
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, pg))
	condition := apimeta.FindStatusCondition(pg.Status.Conditions, schedulingapi.PodGroupInitiallyScheduled)
	if condition == nil {
		return ""
	}
	assert.EqualValues(t, 5, condition.ObservedGeneration)
	assert.False(t, condition.LastTransitionTime.IsZero())
	return string(condition.Status) + " " + condition.Reason + ": " + condition.Message
}

func (c *cluster) bind(t *testing.T, name string, phase v1.PodPhase) {
	t.Helper()
	pod, err := c.api.CoreV1().Pods("ns").Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	pod.Spec.NodeName, pod.Status.Phase = "n1", phase
	_, err = c.api.CoreV1().Pods("ns").Update(t.Context(), pod, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// patchCondition writes a condition as the scheduler does.
func patchCondition(t *testing.T, c *cluster, condition metav1.Condition) {
	t.Helper()
	pg := c.group(t, "train", c.reasonIs(""))
	status := pg.Status.DeepCopy()
	apimeta.SetStatusCondition(&status.Conditions, condition)
	require.NoError(t, util.PatchPodGroupStatus(t.Context(), c.Client(), "train", "ns", &pg.Status, status))
}

func TestGroupWriter_NativeGroupIsScheduledOnceItsPodsAreBound(t *testing.T) {
	c := newCluster(t, []schema.GroupVersionResource{podGroups}, native(2), newPod("a", "group=train"), newPod("b", "group=train"))
	pg := c.group(t, "train", c.reasonIs(""))
	is := func(want string) {
		t.Helper()
		require.Eventually(t, func() bool { return initially(t, c) == want }, eventually, often, want)
	}
	patchCondition(t, c, metav1.Condition{Type: schedulingapi.PodGroupInitiallyScheduled, Status: metav1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 placements"})
	is("False Unschedulable: 0/3 placements")
	c.Verdict(pg, string(kube.NoFittingDomain), "gang train needs 2 pods")
	is("False NoFittingDomain: gang train needs 2 pods")
	// What the scheduler says in general does not cover the plugin's sentence,
	// and that it starts to bind is not taken for being bound.
	patchCondition(t, c, metav1.Condition{Type: schedulingapi.PodGroupInitiallyScheduled, Status: metav1.ConditionFalse, Reason: "Unschedulable", Message: "again"})
	patchCondition(t, c, metav1.Condition{Type: schedulingapi.PodGroupInitiallyScheduled, Status: metav1.ConditionTrue, Reason: "Scheduled"})
	c.bind(t, "a", v1.PodPending)
	c.Verdict(pg, string(kube.GangIncomplete), "one more")
	is("False GangIncomplete: one more")
	c.bind(t, "b", v1.PodPending)
	is("True Scheduled: 2 pods are bound, of which 2 must start together")
	require.Eventually(t, func() bool { // until the informer has it too
		return apimeta.IsStatusConditionTrue(c.store.View(key("train")).Object.Native.Status.Conditions, schedulingapi.PodGroupInitiallyScheduled)
	}, eventually, often)
	assert.Equal(t, pg.ResourceVersion, c.group(t, "train", c.reasonIs("")).ResourceVersion, "the scheduler is not woken by its own words")
	c.Verdict(pg, string(kube.PartialGang), "too late")
	writes := patches(c.crds, "train")
	require.NoError(t, c.groups.writeStatus(t.Context(), key("train")))
	assert.Equal(t, writes, patches(c.crds, "train"), "a group that was scheduled once stays so")
}

func TestGroupWriter_CRDStatusFollowsThePods(t *testing.T) {
	c := newCluster(t, []schema.GroupVersionResource{dialect.CRDGroups.GroupVersionResource})
	_, err := c.crd().Create(t.Context(), podGroup(t, `,"spec":{"minMember":2}`), metav1.CreateOptions{})
	require.NoError(t, err)
	is := func(phase string, field string, value int64) {
		t.Helper()
		require.Eventually(t, func() bool {
			status := statusOf(t, c)
			return status["phase"] == phase && status[field] == value
		}, eventually, often, "%s, %s %d", phase, field, value)
	}
	is("Pending", "scheduled", 0)
	for _, name := range []string{"a", "b"} {
		_, err := c.api.CoreV1().Pods("ns").Create(t.Context(), newPod(name, kube.LabelPodGroup+"=train", "owner=job"), metav1.CreateOptions{})
		require.NoError(t, err)
	}
	is("PreScheduling", "scheduled", 0)
	c.bind(t, "a", v1.PodPending)
	is("Scheduling", "scheduled", 1)
	c.bind(t, "b", v1.PodPending)
	is("Scheduled", "scheduled", 2)
	c.bind(t, "a", v1.PodRunning)
	c.bind(t, "b", v1.PodRunning)
	is("Running", "running", 2)
	assert.Equal(t, "ns/job", statusOf(t, c)["occupiedBy"])
	started, err := time.Parse(time.RFC3339, statusOf(t, c)["scheduleStartTime"].(string))
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), started, time.Hour)

	// The scheduler's informer drops pods that have ended, and so does this.
	c.bind(t, "a", v1.PodSucceeded)
	c.bind(t, "b", v1.PodSucceeded)
	c.store.DeletePod("uid-a")
	c.store.DeletePod("uid-b")
	is("Finished", "succeeded", 2)
}

func TestGroupWriter_ARestartLosesNoEnd(t *testing.T) {
	c := newCluster(t, []schema.GroupVersionResource{dialect.CRDGroups.GroupVersionResource})
	// Pods that have ended are no longer seen, and so they are not created here
	// before the group is known.
	_, err := c.crd().Create(t.Context(), podGroup(t, `,"spec":{"minMember":2},"status":{"phase":"Finished","succeeded":2}`), metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.store.View(key("crd~train")) != nil }, eventually, often)
	require.NoError(t, c.groups.writeStatus(t.Context(), key("crd~train")))
	assert.Equal(t, "Finished", statusOf(t, c)["phase"])
}

func TestGroupWriter_DoesNotQuarrelOverAStatus(t *testing.T) {
	c := newCluster(t, []schema.GroupVersionResource{dialect.CRDGroups.GroupVersionResource})
	_, err := c.crd().Create(t.Context(), podGroup(t, `,"spec":{"minMember":2}`), metav1.CreateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return statusOf(t, c)["phase"] == "Pending" }, eventually, often)
	_, err = c.crd().Update(t.Context(), podGroup(t, `,"spec":{"minMember":2},"status":{"phase":"Theirs"}`), metav1.UpdateOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return c.store.View(key("crd~train")).Object.Status["phase"] == "Theirs" }, eventually, often)
	require.NoError(t, c.groups.writeStatus(t.Context(), key("crd~train")))
	assert.Equal(t, "Theirs", statusOf(t, c)["phase"])
}

func TestGroupWriter_ForgetsGroupsThatAreGone(t *testing.T) {
	c := newCluster(t, []schema.GroupVersionResource{podGroups}, native(2), newPod("a", "group=train"))
	pg := c.group(t, "train", c.reasonIs(""))
	c.Verdict(pg, string(kube.GangIncomplete), "one more")
	require.NoError(t, c.crds.Resource(podGroups).Namespace("ns").Delete(t.Context(), "train", metav1.DeleteOptions{}))
	c.group(t, "train", c.reasonIs(kube.GangNotFound))
	require.Eventually(t, func() bool {
		c.groups.mu.Lock()
		defer c.groups.mu.Unlock()
		return len(c.groups.verdicts)+len(c.groups.written) == 0
	}, eventually, often)
}

func TestGroupWriter_VolcanoStatusFollowsThePods(t *testing.T) {
	c := newCluster(t, []schema.GroupVersionResource{dialect.VolcanoGroups.GroupVersionResource})
	objects := c.crds.Resource(dialect.VolcanoGroups.GroupVersionResource).Namespace("ns")
	theirs := `"conditions":[{"type":"Theirs","status":"True","message":"kept"}]`
	_, err := objects.Create(t.Context(), dialecttest.Object(t, "scheduling.volcano.sh/v1beta1", "PodGroup", `,"spec":{"minMember":2},"status":{`+theirs+`}`), metav1.CreateOptions{})
	require.NoError(t, err)
	is := func(want ...string) {
		t.Helper()
		require.Eventually(t, func() bool {
			u, err := objects.Get(t.Context(), "train", metav1.GetOptions{})
			require.NoError(t, err)
			text, err := json.Marshal(u.Object["status"])
			require.NoError(t, err)
			for _, part := range append(want, "Theirs") {
				if !strings.Contains(string(text), part) {
					return false
				}
			}
			return true
		}, eventually, often, want)
	}
	is(`"phase":"Inqueue"`)
	for _, name := range []string{"a", "b"} {
		_, err := c.api.CoreV1().Pods("ns").Create(t.Context(), newPod(name, "scheduling.k8s.io/group-name=train"), metav1.CreateOptions{})
		require.NoError(t, err)
	}
	pg := c.group(t, "volcano~train", c.reasonIs(""))
	c.Verdict(pg, string(kube.NoFittingDomain), "gang train needs 2 pods")
	is(`"reason":"NoFittingDomain","status":"True","type":"Unschedulable"`)
	c.bind(t, "a", v1.PodPending)
	c.bind(t, "b", v1.PodPending)
	is(`"reason":"Scheduled","status":"True","type":"Scheduled"`, `"reason":"Scheduled","status":"False","type":"Unschedulable"`)
	c.bind(t, "a", v1.PodRunning)
	c.bind(t, "b", v1.PodRunning)
	is(`"phase":"Running"`, `"running":2`)
	c.bind(t, "a", v1.PodSucceeded)
	c.bind(t, "b", v1.PodSucceeded)
	require.Eventually(t, func() bool { return c.store.View(key("volcano~train")).Running == 0 }, eventually, often)
	c.store.DeletePod("uid-a")
	c.store.DeletePod("uid-b")
	is(`"phase":"Completed"`, `"succeeded":2`)
}
