// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/workload"
)

func TestWork_IsCountedOnce(t *testing.T) {
	const indexed = "{parallelism: 8, completions: 8, completionMode: Indexed}"
	for name, c := range map[string]struct {
		spec, status string
		shown        []string
		want         int
		indexes      []int
	}{
		"nothing is done":                            {indexed, "{active: 8}", nil, 0, nil},
		"done, and all are there":                    {"{completions: 8}", "{succeeded: 3}", []string{"", "", ""}, 0, nil},
		"done, and two are gone":                     {"{completions: 8}", "{succeeded: 3}", []string{""}, 2, nil},
		"those that are about to be counted":         {"{completions: 8}", "{succeeded: 1, uncountedTerminatedPods: {succeeded: [u1, u2], failed: [u3]}}", []string{""}, 2, nil},
		"pods tell of more than the Job has counted": {"{completions: 8}", "{succeeded: 1}", []string{"", ""}, 0, nil},
		"a work queue":                               {"{parallelism: 4}", "{succeeded: 2}", nil, 2, nil},
		"indexes, all are there":                     {indexed, `{succeeded: 3, completedIndexes: "0,2-3"}`, []string{"3", "0", "2"}, 0, nil},
		"indexes, two are gone":                      {indexed, `{succeeded: 3, completedIndexes: "0,2-3"}`, []string{"2"}, 2, []int{0, 3}},
		"indexes, beside one that is not counted":    {indexed, `{succeeded: 3, completedIndexes: "0,2-3"}`, []string{"7"}, 3, []int{0, 2, 3}},
		"indexes that are given up":                  {indexed, `{succeeded: 2, completedIndexes: "0-1", failedIndexes: "4"}`, []string{"0"}, 2, []int{1, 4}},
		"indexes that only the number tells":         {indexed, `{succeeded: 2}`, nil, 2, nil},
		"indexes beyond all bounds":                  {indexed, `{completedIndexes: "x,5-1,3-9999999999"}`, []string{"3", "none"}, workload.MaxPods - 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			shape := read(t, "{apiVersion: batch/v1, kind: Job, metadata: {name: train}, spec: "+c.spec+", status: "+c.status+"}")
			count, first := shape.Done.Missing(c.shown)
			assert.Equal(t, c.want, count)
			if count < workload.MaxPods/2 {
				assert.Equal(t, c.indexes, first)
			}
			assert.LessOrEqual(t, len(first), 1000)
		})
	}
}

// What a workload leaves out itself is not left out again for the pods that show it.
func TestLeastAfter(t *testing.T) {
	jobs := workload.Role{Replicas: 8, MinCount: 8, SliceSize: 4, Ended: 4} // three Jobs, one of them is over
	for name, c := range map[string]struct {
		role workload.Role
		done []int
		want int
	}{
		"nothing is done":                        {workload.Role{Replicas: 4, MinCount: 4}, nil, 4},
		"three of four":                          {workload.Role{Replicas: 4, MinCount: 4}, []int{2, 1}, 1},
		"more than all":                          {workload.Role{Replicas: 4, MinCount: 4}, []int{9}, 0},
		"a Job that is over, and shows its pods": {jobs, []int{4}, 8},
		"it shows none":                          {jobs, []int{3}, 5},
		"it and others that are not over":        {jobs, []int{4, 3, 1}, 4},
		"two are over, one is told":              {jobs, []int{4, 4}, 4},
		"single pods that are told":              {workload.Role{Replicas: 6, MinCount: 6, Ended: 2}, []int{2}, 6},
		"one more than is told":                  {workload.Role{Replicas: 6, MinCount: 6, Ended: 2}, []int{3}, 5},
		"it counts each pod itself":              {workload.Role{Replicas: 2, MinCount: 2, PodsCounted: true}, []int{2}, 2},
		"more work than pods":                    {workload.Role{Replicas: 4, MinCount: 4, Waves: true}, []int{1}, 1},
	} {
		assert.Equal(t, c.want, c.role.LeastAfter(c.done), name)
	}
}

func TestBatchJobOf(t *testing.T) {
	for version, want := range map[string]types.UID{"batch/v1": "u", "batch.volcano.sh/v1alpha1": "", "v1": ""} {
		_, uid := workload.BatchJobOf(&v1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{
			{APIVersion: version, Kind: "Job", Name: "train", UID: "u", Controller: new(true)}}}})
		assert.Equal(t, want, uid, version)
	}
}
