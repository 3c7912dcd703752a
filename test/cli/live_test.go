// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/muster-scheduler/muster/cmd/muster/cli"
	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
	"github.com/muster-scheduler/muster/pkg/snapshot"
)

// patience is far above what anything here takes; a loaded machine is slow.
const (
	patience  = time.Minute
	pollPause = 50 * time.Millisecond
)

// live is a real API server with nodes and pods, and nothing that schedules.
type live struct {
	*sandbox.Sandbox
	groups dynamic.ResourceInterface
}

func startLive(t testing.TB, options ...func(*sandbox.Options)) *live {
	t.Helper()
	o := sandbox.Options{PodGroupCRD: true, DisableKubelets: true, DisableControllers: true}
	for _, change := range options {
		change(&o)
	}
	s, err := sandbox.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	client, err := dynamic.NewForConfig(s.Config())
	require.NoError(t, err)
	return &live{s, client.Resource(schema.GroupVersionResource{Group: "scheduling.x-k8s.io", Version: "v1alpha1", Resource: "podgroups"}).Namespace("default")}
}

// muster runs the command against the API server.
func (l *live) muster(t testing.TB, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"muster", "--kubeconfig", l.KubeconfigPath()}, args...)
	status = cli.Run(t.Context(), args, strings.NewReader(""), &out, &errs)
	return status, out.String(), errs.String()
}

func (l *live) explain(t testing.TB, gang string) (int, *explain.Explanation) {
	t.Helper()
	status, out, errs := l.muster(t, "explain", gang, "-o", "json")
	require.Empty(t, errs)
	var e explain.Explanation
	require.NoError(t, json.Unmarshal([]byte(out), &e), out)
	return status, &e
}

// rack adds nodes with eight GPUs.
func (l *live) rack(t testing.TB, rack string, names ...string) {
	t.Helper()
	var nodes []*v1.Node
	for _, name := range names {
		nodes = append(nodes, sandbox.NewNode(name, sandbox.NodeShape{
			Extended: map[string]int64{"nvidia.com/gpu": 8},
			Labels:   map[string]string{"cloud.provider.com/topology-block": "b1", "topology.kubernetes.io/rack": rack},
		}))
	}
	require.NoError(t, l.CreateNodes(t.Context(), nodes))
}

// pods creates members with eight GPUs each, bound to the nodes given.
func (l *live) pods(t testing.TB, gang string, labels, annotations map[string]string, nodes ...string) {
	t.Helper()
	for i, node := range nodes {
		pod := &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", gang, i), Labels: labels, Annotations: annotations},
			Spec: v1.PodSpec{SchedulerName: "muster", NodeName: node, Containers: []v1.Container{{
				Name: "worker", Image: "pause", Env: []v1.EnvVar{{Name: "TOKEN", Value: "s3cr3t"}},
				Resources: v1.ResourceRequirements{Limits: v1.ResourceList{"nvidia.com/gpu": *quantity(8)}},
			}}},
		}
		_, err := l.Client().CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{})
		require.NoError(t, err)
	}
}

// TestLive_PlanReadsTheRuntimeOfATrainJob: what pods a TrainJob has stands in an
// object of the cluster.
func TestLive_PlanReadsTheRuntimeOfATrainJob(t *testing.T) {
	l := startLive(t)
	l.rack(t, "r1", "n1", "n2")
	file := t.TempDir() + "/trainjob.yaml"
	require.NoError(t, os.WriteFile(file, []byte(`
apiVersion: trainer.kubeflow.org/v1alpha1
kind: TrainJob
metadata: {name: llm}
spec: {runtimeRef: {name: torch}, trainer: {numNodes: 2}}
`), 0o600))
	status, _, errs := l.muster(t, "plan", "-f", file)
	assert.Equal(t, 2, status)
	assert.Contains(t, errs, `spec.runtimeRef: ClusterTrainingRuntime "torch" says what pods it has, and is not here`)

	l.apply(t, `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: clustertrainingruntimes.trainer.kubeflow.org}
spec:
  group: trainer.kubeflow.org
  names: {kind: ClusterTrainingRuntime, plural: clustertrainingruntimes}
  scope: Cluster
  versions:
    - {name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
---
apiVersion: trainer.kubeflow.org/v1alpha1
kind: ClusterTrainingRuntime
metadata: {name: torch}
spec:
  template:
    spec:
      replicatedJobs:
        - name: node
          template:
            metadata: {labels: {trainer.kubeflow.org/trainjob-ancestor-step: trainer}}
            spec:
              template:
                metadata: {labels: {muster.sh/gang: auto}}
                spec: {schedulerName: muster, containers: [{name: node, image: pause, resources: {limits: {nvidia.com/gpu: 8}}}]}
`)
	status, out, errs := l.muster(t, "plan", "-f", file)
	assert.Equal(t, 0, status, errs)
	assert.Contains(t, out, "gang default/jobset/llm: would start 2 of 2 pods on 2 nodes")
	assert.Empty(t, errs)
}

