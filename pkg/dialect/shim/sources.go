// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// source reads one kind of group object as long as the API server serves it.
type source struct {
	kind     *dialect.Kind
	store    *store.Store
	discover discovery.ServerResourcesInterface
	dynamic  dynamic.Interface

	// state is one of the availabilities, or -1 until the API server answered.
	state atomic.Int32
	// stop ends the informer, and returns when it has ended; nil without one.
	stop func()
}

const unknown = -1

func (t *Translator) newSources() []*source {
	var all []*source
	for _, k := range t.dialects.Kinds() {
		s := &source{kind: k, store: t.store, discover: t.options.Client.Discovery(), dynamic: t.options.Dynamic}
		s.state.Store(unknown)
		all = append(all, s)
	}
	return all
}

// isSettled reports whether all objects of the kind are known, or that there is no
// such kind. When it is late it is enough that the kind is known.
func (s *source) isSettled(late bool) bool {
	if s.isIdle() {
		return true
	}
	state := s.state.Load()
	return state == int32(store.Absent) || state == int32(store.Served) || late && state != unknown
}

// isIdle reports whether no pod has asked about this kind of workload: clusters have
// many of those, and few that are gangs.
func (s *source) isIdle() bool {
	if s.kind.Workload == nil {
		return false
	}
	select {
	case <-s.store.Wanted(s.kind.Workload):
		return false
	default:
		return true
	}
}

// run asks the API server for the kind again and again, since it may be
// installed or removed at any time.
func (s *source) run(ctx context.Context, period time.Duration) {
	if s.kind.Workload != nil {
		select {
		case <-s.store.Wanted(s.kind.Workload):
		case <-ctx.Done():
			return
		}
	}
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		s.checkServed(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			if s.stop != nil {
				s.stop()
			}
			return
		}
	}
}

func (s *source) checkServed(ctx context.Context) {
	logger := klog.FromContext(ctx)
	present, err := Serves(s.discover, s.kind.GroupVersionResource)
	switch {
	case err != nil:
		logger.Error(err, "Could not ask the API server which pod groups it serves; asking again", "kind", s.kind.GroupVersionResource)
	case present && s.stop == nil:
		logger.Info("Reading pod groups", "kind", s.kind.GroupVersionResource)
		s.startInformer(ctx)
	case !present && s.stop != nil:
		logger.Info("Pod groups are no longer served", "kind", s.kind.GroupVersionResource)
		s.stop()
		s.stop = nil
		s.setAvailability(store.Absent)
	case !present:
		s.setAvailability(store.Absent)
	}
}

func (s *source) setAvailability(a store.Availability) {
	s.store.SetKind(s.kind, a)
	s.state.Store(int32(a))
}

func (s *source) startInformer(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	informer := dynamicinformer.NewFilteredDynamicInformer(s.dynamic, s.kind.GroupVersionResource, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
	_ = informer.SetTransform(s.trimObject) // only fails on a started informer
	read, err := informer.AddEventHandler(s.handler())
	if err != nil {
		cancel()
		klog.FromContext(ctx).Error(err, "Could not read pod groups; trying again", "kind", s.kind.GroupVersionResource)
		return
	}
	s.setAvailability(store.Listing)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		informer.RunWithContext(ctx)
	}()
	synced := make(chan struct{})
	go func() {
		defer close(synced)
		if cache.WaitForCacheSync(ctx.Done(), read.HasSynced) {
			s.setAvailability(store.Served)
		}
	}()
	s.stop = func() {
		cancel()
		<-ended
		<-synced
	}
}

func (s *source) trimObject(obj any) (any, error) {
	if u, ok := obj.(*unstructured.Unstructured); ok && s.kind.Workload != nil {
		workload.StripPodSpecs(u)
		return u, nil
	}
	if accessor, err := meta.Accessor(obj); err == nil && accessor.GetManagedFields() != nil {
		accessor.SetManagedFields(nil)
	}
	return obj, nil
}

func (s *source) handler() cache.ResourceEventHandler {
	set := func(obj any) {
		if u, ok := obj.(*unstructured.Unstructured); ok {
			s.store.SetObject(s.kind, u)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, obj any) { set(obj) },
		DeleteFunc: func(obj any) {
			if u, ok := lastState(obj).(*unstructured.Unstructured); ok {
				s.store.DeleteObject(s.kind, u)
			}
		},
	}
}

// Serves asks the API server whether it serves a resource.
func Serves(discover discovery.ServerResourcesInterface, kind schema.GroupVersionResource) (bool, error) {
	resources, err := discover.ServerResourcesForGroupVersion(kind.GroupVersion().String())
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, r := range resources.APIResources {
		if r.Name == kind.Resource {
			return true, nil
		}
	}
	return false, nil
}
