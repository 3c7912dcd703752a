// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

const (
	// statusDebounce is how long a change waits for others of its gang, so that a
	// gang of 1,000 that binds is some writes and not 1,000.
	statusDebounce = 200 * time.Millisecond
	// attempts bounds how often one write is tried again before the next change
	// of its gang.
	attempts = 10
	// writers is the number of writes at a time.
	writers = 4
)

// groupWriter keeps the status of group objects up to date with their gangs.
type groupWriter struct {
	store    *store.Store
	dialects dialect.Dialects
	client   kubernetes.Interface
	dynamic  dynamic.Interface
	queue    workqueue.TypedRateLimitingInterface[store.Key]
	now      func() time.Time
	// bindings go before the writing of statuses.
	bindings *bindings

	mu sync.Mutex
	// verdicts are what the scheduler said of gangs with an object.
	verdicts map[store.Key]verdict
	// written are the last status written, so that another writer's opinion on
	// the same object does not start a quarrel.
	written map[store.Key]written
}

// verdict is what the scheduler last said of a gang, by type of condition.
type verdict struct {
	uid        types.UID
	conditions map[string]metav1.Condition
}

// written is a status as it was last written.
type written struct {
	uid  types.UID
	text string
}

func newGroupWriter(s *store.Store, dialects dialect.Dialects, client kubernetes.Interface, dynamic dynamic.Interface, b *bindings) *groupWriter {
	return &groupWriter{
		store: s, dialects: dialects, client: client, dynamic: dynamic, bindings: b,
		queue:    newWriteQueue(func(key store.Key) string { return key.Namespace }),
		now:      time.Now,
		verdicts: map[store.Key]verdict{},
		written:  map[store.Key]written{},
	}
}

// enqueue has the status of a gang's object written, and those of its groups where it
// is one of several.
func (w *groupWriter) enqueue(key store.Key) {
	w.queue.AddAfter(key, statusDebounce)
	for part := range w.store.Parts(key) {
		w.queue.AddAfter(part, statusDebounce)
	}
}

// recordRefusal records why a gang is not scheduled.
func (w *groupWriter) recordRefusal(pg *schedulingapi.PodGroup, reason, message string) {
	w.recordConditions(pg, []metav1.Condition{{
		Type: schedulingapi.PodGroupInitiallyScheduled, Status: metav1.ConditionFalse, Reason: reason, Message: message,
	}})
}

// recordConditions records what is to be written to the object behind a group.
// That a gang is scheduled is not taken from here: the scheduler says so when it
// starts to bind, and it becomes true when the members are bound.
func (w *groupWriter) recordConditions(pg *schedulingapi.PodGroup, conditions []metav1.Condition) {
	key := store.Key{Namespace: pg.Namespace, Group: pg.Name}
	if !w.store.HasStatus(key) {
		return
	}
	defer w.enqueue(key)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noteConditions(key, pg.UID, conditions)
	for part, uid := range w.store.Parts(key) {
		w.noteConditions(part, uid, conditions)
	}
}

// noteConditions notes conditions of one object. The caller holds the lock.
func (w *groupWriter) noteConditions(key store.Key, uid types.UID, conditions []metav1.Condition) {
	v := w.verdicts[key]
	if v.uid != uid {
		v = verdict{uid, map[string]metav1.Condition{}}
	}
	for _, c := range conditions {
		if c.Type == schedulingapi.PodGroupInitiallyScheduled && (c.Status == metav1.ConditionTrue || !v.isMoreSpecific(c)) {
			continue
		}
		v.conditions[c.Type] = c
	}
	w.verdicts[key] = v
}

// isMoreSpecific reports whether a condition says more than the one that is
// recorded: the plugin's own reasons say more than Unschedulable.
func (v verdict) isMoreSpecific(c metav1.Condition) bool {
	before, ok := v.conditions[c.Type]
	general := func(reason string) bool { return reason == schedulingapi.PodGroupReasonUnschedulable }
	return !ok || !general(c.Reason) || general(before.Reason)
}

// run writes until ctx is done.
func (w *groupWriter) run(ctx context.Context) {
	runWorkers(ctx, w.queue, w.writeNext)
}

