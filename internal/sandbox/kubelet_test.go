// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/muster-scheduler/muster/internal/sandbox"
)

const gpu = "nvidia.com/gpu"

// gpuPod is a pod that wants so many GPUs.
func gpuPod(name string, gpus int64) *v1.Pod {
	container := v1.Container{Name: "main", Image: "registry.k8s.io/pause"}
	if gpus > 0 {
		container.Resources.Limits = v1.ResourceList{gpu: *resource.NewQuantity(gpus, resource.DecimalSI)}
	}
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec:       v1.PodSpec{Containers: []v1.Container{container}, SchedulerName: "none"},
	}
}

// cluster is a sandbox whose pods a test binds itself.
type cluster struct {
	*testing.T
	kubernetes.Interface
}

// bind creates pod and binds it to node.
func (c cluster) bind(pod *v1.Pod, node string) *v1.Pod {
	c.Helper()
	pod, err := c.CoreV1().Pods("default").Create(c.Context(), pod, metav1.CreateOptions{})
	require.NoError(c, err)
	c.bindMade(pod, node)
	return pod
}

// bindMade binds a pod that was created.
func (c cluster) bindMade(pod *v1.Pod, node string) {
	c.Helper()
	require.NoError(c, c.CoreV1().Pods("default").Bind(c.Context(), &v1.Binding{
		ObjectMeta: metav1.ObjectMeta{Name: pod.Name, Namespace: "default", UID: pod.UID},
		Target:     v1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{}))
}

// reach waits until the pod is in phase and returns it.
func (c cluster) reach(name string, phase v1.PodPhase) *v1.Pod {
	c.Helper()
	var pod *v1.Pod
	require.Eventually(c, func() bool {
		var err error
		pod, err = c.CoreV1().Pods("default").Get(c.Context(), name, metav1.GetOptions{})
		return err == nil && pod.Status.Phase == phase
	}, patience, pause, "pod %s never got %s", name, phase)
	return pod
}

// remove deletes a pod as kubectl does and waits until it is gone.
func (c cluster) remove(name string) {
	c.Helper()
	c.delete(name, metav1.DeleteOptions{})
	c.gone(name)
}

func (c cluster) delete(name string, opts metav1.DeleteOptions) {
	c.Helper()
	require.NoError(c, c.CoreV1().Pods("default").Delete(c.Context(), name, opts))
}

func (c cluster) gone(name string) {
	c.Helper()
	require.Eventually(c, func() bool {
		_, err := c.CoreV1().Pods("default").Get(c.Context(), name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, patience, pause, "pod %s is still there", name)
}

// stopSeconds is how long pods take to stop that do not say.
const stopSeconds = 0.1

func TestKubelet(t *testing.T) {
	s := start(t, sandbox.Options{StopSeconds: stopSeconds})
	node := func(name string) *v1.Node {
		return sandbox.NewNode(name, sandbox.NodeShape{CPU: "8", Memory: "32Gi", Extended: map[string]int64{gpu: 8}})
	}
	for _, test := range []struct {
		name string
		run  func(c cluster, node string)
	}{
		{"a bound pod runs and is ready", podRuns},
		{"a node over its GPUs fails the pod", podOverGPUs},
		{"a node over its CPUs fails the pod", podOverCPUs},
		{"devices that the node lacks fail the pod", podWantsUnknownDevice},
		{"an ended pod gives its GPUs back", podEnds},
		{"a deleted pod gives its GPUs back", podDeleted},
		{"a slow pod holds its room until it has stopped", podStopsSlowly},
		{"a slow pod with a finalizer fails when it has stopped", podStopsSlowlyWithFinalizer},
		{"a grace period ends a pod that does not stop", podNeverStops},
		{"a shorter grace period takes the place of a longer one", podStopsEarlier},
		{"a force deletion waits for nothing", podForced},
		{"what was planned for a slow pod spares a new one", podSlowSameName},
		{"a pod that is over while it stops is gone", podEndsWhileItStops},
		{"a pod runs for the seconds it asks", podRunsForSeconds},
		{"a run time that is no number is ignored", podRunsForNonsense},
		{"a finalizer holds a pod that has ended", podWithFinalizer},
		{"deleted and created again is another pod", podSameName},
		{"what was planned for an old pod spares a new one", podStalePatch},
	} {
		t.Run(test.name, func(t *testing.T) {
			host := strings.ToLower(strings.ReplaceAll(test.name, " ", "-"))
			require.NoError(t, s.CreateNodes(t.Context(), []*v1.Node{node(host)}))
			test.run(cluster{t, s.Client()}, host)
		})
	}
	t.Run("a pod waits for a node that comes later", func(t *testing.T) {
		podBeforeNode(cluster{t, s.Client()}, "late-node")
	})
	assert.Empty(t, s.ForbiddenRequests())
}

func podRuns(c cluster, node string) {
	c.bind(gpuPod("runs", 8), node)
	pod := c.reach("runs", v1.PodRunning)
	require.Len(c, pod.Status.ContainerStatuses, 1)
	assert.True(c, pod.Status.ContainerStatuses[0].Ready)
	assert.Contains(c, conditions(pod), "Ready=True")
	assert.Contains(c, conditions(pod), "PodScheduled=True")
	assert.NotNil(c, pod.Status.StartTime)
}

func conditions(pod *v1.Pod) (list []string) {
	for _, condition := range pod.Status.Conditions {
		list = append(list, fmt.Sprintf("%s=%s", condition.Type, condition.Status))
	}
	return list
}

func podOverGPUs(c cluster, node string) {
	c.bind(gpuPod("first-8", 8), node)
	c.bind(gpuPod("second-8", 8), node)
	c.reach("first-8", v1.PodRunning)
	pod := c.reach("second-8", v1.PodFailed)
	assert.Equal(c, "OutOfnvidia.com/gpu", pod.Status.Reason)
	assert.Equal(c, "Pod was rejected: Node didn't have enough resource: nvidia.com/gpu, requested: 8, used: 8, capacity: 8", pod.Status.Message)
}

func podOverCPUs(c cluster, node string) {
	pod := gpuPod("cpus", 0)
	pod.Spec.Containers[0].Resources.Requests = v1.ResourceList{v1.ResourceCPU: resource.MustParse("8001m")}
	c.bind(pod, node)
	assert.Equal(c, "OutOfcpu", c.reach("cpus", v1.PodFailed).Status.Reason)
}

func podWantsUnknownDevice(c cluster, node string) {
	pod := gpuPod("nic", 0)
	pod.Spec.Containers[0].Resources.Limits = v1.ResourceList{"example.com/nic": resource.MustParse("2")}
	c.bind(pod, node)
	failed := c.reach("nic", v1.PodFailed)
	assert.Equal(c, "UnexpectedAdmissionError", failed.Status.Reason)
	assert.Contains(c, failed.Status.Message, "example.com/nic: requested 2, available 0")
}

func podEnds(c cluster, node string) {
	pod := gpuPod("ends", 8)
	pod.Annotations = map[string]string{sandbox.RunSecondsAnnotation: "0"}
	c.bind(pod, node)
	c.reach("ends", v1.PodSucceeded)
	c.bind(gpuPod("follows", 8), node)
	c.reach("follows", v1.PodRunning)
}

func podDeleted(c cluster, node string) {
	c.bind(gpuPod("goes", 8), node)
	c.reach("goes", v1.PodRunning)
	begin := time.Now()
	c.remove("goes")
	assert.GreaterOrEqual(c, time.Since(begin).Seconds(), stopSeconds)
	c.bind(gpuPod("comes", 8), node)
	c.reach("comes", v1.PodRunning)
}

func podRunsForSeconds(c cluster, node string) {
	pod := gpuPod("timed", 1)
	pod.Annotations = map[string]string{sandbox.RunSecondsAnnotation: "1.5"}
	c.bind(pod, node)
	done := c.reach("timed", v1.PodSucceeded).Status.ContainerStatuses[0].State
	require.NotNil(c, done.Terminated)
	assert.Nil(c, done.Running)
	// Both ends are cut to whole seconds.
	start := c.reach("timed", v1.PodSucceeded).Status.StartTime
	assert.GreaterOrEqual(c, done.Terminated.FinishedAt.Sub(start.Time), time.Second)
}

func podRunsForNonsense(c cluster, node string) {
	pod := gpuPod("nonsense", 1)
	pod.Annotations = map[string]string{sandbox.RunSecondsAnnotation: "1h"}
	c.bind(pod, node)
	timed := gpuPod("other", 1)
	timed.Annotations = map[string]string{sandbox.RunSecondsAnnotation: "0.1"}
	c.reach("nonsense", v1.PodRunning)
	c.bind(timed, node)
	c.reach("other", v1.PodSucceeded)
	c.reach("nonsense", v1.PodRunning)
}

func podWithFinalizer(c cluster, node string) {
	pod := gpuPod("held", 8)
	pod.Finalizers = []string{"example.com/accounting"}
	c.bind(pod, node)
	c.reach("held", v1.PodRunning)
	c.delete("held", metav1.DeleteOptions{})
	c.reach("held", v1.PodFailed)
	c.bind(gpuPod("next", 8), node)
	c.reach("next", v1.PodRunning)

	c.release(c.reach("held", v1.PodFailed))
}

// release takes the finalizers off a pod and waits until it is gone.
func (c cluster) release(held *v1.Pod) {
	c.Helper()
	_, err := c.CoreV1().Pods("default").Patch(c.Context(), held.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	require.NoError(c, err)
	c.gone(held.Name)
}

func podBeforeNode(c cluster, node string) {
	early := gpuPod("early", 8)
	early.Spec.NodeName = node
	_, err := c.CoreV1().Pods("default").Create(c.Context(), early, metav1.CreateOptions{})
	require.NoError(c, err)
	// Created as kubectl does, without a Ready condition: kwok initializes it.
	bare := sandbox.NewNode(node, sandbox.NodeShape{Extended: map[string]int64{gpu: 8}})
	bare.Status.Conditions = nil
	_, err = c.CoreV1().Nodes().Create(c.Context(), bare, metav1.CreateOptions{})
	require.NoError(c, err)
	c.reach("early", v1.PodRunning)
	c.bind(gpuPod("late", 1), node)
	assert.Equal(c, "OutOfnvidia.com/gpu", c.reach("late", v1.PodFailed).Status.Reason)
}

func podSameName(c cluster, node string) {
	for range 20 {
		c.bind(gpuPod("again", 8), node)
		c.reach("again", v1.PodRunning)
		c.remove("again")
	}
	unbound, err := c.CoreV1().Pods("default").Create(c.Context(), gpuPod("again", 8), metav1.CreateOptions{})
	require.NoError(c, err)
	c.bind(gpuPod("probe", 8), node)
	c.reach("probe", v1.PodRunning) // whatever was under way for the old pods is behind it
	pod := c.reach("again", v1.PodPending)
	assert.Equal(c, unbound.UID, pod.UID)
	assert.Nil(c, pod.DeletionTimestamp)
}

func podStalePatch(c cluster, node string) {
	timed := gpuPod("stale", 8)
	timed.Annotations = map[string]string{sandbox.RunSecondsAnnotation: "0.3"}
	c.bind(timed, node)
	c.reach("stale", v1.PodRunning)
	err := c.CoreV1().Pods("default").Delete(c.Context(), "stale", metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
	require.NoError(c, err)
	c.bind(gpuPod("stale", 8), node)
	c.reach("stale", v1.PodRunning)
	later := gpuPod("later", 0)
	later.Annotations = map[string]string{sandbox.RunSecondsAnnotation: "0.4"}
	c.bind(later, node)
	c.reach("later", v1.PodSucceeded) // by now the old pod's time is over, too
	c.reach("stale", v1.PodRunning)
}
