// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/muster-scheduler/muster/pkg/workload"
)

// Each kind reads each text: a CRD may be anybody's.
func FuzzReadWorkload(f *testing.F) {
	for _, seed := range []string{
		`{"spec":{"parallelism":2,"completions":3,"completionMode":"Indexed","template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}}`,
		`{"spec":{"replicatedJobs":[{"name":"a","replicas":2,"template":{"spec":{"parallelism":2,"completions":2}},"dependsOn":[{"name":"a","status":"Ready"}]}]}}`,
		`{"spec":{"replicas":2,"leaderWorkerTemplate":{"size":4,"workerTemplate":{"spec":{}}}}}`,
		`{"spec":{"pytorchReplicaSpecs":{"Worker":{"replicas":2,"template":{}},"Master":{"replicas":1}},"elasticPolicy":{"minReplicas":1}}}`,
		`{"spec":{"mpiReplicaSpecs":{"Launcher":{},"Worker":{"replicas":-3}},"slotsPerWorker":"x"}}`,
		`{"spec":{"rayClusterSpec":{"workerGroupSpecs":[{"replicas":2,"numOfHosts":4,"groupName":"g"}],"headGroupSpec":{}}}}`,
		`{"spec":{"trainer":{"numNodes":1e300},"runtimeRef":{"name":"torch"}}}`,
		`{"spec":{"tasks":[{"name":"a","replicas":2,"minAvailable":9}],"minAvailable":3}}`,
		`{"spec":{"replicas":9223372036854775807}}`, `{"spec":null}`, `{"spec":[]}`, `{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var fields map[string]any
		if json.Unmarshal(text, &fields) != nil || fields == nil {
			return
		}
		for _, kind := range workload.Kinds() {
			u := &unstructured.Unstructured{Object: map[string]any{}}
			if json.Unmarshal(text, &u.Object) != nil {
				return
			}
			if kind.IsGang() {
				shape := kind.ReadShape(u)
				if shape.Problem == "" {
					assert.GreaterOrEqual(t, shape.StartCount(), 0, kind.Name)
				}
			}
			if kind.IsPlanned() {
				_, _ = kind.LayOut(u, func(_, _, _, _ string) (*unstructured.Unstructured, error) { return u, nil })
			}
			workload.StripPodSpecs(u)
		}
	})
}

// FuzzRefOf reads which workload a pod belongs to.
func FuzzRefOf(f *testing.F) {
	for _, seed := range []string{
		`{"metadata":{"name":"a-0","labels":{"job-name":"a","jobset.sigs.k8s.io/jobset-name":"s"},"ownerReferences":[{"apiVersion":"batch/v1","kind":"Job","name":"a","uid":"u","controller":true}]}}`,
		`{"metadata":{"labels":{"leaderworkerset.sigs.k8s.io/name":"l","leaderworkerset.sigs.k8s.io/group-index":"x"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"StatefulSet","name":"l-0","controller":true}]}}`,
		`{"metadata":{"ownerReferences":[{"apiVersion":"///","kind":"Job","controller":true},{}]}}`, `{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		pod := &v1.Pod{}
		if json.Unmarshal(text, pod) != nil {
			return
		}
		ref, problem := workload.RefOf(pod)
		if problem == "" {
			_ = ref.DisplayName()
		}
		_ = workload.ControllersOfRuns([]*v1.Pod{pod})
		_ = workload.ControllersOf([]*v1.Pod{pod}, 3)
	})
}
