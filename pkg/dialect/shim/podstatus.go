// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// maxPending bounds the memory of patches that wait; beyond it the scheduler
// makes its patches itself and so slows down.
const maxPending = 50_000

// podWriter writes that members of gangs are not scheduled: the sentence of their
// gang, or without one what kube-scheduler says. The newest word on a pod replaces
// the one that waits; a pod that is bound or gone by the time needs none.
type podWriter struct {
	client    kubernetes.Interface
	pods      cache.Indexer
	sentences *sentences
	queue     workqueue.TypedRateLimitingInterface[podKey]

	mu      sync.Mutex
	pending map[types.UID]podPatch
}

// podKey is a pod in the queue.
type podKey struct {
	namespace string
	uid       types.UID
}

// podPatch is what waits to be written of one pod. Without data it is only looked
// whether the pod says the sentence of its gang.
type podPatch struct {
	namespace, name string
	data            []byte
	// failed says that the data tells of an error, which stands in place of the
	// sentence.
	failed bool
}

// memberDelay is how long a pod of a gang without a sentence, and one that is new to
// a gang with one, waits for what is to be said of it: in most cases that the gang
// starts.
const memberDelay = time.Second

// byGroup is the index of pods by namespace/name of their group.
const byGroup = "muster.sh/group"

var groupIndex = cache.Indexers{byGroup: func(obj any) ([]string, error) {
	pod, ok := obj.(*v1.Pod)
	if !ok || kube.GroupOf(pod) == "" {
		return nil, nil
	}
	return []string{pod.Namespace + "/" + kube.GroupOf(pod)}, nil
}}

func newPodWriter(client kubernetes.Interface, pods cache.Indexer, s *sentences) *podWriter {
	return &podWriter{
		client: client, pods: pods, sentences: s,
		queue:   newWriteQueue(func(key podKey) string { return key.namespace }),
		pending: map[types.UID]podPatch{},
	}
}

// enqueue leaves a patch to be made later, unless too many wait. One that tells of an
// error for which the gang's sentence waits is that sentence's matter.
func (w *podWriter) enqueue(pod *v1.Pod, data []byte) bool {
	reason, message := conditionAfter(pod, data)
	failed := reason == v1.PodReasonSchedulerError
	if failed && w.sentences.addError(pod, message) {
		return true
	}
	delay := memberDelay
	if text, ok := w.sentences.sentenceOf(pod); ok {
		delay = statusDebounce
		if !failed && text.isIn(pod) && !w.isPending(pod.UID) {
			return true // it says so already
		}
	}
	if failed {
		delay = 0
	}
	return w.setPending(pod, podPatch{pod.Namespace, pod.Name, data, failed}, delay)
}

// followGroup has the members of a gang say its sentence, and returns how many of them
// do not yet.
func (w *podWriter) followGroup(pg *schedulingapi.PodGroup) int {
	members, err := w.pods.ByIndex(byGroup, pg.Namespace+"/"+pg.Name)
	if err != nil {
		return 0 // the index is there
	}
	writes := 0
	for _, member := range members {
		if pod, ok := member.(*v1.Pod); ok && w.checkPod(pod, statusDebounce) {
			writes++
		}
	}
	return writes
}

// followPod has a pod say the sentence of its gang.
func (w *podWriter) followPod(pod *v1.Pod) { w.checkPod(pod, memberDelay) }

// checkPod has a pod looked at later that does not say the sentence of its gang, and
// reports whether it is such a pod.
func (w *podWriter) checkPod(pod *v1.Pod, delay time.Duration) bool {
	text, ok := w.sentences.sentenceOf(pod)
	return ok && mayCarry(pod) && !text.isIn(pod) && w.setPending(pod, podPatch{namespace: pod.Namespace, name: pod.Name}, delay)
}

// mayCarry reports whether a pod is to say the sentence of its gang without an attempt
// of the scheduler: it waits, nobody but the scheduler holds it back, and it does not
// tell of an error of its own.
func mayCarry(pod *v1.Pod) bool {
	_, condition := podutil.GetPodCondition(&pod.Status, v1.PodScheduled)
	failed := condition != nil && condition.Reason == v1.PodReasonSchedulerError
	return kube.MemberStateOf(pod) == kube.MemberWaiting && !failed
}

func (w *podWriter) isPending(uid types.UID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, waits := w.pending[uid]
	return waits
}

// setPending has a patch made after a delay, unless too many wait. What is only to be
// looked at leaves a patch that waits as it is.
func (w *podWriter) setPending(pod *v1.Pod, patch podPatch, delay time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	before, waits := w.pending[pod.UID]
	if !waits && len(w.pending) >= maxPending {
		return false
	}
	if patch.data == nil && waits {
		patch = before
	}
	w.pending[pod.UID] = patch
	w.queue.AddAfter(podKey{pod.Namespace, pod.UID}, delay)
	return true
}

