// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"fmt"
	"sync"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
)

// podEndings finishes pods that someone deleted, at once: a simulated container
// needs no grace period.
type podEndings struct {
	client kubernetes.Interface
	queue  workqueue.TypedRateLimitingInterface[ending]
}

// ending names one deleted pod. The UID keeps a later pod of that name safe.
type ending struct {
	namespace, name string
	uid             types.UID
	// fail says that the pod is held by a finalizer and did not end yet. The
	// kubelet reports its end, which is what a finalizer's owner (the Job
	// controller) and a scheduler wait for.
	fail bool
}

// conflictRetries is how often a conflict is taken for a concurrent write to
// the same pod; after that the name belongs to another pod.
const conflictRetries = 5

func newPodEndings(client kubernetes.Interface) *podEndings {
	return &podEndings{
		client: client,
		queue:  workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[ending]()),
	}
}

// addPod queues a pod that has a deletion timestamp. A grace period of zero
// shows that it was finished before and waits for a finalizer only.
func (e *podEndings) addPod(pod *v1.Pod) {
	fail := len(pod.Finalizers) > 0 && !hasEnded(pod)
	if ptr.Deref(pod.DeletionGracePeriodSeconds, 1) == 0 && !fail {
		return
	}
	e.queue.Add(ending{namespace: pod.Namespace, name: pod.Name, uid: pod.UID, fail: fail})
}

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
	if item.fail {
		patch := fmt.Appendf(nil, `{"metadata":{"uid":%q},"status":{"phase":"Failed","message":"Deleted while running"}}`, item.uid)
		if _, err := pods.Patch(ctx, item.name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
			return err
		}
	}
	return pods.Delete(ctx, item.name, metav1.DeleteOptions{
		GracePeriodSeconds: ptr.To[int64](0),
		Preconditions:      metav1.NewUIDPreconditions(string(item.uid)),
	})
}
