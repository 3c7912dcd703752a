// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

const (
	// gather is how long a change waits for others of its gang, so that a gang
	// of 1,000 that binds is some writes and not 1,000.
	gather = 200 * time.Millisecond
	// attempts bounds how often one write is tried again before the next change
	// of its gang.
	attempts = 10
	// writers is the number of writes at a time.
	writers = 4
)

// groupWriter keeps the status of group objects up to date with their gangs.
type groupWriter struct {
	store   *store
	client  kubernetes.Interface
	dynamic dynamic.Interface
	queue   workqueue.TypedRateLimitingInterface[groupKey]
	now     func() time.Time
	// bindings go before the writing of statuses.
	bindings *bindings

	mu sync.Mutex
	// notes are what the scheduler said of gangs with an object.
	notes map[groupKey]note
	// written are the last status written, so that another writer's opinion on
	// the same object does not start a quarrel.
	written map[groupKey]written
}

type note struct {
	uid        types.UID
	conditions map[string]metav1.Condition
}

type written struct {
	uid  types.UID
	text string
}

func newGroupWriter(s *store, client kubernetes.Interface, dynamic dynamic.Interface, b *bindings) *groupWriter {
	return &groupWriter{
		store: s, client: client, dynamic: dynamic, bindings: b,
		queue:   workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[groupKey]()),
		now:     time.Now,
		notes:   map[groupKey]note{},
		written: map[groupKey]written{},
	}
}

func (w *groupWriter) enqueue(key groupKey) { w.queue.AddAfter(key, gather) }

// unscheduled notes why a gang is not scheduled.
func (w *groupWriter) unscheduled(pg *schedulingapi.PodGroup, reason, message string) {
	w.conditions(pg, []metav1.Condition{{
		Type: schedulingapi.PodGroupInitiallyScheduled, Status: metav1.ConditionFalse, Reason: reason, Message: message,
	}})
}

// conditions notes what is to be written to the object behind a group. That a
// gang is scheduled is not taken from here: the scheduler says so when it
// starts to bind, and it becomes true when the members are bound.
func (w *groupWriter) conditions(pg *schedulingapi.PodGroup, conditions []metav1.Condition) {
	key := groupKey{pg.Namespace, pg.Name}
	if !w.store.hasStatus(key) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.notes[key]
	if n.uid != pg.UID {
		n = note{pg.UID, map[string]metav1.Condition{}}
	}
	for _, c := range conditions {
		if c.Type == schedulingapi.PodGroupInitiallyScheduled && (c.Status == metav1.ConditionTrue || !better(n, c)) {
			continue
		}
		n.conditions[c.Type] = c
	}
	w.notes[key] = n
	w.enqueue(key)
}

// better tells whether a condition says more than the one that is noted: the
// plugin's own reasons say more than Unschedulable.
func better(n note, c metav1.Condition) bool {
	before, ok := n.conditions[c.Type]
	general := func(reason string) bool { return reason == schedulingapi.PodGroupReasonUnschedulable }
	return !ok || !general(c.Reason) || general(before.Reason)
}

// run writes until ctx is done.
func (w *groupWriter) run(ctx context.Context) {
	work(ctx, w.queue, w.next)
}

// work empties a queue by several goroutines until ctx is done. Next takes one
// item and reports false once the queue is shut down.
func work(ctx context.Context, queue interface{ ShutDown() }, next func(context.Context) bool) {
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for next(ctx) {
			}
		})
	}
	<-ctx.Done()
	queue.ShutDown()
	group.Wait()
}

func (w *groupWriter) next(ctx context.Context) bool {
	key, shutdown := w.queue.Get()
	if shutdown {
		return false
	}
	defer w.queue.Done(key)
	if w.bindings.wait(ctx) != nil {
		return false
	}
	err := w.write(ctx, key)
	switch {
	case err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err):
		// Without the object, or with another one of its name, the write has
		// lost its point.
		w.queue.Forget(key)
	case w.queue.NumRequeues(key) < attempts:
		w.queue.AddRateLimited(key)
	default:
		klog.FromContext(ctx).Error(err, "Could not write the status of a pod group; it is written at its next change", "podGroup", klog.KRef(key.namespace, key.group))
		w.queue.Forget(key)
	}
	return true
}

