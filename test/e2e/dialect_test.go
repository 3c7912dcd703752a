// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

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
	box := startSandbox(t, sandbox.Options{DisableControllers: true})
	c := on(t, box, racks(2, 2)...)
	startScheduler(t, box)
	c.create(groupPods("train", 2)...)
	c.awaitReason("train", kube.GangApiUnavailable, "scheduling.x-k8s.io/v1alpha1")
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
	box := startSandbox(t, sandbox.Options{})
	c := on(t, box, racks(3, 3)...)
	require.Eventually(t, func() bool {
		_, err := box.Client().CoreV1().ServiceAccounts(c.namespace).Get(background, "default", metav1.GetOptions{})
		return err == nil
	}, patience, poll)
	config := writeConfig(t, box, "{name: Muster, args: {partialGangGracePeriod: 2s}}")
	startScheduler(t, box, "--config="+config)

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
	require.Eventually(t, func() bool { return len(c.events(string(kube.PartialGang))) == 1 }, patience, poll)

	_, err = c.client.CoreV1().Nodes().Patch(background, bound[lost], "application/merge-patch+json", []byte(`{"spec":{"unschedulable":false}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	// The Job controller waits up to 40 s before it replaces pods once more.
	require.Eventually(t, func() bool { return len(c.bound("train")) == 3 }, 2*patience, poll)
}

func TestPartialGang_BarePodsAreKept(t *testing.T) {
	box, err := stock()
	require.NoError(t, err)
	nodes := racks(2, 2)
	c := on(t, box, nodes...)
	config := writeConfig(t, box, "{name: Muster, args: {partialGangGracePeriod: 1s}}")
	startScheduler(t, box, "--config="+config)
	c.create(gangPods("train", 2, "2")...)
	bound := c.awaitBound("train", 2)
	_, err = c.client.CoreV1().Nodes().Patch(background, bound["train-1"], "application/merge-patch+json", []byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	c.remove("train-1")
	require.Eventually(t, func() bool { return len(c.pods("train-")) == 1 }, patience, poll)
	c.create(gangPods("train", 2, "2")[1])
	require.Eventually(t, func() bool { return len(c.events(string(kube.PartialGang))) == 1 }, patience, poll)
	time.Sleep(quiet) // long enough for an eviction that must not come
	assert.Equal(t, map[string]string{"train-0": bound["train-0"]}, c.bound("train"))
}

// writeConfig writes a scheduler configuration with one entry of pluginConfig.
func writeConfig(t *testing.T, box *sandbox.Sandbox, pluginConfig string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: %q, qps: 300, burst: 600}
leaderElection: {leaderElect: false}
profiles:
- schedulerName: muster
  plugins: {multiPoint: {enabled: [{name: Muster, weight: 20}]}}
  pluginConfig: [%s]
`, box.KubeconfigPath(), pluginConfig), 0o600))
	return path
}
