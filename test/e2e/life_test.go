// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// gateFirst holds the first of some pods back by a scheduling gate.
func gateFirst(pods []*v1.Pod) []*v1.Pod {
	pods[0].Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "example.com/quota"}}
	return pods
}

// ungate takes the scheduling gates off pods.
func (c *cluster) ungate(names ...string) {
	c.t.Helper()
	for _, name := range names {
		_, err := c.client.CoreV1().Pods(c.namespace).Patch(background, name, types.JSONPatchType,
			[]byte(`[{"op":"remove","path":"/spec/schedulingGates"}]`), metav1.PatchOptions{})
		require.NoError(c.t, err)
	}
}

// TestLife_AGateHoldsBackItsPodOnly leaves a member of some gangs gated. Where the
// others are enough they start, and it joins them later; where they are not, they
// say what they wait for. A gated member never runs on its own.
func TestLife_AGateHoldsBackItsPodOnly(t *testing.T) {
	c := newCluster(t, racks(12, 12)...)
	c.createGroup("group", map[string]any{"minMember": int64(2)})
	c.create(gateFirst(gangPods("enough", 3, "2"))...)
	c.create(gateFirst(groupPods("group", 3))...)
	c.create(gateFirst(gangPods("short", 3, "3"))...)
	c.create(gateFirst(gangPods("few", 2, "3"))...)
	assert.NotContains(t, c.awaitBound("enough", 2), "enough-0")
	assert.NotContains(t, c.awaitBound("group", 2), "group-0")
	c.awaitPending("short-1", kube.SchedulingGated, "the scheduling gate example.com/quota holds back 1 pod of 3")
	c.awaitPending("few-1", kube.GangIncomplete, "has 2 of the 3 pods", "the scheduling gate example.com/quota holds back 1 of them")
	c.stayPending("short")
	c.stayPending("few")
	c.ungate("short-0", "enough-0", "group-0", "few-0")
	c.awaitBound("enough", 3)
	c.awaitBound("group", 3)
	c.awaitBound("short", 3)
	c.awaitPending("few", kube.GangIncomplete, "gang few has 2 of the 3 pods that must start together; waiting")
	c.stayPending("few")
}

// TestLife_ARollingUpdateChangesWhatIsAskedFor replaces the pods of a gang one by
// one by such as ask for another level, as a StatefulSet does; then it adds pods of
// a third version beside some of the second that wait, as a Deployment does.
func TestLife_ARollingUpdateChangesWhatIsAskedFor(t *testing.T) {
	c := newCluster(t, racks(4, 4)...)
	level := func(name string) func(*v1.Pod) { return annotation(kube.AnnotationTopologyPreferred, name) }
	c.create(gangPods("set", 2, "2", level("rack"))...)
	c.awaitBound("set", 2)
	for _, p := range gangPods("set", 2, "2", level("block")) {
		c.remove(p.Name)
		require.Eventually(t, func() bool { return len(c.pods("set-")) == 1 }, patience, poll)
		c.create(p)
		c.awaitBound("set", 2)
	}
	c.remove("set-0", "set-1")

	version := func(hash, level string) func(*v1.Pod) {
		return both(annotation(kube.AnnotationTopologyRequired, level), label(appsv1.DefaultDeploymentUniqueLabelKey, hash), func(p *v1.Pod) {
			p.Name += "-" + hash
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "serve-" + hash, UID: types.UID(hash), Controller: new(true)}}
		})
	}
	c.create(gangPods("serve", 3, "3", version("old", "no-such-level"))...)
	c.awaitReason("serve", kube.TopologyUnknownLevel)
	old := c.pods("serve-")[0].CreationTimestamp
	var young *v1.Pod
	require.Eventually(t, func() bool { // times of creation are in seconds
		var err error
		young, err = c.client.CoreV1().Pods(c.namespace).Create(background, gangPods("serve", 4, "3", version("new", "rack"))[3], metav1.CreateOptions{})
		require.NoError(t, err)
		if young.CreationTimestamp.After(old.Time) {
			return true
		}
		c.remove(young.Name)
		return false
	}, patience, poll)
	c.awaitBound("serve", 4)
}

