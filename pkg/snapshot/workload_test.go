// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	fakediscovery "k8s.io/client-go/discovery/fake"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/snapshot"
)

var jobs = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}

// withJob is a cluster with a Job of four pods, of which there is one.
func withJob(labels map[string]string) snapshot.Clients {
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: "train-0", Namespace: "team", UID: "p", Labels: labels,
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "train", UID: "abcd1234", Controller: new(true)}},
	}, Spec: v1.PodSpec{SchedulerName: "muster"}}
	typed := fake.NewClientset(pod, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}})
	typed.Discovery().(*fakediscovery.FakeDiscovery).Resources = []*metav1.APIResourceList{
		{GroupVersion: "batch/v1", APIResources: []metav1.APIResource{{Name: "jobs"}}},
	}
	job := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job",
		"metadata": map[string]any{"name": "train", "namespace": "team", "uid": "abcd1234"},
		"spec": map[string]any{"parallelism": int64(4), "completions": int64(4), "template": map[string]any{
			"spec": map[string]any{"containers": []any{map[string]any{"name": "hunter2"}}},
		}},
	}}
	return snapshot.Clients{
		Typed:   typed,
		Dynamic: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{jobs: "JobList"}, job),
	}
}

// sizes are the minimums of the gangs, and how many objects were read for them.
func sizes(s *snapshot.Snapshot) (minimums []int32, objects int) {
	for _, g := range s.Gangs("muster") {
		minimums = append(minimums, g.Group.Spec.SchedulingPolicy.Gang.MinCount)
	}
	return minimums, len(s.Groups)
}

func TestRead_WorkloadsWhereGangsNeedThem(t *testing.T) {
	auto := map[string]string{kube.LabelGang: kube.GangAuto}
	for name, c := range map[string]struct {
		labels     map[string]string
		namespaces []string
		minimums   []int32
		objects    int
	}{
		"a pod asks":                {labels: auto, minimums: []int32{4}, objects: 1},
		"nobody asks":               {},
		"its namespace is made to":  {namespaces: []string{"team"}, minimums: []int32{4}, objects: 1},
		"another namespace is":      {namespaces: []string{"other"}},
		"a pod that names its gang": {labels: map[string]string{kube.LabelGang: "mine"}, namespaces: []string{"team"}, minimums: []int32{1}, objects: 1},
	} {
		t.Run(name, func(t *testing.T) {
			clients := withJob(c.labels)
			clients.AutoGangNamespaces = c.namespaces
			s, err := snapshot.ReadCluster(t.Context(), clients)
			require.NoError(t, err)
			s.AutoGangNamespaces = c.namespaces
			minimums, objects := sizes(s)
			assert.Equal(t, c.minimums, minimums)
			assert.Equal(t, c.objects, objects)

			dir := t.TempDir()
			require.NoError(t, s.Write(dir))
			again, err := snapshot.LoadFolder(dir)
			require.NoError(t, err)
			minimums, objects = sizes(again)
			assert.Equal(t, c.minimums, minimums, "from a folder")
			assert.Equal(t, c.objects, objects)
			for _, group := range again.Groups {
				text, err := group.MarshalJSON()
				require.NoError(t, err)
				assert.NotContains(t, string(text), "hunter2", "pod templates stay behind")
			}
		})
	}
}

func TestFollow_WorkloadsBehindGangs(t *testing.T) {
	live, err := snapshot.FollowCluster(t.Context(), withJob(map[string]string{kube.LabelGang: kube.GangAuto}))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		minimums, objects := sizes(live.Snapshot())
		return objects == 1 && len(minimums) == 1 && minimums[0] == 4
	}, 10*time.Second, 10*time.Millisecond)
}
