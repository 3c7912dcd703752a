// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/preemption"
)

var started = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)

// running is a pod that has run for a while on a node, with GPUs.
func running(name, node, group string, gpus int64, annotations ...string) *v1.Pod {
	low := int32(1)
	pod := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name), Labels: map[string]string{"app": name[:1]}, Annotations: map[string]string{}},
		Spec: v1.PodSpec{NodeName: node, Priority: &low, Containers: []v1.Container{{Resources: v1.ResourceRequirements{Requests: v1.ResourceList{
			"nvidia.com/gpu": *resource.NewQuantity(gpus, resource.DecimalSI)}}}}},
		Status: v1.PodStatus{Phase: v1.PodRunning, StartTime: &metav1.Time{Time: started}},
	}
	if group != "" {
		pod.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &group}
	}
	for i := 0; i < len(annotations); i += 2 {
		pod.Annotations[annotations[i]] = annotations[i+1]
	}
	return pod
}

// clusterOf is a cluster of one node of eight GPUs with pods on it.
func clusterOf(t *testing.T, pods ...*v1.Pod) *Cluster {
	t.Helper()
	info := framework.NewNodeInfo()
	info.SetNode(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Status: v1.NodeStatus{Allocatable: v1.ResourceList{
		"nvidia.com/gpu": resource.MustParse("8"), v1.ResourcePods: resource.MustParse("110"), v1.ResourceCPU: resource.MustParse("64")}}})
	for _, pod := range pods {
		info.AddPod(pod)
	}
	c := NewCluster(DefaultLevels())
	require.NoError(t, c.UpdateNodes([]fwk.NodeInfo{info}))
	return c
}

func TestPreemptionCandidates(t *testing.T) {
	ending := running("ending", "n", "", 1)
	ending.DeletionTimestamp = &metav1.Time{Time: started}
	assumed := running("assumed", "n", "", 1)
	assumed.Status.StartTime = nil
	c := clusterOf(t,
		running("a-1", "n", "train", 2), running("a-0", "n", "train", 2),
		running("b", "n", "", 1, AnnotationPreemptible, "false"), running("c", "n", "", 1, AnnotationMinRuntime, "2h"),
		running("d", "n", "loose", 0), running("e", "n", "", 1, AnnotationCheckpointedAt, started.Add(50*time.Minute).Format(time.RFC3339)),
		ending, assumed)
	got := c.PreemptionCandidates(&PreemptionRules{
		Priority: 5, Now: started.Add(time.Hour), IsBound: func(*v1.Pod) bool { return false },
		GroupOf: func(_, name string) (RunningGroup, bool) { return RunningGroup{Minimum: 1}, name == "train" },
		Budgets: []*policyv1.PodDisruptionBudget{
			{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "all"}, Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{}}, Status: policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 1, DisruptedPods: map[string]metav1.Time{"e": {}}}},
			{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Name: "all"}, Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{}}},
		},
	})
	type line struct {
		gang   bool
		exempt preemption.Exemption
		spare  int
		pods   []string
		work   int64
		budget int
	}
	lines := map[string]line{}
	for i, w := range got.Workloads {
		l := line{gang: w.Gang, exempt: w.Exempt, spare: w.Spare}
		for j, pod := range w.Pods {
			assert.Equal(t, pod.Name, got.Pods[i][j].Name)
			l.pods = append(l.pods, pod.Name)
			l.work += pod.Work
			l.budget += len(pod.Budgets)
		}
		lines[w.Name] = l
	}
	assert.Equal(t, map[string]line{
		"ns/train":   {gang: true, spare: 1, pods: []string{"a-0", "a-1"}, work: 2 * 2 * 3600, budget: 2},
		"ns/b":       {exempt: preemption.Protected, pods: []string{"b"}, work: 3600, budget: 1},
		"ns/c":       {exempt: preemption.TooYoung, pods: []string{"c"}, work: 3600, budget: 1},
		"ns/d":       {pods: []string{"d"}, budget: 1},
		"ns/e":       {pods: []string{"e"}, work: 600},
		"ns/assumed": {exempt: preemption.Starting, pods: []string{"assumed"}, work: lines["ns/assumed"].work, budget: 1},
	}, lines)
	assert.Equal(t, []preemption.Budget{{Name: "ns/all", Allowed: 1}, {Name: "other/all"}}, got.Budgets)
}

func TestHasPodsBelow(t *testing.T) {
	c := clusterOf(t, running("a", "n", "", 1))
	assert.False(t, c.HasPodsBelow(1), "none is below its own priority")
	assert.True(t, c.HasPodsBelow(2))
}