// TestLife_AMinimumAboveWhatIsWanted deletes members of two gangs of four for good,
// as a controller does that was scaled down, and leaves their minimum. Where nobody
// waits that is told; where somebody waits for those that nobody creates, the rest
// is given up.
func TestLife_AMinimumAboveWhatIsWanted(t *testing.T) {
	c := on(t, takeStock(t), racks(8, 8)...)
	startQuickScheduler(t, c.box, "partialGangGracePeriod: 1s")
	c.createGroup("shrunk", map[string]any{"minMember": int64(4)})
	c.createGroup("broken", map[string]any{"minMember": int64(4)})
	shrunk, broken := groupPods("shrunk", 4), groupPods("broken", 4)
	for _, p := range slices.Concat(shrunk, broken) {
		owned(p)
	}
	c.create(slices.Concat(shrunk, broken)...)
	c.awaitBound("shrunk", 4)
	c.awaitBound("broken", 4)

	c.remove("shrunk-2", "shrunk-3")
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(c.events(string(kube.PartialGang)), func(note string) bool {
			return strings.HasPrefix(note, "gang shrunk: 2 of the 4 pods that start together have a node and none waits")
		})
	}, patience, poll)

	c.remove("broken-1", "broken-2", "broken-3")
	require.Eventually(t, func() bool { return len(c.pods("broken-")) == 1 }, patience, poll)
	c.create(broken[1])
	require.Eventually(t, func() bool { return len(c.bound("broken")) == 0 }, patience, poll, "what is left has to be evicted")
	assert.Len(t, c.bound("shrunk"), 2, "it may do its work")
	c.awaitReason("broken", kube.GangIncomplete, "1 of the 4")
	notes := strings.Join(c.events(string(kube.PartialGang)), "\n")
	assert.Contains(t, notes, "gang broken has only 1 of the 4 pods that must run together on nodes and only 2 of them exist: no more were created within 1s")
}

// TestLife_TwoJobsUnderOneName has two Jobs of four pods in one gang of four, and
// room for six: one runs whole, and the other one when it has ended.
func TestLife_TwoJobsUnderOneName(t *testing.T) {
	t.Parallel()
	box := startSandbox(t, sandbox.Options{})
	c := on(t, box, racks(6, 6)...)
	startQuickScheduler(t, box)
	inGang := both(label(kube.LabelGang, "nightly"), annotation(kube.AnnotationMinCount, "4"))
	c.createJob("nightly1", 4, 4, inGang)
	c.createJob("nightly2", 4, 4, inGang)
	c.awaitBound("nightly1", 4)
	c.awaitReason("nightly2", kube.GangConfigConflict, "Job nightly1 and Job nightly2 have 4 pods or more each",
		"The pods of Job nightly2 wait until those of Job nightly1 have ended", "muster.sh/gang: auto")
	c.stayPending("nightly2")
	for name := range c.bound("nightly1") {
		assert.Empty(t, c.bound("nightly2"), "the other Job has not ended")
		c.end(name, v1.PodSucceeded)
	}
	c.awaitBound("nightly2", 4)
	c.deleteJob("nightly1")
	c.deleteJob("nightly2")
}

// TestLife_FinishedPodsThatAreDeleted has three of four pods do their work and go, and
// the last one fail, or be deleted. It runs again alone: the Job knows what is done.
func TestLife_FinishedPodsThatAreDeleted(t *testing.T) {
	t.Parallel()
	box := startSandbox(t, sandbox.Options{PodGroupCRD: true})
	c := on(t, box, racks(6, 6)...)
	startQuickScheduler(t, box)
	c.createGroup("crd", map[string]any{"minMember": int64(4)})
	c.createJob("label", 4, 4, label(kube.LabelGang, "mine"), annotation(kube.AnnotationMinCount, "4"))
	loseFinished(c, "label", func(last string) { c.end(last, v1.PodFailed) })
	c.createJob("crd", 4, 4, label(kube.LabelPodGroup, "crd"), func(p *v1.Pod) { delete(p.Labels, kube.LabelGang) })
	loseFinished(c, "crd", func(last string) { c.remove(last) })
}

// loseFinished has all pods of a Job do their work but one, deletes them, has the
// last one lost, and waits for its successor to run.
func loseFinished(c *cluster, name string, lose func(last string)) {
	c.t.Helper()
	names := slices.Sorted(maps.Keys(c.awaitBound(name, 4)))
	c.awaitRunning(name, 4)
	for _, done := range names[:3] {
		c.end(done, v1.PodSucceeded)
	}
	require.Eventually(c.t, func() bool {
		job, err := c.client.BatchV1().Jobs(c.namespace).Get(background, name, metav1.GetOptions{})
		return err == nil && job.Status.Succeeded == 3
	}, patience, poll, "the Job counts its pods")
	c.remove(names[:3]...)
	require.Eventually(c.t, func() bool { return len(c.pods(name+"-")) == 1 }, patience, poll)
	lose(names[3])
	require.Eventually(c.t, func() bool {
		running := c.runningOf(name)
		return len(running) == 1 && running[0] != names[3]
	}, patience, poll, "the last one runs again, alone")
	c.deleteJob(name)
}