// runWorkers empties a queue by several goroutines until ctx is done. next takes
// one item and reports false once the queue is shut down.
func runWorkers(ctx context.Context, queue interface{ ShutDown() }, next func(context.Context) bool) {
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

func (w *groupWriter) writeNext(ctx context.Context) bool {
	key, shutdown := w.queue.Get()
	if shutdown {
		return false
	}
	defer w.queue.Done(key)
	if w.bindings.waitForQuiet(ctx) != nil {
		return false
	}
	err := w.writeStatus(ctx, key)
	switch {
	case err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err):
		// Without the object, or with another one of its name, the write has
		// lost its point.
		w.queue.Forget(key)
	case w.queue.NumRequeues(key) < attempts:
		w.queue.AddRateLimited(key)
	default:
		klog.FromContext(ctx).Error(err, "Could not write the status of a pod group; it is written at its next change", "podGroup", klog.KRef(key.Namespace, key.Group))
		w.queue.Forget(key)
	}
	return true
}

// writeStatus brings the status of one group object up to date.
func (w *groupWriter) writeStatus(ctx context.Context, key store.Key) error {
	view := w.store.View(key)
	if view == nil {
		w.forget(key)
		return nil
	}
	if !view.Object.Kind.HasStatus() || view.Members == 0 && view.Object.Ended {
		return nil // an end stays one when its pods are deleted later
	}
	if view.Uncounted {
		succeeded, failed, err := w.countEnded(ctx, view)
		if err != nil {
			return err
		}
		w.store.SetEnded(key, succeeded, failed)
		if view = w.store.View(key); view == nil {
			return nil
		}
	}
	return w.patchStatus(ctx, view)
}

func (w *groupWriter) forget(key store.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.verdicts, key)
	delete(w.written, key)
}

// patchStatus merges into the object's status what has changed.
func (w *groupWriter) patchStatus(ctx context.Context, view *store.View) error {
	o, key := view.Object, view.Key
	status := view.Status(w.verdictOn(key, o.UID), w.now())
	if status == nil {
		return nil
	}
	metadata := map[string]any{"uid": o.UID}
	if hasList(status) {
		// A list is replaced as a whole, and may not undo what another writer
		// has just put there.
		metadata["resourceVersion"] = o.ResourceVersion
	}
	text, err := json.Marshal(status)
	if err != nil {
		return err
	}
	last, known := w.lastWritten(key, o.UID)
	if known && last == string(text) || !known && isUnchanged(status, o.Status) {
		return nil
	}
	data, err := json.Marshal(map[string]any{"metadata": metadata, "status": status})
	if err != nil {
		return err
	}
	_, err = w.dynamic.Resource(o.Kind.GroupVersionResource).Namespace(key.Namespace).Patch(ctx, o.Name, types.MergePatchType, data, metav1.PatchOptions{}, "status")
	if err != nil {
		return err
	}
	w.remember(key, o.UID, string(text))
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

// isUnchanged reports whether a status holds what a patch would put there. A field
// that is left out says the same as one with nothing in it.
func isUnchanged(patch, status map[string]any) bool {
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

// verdictOn returns what the scheduler last said of a gang, by type of condition.
func (w *groupWriter) verdictOn(key store.Key, uid types.UID) map[string]metav1.Condition {
	w.mu.Lock()
	defer w.mu.Unlock()
	if v := w.verdicts[key]; v.uid == uid {
		return maps.Clone(v.conditions)
	}
	return nil
}

func (w *groupWriter) lastWritten(key store.Key, uid types.UID) (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.written[key]
	return last.text, last.uid == uid
}

func (w *groupWriter) remember(key store.Key, uid types.UID, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written[key] = written{uid, text}
}

// countEnded counts the pods of a gang that have ended. The scheduler does not watch
// those.
func (w *groupWriter) countEnded(ctx context.Context, view *store.View) (succeeded, failed int, err error) {
	selectors := []metav1.ListOptions{}
	for _, key := range view.Labels {
		selectors = append(selectors, metav1.ListOptions{LabelSelector: labels.Set{key: view.Key.Name()}.String()})
	}
	if len(selectors) == 0 {
		selectors = []metav1.ListOptions{{FieldSelector: kube.SelectFinished}, {FieldSelector: kube.SelectFailed}}
	}
	counted := map[types.UID]bool{}
	for _, options := range selectors {
		pods, err := w.client.CoreV1().Pods(view.Key.Namespace).List(ctx, options)
		if err != nil {
			return 0, 0, err
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			if counted[pod.UID] || w.dialects.GroupOf(pod) != view.Key.Group {
				continue
			}
			counted[pod.UID] = true
			switch state := kube.MemberStateOf(pod); {
			case state == kube.MemberFinished:
				succeeded++
			case state.HasEnded():
				failed++
			}
		}
	}
	return succeeded, failed, nil
}
