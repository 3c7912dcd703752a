// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/workload"
)

func TestControllersOf(t *testing.T) {
	jobSetLabels := func(more ...string) map[string]string {
		labels := map[string]string{
			"jobset.sigs.k8s.io/jobset-name": "train", "jobset.sigs.k8s.io/replicatedjob-name": "workers", "jobset.sigs.k8s.io/job-index": "2",
		}
		for i := 0; i < len(more); i += 2 {
			labels[more[i]] = more[i+1]
		}
		return labels
	}
	const setUID = "ffff0000-1111-2222-3333-444444444444"
	inJobSet := pod("batch/v1", "Job", "train-workers-2", jobSetLabels("jobset.sigs.k8s.io/jobset-uid", setUID))
	for _, test := range []struct {
		name string
		pods []*v1.Pod
		want []*v1.ObjectReference
	}{
		{"a pod without a controller", []*v1.Pod{{}}, nil},
		{"two pods of one Job", []*v1.Pod{pod("batch/v1", "Job", "train", nil), pod("batch/v1", "Job", "train", nil)},
			[]*v1.ObjectReference{{APIVersion: "batch/v1", Kind: "Job", Name: "train", UID: uid}}},
		{"a kind that is not known", []*v1.Pod{pod("example.com/v1", "Thing", "x", nil)},
			[]*v1.ObjectReference{{APIVersion: "example.com/v1", Kind: "Thing", Name: "x", UID: uid}}},
		{"a Job of a JobSet", []*v1.Pod{inJobSet},
			[]*v1.ObjectReference{{APIVersion: "jobset.x-k8s.io/v1alpha2", Kind: "JobSet", Name: "train", UID: setUID}}},
		{"a Job of a JobSet whose UID is not told", []*v1.Pod{pod("batch/v1", "Job", "train-workers-2", jobSetLabels())},
			[]*v1.ObjectReference{{APIVersion: "batch/v1", Kind: "Job", Name: "train-workers-2", UID: uid}}},
		{"labels that contradict the Job", []*v1.Pod{pod("batch/v1", "Job", "other", jobSetLabels("jobset.sigs.k8s.io/jobset-uid", setUID))},
			[]*v1.ObjectReference{{APIVersion: "batch/v1", Kind: "Job", Name: "other", UID: uid}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, workload.ControllersOf(test.pods, 8))
		})
	}
	second := pod("apps/v1", "StatefulSet", "a", nil)
	second.OwnerReferences[1].UID = "2"
	both := []*v1.Pod{second, pod("batch/v1", "Job", "train", nil)}
	assert.Len(t, workload.ControllersOf(both, 8), 2)
	assert.Equal(t, "Job", workload.ControllersOf(both, 1)[0].Kind, "the first by kind")
}
