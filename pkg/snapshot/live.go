// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/muster-scheduler/muster/pkg/dialect"
)

// Live follows a cluster, so that a new picture costs the API server nothing
// but the changes.
type Live struct {
	clients Clients
	absent  []string
	nodes   cache.SharedIndexInformer
	pods    cache.SharedIndexInformer
	changed chan struct{}

	mu     sync.Mutex
	groups []cache.SharedIndexInformer
	// workloads are the kinds of workload that are followed, since gangs need
	// them.
	workloads map[schema.GroupVersionResource]bool
}

// Follow starts to follow a cluster and returns once it is known. Kinds of pod
// group that are installed later are not noticed.
func Follow(ctx context.Context, c Clients) (*Live, error) {
	if _, err := Read(ctx, c); err != nil { // informers would wait for ever
		return nil, err
	}
	absent, err := c.absent()
	if err != nil {
		return nil, err
	}
	l := &Live{
		clients: c, workloads: map[schema.GroupVersionResource]bool{},
		absent: absent, changed: make(chan struct{}, 1),
		nodes: coreinformers.NewNodeInformer(c.Typed, 0, cache.Indexers{}),
		pods: coreinformers.NewFilteredPodInformer(c.Typed, metav1.NamespaceAll, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
			o.FieldSelector = unfinished
		}),
	}
	for _, kind := range dialect.Kinds() {
		if !slices.Contains(absent, kind.GroupVersion().String()) {
			l.groups = append(l.groups, c.informer(kind))
		}
	}
	if err := l.start(ctx, append([]cache.SharedIndexInformer{l.nodes, l.pods}, l.groups...)); err != nil {
		return nil, err
	}
	if err := l.followWorkloads(ctx); err != nil {
		return nil, err
	}
	go l.keepFollowing(ctx)
	return l, nil
}

func (c Clients) informer(kind schema.GroupVersionResource) cache.SharedIndexInformer {
	return dynamicinformer.NewFilteredDynamicInformer(c.Dynamic, kind, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
}

// keepFollowing begins to follow kinds of workload once gangs need them.
func (l *Live) keepFollowing(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = l.followWorkloads(ctx) // tried again
		case <-ctx.Done():
			return
		}
	}
}

func (l *Live) followWorkloads(ctx context.Context) error {
	var pods []*v1.Pod
	for _, obj := range l.pods.GetStore().List() {
		pods = append(pods, obj.(*v1.Pod))
	}
	kinds, err := l.clients.workloads(pods, l.workloads)
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		informer := l.clients.informer(kind)
		if err := l.start(ctx, []cache.SharedIndexInformer{informer}); err != nil {
			return err
		}
		l.workloads[kind] = true
		l.mu.Lock()
		l.groups = append(l.groups, informer)
		l.mu.Unlock()
		l.notify()
	}
	return nil
}

// informers lists what is followed.
func (l *Live) informers() []cache.SharedIndexInformer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]cache.SharedIndexInformer{l.nodes, l.pods}, l.groups...)
}

func (l *Live) start(ctx context.Context, informers []cache.SharedIndexInformer) error {
	var synced []cache.InformerSynced
	for _, informer := range informers {
		if err := informer.SetTransform(strip); err != nil {
			return err
		}
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { l.notify() },
			UpdateFunc: func(any, any) { l.notify() },
			DeleteFunc: func(any) { l.notify() },
		}); err != nil {
			return err
		}
		go informer.RunWithContext(ctx)
		synced = append(synced, informer.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return fmt.Errorf("following the cluster: %w", context.Cause(ctx))
	}
	return nil
}

// strip is the transform of every informer.
func strip(obj any) (any, error) {
	switch o := obj.(type) {
	case *v1.Node:
		kept := StripNode(o)
		kept.ResourceVersion = o.ResourceVersion
		return kept, nil
	case *v1.Pod:
		kept := Strip(o)
		kept.ResourceVersion = o.ResourceVersion
		return kept, nil
	case *unstructured.Unstructured:
		return StripGroup(o), nil
	}
	return obj, nil
}

func (l *Live) notify() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// Changed yields when the cluster has changed since it last yielded.
func (l *Live) Changed() <-chan struct{} { return l.changed }

// Version differs from one moment to another if the cluster has changed between
// them.
func (l *Live) Version() string {
	var versions []string
	for _, informer := range l.informers() {
		versions = append(versions, informer.LastSyncResourceVersion())
	}
	return strings.Join(versions, " ")
}

// Snapshot is the cluster as it is known now.
func (l *Live) Snapshot() *Snapshot {
	s := &Snapshot{Header: Header{Taken: metav1.Time{Time: time.Now().Truncate(time.Second)}, Absent: l.absent}}
	for _, obj := range l.nodes.GetStore().List() {
		s.Nodes = append(s.Nodes, obj.(*v1.Node))
	}
	for _, obj := range l.pods.GetStore().List() {
		s.Pods = append(s.Pods, obj.(*v1.Pod))
	}
	for _, informer := range l.informers()[2:] {
		for _, obj := range informer.GetStore().List() {
			s.Groups = append(s.Groups, obj.(*unstructured.Unstructured))
		}
	}
	s.sort()
	return s
}
