// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// finish has a pod do its work: the scheduler's informer drops it, and the one of
// finished pods has it.
func (w *world) finish(p *v1.Pod) {
	p = p.DeepCopy()
	p.Status.Phase = v1.PodSucceeded
	w.assigner.Assign(p)
	w.DeletePod(p.UID)
	w.SetFinished(p)
}

// ofRun is a pod of a Job, by the Job's UID.
func ofRun(name string, run string, words ...string) *v1.Pod {
	p := newPod(name, append([]string{"node=n1"}, words...)...)
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "train", UID: types.UID(run), Controller: new(true)}}
	return p
}

func TestFinishedMembers_AreNotWaitedFor(t *testing.T) {
	label := []string{kube.LabelGang + "=train", kube.AnnotationMinCount + "=4"}
	native := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "train", UID: "u1"}}
	native.Spec.SchedulingPolicy.Gang = &schedulingapi.GangSchedulingPolicy{MinCount: 4}
	for name, c := range map[string]struct {
		group  string
		words  []string
		object *dialect.Object
	}{
		"a gang by label":           {"label~train", label, nil},
		"a gang with a group":       {"crd~train", []string{kube.LabelPodGroup + "=train"}, crdGroup("train", "u1", 4)},
		"a gang of Kubernetes' own": {"train", []string{"group=train"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			if c.object != nil {
				w.setGroup(key(c.group), c.object)
			}
			if name == "a gang of Kubernetes' own" {
				w.SetObject(dialect.NativeGroups, asUnstructured(t, native))
			}
			pods := []*v1.Pod{ofRun("a", "run1", c.words...), ofRun("b", "run1", c.words...), ofRun("c", "run1", c.words...), ofRun("d", "run1", c.words...)}
			for _, p := range pods {
				w.pod(p)
			}
			needs := func() int32 { return w.get(c.group).Spec.SchedulingPolicy.Gang.MinCount }
			require.EqualValues(t, 4, needs())
			w.finish(pods[0])
			w.finish(pods[1])
			w.finish(pods[2])
			assert.EqualValues(t, 1, needs(), "three have done their work")
			w.DeletePod(pods[3].UID)
			again := ofRun("d2", "run1", append(c.words, "after=1h")...)
			again.Spec.NodeName = ""
			w.pod(again)
			assert.EqualValues(t, 1, needs(), "the last one is re-created, with nobody beside it")
			w.DeletePod(again.UID)
			other := ofRun("e", "run2", append(c.words, "after=2h")...)
			w.pod(other)
			assert.EqualValues(t, 4, needs(), "another run of the name has done nothing yet")
			w.DeleteFinished(pods[0].UID)
			w.pod(again)
			assert.EqualValues(t, 2, needs(), "a finished pod that is deleted is forgotten")
		})
	}
}

func TestFinishedMembers_LeaveTheirRole(t *testing.T) {
	roles := `[{"name":"ps","selector":{"matchLabels":{"kai.scheduler/subgroup-name":"ps"}},"minCount":1},` +
		`{"name":"worker","selector":{"matchLabels":{"kai.scheduler/subgroup-name":"worker"}},"minCount":2}]`
	words := func(role string) []string {
		return []string{kube.LabelGang + "=train", kube.AnnotationMinCount + "=3", kube.AnnotationRoles + "=" + roles, "kai.scheduler/subgroup-name=" + role}
	}
	w := newWorld()
	ps, one, two := ofRun("ps", "run1", words("ps")...), ofRun("w0", "run1", words("worker")...), ofRun("w1", "run1", words("worker")...)
	w.pod(ps)
	w.pod(one)
	w.pod(two)
	w.finish(one)
	least := []int{}
	for _, r := range w.declared("label~train").Roles {
		least = append(least, r.MinCount)
	}
	assert.Equal(t, []int{1, 1}, least)
	assert.EqualValues(t, 2, w.get("label~train").Spec.SchedulingPolicy.Gang.MinCount)
}

