// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

func TestStopTime(t *testing.T) {
	for _, test := range []struct {
		name  string
		all   float64
		says  string
		grace int64
		phase v1.PodPhase
		want  time.Duration
	}{
		{"containers end at once where nothing is said", 0, "", 30, v1.PodRunning, 0},
		{"the sandbox says for all pods", 12.5, "", 30, v1.PodRunning, 12500 * time.Millisecond},
		{"the pod's own word counts more", 12.5, "20", 30, v1.PodRunning, 20 * time.Second},
		{"a pod may be quicker than the others", 12.5, "0", 30, v1.PodRunning, 0},
		{"the grace period ends a pod that does not", 0, "45", 30, v1.PodRunning, 30 * time.Second},
		{"the grace period ends all pods", 45, "", 30, v1.PodRunning, 30 * time.Second},
		{"what is no number is ignored", 3, "20s", 30, v1.PodRunning, 3 * time.Second},
		{"what is below zero is ignored", 3, "-20", 30, v1.PodRunning, 3 * time.Second},
		{"a time out of range is long", 0, "1" + fmt.Sprintf("%0400d", 0), 30, v1.PodRunning, 30 * time.Second},
		{"a grace period out of range is long", 1e300, "", 1 << 60, v1.PodRunning, 1e9 * time.Second},
		{"a force deletion waits for nothing", 12.5, "20", 0, v1.PodRunning, 0},
		{"a pod that did not start has nothing to end", 12.5, "20", 30, v1.PodPending, 0},
		{"a pod that ended has nothing to end", 12.5, "20", 30, v1.PodSucceeded, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod := &v1.Pod{Status: v1.PodStatus{Phase: test.phase}}
			pod.DeletionGracePeriodSeconds = &test.grace
			if test.says != "" {
				pod.Annotations = map[string]string{StopSecondsAnnotation: test.says}
			}
			assert.Equal(t, test.want, newPodEndings(nil, test.all).stopTime(pod))
		})
	}
}

func TestOrphans(t *testing.T) {
	pods, nodes := cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil), cache.NewIndexer(cache.MetaNamespaceKeyFunc, nil)
	for pod, node := range map[string]string{"lost": "gone", "safe": "there", "pending": ""} {
		require.NoError(t, pods.Add(&v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod}, Spec: v1.PodSpec{NodeName: node}}))
	}
	require.NoError(t, nodes.Add(gpuNode("there", "", 8, NodeShape{})))
	endings := newPodEndings(nil, 600)
	c := &orphanCollector{pods: corelisters.NewPodLister(pods), nodes: corelisters.NewNodeLister(nodes), endings: endings}

	start := time.Now()
	at := func(after time.Duration) (left int) {
		require.NoError(t, c.collect(start.Add(after)))
		return endings.queue.Len()
	}
	assert.Zero(t, at(0), "a node may be late")
	assert.Zero(t, at(orphanQuarantine-1))

	back := gpuNode("gone", "", 8, NodeShape{})
	require.NoError(t, nodes.Add(back))
	assert.Zero(t, at(orphanQuarantine), "it is back")
	require.NoError(t, nodes.Delete(back))
	assert.Zero(t, at(orphanQuarantine+1), "the time starts anew")
	require.Equal(t, 1, at(2*orphanQuarantine+1))

	item, _ := endings.queue.Get()
	assert.Equal(t, ending{name: "lost", orphan: true}, item)
	assert.Contains(t, item.lastStatus(), v1.DisruptionTarget)
}

// TestFinish_Orphan has a finalizer hold a pod whose node is gone, to see how
// it ends.
func TestFinish_Orphan(t *testing.T) {
	s, err := Start(t.Context(), Options{DisableKubelets: true, DisableControllers: true})
	require.NoError(t, err)
	t.Cleanup(s.Stop)
	pods := s.Client().CoreV1().Pods("default")
	lost, err := pods.Create(t.Context(), &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "lost", Finalizers: []string{"example.com/accounting"}},
		Spec:       v1.PodSpec{NodeName: "gone", Containers: []v1.Container{{Name: "main", Image: "none"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)

	endings := newPodEndings(s.Client(), 600)
	endings.addOrphan(lost)
	require.True(t, endings.next(t.Context()))
	lost, err = pods.Get(t.Context(), "lost", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, v1.PodFailed, lost.Status.Phase)
	assert.NotNil(t, lost.DeletionTimestamp)
	require.NotEmpty(t, lost.Status.Conditions)
	assert.Equal(t, v1.DisruptionTarget, lost.Status.Conditions[len(lost.Status.Conditions)-1].Type)
	assert.Equal(t, "DeletionByPodGC", lost.Status.Conditions[len(lost.Status.Conditions)-1].Reason)
}
