// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// follow gives each event of a watch to a function, until ctx ends. The watch begins
// on an empty cluster, and goes on from the last version that was seen.
func follow[T any](ctx context.Context, open func(context.Context, metav1.ListOptions) (watch.Interface, error), on func(watch.EventType, T)) {
	version := "0"
	for ctx.Err() == nil {
		options := metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true}
		events, err := open(ctx, options)
		if err != nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		for event := range events.ResultChan() {
			if event.Type == watch.Error {
				version = "" // too old: what is there comes again
				break
			}
			if object, ok := event.Object.(metav1.Object); ok {
				version = object.GetResourceVersion()
			}
			if object, ok := any(event.Object).(T); ok && event.Type != watch.Bookmark {
				on(event.Type, object)
			}
		}
		events.Stop()
	}
}

// watchAll shows the checker, and the load, what happens in the cluster. It asks the
// API server itself, not through a proxy.
func (b *bench) watchAll(ctx context.Context) {
	go follow(ctx, b.client.CoreV1().Pods(v1.NamespaceAll).Watch, func(kind watch.EventType, p *v1.Pod) {
		now := time.Now()
		if kind == watch.Deleted {
			b.checker.DeletePod(now, p)
		} else {
			b.checker.SetPod(now, p)
		}
		b.load.onPod(kind, p)
	})
	go follow(ctx, b.client.CoreV1().Nodes().Watch, func(kind watch.EventType, n *v1.Node) {
		if kind == watch.Deleted {
			b.checker.DeleteNode(time.Now(), n.Name)
		} else {
			b.checker.SetNode(time.Now(), n)
		}
	})
	go follow(ctx, b.client.CoordinationV1().Leases("default").Watch, func(_ watch.EventType, l *coordinationv1.Lease) {
		holder := ""
		if l.Spec.HolderIdentity != nil {
			holder = *l.Spec.HolderIdentity
		}
		if l.Name == "muster-chaos" && l.Spec.AcquireTime != nil {
			b.checker.SetLease(holder, l.Spec.AcquireTime.Time)
		}
	})
	go follow(ctx, b.groups.Watch, func(kind watch.EventType, o runtime.Object) {
		g := o.(*unstructured.Unstructured)
		name := g.GetNamespace() + "/" + g.GetName()
		minimum, _, _ := unstructured.NestedInt64(g.Object, "spec", "minMember")
		if kind == watch.Deleted {
			b.checker.DeleteGroup(name)
		} else {
			b.checker.SetGroup(time.Now(), name, int(minimum))
		}
		b.noteGroupStatus(name, kind, g)
	})
}