// A Job knows what its pods have done after they are deleted, and which of them.
func TestJobs_KnowWhatIsDone(t *testing.T) {
	const label = "label~train"
	words := func(index string, more ...string) []string {
		return append([]string{kube.LabelGang + "=train", kube.AnnotationMinCount + "=4", workload.LabelIndex + "=" + index}, more...)
	}
	roles := kube.AnnotationRoles + `=[{"name":"chief","selector":{"matchLabels":{"` + workload.LabelIndex + `":"0"}},"minCount":1},{"name":"rest","minCount":3}]`
	job := func(status string) string {
		return "{apiVersion: batch/v1, kind: Job, metadata: {name: train, uid: run1}, spec: {parallelism: 4, completions: 4, completionMode: Indexed}, status: " + status + "}"
	}
	for name, c := range map[string]struct {
		status string
		shown  []string
		words  []string
		need   int32
		roles  []int
	}{
		"the chief is done":             {status: `{succeeded: 1, completedIndexes: "0"}`, words: []string{roles}, need: 3, roles: []int{0, 3}},
		"two others are":                {status: `{succeeded: 2, completedIndexes: "1-2"}`, words: []string{roles}, need: 2, roles: []int{1, 1}},
		"one of them shows it":          {status: `{succeeded: 2, completedIndexes: "1-2"}`, shown: []string{"1"}, words: []string{roles}, need: 2, roles: []int{1, 1}},
		"one that the Job counts later": {status: `{succeeded: 2, completedIndexes: "0,2"}`, shown: []string{"1"}, need: 1},
		"all are done, and one comes":   {status: `{succeeded: 4, completedIndexes: "0-3"}`, need: 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.pod(ofRun("d", "run1", words("3", c.words...)...))
			for _, index := range c.shown {
				w.finish(ofRun("done-"+index, "run1", words(index, c.words...)...))
			}
			w.workload(t, job(c.status))
			needs := func() int32 { return w.get(label).Spec.SchedulingPolicy.Gang.MinCount }
			assert.Equal(t, c.need, needs())
			for i, least := range c.roles {
				assert.Equal(t, least, w.declared(label).Roles[i].MinCount, i)
			}
			w.workload(t, strings.Replace(job(c.status), "run1", "run2", 1))
			assert.EqualValues(t, 4-len(c.shown), needs(), "another Job of the name has done other work")
		})
	}
}

// What a JobSet says of Jobs that are over, and what their pods show, is one thing.
func TestJobs_ThatAreOverAreCountedOnce(t *testing.T) {
	const group = "auto~jobset~train"
	pod := func(job, name string) *v1.Pod {
		return owned(name, "Job batch/v1 train-w-"+job+" run"+job, asks,
			"label:jobset.sigs.k8s.io/jobset-name=train", "label:jobset.sigs.k8s.io/replicatedjob-name=w", "label:jobset.sigs.k8s.io/job-index="+job)
	}
	w := newWorld()
	w.workload(t, `{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {name: train, uid: set1},
  spec: {replicatedJobs: [{name: w, replicas: 2, template: {spec: {parallelism: 4, completions: 4}}}]},
  status: {replicatedJobsStatus: [{name: w, succeeded: 1}]}}`)
	for _, name := range []string{"a", "b", "c", "d"} {
		done := pod("0", name)
		done.Spec.NodeName = "n1"
		endPod(done, v1.PodSucceeded, time.Hour)
		w.putPod(done)
	}
	w.pod(pod("1", "e"))
	needs := func() int32 { return w.get(group).Spec.SchedulingPolicy.Gang.MinCount }
	assert.EqualValues(t, 4, needs(), "the other Job starts whole")
	w.workload(t, "{apiVersion: batch/v1, kind: Job, metadata: {name: train-w-0, uid: run0}, spec: {parallelism: 4, completions: 4}, status: {succeeded: 4}}")
	w.DeleteFinished("uid-a")
	assert.EqualValues(t, 4, needs(), "also where one of its pods is gone")
	w.workload(t, "{apiVersion: batch/v1, kind: Job, metadata: {name: train-w-1, uid: run1}, spec: {parallelism: 4, completions: 4}, status: {succeeded: 3}}")
	assert.EqualValues(t, 1, needs(), "three of it are done and deleted")
}

func TestDisruptionMode_FollowsThePods(t *testing.T) {
	w := newWorld()
	mode := func() bool { return w.get("label~train").Spec.DisruptionMode != nil }
	w.pod(train("a", "node=n1"))
	w.pod(train("b", "node=n1"))
	assert.True(t, mode(), "at its minimum it goes as a whole")
	w.pod(train("c"))
	assert.True(t, mode(), "the third has no node")
	w.pod(train("c", "node=n1"))
	assert.False(t, mode(), "one of three can go")
	ending := train("a", "node=n1")
	ending.DeletionTimestamp = new(metav1.NewTime(dialecttest.Epoch))
	w.pod(ending)
	assert.True(t, mode(), "one of three ends")

	restarted := closedWorld()
	for _, name := range []string{"a", "b", "c", "d"} {
		restarted.pod(train(name, "node=n1"))
	}
	restarted.Open()
	w = restarted
	assert.False(t, mode())
	w.DeletePod("uid-c")
	w.DeletePod("uid-d")
	assert.True(t, mode(), "two were deleted since")
}
