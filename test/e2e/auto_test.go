// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// TestAuto runs gangs of the Job and StatefulSet controllers of
// kube-controller-manager: nothing but a label on their pods says that they
// are gangs.
func TestAuto(t *testing.T) {
	t.Parallel()
	box := startSandbox(t, sandbox.Options{})
	c := on(t, box, racks(4, 4)...)
	startQuickScheduler(t, box)

	t.Run("a job starts whole or not at all", func(t *testing.T) {
		c.on(t).createJob("big", 5, 5)
		c.awaitReason("big", kube.GangTooLarge, "gang job/big", "5 pods")
		c.stayPending("big")
		c.deleteJob("big")
		c.createJob("fits", 4, 4)
		c.awaitBound("fits", 4)
		c.deleteJob("fits")
	})

	t.Run("a pod that failed is replaced in the gang", func(t *testing.T) {
		c.on(t).createJob("repair", 4, 4)
		nodes := c.awaitBound("repair", 4)
		for name := range nodes {
			c.end(name, v1.PodFailed)
			break
		}
		c.awaitRunning("repair", 4)
		c.deleteJob("repair")
	})

	t.Run("a job with more work than pods goes on pod by pod", func(t *testing.T) {
		c.on(t).createJob("waves", 2, 5)
		for range 5 {
			c.awaitRunning("waves", 1)
			c.end(c.runningOf("waves")[0], v1.PodSucceeded)
		}
		require.Eventually(t, func() bool {
			job, err := c.client.BatchV1().Jobs(c.namespace).Get(background, "waves", metav1.GetOptions{})
			return err == nil && job.Status.Succeeded == 5
		}, patience, poll, "the job does its work")
		c.deleteJob("waves")
	})

	t.Run("an elastic job grows as room allows", func(t *testing.T) {
		c.on(t).createJob("elastic", 3, 3)
		c.awaitBound("elastic", 3)
		_, err := c.client.BatchV1().Jobs(c.namespace).Patch(background, "elastic", types.MergePatchType,
			[]byte(`{"spec":{"parallelism":6,"completions":6}}`), metav1.PatchOptions{})
		require.NoError(t, err)
		c.awaitBound("elastic", 4)
		require.Eventually(t, func() bool { return len(c.pods("elastic-")) == 6 }, patience, poll, "the others wait")
		c.deleteJob("elastic")
	})

	t.Run("a stateful set that starts its pods in order is told what to do", func(t *testing.T) {
		c.on(t).createSet("ordered", 3, appsv1.OrderedReadyPodManagement)
		c.awaitReason("ordered", kube.InvalidGangSpec, "gang statefulset/ordered", "podManagementPolicy: Parallel")
		c.deleteSet("ordered")
		c.createSet("parallel", 3, appsv1.ParallelPodManagement)
		c.awaitBound("parallel", 3)
		c.deleteSet("parallel")
	})

	t.Run("a pod of no workload is told which there are", func(t *testing.T) {
		c.on(t).create(pod("lonely-0", 1, label(kube.LabelGang, kube.GangAuto)))
		c.awaitReason("lonely", kube.InvalidGangSpec, "it has no controller", "LeaderWorkerSet")
		c.remove("lonely-0")
	})
}

// TestAuto_OfANamespace makes gangs of all workloads where the scheduler is told
// to.
func TestAuto_OfANamespace(t *testing.T) {
	t.Parallel()
	box := startSandbox(t, sandbox.Options{})
	c := on(t, box, racks(4, 4)...)
	startQuickScheduler(t, box, fmt.Sprintf("autoGangNamespaces: [%s]", c.namespace))
	unlabelled := func(p *v1.Pod) { delete(p.Labels, kube.LabelGang) }
	c.createJob("big", 5, 5, unlabelled)
	c.awaitReason("big", kube.GangTooLarge, "gang job/big")
	c.stayPending("big")
	c.deleteJob("big")
	c.createSet("ordered", 2, appsv1.OrderedReadyPodManagement, unlabelled)
	c.awaitBound("ordered", 2)
	c.deleteSet("ordered")
}

// on is the cluster for a part of a test.
func (c *cluster) on(t *testing.T) *cluster {
	c.t = t
	return c
}

// template is that of pods which ask for a whole node each, in one rack.
func template(changes []func(*v1.Pod)) v1.PodTemplateSpec {
	p := pod("", 8, append([]func(*v1.Pod){label(kube.LabelGang, kube.GangAuto), label("app", "auto"), annotation(kube.AnnotationTopologyRequired, "rack")}, changes...)...)
	return v1.PodTemplateSpec{ObjectMeta: p.ObjectMeta, Spec: p.Spec}
}

func (c *cluster) createJob(name string, parallelism, completions int32, changes ...func(*v1.Pod)) {
	c.t.Helper()
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{
			Parallelism: &parallelism, Completions: &completions,
			CompletionMode: new(batchv1.IndexedCompletion), BackoffLimit: new(int32(100)),
			Template: template(changes),
		},
	}
	job.Spec.Template.Spec.RestartPolicy = v1.RestartPolicyNever
	_, err := c.client.BatchV1().Jobs(c.namespace).Create(background, job, metav1.CreateOptions{})
	require.NoError(c.t, err)
}

func (c *cluster) createSet(name string, replicas int32, policy appsv1.PodManagementPolicyType, changes ...func(*v1.Pod)) {
	c.t.Helper()
	_, err := c.client.AppsV1().StatefulSets(c.namespace).Create(background, &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &replicas, PodManagementPolicy: policy, ServiceName: name,
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "auto", "set": name}},
			Template: template(append(changes, label("set", name))),
		},
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
}

func (c *cluster) deleteJob(name string) {
	c.t.Helper()
	require.NoError(c.t, c.client.BatchV1().Jobs(c.namespace).Delete(background, name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}))
	c.awaitGone(name)
}

func (c *cluster) deleteSet(name string) {
	c.t.Helper()
	require.NoError(c.t, c.client.AppsV1().StatefulSets(c.namespace).Delete(background, name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}))
	c.awaitGone(name)
}

func (c *cluster) awaitGone(name string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return len(c.pods(name+"-")) == 0 }, patience, poll, "the pods of %s go with it", name)
}

// end reports the end of a pod, as a kubelet would.
func (c *cluster) end(name string, phase v1.PodPhase) {
	c.t.Helper()
	_, err := c.client.CoreV1().Pods(c.namespace).Patch(background, name, types.MergePatchType,
		fmt.Appendf(nil, `{"status":{"phase":%q}}`, phase), metav1.PatchOptions{}, "status")
	require.NoError(c.t, err)
}

// runningOf lists the pods of a gang that run.
func (c *cluster) runningOf(gang string) []string {
	var names []string
	for _, p := range c.pods(gang + "-") {
		if p.Spec.NodeName != "" && p.Status.Phase == v1.PodRunning && p.DeletionTimestamp == nil {
			names = append(names, p.Name)
		}
	}
	return names
}

// awaitRunning waits until at least count pods of a gang run.
func (c *cluster) awaitRunning(gang string, count int) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return len(c.runningOf(gang)) >= count }, patience, poll, "%d pods of %s have to run", count, gang)
}
