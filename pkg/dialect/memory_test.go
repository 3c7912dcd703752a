// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// TestMemory_NothingIsLeftOfGangsThatAreGone lets gangs of all sorts come, be
// told of, and go in different orders. A scheduler sees millions of them.
func TestMemory_NothingIsLeftOfGangsThatAreGone(t *testing.T) {
	crd := groupKey{"ns", "crd~train"}
	members := func(words ...string) []*v1.Pod {
		return []*v1.Pod{newPod("a", words...), newPod("b", append(words, "node=n1")...)}
	}
	job := []*v1.Pod{owned("a", trainJob, asks), owned("b", trainJob, asks, "node=n1")}
	gone := func(w *world) {
		w.deletePod("uid-a")
		w.deletePod("uid-b")
		w.assigner.forget("uid-a")
		w.assigner.forget("uid-b")
	}
	jobGone := func(w *world) {
		k, u := workloadOf(t, eightPods)
		w.deleteWorkload(k, u)
	}
	withGroup := func(w *world) { w.setObject(crd, crdGroup("train", "u1", 2)) }
	withoutGroup := func(w *world) { w.deleteObject(crd, "u1") }
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
		{"its group goes first", members(kube.LabelPodGroup + "=train"), crd.group, []func(*world){withGroup}, []func(*world){withoutGroup, gone}},
		{"its pods go first", members(kube.LabelPodGroup + "=train"), crd.group, []func(*world){withGroup}, []func(*world){gone, withoutGroup}},
		{"its group never comes", members(kube.LabelPodGroup + "=train"), crd.group, nil, []func(*world){gone}},
		{"its group is replaced", members(kube.LabelPodGroup + "=train"), crd.group, []func(*world){withGroup},
			[]func(*world){func(w *world) { w.setObject(crd, crdGroup("train", "u2", 3)) }, func(w *world) { w.deleteObject(crd, "u2") }, gone}},
		{"its kind goes", members(kube.LabelPodGroup + "=train"), crd.group, []func(*world){withGroup},
			[]func(*world){func(w *world) { w.setKind(crdGroups, absent) }, gone}},
		{"its kind goes last", members(kube.LabelPodGroup + "=train"), crd.group, []func(*world){withGroup},
			[]func(*world){gone, func(w *world) { w.setKind(crdGroups, absent) }}},
		{"its Job goes first", job, jobGroup, []func(*world){withJob}, []func(*world){jobGone, gone}},
		{"the pods of its Job go first", job, jobGroup, []func(*world){withJob}, []func(*world){gone, jobGone}},
		{"its Job never comes", job, jobGroup, nil, []func(*world){gone}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			w := newWorld()
			writer := newGroupWriter(w.store, nil, nil, newBindings())
			var changed []groupKey
			w.changed = func(key groupKey) { changed = append(changed, key) }
			for _, come := range row.come {
				come(w)
			}
			for _, pod := range row.pods {
				w.pod(pod)
			}
			pg := w.get(row.group)
			require.NotNil(t, pg)
			writer.unscheduled(pg, string(kube.NoFittingDomain), "room for none")
			for _, end := range row.end {
				changed = nil // what came before has long been written
				end(w)
				for _, key := range changed {
					if w.view(key) == nil {
						require.NoError(t, writer.write(t.Context(), key))
					}
				}
			}
			assert.Empty(t, w.gangs)
			assert.Empty(t, w.pods)
			assert.Empty(t, w.works)
			assert.Empty(t, w.feed.objects)
			assert.Empty(t, w.assigner.groups)
			assert.Empty(t, writer.notes)
			assert.Empty(t, writer.written)
		})
	}
}
