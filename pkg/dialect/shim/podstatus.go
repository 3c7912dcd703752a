// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"encoding/json"
	"sync"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// maxPending bounds the memory of patches that wait; beyond it the scheduler
// makes its patches itself and so slows down.
const maxPending = 50_000

// podWriter writes that members of gangs are not scheduled. The newest word on
// a pod replaces the one that waits; a pod that is bound or gone by the time
// needs none.
type podWriter struct {
	client kubernetes.Interface
	lister corelisters.PodLister
	queue  workqueue.TypedRateLimitingInterface[types.UID]

	mu      sync.Mutex
	pending map[types.UID]podPatch
}

type podPatch struct {
	namespace, name string
	data            []byte
}

func newPodWriter(client kubernetes.Interface, lister corelisters.PodLister) *podWriter {
	return &podWriter{
		client: client, lister: lister,
		queue:   workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[types.UID]()),
		pending: map[types.UID]podPatch{},
	}
}

// enqueue leaves a patch to be made later, unless too many wait.
func (w *podWriter) enqueue(pod *v1.Pod, data []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, waits := w.pending[pod.UID]; !waits && len(w.pending) >= maxPending {
		return false
	}
	w.pending[pod.UID] = podPatch{pod.Namespace, pod.Name, data}
	w.queue.Add(pod.UID)
	return true
}

// run writes until ctx is done.
func (w *podWriter) run(ctx context.Context) {
	runWorkers(ctx, w.queue, w.writeNext)
}

func (w *podWriter) writeNext(ctx context.Context) bool {
	uid, shutdown := w.queue.Get()
	if shutdown {
		return false
	}
	defer w.queue.Done(uid)
	w.mu.Lock()
	patch, ok := w.pending[uid]
	delete(w.pending, uid)
	w.mu.Unlock()
	if !ok {
		return true
	}
	err := w.write(ctx, uid, patch)
	switch {
	case err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err):
		w.queue.Forget(uid)
	case w.queue.NumRequeues(uid) < attempts:
		w.retry(uid, patch)
	default:
		klog.FromContext(ctx).Error(err, "Could not write why a pod is not scheduled; it is written with the next verdict", "pod", klog.KRef(patch.namespace, patch.name))
		w.queue.Forget(uid)
	}
	return true
}

// retry tries a patch once more later, unless a newer one has come.
func (w *podWriter) retry(uid types.UID, patch podPatch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, newer := w.pending[uid]; !newer {
		w.pending[uid] = patch
	}
	w.queue.AddRateLimited(uid)
}

// isWaiting reports whether a pod is still there and has no node yet.
func (w *podWriter) isWaiting(uid types.UID, patch podPatch) bool {
	pod, err := w.lister.Pods(patch.namespace).Get(patch.name)
	return err == nil && pod.UID == uid && pod.Spec.NodeName == ""
}

func (w *podWriter) write(ctx context.Context, uid types.UID, patch podPatch) error {
	if !w.isWaiting(uid, patch) {
		return nil
	}
	data, err := forUID(patch.data, uid)
	if err != nil {
		return err
	}
	_, err = w.client.CoreV1().Pods(patch.namespace).Patch(ctx, patch.name, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
	return err
}

// forUID makes a patch fail on another pod of the same name.
func forUID(data []byte, uid types.UID) ([]byte, error) {
	var patch map[string]any
	if err := json.Unmarshal(data, &patch); err != nil {
		return nil, err
	}
	patch["metadata"] = map[string]any{"uid": uid}
	return json.Marshal(patch)
}
