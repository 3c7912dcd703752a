// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/muster-scheduler/muster/pkg/kube"
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

	mu sync.Mutex
	// notes are what the scheduler said of gangs with a native object.
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

func newGroupWriter(s *store, client kubernetes.Interface, dynamic dynamic.Interface) *groupWriter {
	return &groupWriter{
		store: s, client: client, dynamic: dynamic,
		queue:   workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[groupKey]()),
		now:     time.Now,
		notes:   map[groupKey]note{},
		written: map[groupKey]written{},
	}
}

func (w *groupWriter) enqueue(key groupKey) { w.queue.AddAfter(key, gather) }

// unscheduled notes why a gang with a native object is not scheduled.
func (w *groupWriter) unscheduled(pg *schedulingapi.PodGroup, reason, message string) {
	w.conditions(pg, []metav1.Condition{{
		Type: schedulingapi.PodGroupInitiallyScheduled, Status: metav1.ConditionFalse, Reason: reason, Message: message,
	}})
}

// conditions notes what is to be written to a group that has conditions. That
// a gang is scheduled is not taken from here: the scheduler says so when it
// starts to bind, and it becomes true when the members are bound.
func (w *groupWriter) conditions(pg *schedulingapi.PodGroup, conditions []metav1.Condition) {
	if kube.Dialect(pg.Annotations[kube.AnnotationDialect]) != kube.DialectNative {
		return
	}
	key := groupKey{pg.Namespace, pg.Name}
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
	if view.object.native != nil {
		return w.writeNative(ctx, key, view)
	}
	if view.gone {
		succeeded, failed, err := w.ended(ctx, key.namespace, view.object.name)
		if err != nil {
			return err
		}
		w.store.setEnded(key, succeeded, failed)
		if view = w.store.view(key); view == nil {
			return nil
		}
	}
	return w.writeCRD(ctx, key, view)
}

func (w *groupWriter) writeCRD(ctx context.Context, key groupKey, view *gangState) error {
	if len(view.members) == 0 && view.object.status.ended() {
		return nil // also when its pods are deleted later
	}
	status := view.statusOf(w.now())
	last, known := w.last(key, view.object.uid)
	if !known && status == view.object.status || known && last == fmt.Sprint(status) {
		return nil
	}
	data, err := status.patch(view.object.uid)
	if err != nil {
		return err
	}
	_, err = w.dynamic.Resource(crdKind).Namespace(key.namespace).Patch(ctx, view.object.name, types.MergePatchType, data, metav1.PatchOptions{}, "status")
	if err != nil {
		return err
	}
	w.remember(key, view.object.uid, fmt.Sprint(status))
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

// ended counts the pods of a scheduling.x-k8s.io group that have ended. The
// scheduler does not watch those.
func (w *groupWriter) ended(ctx context.Context, namespace, group string) (succeeded, failed int, err error) {
	for _, key := range []string{kube.LabelPodGroup, kube.LabelPodGroupOld} {
		pods, err := w.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{
			LabelSelector: labels.Set{key: group}.String(),
		})
		if err != nil {
			return 0, 0, err
		}
		for i := range pods.Items {
			succeeded += count(pods.Items[i].Status.Phase == v1.PodSucceeded)
			failed += count(pods.Items[i].Status.Phase == v1.PodFailed)
		}
	}
	return succeeded, failed, nil
}

func (w *groupWriter) writeNative(ctx context.Context, key groupKey, view *gangState) error {
	var changed []metav1.Condition
	for _, want := range w.wanted(key, view) {
		old := apimeta.FindStatusCondition(view.object.native.Status.Conditions, want.Type)
		if old != nil && (old.Status == metav1.ConditionTrue || old.Status == want.Status && old.Reason == want.Reason && old.Message == want.Message) {
			continue
		}
		want.LastTransitionTime = metav1.NewTime(w.now().Truncate(time.Second))
		if old != nil && old.Status == want.Status {
			want.LastTransitionTime = old.LastTransitionTime
		}
		want.ObservedGeneration = view.object.generation
		changed = append(changed, want)
	}
	if len(changed) == 0 {
		return nil
	}
	data, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": view.object.uid},
		"status":   map[string]any{"conditions": changed},
	})
	if err != nil {
		return err
	}
	_, err = w.client.SchedulingV1beta1().PodGroups(key.namespace).Patch(ctx, view.object.name, types.StrategicMergePatchType, data, metav1.PatchOptions{}, "status")
	return err
}

// wanted are the conditions that a native object is to have, in a fixed order.
func (w *groupWriter) wanted(key groupKey, view *gangState) []metav1.Condition {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.notes[key]
	if n.uid != view.object.uid {
		n = note{}
	}
	var all []metav1.Condition
	if want := view.minCount(); view.bound >= want {
		all = append(all, metav1.Condition{
			Type: schedulingapi.PodGroupInitiallyScheduled, Status: metav1.ConditionTrue, Reason: "Scheduled",
			Message: fmt.Sprintf("%d pods are bound, of which %d must start together", view.bound, want),
		})
	} else if c, ok := n.conditions[schedulingapi.PodGroupInitiallyScheduled]; ok {
		all = append(all, c)
	}
	if c, ok := n.conditions[schedulingapi.DisruptionTarget]; ok {
		all = append(all, c)
	}
	return all
}
