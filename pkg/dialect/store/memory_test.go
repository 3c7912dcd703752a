// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// TestMemory_NothingIsLeftOfGangsThatAreGone lets gangs of all sorts come, be
// told of, and go in different orders. A scheduler sees millions of them.
func TestMemory_NothingIsLeftOfGangsThatAreGone(t *testing.T) {
	crd := key("crd~train")
	members := func(words ...string) []*v1.Pod {
		return []*v1.Pod{newPod("a", words...), newPod("b", append(words, "node=n1")...)}
	}
	job := []*v1.Pod{owned("a", trainJob, asks), owned("b", trainJob, asks, "node=n1")}
	gone := func(w *world) {
		w.DeletePod("uid-a")
		w.DeletePod("uid-b")
		w.assigner.Forget("uid-a")
		w.assigner.Forget("uid-b")
	}
	jobGone := func(w *world) {
		k, u := workloadOf(t, eightPods)
		w.DeleteObject(k, u)
	}
	above := dialecttest.Object(t, "scheduling.k8s.io/v1alpha3", "CompositePodGroup", `,"spec":{"schedulingPolicy":{"gang":{"minGroupCount":1}}}`)
	below := dialecttest.Object(t, "scheduling.k8s.io/v1beta1", "PodGroup", `,"spec":{"parentCompositePodGroupName":"train","schedulingPolicy":{"gang":{"minCount":2}}}`)
	set := func(k *dialect.Kind, u *unstructured.Unstructured) func(*world) {
		return func(w *world) { w.SetObject(k, u) }
	}
	remove := func(k *dialect.Kind, u *unstructured.Unstructured) func(*world) {
		return func(w *world) { w.DeleteObject(k, u) }
	}
	both := []func(*world){set(dialect.NativeGroups, below), set(dialect.CompositeGroups, above)}
	withGroup := func(w *world) { w.setGroup(crd, crdGroup("train", "u1", 2)) }
	withoutGroup := func(w *world) { w.deleteGroup(crd, "u1") }
	withJob := func(w *world) { w.workload(t, eightPods) }
	rows := []struct {
		name string
		pods []*v1.Pod
		// group is the gang's, "" for one that is not told of.
		group     string
		come, end []func(*world)
	}{
		{"by label", members(kube.LabelGang+"=train", kube.AnnotationMinCount+"=2"), "label~train", nil, []func(*world){gone}},
		{"pods that contradict themselves", members(kube.LabelGang+"=train", kube.LabelPodGroup+"=train"), "conflict~a", nil, []func(*world){gone}},
		{"its group goes first", members(kube.LabelPodGroup + "=train"), crd.Group, []func(*world){withGroup}, []func(*world){withoutGroup, gone}},
		{"its pods go first", members(kube.LabelPodGroup + "=train"), crd.Group, []func(*world){withGroup}, []func(*world){gone, withoutGroup}},
		{"its group never comes", members(kube.LabelPodGroup + "=train"), crd.Group, nil, []func(*world){gone}},
		{"its group is replaced", members(kube.LabelPodGroup + "=train"), crd.Group, []func(*world){withGroup},
			[]func(*world){func(w *world) { w.setGroup(crd, crdGroup("train", "u2", 3)) }, func(w *world) { w.deleteGroup(crd, "u2") }, gone}},
		{"its kind goes", members(kube.LabelPodGroup + "=train"), crd.Group, []func(*world){withGroup},
			[]func(*world){func(w *world) { w.SetKind(dialect.CRDGroups, Absent) }, gone}},
		{"its kind goes last", members(kube.LabelPodGroup + "=train"), crd.Group, []func(*world){withGroup},
			[]func(*world){gone, func(w *world) { w.SetKind(dialect.CRDGroups, Absent) }}},
		{"its Job goes first", job, jobGroup, []func(*world){withJob}, []func(*world){jobGone, gone}},
		{"the pods of its Job go first", job, jobGroup, []func(*world){withJob}, []func(*world){gone, jobGone}},
		{"its Job never comes", job, jobGroup, nil, []func(*world){gone}},
		{"the group of its group goes first", members("group=train"), "composite~train", both,
			[]func(*world){remove(dialect.CompositeGroups, above), remove(dialect.NativeGroups, below), gone}},
		{"the group of its group goes last", members("group=train"), "composite~train", both,
			[]func(*world){gone, remove(dialect.NativeGroups, below), remove(dialect.CompositeGroups, above)}},
		{"the kind of its group's group goes", members("group=train"), "composite~train", both,
			[]func(*world){func(w *world) { w.SetKind(dialect.CompositeGroups, Absent) }, gone, remove(dialect.NativeGroups, below)}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld()
			for _, come := range row.come {
				come(w)
			}
			for _, pod := range row.pods {
				w.pod(pod)
			}
			require.NotNil(t, w.get(row.group))
			declared := w.View(key(row.group)) != nil && row.group != jobGroup
			w.changes = nil
			for _, end := range row.end {
				end(w)
			}
			if declared {
				assert.Contains(t, w.changes, key(row.group), "whoever writes its status is told")
			}
			assert.Nil(t, w.View(key(row.group)))
			assert.Empty(t, w.gangs)
			assert.Empty(t, w.pods)
			assert.Empty(t, w.workloads)
			assert.Empty(t, w.published)
			assert.Empty(t, w.assigner.groups)
			assert.Empty(t, w.assigner.joined)
			assert.Empty(t, w.trees)
		})
	}
}
