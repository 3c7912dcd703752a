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
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// maxNominations bounds the memory of nominations that wait; beyond it the scheduler
// makes its patches itself and so slows down.
const maxNominations = 10_000

// nominations writes which nodes preemption promises to the members of gangs. The
// scheduling loop would patch one member after the other and wait for each answer, and
// nothing else would be planned meanwhile. The newest word on a pod replaces the one
// that waits; it is told at once to whoever plans with what is promised.
type nominations struct {
	client kubernetes.Interface
	podOf  func(namespace, name string) *v1.Pod
	queue  workqueue.TypedRateLimitingInterface[podKey]

	mu      sync.Mutex
	follow  func(pod *v1.Pod, node string)
	pending map[types.UID]nomination
	// groups is how many members of a gang wait for theirs to be written.
	groups map[store.Key]int
}

// nomination is the node that a pod is promised, "" for none any more.
type nomination struct {
	namespace, name, group, node string
}

func newNominations(client kubernetes.Interface, podOf func(namespace, name string) *v1.Pod) *nominations {
	return &nominations{
		client: client, podOf: podOf, queue: newWriteQueue(func(key podKey) string { return key.namespace }),
		follow: func(*v1.Pod, string) {}, pending: map[types.UID]nomination{}, groups: map[store.Key]int{},
	}
}

// setFollower has nominations told from now on as they are made.
func (n *nominations) setFollower(follow func(pod *v1.Pod, node string)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.follow = follow
}

// publish tells of a nomination, without the lock.
func (n *nominations) publish(pod *v1.Pod, node string) {
	n.mu.Lock()
	follow := n.follow
	n.mu.Unlock()
	follow(pod, node)
}

// take has the nomination of a pod written in the background, unless too many wait.
func (n *nominations) take(pod *v1.Pod, node string) bool {
	if !n.setPending(pod.UID, nomination{pod.Namespace, pod.Name, kube.GroupOf(pod), node}) {
		return false
	}
	n.publish(pod, node)
	n.queue.Add(podKey{pod.Namespace, pod.UID})
	return true
}

func (n *nominations) setPending(uid types.UID, next nomination) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, waits := n.pending[uid]; !waits {
		if len(n.pending) >= maxNominations {
			return false
		}
		n.groups[next.groupKey()]++
	}
	n.pending[uid] = next
	return true
}

func (p nomination) groupKey() store.Key { return store.Key{Namespace: p.namespace, Group: p.group} }

// done forgets a nomination that was written, or has lost its point. It reports false if
// there is a newer one.
func (n *nominations) done(uid types.UID, written nomination) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pending[uid] != written {
		return false
	}
	delete(n.pending, uid)
	key := written.groupKey()
	if n.groups[key]--; n.groups[key] == 0 {
		delete(n.groups, key)
	}
	return true
}

// ofGroup returns how many members of a gang wait for their nomination to be written.
func (n *nominations) ofGroup(key store.Key) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.groups[key]
}

// run writes until ctx is done.
func (n *nominations) run(ctx context.Context) {
	runWorkers(ctx, n.queue, n.writeNext)
}

func (n *nominations) writeNext(ctx context.Context) bool {
	key, shutdown := n.queue.Get()
	if shutdown {
		return false
	}
	defer n.queue.Done(key)
	n.mu.Lock()
	next, ok := n.pending[key.uid]
	n.mu.Unlock()
	if !ok {
		return true
	}
	err := n.write(ctx, key.uid, next)
	switch {
	case err == nil || apierrors.IsNotFound(err):
		n.queue.Forget(key)
	case n.queue.NumRequeues(key) < attempts:
		n.queue.AddRateLimited(key)
		return true
	default:
		klog.FromContext(ctx).Error(err, "Could not write the node that preemption promised to a pod", "pod", klog.KRef(next.namespace, next.name))
		n.queue.Forget(key)
		if pod := n.podOf(next.namespace, next.name); pod != nil && pod.UID == key.uid {
			n.publish(pod, pod.Status.NominatedNodeName)
		}
	}
	if !n.done(key.uid, next) {
		n.queue.Add(key)
	}
	return true
}

// write writes a nomination if the pod still waits, on the version of it that is known:
// one that is bound has no use for it.
func (n *nominations) write(ctx context.Context, uid types.UID, next nomination) error {
	pod := n.podOf(next.namespace, next.name)
	if pod == nil || pod.UID != uid || pod.Spec.NodeName != "" {
		return nil
	}
	var node any
	if next.node != "" {
		node = next.node
	}
	data, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion},
		"status":   map[string]any{"nominatedNodeName": node},
	})
	if err != nil {
		return err
	}
	_, err = n.client.CoreV1().Pods(next.namespace).Patch(ctx, next.name, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
	return err
}

// splitNomination takes the nomination out of a patch of a pod's status. It returns
// what is left, nil for nothing, and whether there was one.
func splitNomination(data []byte) (rest []byte, node string, nominates bool) {
	var patch map[string]json.RawMessage
	var status map[string]json.RawMessage
	if json.Unmarshal(data, &patch) != nil || json.Unmarshal(patch["status"], &status) != nil {
		return data, "", false
	}
	word, nominates := status["nominatedNodeName"]
	if !nominates || json.Unmarshal(word, &node) != nil { // null leaves it ""
		return data, "", false
	}
	delete(status, "nominatedNodeName")
	delete(patch, "status")
	if len(status) > 0 {
		text, err := json.Marshal(status)
		if err != nil {
			return data, "", false
		}
		patch["status"] = text
	}
	if len(patch) == 0 {
		return nil, node, true
	}
	rest, err := json.Marshal(patch)
	if err != nil {
		return data, "", false
	}
	return rest, node, true
}
