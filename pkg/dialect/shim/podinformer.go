// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// podInformer is the scheduler's pod informer, but for what its handlers are told
// in three cases. A pod that is deleted and created again under its name while the
// watch is away arrives as one update with two UIDs. Handlers that think in pods
// cannot follow that (the scheduler's cache even ends the process), so it is handed
// on as the deletion and the creation that it was. A member that scheduling gates
// hold back is handed on as a single pod: kube-scheduler's queue keeps a whole group
// back for the gate of one member (runPreEnqueuePlugins in backend/queue, 1.37), and
// a single pod with a gate stays out of its queue. When the last gate goes, the pod
// is handed on as a new one with its group. So is a pod that gets another gang: the
// scheduler keeps members by gang.
type podInformer struct {
	cache.SharedIndexInformer
}

// AddEventHandler adds a handler to the shared informer.
func (i podInformer) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandler(gateKeeper{splitter{handler}})
}

// AddEventHandlerWithResyncPeriod adds a handler with a resync period.
func (i podInformer) AddEventHandlerWithResyncPeriod(handler cache.ResourceEventHandler, resync time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandlerWithResyncPeriod(gateKeeper{splitter{handler}}, resync)
}

// AddEventHandlerWithOptions adds a handler with options.
func (i podInformer) AddEventHandlerWithOptions(handler cache.ResourceEventHandler, options cache.HandlerOptions) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandlerWithOptions(gateKeeper{splitter{handler}}, options)
}

// gateKeeper hands members that scheduling gates hold back on as single pods.
type gateKeeper struct {
	cache.ResourceEventHandler
}

// OnAdd is called with a pod that is new.
func (h gateKeeper) OnAdd(obj any, initial bool) {
	h.ResourceEventHandler.OnAdd(withoutGatedGroup(obj), initial)
}

// OnUpdate is called with a pod before and after a change.
func (h gateKeeper) OnUpdate(before, after any) {
	h.ResourceEventHandler.OnUpdate(withoutGatedGroup(before), withoutGatedGroup(after))
}

// OnDelete is called with the last known state of a pod.
func (h gateKeeper) OnDelete(obj any) {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		gone.Obj = withoutGatedGroup(gone.Obj)
		h.ResourceEventHandler.OnDelete(gone)
		return
	}
	h.ResourceEventHandler.OnDelete(withoutGatedGroup(obj))
}

// withoutGatedGroup returns a pod without its group if it is a member that
// scheduling gates hold back, and anything else as it is.
func withoutGatedGroup(obj any) any {
	pod, ok := obj.(*v1.Pod)
	if !ok || kube.GroupOf(pod) == "" || !kube.IsGated(pod) {
		return obj
	}
	single := *pod
	single.Spec.SchedulingGroup = nil
	return &single
}

// splitter hands an update from one pod, or one gang, to another on as two
// events.
type splitter struct {
	cache.ResourceEventHandler
}

// OnUpdate is called with the same pod before and after a change, or with two
// pods of one name.
func (h splitter) OnUpdate(before, after any) {
	old, okOld := before.(*v1.Pod)
	now, okNow := after.(*v1.Pod)
	switch {
	case !okOld || !okNow || old.UID == now.UID && kube.GroupOf(old) == kube.GroupOf(now):
		h.ResourceEventHandler.OnUpdate(before, after)
		return
	case old.UID == now.UID:
		h.OnDelete(old)
	default: // what became of the old pod in the meantime is not known
		h.OnDelete(cache.DeletedFinalStateUnknown{Key: old.Namespace + "/" + old.Name, Obj: old})
	}
	h.OnAdd(now, false)
}
