// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
)

// StopSecondsAnnotation on a pod says how long its containers run on once it is
// deleted, in seconds as a decimal number, e.g. "20". The grace period of the
// deletion cuts that short. A pod without it, or with something else in it,
// ends as Options.StopSeconds says.
const StopSecondsAnnotation = "sandbox.muster.sh/stop-seconds"

// podEndings finishes pods that someone deleted, once their containers have
// ended. Until then a pod is Running and holds its node's room.
type podEndings struct {
	client kubernetes.Interface
	queue  workqueue.TypedRateLimitingInterface[ending]
	// stopSeconds is how long the containers of a pod run on that does not say.
	stopSeconds float64
}

// ending names one deleted pod. The UID keeps a later pod of that name safe.
type ending struct {
	namespace, name string
	uid             types.UID
	// fail says that the pod is held by a finalizer and did not end yet. The
	// kubelet reports its end, which is what a finalizer's owner (the Job
	// controller) and a scheduler wait for.
	fail bool
	// orphan says that the pod's node is gone and the pod did not end yet.
	orphan bool
}

// conflictRetries is how often a conflict is taken for a concurrent write to
// the same pod; after that the name belongs to another pod.
const conflictRetries = 5

func newPodEndings(client kubernetes.Interface, stopSeconds float64) *podEndings {
	return &podEndings{
		client:      client,
		stopSeconds: stopSeconds,
		queue:       workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[ending]()),
	}
}

// addPod queues a pod that has a deletion timestamp. A grace period of zero
// shows that it was finished before and waits for a finalizer only.
func (e *podEndings) addPod(pod *v1.Pod) {
	fail := len(pod.Finalizers) > 0 && !hasEnded(pod)
	if ptr.Deref(pod.DeletionGracePeriodSeconds, 1) == 0 && !fail {
		return
	}
	e.queue.AddAfter(ending{namespace: pod.Namespace, name: pod.Name, uid: pod.UID, fail: fail}, e.stopTime(pod))
}

// addOrphan finishes a pod whose node is gone, whether it was deleted or not.
func (e *podEndings) addOrphan(pod *v1.Pod) {
	e.queue.Add(ending{namespace: pod.Namespace, name: pod.Name, uid: pod.UID, orphan: !hasEnded(pod)})
}

// stopTime is how long the containers of a deleted pod run on.
func (e *podEndings) stopTime(pod *v1.Pod) time.Duration {
	if pod.Status.Phase != v1.PodRunning {
		return 0 // no container runs
	}
	seconds := e.stopSeconds
	if text := pod.Annotations[StopSecondsAnnotation]; decimal.MatchString(text) {
		seconds, _ = strconv.ParseFloat(text, 64) // out of range is infinite
	}
	grace := float64(ptr.Deref(pod.DeletionGracePeriodSeconds, 0))
	return time.Duration(min(seconds, grace, mostStopSeconds) * float64(time.Second))
}

// decimal is a number of seconds in an annotation.
var decimal = regexp.MustCompile(`^[0-9]+([.][0-9]+)?$`)

// mostStopSeconds, some 31 years, fits a time.Duration.
const mostStopSeconds = 1e9

// run works until ctx is done.
func (e *podEndings) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range playParallelism {
		workers.Go(func() {
			for e.finishNext(ctx) {
			}
		})
	}
	<-ctx.Done()
	e.queue.ShutDown()
	workers.Wait()
}

// finishNext finishes one pod. It reports false when the queue is shut down.
func (e *podEndings) finishNext(ctx context.Context) bool {
	item, stop := e.queue.Get()
	if stop {
		return false
	}
	defer e.queue.Done(item)
	err := e.finishPod(ctx, item)
	anotherPod := apierrors.IsInvalid(err) || apierrors.IsConflict(err) && e.queue.NumRequeues(item) > conflictRetries
	if err == nil || apierrors.IsNotFound(err) || anotherPod || ctx.Err() != nil {
		e.queue.Forget(item)
		return true
	}
	if !apierrors.IsConflict(err) {
		klog.FromContext(ctx).Error(err, "Could not finish a deleted pod; trying again", "pod", klog.KRef(item.namespace, item.name))
	}
	e.queue.AddRateLimited(item)
	return true
}

// finishPod ends a pod and deletes it, under the condition that its UID is the
// same.
func (e *podEndings) finishPod(ctx context.Context, item ending) error {
	pods := e.client.CoreV1().Pods(item.namespace)
	if item.fail || item.orphan {
		patch := fmt.Appendf(nil, `{"metadata":{"uid":%q},"status":%s}`, item.uid, item.lastStatus())
		if _, err := pods.Patch(ctx, item.name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
			return err
		}
	}
	return pods.Delete(ctx, item.name, metav1.DeleteOptions{
		GracePeriodSeconds: ptr.To[int64](0),
		Preconditions:      metav1.NewUIDPreconditions(string(item.uid)),
	})
}

// lastStatus is the status of a pod that did not end by itself, as JSON.
func (e ending) lastStatus() string {
	if e.orphan {
		return `{"phase":"Failed","conditions":[{"type":"DisruptionTarget","status":"True","reason":"DeletionByPodGC","message":"PodGC: node no longer exists"}]}`
	}
	return `{"phase":"Failed","message":"Deleted while running"}`
}