// run writes until ctx is done.
func (w *podWriter) run(ctx context.Context) {
	runWorkers(ctx, w.queue, w.writeNext)
}

func (w *podWriter) writeNext(ctx context.Context) bool {
	key, shutdown := w.queue.Get()
	if shutdown {
		return false
	}
	defer w.queue.Done(key)
	w.mu.Lock()
	patch, ok := w.pending[key.uid]
	delete(w.pending, key.uid)
	w.mu.Unlock()
	if !ok {
		return true
	}
	err := w.write(ctx, key.uid, patch)
	switch {
	case err == nil || apierrors.IsNotFound(err):
		w.queue.Forget(key)
	case w.queue.NumRequeues(key) < attempts:
		w.retry(key, patch)
	default:
		klog.FromContext(ctx).Error(err, "Could not write why a pod is not scheduled; it is written with the next verdict", "pod", klog.KRef(patch.namespace, patch.name))
		w.queue.Forget(key)
	}
	return true
}

// retry tries a patch once more later, unless a newer one has come.
func (w *podWriter) retry(key podKey, patch podPatch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, newer := w.pending[key.uid]; !newer {
		w.pending[key.uid] = patch
	}
	w.queue.AddRateLimited(key)
}

// waitingPod returns a pod that is still there and has no node yet, or nil.
func (w *podWriter) waitingPod(uid types.UID, patch podPatch) *v1.Pod {
	pod := w.podOf(patch.namespace, patch.name)
	if pod == nil || pod.UID != uid || pod.Spec.NodeName != "" {
		return nil
	}
	return pod
}

// podOf returns a pod as the informer knows it, or nil.
func (w *podWriter) podOf(namespace, name string) *v1.Pod {
	obj, ok, err := w.pods.GetByKey(namespace + "/" + name)
	if err != nil || !ok {
		return nil
	}
	pod, _ := obj.(*v1.Pod)
	return pod
}

// withSentence puts the sentence of a pod's gang into a patch of its status that says
// that the pod is not scheduled.
func (w *podWriter) withSentence(pod *v1.Pod, data []byte) []byte {
	text, ok := w.sentences.sentenceOf(pod)
	if reason, _ := conditionAfter(pod, data); !ok || reason == v1.PodReasonSchedulerError {
		return data
	}
	var patch map[string]any
	if json.Unmarshal(data, &patch) != nil {
		return data
	}
	status, _ := patch["status"].(map[string]any)
	conditions, _ := status["conditions"].([]any)
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		if condition["type"] == string(v1.PodScheduled) && condition["status"] != string(v1.ConditionTrue) {
			condition["reason"], condition["message"] = text.reason, text.message
		}
	}
	changed, err := json.Marshal(patch)
	if err != nil {
		return data
	}
	return changed
}

// conditionAfter is what a pod's condition PodScheduled says once a patch is made.
func conditionAfter(pod *v1.Pod, data []byte) (reason, message string) {
	if _, condition := podutil.GetPodCondition(&pod.Status, v1.PodScheduled); condition != nil {
		reason, message = condition.Reason, condition.Message
	}
	var patch struct {
		Status struct{ Conditions []map[string]any }
	}
	if json.Unmarshal(data, &patch) != nil {
		return reason, message
	}
	for _, condition := range patch.Status.Conditions {
		if condition["type"] != string(v1.PodScheduled) {
			continue
		}
		if text, ok := condition["reason"].(string); ok {
			reason = text
		}
		if text, ok := condition["message"].(string); ok {
			message = text
		}
	}
	return reason, message
}

// write makes a patch if the pod still waits. It is bound to the version of the pod that
// is known: one that was bound meanwhile must not be told that it waits, since nobody
// would ever take that back.
func (w *podWriter) write(ctx context.Context, uid types.UID, patch podPatch) error {
	pod := w.waitingPod(uid, patch)
	if pod == nil {
		return nil
	}
	data := patch.data
	if text, ok := w.sentences.sentenceOf(pod); ok && !patch.failed {
		if patch.data == nil && !mayCarry(pod) {
			return nil
		}
		var err error
		if data, err = text.patchOf(pod); err != nil {
			return err
		}
	}
	if data == nil {
		return nil
	}
	data, err := forVersion(data, pod)
	if err != nil {
		return err
	}
	_, err = w.client.CoreV1().Pods(patch.namespace).Patch(ctx, patch.name, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
	return err
}

// forVersion makes a patch fail on another pod of the same name, and on another version.
func forVersion(data []byte, pod *v1.Pod) ([]byte, error) {
	var patch map[string]any
	if err := json.Unmarshal(data, &patch); err != nil {
		return nil, err
	}
	patch["metadata"] = map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion}
	return json.Marshal(patch)
}
