// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
	"github.com/muster-scheduler/muster/pkg/snapshot"
)

// fuzzNow is the time of every view here.
var fuzzNow = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// askAll asks a view everything there is to ask; each answer has to come. What is
// wrong with a gang is a reason, not an error.
func askAll(t *testing.T, v *explain.ClusterView) {
	t.Helper()
	for _, g := range v.Gangs {
		status, err := v.Status(g, fuzzNow)
		require.NoError(t, err)
		if status.Phase == queue.Waiting {
			assert.NotEmpty(t, status.Reason)
			assert.NotEmpty(t, status.Message)
		}
		_, err = v.Explain(g, fuzzNow)
		require.NoError(t, err)
	}
	_, _ = v.BuildFabric("", true) // without GPUs there is none
}

// FuzzAnnotations reads what a user can write on the pods of a gang, and what is
// written on nodes.
func FuzzAnnotations(f *testing.F) {
	f.Add("2", "", "", "", "", "rack", "", "", "", "NVIDIA-H100-80GB-HBM3", "")
	f.Add("2", `[{"name":"a","selector":{"matchLabels":{"role":"a"}},"topologyRequired":"rack"}]`, "", "", "", "", "host", "H100,A100", "80Gi", "A100", "NV12;NV12")
	f.Add("4", "", "2", "rack", "", "block", "", "", ">=40Gi", "Tesla-V100-SHARED", "X NV1 NV1 X")
	f.Add("4", "", "4,2,1", "block,rack", "host", "", "", "*", "1", "A100-MIG-1g.5gb", "")
	f.Add("-1", "[", "0", ",", ",,", "\u202e", "cluster", ",", "-1", "\x00", "\xff")
	f.Add("99999999999999999999", "null", "9223372036854775807", "zone", "zone", "zone", "zone", "zone", "1e400", "", "NV")
	f.Fuzz(func(t *testing.T, count, roles, size, slice, preferredSlice, required, preferred, models, memory, product, links string) {
		annotations := map[string]string{}
		for key, value := range map[string]string{
			kube.AnnotationMinCount: count, kube.AnnotationRoles: roles, kube.AnnotationSliceSize: size, kube.AnnotationSliceTopology: slice,
			kube.AnnotationSliceTopologyPreferred: preferredSlice, kube.AnnotationTopologyRequired: required, kube.AnnotationTopologyPreferred: preferred,
			kube.AnnotationGPUModels: models, kube.AnnotationGPUMemory: memory,
		} {
			if value != "" {
				annotations[key] = value
			}
		}
		gpus := v1.ResourceList{"nvidia.com/gpu": resource.MustParse("4"), v1.ResourcePods: resource.MustParse("9")}
		var nodes []*v1.Node
		var pods []*v1.Pod
		for _, name := range []string{"a-0", "a-1", "b-2", "b-3"} {
			nodes = append(nodes, &v1.Node{
				ObjectMeta: metav1.ObjectMeta{
					Name:        name,
					Labels:      map[string]string{v1.LabelHostname: name, "topology.kubernetes.io/rack": name[:1], kube.LabelGPUProduct: product},
					Annotations: map[string]string{gpu.LinksAnnotation: links},
				},
				Status: v1.NodeStatus{Allocatable: gpus},
			})
			pods = append(pods, &v1.Pod{
				ObjectMeta: metav1.ObjectMeta{
					Name: "train-" + name[2:], Namespace: "team", UID: snapshot.SyntheticUID("team", name),
					Labels: map[string]string{kube.LabelGang: "train", "role": name[:1]}, Annotations: annotations,
				},
				Spec: v1.PodSpec{SchedulerName: "muster", Containers: []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{
					Requests: v1.ResourceList{"nvidia.com/gpu": resource.MustParse("3")},
				}}}},
			})
		}
		view, err := explain.NewClusterView(explain.Config{}, nodes, pods, store.Objects{Pods: pods}.Gangs("muster"))
		require.NoError(t, err)
		require.Len(t, view.Gangs, 1)
		askAll(t, view)
		_, err = view.PreviewPlacement(pods[0])
		require.NoError(t, err)
	})
}

// FuzzSnapshot reads a folder and asks everything of it. What does not decode is an
// error of the folder.
func FuzzSnapshot(f *testing.F) {
	const node = "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {topology.kubernetes.io/rack: r}}\nstatus: {allocatable: {nvidia.com/gpu: \"8\", pods: \"9\"}}\n"
	for _, seed := range []string{
		node,
		node + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {muster.sh/gang: g}, annotations: {muster.sh/min-count: \"1\"}}\nspec: {schedulerName: muster, containers: [{name: c, resources: {requests: {nvidia.com/gpu: \"-3\"}}}]}\n",
		node + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {scheduling.x-k8s.io/pod-group: g}}\nspec: {schedulerName: muster, nodeName: nowhere, containers: []}\n---\napiVersion: scheduling.x-k8s.io/v1alpha1\nkind: PodGroup\nmetadata: {name: g}\nspec: {minMember: 2}\n",
		node + "---\napiVersion: muster.sh/v1alpha1\nkind: Snapshot\ntaken: 2026-03-01T12:00:00Z\nlevels: [{name: rack, keys: [a]}]\nschedulerNames: [muster]\n",
		node + "---\napiVersion: batch/v1\nkind: Job\nmetadata: {name: j, uid: u}\nspec: {parallelism: 2}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {muster.sh/gang: auto}, ownerReferences: [{apiVersion: batch/v1, kind: Job, name: j, uid: u, controller: true}]}\nspec: {schedulerName: muster}\n",
		"apiVersion: v1\nkind: NodeList\nitems: [{metadata: {name: a}, spec: {taints: [{}]}}, {}]\n", "{}", "",
	} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "all.yaml"), text, 0o600))
		s, err := snapshot.LoadFolder(dir)
		if err != nil {
			return
		}
		settings, err := s.Header.Settings()
		if err != nil {
			return
		}
		s.SetSettings(settings)
		view, err := explain.NewClusterView(explain.ConfigOf(settings), s.Nodes, s.Pods, s.Gangs("muster"))
		if err == nil {
			askAll(t, view)
		}
	})
}
