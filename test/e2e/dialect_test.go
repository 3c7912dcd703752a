// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

func TestPodGroup_MinMemberIsHonouredAndTheStatusWrittenBack(t *testing.T) {
	c := newCluster(t, racks(4, 2)...)
	c.createGroup("train", map[string]any{"minMember": int64(2), "scheduleTimeoutSeconds": int64(10)}, kube.AnnotationTopologyRequired, "rack")
	c.create(groupPods("train", 2)...)
	assert.Len(t, c.domains(c.awaitBound("train", 2), rackKey), 1)
	require.Eventually(t, func() bool {
		scheduled, _, _ := unstructured.NestedInt64(c.group("train"), "status", "scheduled")
		phase, _, _ := unstructured.NestedString(c.group("train"), "status", "phase")
		return scheduled == 2 && (phase == "Scheduled" || phase == "Running")
	}, patience, poll, "the status of the group")

	c.createGroup("huge", map[string]any{"minMember": int64(3)}, kube.AnnotationTopologyRequired, "rack")
	c.create(groupPods("huge", 3)...)
	c.awaitReason("huge", kube.GangTooLarge, "gang huge needs 3 pods in one rack")
	c.stayPending("huge")
	phase, _, _ := unstructured.NestedString(c.group("huge"), "status", "phase")
	assert.NotContains(t, []string{"Scheduled", "Running"}, phase)
}

func (c *cluster) group(name string) map[string]any {
	group, err := c.groups().Get(background, name, metav1.GetOptions{})
	if !assert.NoError(c.t, err) {
		return nil
	}
	return group.Object
}

func TestPodGroup_ItsKindMayComeLater(t *testing.T) {
	t.Parallel()
	box := startSandbox(t, sandbox.Options{DisableControllers: true})
	c := on(t, box, racks(2, 2)...)
	startQuickScheduler(t, box)
	c.create(groupPods("train", 2)...)
	c.awaitReason("train", kube.GangAPIUnavailable, "scheduling.x-k8s.io/v1alpha1")
	c.create(gangPods("other", 1, "1")...)
	c.awaitBound("other", 1)
	c.remove("other-0")

	require.NoError(t, box.InstallPodGroupCRD(background))
	c.createGroup("train", map[string]any{"minMember": int64(2)})
	c.awaitBound("train", 2)
}

// TestJob_GangIsStartedAgainAsAWhole loses a node under a running gang that
// then finds no room: after the grace period its pods are evicted together, the
// Job creates them anew, and they run once there is room for all.
func TestJob_GangIsStartedAgainAsAWhole(t *testing.T) {
	t.Parallel()
	box := startSandbox(t, sandbox.Options{})
	c := on(t, box, racks(3, 3)...)
	require.Eventually(t, func() bool {
		_, err := box.Client().CoreV1().ServiceAccounts(c.namespace).Get(background, "default", metav1.GetOptions{})
		return err == nil
	}, patience, poll)
	startQuickScheduler(t, box, "partialGangGracePeriod: 1s")

	template := gangPods("train", 1, "3")[0]
	template.Spec.RestartPolicy = v1.RestartPolicyNever
	three, limit := int32(3), int32(10)
	_, err := c.client.BatchV1().Jobs(c.namespace).Create(background, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "train"},
		Spec: batchv1.JobSpec{
			Parallelism: &three, Completions: &three, BackoffLimit: &limit,
			Template: v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: template.Labels, Annotations: template.Annotations}, Spec: template.Spec},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	bound := c.awaitBound("train", 3)
	lost := slices.Sorted(maps.Keys(bound))[0]
	_, err = c.client.CoreV1().Nodes().Patch(background, bound[lost], "application/merge-patch+json", []byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	c.remove(lost)
	require.Eventually(t, func() bool { return len(c.bound("train")) == 0 }, patience, poll, "the rest of the gang has to be evicted")
	told := func() []string { return slices.Compact(c.events(string(kube.PartialGang))) }
	require.Eventually(t, func() bool { return len(told()) > 0 }, patience, poll)
	assert.Len(t, told(), 1, "one sentence, on the Job and on the pods")

	_, err = c.client.CoreV1().Nodes().Patch(background, bound[lost], "application/merge-patch+json", []byte(`{"spec":{"unschedulable":false}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	c.awaitBound("train", 3)
}

func TestPartialGang_BarePodsAreKept(t *testing.T) {
	c := on(t, takeStock(t), racks(2, 2)...)
	startQuickScheduler(t, c.box, "partialGangGracePeriod: 1s")
	c.create(gangPods("train", 2, "2")...)
	bound := c.awaitBound("train", 2)
	c.cordon(bound["train-1"], true)
	c.remove("train-1")
	require.Eventually(t, func() bool { return len(c.pods("train-")) == 1 }, patience, poll)
	c.create(gangPods("train", 2, "2")[1])
	require.Eventually(t, func() bool { return len(c.events(string(kube.PartialGang))) == 1 }, patience, poll)
	c.passGracePeriod()
	assert.Equal(t, map[string]string{"train-0": bound["train-0"]}, c.bound("train"))
}

// passGracePeriod has another gang lose a member, for which there is no room, and
// waits until its pods, which have a controller, are evicted for it. A gang that
// was to be evicted before is gone then: its grace period ended earlier. The
// pods of the other gang ask for one GPU on nodes that have no more.
func (c *cluster) passGracePeriod() {
	c.t.Helper()
	require.NoError(c.t, c.box.CreateNodes(background, []*v1.Node{node("small-0", nil, 1), node("small-1", nil, 1)}))
	pods := gangPods("evicted", 2, "2", ask(gpu, 1), owned)
	c.create(pods...)
	c.cordon(c.awaitBound("evicted", 2)["evicted-1"], true)
	c.remove("evicted-1")
	require.Eventually(c.t, func() bool { return len(c.pods("evicted-")) == 1 }, patience, poll)
	c.create(pods[1])
	require.Eventually(c.t, func() bool { return len(c.bound("evicted")) == 0 }, patience, poll, "the member that is left has to be evicted")
}

// owned gives a pod a controller, one that creates no pods again.
func owned(p *v1.Pod) {
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "owner", UID: "owner", Controller: new(true)}}
}