// write brings the status of one group object up to date.
func (w *groupWriter) write(ctx context.Context, key groupKey) error {
	view := w.store.view(key)
	if view == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.notes, key)
		delete(w.written, key)
		return nil
	}
	if view.object.kind.status == nil || len(view.members) == 0 && view.object.ended {
		return nil // an end stays one when its pods are deleted later
	}
	if view.gone {
		succeeded, failed, err := w.ended(ctx, view)
		if err != nil {
			return err
		}
		w.store.setEnded(key, succeeded, failed)
		if view = w.store.view(key); view == nil {
			return nil
		}
	}
	return w.patch(ctx, key, view)
}

// patch merges into the object's status what has changed.
func (w *groupWriter) patch(ctx context.Context, key groupKey, view *gangState) error {
	o := view.object
	status := o.kind.status(view, w.said(key, o.uid), w.now())
	if status == nil {
		return nil
	}
	metadata := map[string]any{"uid": o.uid}
	if hasList(status) {
		// A list is replaced as a whole, and may not undo what another writer
		// has just put there.
		metadata["resourceVersion"] = o.version
	}
	text, err := json.Marshal(status)
	if err != nil {
		return err
	}
	last, known := w.last(key, o.uid)
	if known && last == string(text) || !known && unchanged(status, o.status) {
		return nil
	}
	data, err := json.Marshal(map[string]any{"metadata": metadata, "status": status})
	if err != nil {
		return err
	}
	_, err = w.dynamic.Resource(o.kind.GroupVersionResource).Namespace(key.namespace).Patch(ctx, o.name, types.MergePatchType, data, metav1.PatchOptions{}, "status")
	if err != nil {
		return err
	}
	w.remember(key, o.uid, string(text))
	return nil
}

func hasList(status map[string]any) bool {
	for _, value := range status {
		if kind := reflect.TypeOf(value); kind != nil && kind.Kind() == reflect.Slice {
			return true
		}
	}
	return false
}

// unchanged tells whether a status holds what a patch would put there. A field
// that is left out says the same as one with nothing in it.
func unchanged(patch, status map[string]any) bool {
	for field, value := range patch {
		want, errWant := json.Marshal(value)
		have, errHave := json.Marshal(status[field])
		empty := string(have) == "null" && slices.Contains([]string{"0", `""`, "[]", "null"}, string(want))
		if errWant != nil || errHave != nil || string(want) != string(have) && !empty {
			return false
		}
	}
	return true
}

// said is what the scheduler last said of a gang, by type of condition.
func (w *groupWriter) said(key groupKey, uid types.UID) map[string]metav1.Condition {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.notes[key]; n.uid == uid {
		return maps.Clone(n.conditions)
	}
	return nil
}

func (w *groupWriter) last(key groupKey, uid types.UID) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.written[key]
	return last.text, last.uid == uid
}

func (w *groupWriter) remember(key groupKey, uid types.UID, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written[key] = written{uid, text}
}

// ended counts the pods of a gang that have ended. The scheduler does not watch
// those.
func (w *groupWriter) ended(ctx context.Context, view *gangState) (succeeded, failed int, err error) {
	selectors := []metav1.ListOptions{}
	for _, key := range view.entry.labels {
		selectors = append(selectors, metav1.ListOptions{LabelSelector: labels.Set{key: view.name()}.String()})
	}
	if len(selectors) == 0 {
		for _, phase := range []v1.PodPhase{v1.PodSucceeded, v1.PodFailed} {
			selectors = append(selectors, metav1.ListOptions{FieldSelector: "status.phase=" + string(phase)})
		}
	}
	counted := map[types.UID]bool{}
	for _, options := range selectors {
		pods, err := w.client.CoreV1().Pods(view.key.namespace).List(ctx, options)
		if err != nil {
			return 0, 0, err
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			if counted[pod.UID] || w.store.set.groupOf(pod) != view.key.group {
				continue
			}
			counted[pod.UID] = true
			succeeded += count(pod.Status.Phase == v1.PodSucceeded)
			failed += count(pod.Status.Phase == v1.PodFailed)
		}
	}
	return succeeded, failed, nil
}