// TestLive_AdviceWorks makes each proposed change on the API server, one after
// the other, and asks again.
func TestLive_AdviceWorks(t *testing.T) {
	l := startLive(t)
	l.rack(t, "r1", "n1", "n2")
	l.rack(t, "r2", "n3", "n4")
	l.pods(t, "bert", map[string]string{kube.LabelGang: "bert"}, map[string]string{kube.AnnotationMinCount: "1"}, "n3")
	patchNode(t, l, "n2", `{"spec":{"unschedulable":true}}`)
	l.group(t, "train", 2, map[string]string{kube.AnnotationTopologyRequired: "rack"})
	l.pods(t, "train", map[string]string{kube.LabelPodGroup: "train"}, nil, "", "")

	status, e := l.explain(t, "train")
	assert.Equal(t, 1, status)
	assert.Equal(t, queue.Waiting, e.Phase)
	changes := map[explain.ChangeKind]explain.Change{}
	for _, c := range e.Changes {
		changes[c.Kind] = c
	}
	fits := func() {
		t.Helper()
		status, e := l.explain(t, "train")
		assert.Equal(t, 0, status, e.Message)
		assert.Equal(t, explain.ReasonFitsNow, e.Reason)
	}
	waits := func() {
		t.Helper()
		status, _ := l.explain(t, "train")
		assert.Equal(t, 1, status)
	}

	assert.Equal(t, "kubectl uncordon n2", changes[explain.ChangeNodes].Command)
	patchNode(t, l, "n2", `{"spec":{"unschedulable":false}}`)
	fits()
	patchNode(t, l, "n2", `{"spec":{"unschedulable":true}}`)
	waits()

	assert.Equal(t, "kubectl -n default annotate --overwrite podgroups.scheduling.x-k8s.io train muster.sh/topology-required=block", changes[explain.ChangeWiderLevel].Command)
	l.patchGroup(t, "train", `{"metadata":{"annotations":{"muster.sh/topology-required":"block"}}}`)
	fits()
	l.patchGroup(t, "train", `{"metadata":{"annotations":{"muster.sh/topology-required":"rack"}}}`)

	assert.Equal(t, `kubectl -n default patch podgroups.scheduling.x-k8s.io train --type merge -p '{"spec":{"minMember":1}}'`, changes[explain.ChangeFewerPods].Command)
	l.patchGroup(t, "train", `{"spec":{"minMember":1}}`)
	fits()
	l.patchGroup(t, "train", `{"spec":{"minMember":2}}`)
	waits()

	assert.Equal(t, []string{"gang default/bert"}, changes[explain.ChangeTerminations].Workloads)
	require.NoError(t, l.Client().CoreV1().Pods("default").Delete(t.Context(), "bert-0", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	fits()
}

// TestLive_SnapshotReplays: a snapshot says what the cluster says, and holds no
// secret.
func TestLive_SnapshotReplays(t *testing.T) {
	l := startLive(t)
	l.rack(t, "r1", "n1", "n2")
	l.group(t, "train", 2, map[string]string{kube.AnnotationTopologyRequired: "rack", "example.com/note": "s3cr3t"})
	l.pods(t, "train", map[string]string{kube.LabelPodGroup: "train"}, map[string]string{"kubectl.kubernetes.io/last-applied-configuration": "s3cr3t"}, "n1", "")
	dir := t.TempDir() + "/report"
	status, out, errs := l.muster(t, "snapshot", dir)
	require.Equal(t, 0, status, errs)
	assert.Contains(t, out, "2 nodes, 2 pods, 1 pod groups")
	for _, args := range [][]string{{"topology", "--nodes"}, {"explain", "train", "-o", "yaml"}} {
		_, fromCluster, _ := l.muster(t, args...)
		_, fromFolder, errs := l.muster(t, append(args, "--snapshot", dir)...)
		require.Empty(t, errs)
		assert.Equal(t, ageless(fromCluster), ageless(fromFolder))
	}
	assertNoSecret(t, dir)
}

// TestLive_FinishedMembers has three of a gang of four done, and the fourth created
// again: it starts alone, and the command line says so.
func TestLive_FinishedMembers(t *testing.T) {
	l := startLive(t)
	l.rack(t, "r1", "n1")
	label := map[string]string{kube.LabelGang: "train"}
	l.pods(t, "train", label, map[string]string{kube.AnnotationMinCount: "4"}, "n1", "n1", "n1", "")
	l.pods(t, "old", map[string]string{kube.LabelGang: "old"}, map[string]string{kube.AnnotationMinCount: "2"}, "n1")
	l.pods(t, "single", nil, nil, "n1")
	for _, name := range []string{"train-0", "train-1", "train-2", "old-0", "single-0"} {
		l.finish(t, name)
	}
	status, e := l.explain(t, "train")
	assert.Zero(t, status)
	assert.Equal(t, []any{queue.Queued, explain.ReasonFitsNow, 1, 1}, []any{e.Phase, e.Reason, e.MinCount, e.Pods}, e.Message)

	clients, err := snapshot.NewClients(l.Config(), "test")
	require.NoError(t, err)
	read, err := snapshot.ReadCluster(t.Context(), clients)
	require.NoError(t, err)
	followed, err := snapshot.FollowCluster(t.Context(), clients)
	require.NoError(t, err)
	for name, s := range map[string]*snapshot.Snapshot{"read": read, "followed": followed.Snapshot()} {
		var names []string
		for _, pod := range s.Finished {
			names = append(names, pod.Name)
			assert.Empty(t, pod.Spec.Containers, name)
		}
		assert.Equal(t, []string{"train-0", "train-1", "train-2"}, names, "%s: those of gangs that live", name)
		assert.Len(t, s.Pods, 1, name)
		gangs := s.Gangs("muster")
		require.Len(t, gangs, 1, name)
		assert.EqualValues(t, 1, gangs[0].Group.Spec.SchedulingPolicy.Gang.MinCount, name)
	}
}

// finish has a pod do its work.
func (l *live) finish(t testing.TB, name string) {
	t.Helper()
	pods := l.Client().CoreV1().Pods("default")
	pod, err := pods.Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	pod.Status.Phase = v1.PodSucceeded
	pod.Status.ContainerStatuses = []v1.ContainerStatus{{Name: "worker", State: v1.ContainerState{
		Terminated: &v1.ContainerStateTerminated{FinishedAt: metav1.NewTime(pod.CreationTimestamp.Add(time.Minute))}}}}
	_, err = pods.UpdateStatus(t.Context(), pod, metav1.UpdateOptions{})
	require.NoError(t, err)
}

// TestLive_NativeGroups reads Kubernetes' own PodGroups, from the API server,
// from a watch, and from a folder.
func TestLive_NativeGroups(t *testing.T) {
	l := startLive(t, func(o *sandbox.Options) { o.GenericWorkload, o.PodGroupCRD = true, false })
	l.rack(t, "r1", "n1", "n2")
	pg := &schedulingapi.PodGroup{
		ObjectMeta: metav1.ObjectMeta{Name: "train", Annotations: map[string]string{kube.AnnotationTopologyRequired: "rack"}},
		Spec:       schedulingapi.PodGroupSpec{SchedulingPolicy: schedulingapi.PodGroupSchedulingPolicy{Gang: &schedulingapi.GangSchedulingPolicy{MinCount: 3}}},
	}
	_, err := l.Client().SchedulingV1beta1().PodGroups("default").Create(t.Context(), pg, metav1.CreateOptions{})
	require.NoError(t, err)
	for i := range 3 {
		pod := &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("train-%d", i)},
			Spec: v1.PodSpec{SchedulerName: "muster", SchedulingGroup: &v1.PodSchedulingGroup{PodGroupName: new("train")}, Containers: []v1.Container{{
				Name: "worker", Image: "pause", Resources: v1.ResourceRequirements{Limits: v1.ResourceList{"nvidia.com/gpu": *quantity(8)}},
			}}},
		}
		_, err := l.Client().CoreV1().Pods("default").Create(t.Context(), pod, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	status, e := l.explain(t, "train")
	assert.Equal(t, 1, status)
	assert.Equal(t, kube.DialectNative, e.Dialect)
	assert.Equal(t, 3, e.MinCount)
	assert.Equal(t, kube.GangTooLarge, e.Reason)
	require.NotEmpty(t, e.Changes)
	assert.Equal(t, "spec.schedulingPolicy.gang.minCount: 2", e.Changes[0].Setting)

	dir := t.TempDir() + "/report"
	status, _, errs := l.muster(t, "snapshot", dir)
	require.Equal(t, 0, status, errs)
	_, out, _ := l.muster(t, "status", "--snapshot", dir)
	assert.Regexp(t, `native +waiting +0 +0 +3 +3 +24`, out)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var page buffer
	ended := make(chan int, 2)
	go func() {
		ended <- cli.Run(ctx, []string{"muster", "--kubeconfig", l.KubeconfigPath(), "explain", "train", "-w"}, strings.NewReader(""), &page, &page)
	}()
	require.Eventually(t, func() bool { return strings.Contains(page.String(), "GangTooLarge") }, patience, pollPause)
	l.rack(t, "r1", "n3")
	require.Eventually(t, func() bool { return strings.Contains(page.String(), "FitsNow") }, patience, pollPause)
	stop()
	assert.Equal(t, 0, <-ended)
}

// TestLive_WatchShowsChanges follows a gang from its first pod to its start.
func TestLive_WatchShowsChanges(t *testing.T) {
	l := startLive(t)
	l.rack(t, "r1", "n1", "n2")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out buffer
	ended := make(chan int, 2)
	go func() {
		ended <- cli.Run(ctx, []string{"muster", "--kubeconfig", l.KubeconfigPath(), "status", "--watch"}, strings.NewReader(""), &out, &out)
	}()
	shows := func(text string) {
		t.Helper()
		require.Eventually(t, func() bool { return strings.Contains(out.String(), text) }, patience, pollPause, "never showed %q", text)
	}
	shows("there are no gangs in namespace default")
	l.group(t, "train", 1, nil)
	shows("GangIncomplete")
	l.pods(t, "train", map[string]string{kube.LabelPodGroup: "train"}, nil, "")
	shows("FitsNow")
	binding := &v1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "train-0"}, Target: v1.ObjectReference{Kind: "Node", Name: "n1"}}
	require.NoError(t, l.Client().CoreV1().Pods("default").Bind(t.Context(), binding, metav1.CreateOptions{}))
	shows("running")
	assert.NotContains(t, out.String(), "\x1b", "no control characters in a pipe")

	var tree buffer
	go func() {
		ended <- cli.Run(ctx, []string{"muster", "--kubeconfig", l.KubeconfigPath(), "topology", "-w"}, strings.NewReader(""), &tree, &tree)
	}()
	follows := func(pattern string) {
		t.Helper()
		require.Eventually(t, func() bool { return regexp.MustCompile(pattern).MatchString(tree.String()) }, patience, pollPause, pattern)
	}
	follows(`r1 +rack +2 +1 +8 +16`)
	l.rack(t, "r1", "n3")
	follows(`r1 +rack +3 +2 +16 +24`)
	stop()
	assert.Equal(t, 0, <-ended)
	assert.Equal(t, 0, <-ended)
}

func (l *live) group(t testing.TB, name string, minMember int64, annotations map[string]string) {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "scheduling.x-k8s.io/v1alpha1", "kind": "PodGroup",
		"metadata": map[string]any{"name": name}, "spec": map[string]any{"minMember": minMember},
	}}
	u.SetAnnotations(annotations)
	_, err := l.groups.Create(t.Context(), u, metav1.CreateOptions{})
	require.NoError(t, err)
}

func (l *live) patchGroup(t testing.TB, name, patch string) {
	t.Helper()
	_, err := l.groups.Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(t, err)
}

func patchNode(t testing.TB, l *live, name, patch string) {
	t.Helper()
	_, err := l.Client().CoreV1().Nodes().Patch(t.Context(), name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(t, err)
}

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
