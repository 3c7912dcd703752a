// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"time"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/muster-scheduler/muster/internal/sandbox"
)

// slowPod takes a whole node and the seconds to stop, with ten minutes of grace.
func slowPod(name, seconds string) *v1.Pod {
	pod := gpuPod(name, 8)
	pod.Annotations = map[string]string{sandbox.StopSecondsAnnotation: seconds}
	pod.Spec.TerminationGracePeriodSeconds = ptr.To[int64](600)
	return pod
}

// grace deletes with so many seconds of grace.
func grace(seconds int64) metav1.DeleteOptions {
	return metav1.DeleteOptions{GracePeriodSeconds: &seconds}
}

func podStopsSlowly(c cluster, node string) {
	c.bind(slowPod("slow", "1.5"), node)
	c.reach("slow", v1.PodRunning)
	begin := time.Now()
	c.delete("slow", metav1.DeleteOptions{})
	stopping := c.reach("slow", v1.PodRunning)
	assert.NotNil(c, stopping.DeletionTimestamp)
	assert.Equal(c, int64(600), *stopping.DeletionGracePeriodSeconds)
	c.bind(gpuPod("hasty", 8), node)
	assert.Equal(c, "OutOfnvidia.com/gpu", c.reach("hasty", v1.PodFailed).Status.Reason)
	c.gone("slow")
	assert.GreaterOrEqual(c, time.Since(begin), 1500*time.Millisecond)
	c.bind(gpuPod("patient", 8), node)
	c.reach("patient", v1.PodRunning)
}

func podStopsSlowlyWithFinalizer(c cluster, node string) {
	pod := slowPod("slow-held", "0.5")
	pod.Finalizers = []string{"example.com/accounting"}
	c.bind(pod, node)
	c.reach("slow-held", v1.PodRunning)
	begin := time.Now()
	c.delete("slow-held", metav1.DeleteOptions{})
	held := c.reach("slow-held", v1.PodFailed)
	assert.GreaterOrEqual(c, time.Since(begin), 500*time.Millisecond)
	c.bind(gpuPod("after-held", 8), node)
	c.reach("after-held", v1.PodRunning)
	c.release(held)
}

func podNeverStops(c cluster, node string) {
	pod := slowPod("endless", "86400")
	pod.Spec.TerminationGracePeriodSeconds = ptr.To[int64](1)
	c.bind(pod, node)
	c.reach("endless", v1.PodRunning)
	begin := time.Now()
	c.remove("endless")
	assert.GreaterOrEqual(c, time.Since(begin), time.Second)
}

func podStopsEarlier(c cluster, node string) {
	c.bind(slowPod("hurried", "500"), node)
	c.reach("hurried", v1.PodRunning)
	c.delete("hurried", metav1.DeleteOptions{})
	c.delete("hurried", grace(1))
	c.gone("hurried")
}

func podForced(c cluster, node string) {
	c.bind(slowPod("forced", "500"), node)
	c.reach("forced", v1.PodRunning)
	c.delete("forced", metav1.DeleteOptions{})
	c.delete("forced", grace(0))
	c.gone("forced")
	c.bind(gpuPod("follower", 8), node)
	c.reach("follower", v1.PodRunning)
}

func podSlowSameName(c cluster, node string) {
	c.bind(slowPod("namesake", "0.5"), node)
	c.reach("namesake", v1.PodRunning)
	c.delete("namesake", metav1.DeleteOptions{})
	c.delete("namesake", grace(0))
	c.gone("namesake")
	fresh := c.bind(slowPod("namesake", "500"), node)
	c.reach("namesake", v1.PodRunning)
	c.delete("namesake", metav1.DeleteOptions{})
	clock := gpuPod("clock", 0)
	clock.Annotations = map[string]string{sandbox.RunSecondsAnnotation: "0.6"}
	c.bind(clock, node)
	c.reach("clock", v1.PodSucceeded) // by now the old pod's time is over, too
	assert.Equal(c, fresh.UID, c.reach("namesake", v1.PodRunning).UID)
	c.delete("namesake", grace(0))
}

func podEndsWhileItStops(c cluster, node string) {
	pod := slowPod("over", "500")
	pod.Annotations[sandbox.RunSecondsAnnotation] = "0.5"
	c.bind(pod, node)
	c.reach("over", v1.PodRunning)
	c.remove("over")
}
