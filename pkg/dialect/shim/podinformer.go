// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// podInformer is the scheduler's pod informer, but for two cases. A pod that is
// deleted and created again under its name while the watch is away arrives as
// one update with two UIDs. Handlers that think in pods cannot follow that
// (the scheduler's cache even ends the process), so it is handed on as the
// deletion and the creation that it was. A pod that gets another gang while
// scheduling gates still hold it is handed on as a new pod, too: the scheduler
// keeps members by gang.
type podInformer struct {
	cache.SharedIndexInformer
}

// AddEventHandler adds a handler to the shared informer.
func (i podInformer) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandler(splitter{handler})
}

// AddEventHandlerWithResyncPeriod adds a handler with a resync period.
func (i podInformer) AddEventHandlerWithResyncPeriod(handler cache.ResourceEventHandler, resync time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandlerWithResyncPeriod(splitter{handler}, resync)
}

// AddEventHandlerWithOptions adds a handler with options.
func (i podInformer) AddEventHandlerWithOptions(handler cache.ResourceEventHandler, options cache.HandlerOptions) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandlerWithOptions(splitter{handler}, options)
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
	if !okOld || !okNow || old.UID == now.UID && kube.GroupOf(old) == kube.GroupOf(now) {
		h.ResourceEventHandler.OnUpdate(before, after)
		return
	}
	// What became of the old pod in the meantime is not known.
	h.OnDelete(cache.DeletedFinalStateUnknown{Key: old.Namespace + "/" + old.Name, Obj: old})
	h.OnAdd(now, false)
}
