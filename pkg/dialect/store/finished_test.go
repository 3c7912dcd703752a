// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/kube"
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
