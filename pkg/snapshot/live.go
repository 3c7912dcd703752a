// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic/dynamicinformer"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/muster-scheduler/muster/pkg/dialect"
)

// Live follows a cluster, so that a new picture costs the API server nothing
// but the changes.
type Live struct {
	absent  []string
	nodes   cache.SharedIndexInformer
	pods    cache.SharedIndexInformer
	groups  []cache.SharedIndexInformer
	changed chan struct{}
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
		absent: absent, changed: make(chan struct{}, 1),
		nodes: coreinformers.NewNodeInformer(c.Typed, 0, cache.Indexers{}),
		pods: coreinformers.NewFilteredPodInformer(c.Typed, metav1.NamespaceAll, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
			o.FieldSelector = unfinished
		}),
	}
	for _, kind := range dialect.Kinds() {
		if !slices.Contains(absent, kind.GroupVersion().String()) {
			l.groups = append(l.groups, dynamicinformer.NewFilteredDynamicInformer(c.Dynamic, kind, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer())
		}
	}
	return l, l.start(ctx)
}

func (l *Live) start(ctx context.Context) error {
	var synced []cache.InformerSynced
	for _, informer := range append([]cache.SharedIndexInformer{l.nodes, l.pods}, l.groups...) {
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

// Snapshot is the cluster as it is known now.
func (l *Live) Snapshot() *Snapshot {
	s := &Snapshot{Header: Header{Taken: metav1.Time{Time: time.Now().Truncate(time.Second)}, Absent: l.absent}}
	for _, obj := range l.nodes.GetStore().List() {
		s.Nodes = append(s.Nodes, obj.(*v1.Node))
	}
	for _, obj := range l.pods.GetStore().List() {
		s.Pods = append(s.Pods, obj.(*v1.Pod))
	}
	for _, informer := range l.groups {
		for _, obj := range informer.GetStore().List() {
			s.Groups = append(s.Groups, obj.(*unstructured.Unstructured))
		}
	}
	s.sort()
	return s
}
