// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Watch keeps a book of the cluster with watches of its own until the context
// ends. It returns once all that is there has been read.
func Watch(ctx context.Context, client kubernetes.Interface, opts Options) (*Book, error) {
	book := NewBook(opts)
	factory := informers.NewSharedInformerFactory(client, 0)
	nodes := factory.Core().V1().Nodes().Informer()
	if _, err := nodes.AddEventHandler(nodeHandler(book)); err != nil {
		return nil, fmt.Errorf("watching nodes: %w", err)
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), nodes.HasSynced) {
		return nil, errors.New("watching nodes: stopped before the list was read")
	}
	pods := factory.Core().V1().Pods().Informer()
	handle, err := pods.AddEventHandler(podHandler(book))
	if err != nil {
		return nil, fmt.Errorf("watching pods: %w", err)
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), handle.HasSynced) {
		return nil, errors.New("watching pods: stopped before the list was read")
	}
	return book, nil
}

func nodeHandler(book *Book) cache.ResourceEventHandler {
	set := func(obj any) {
		if n, ok := obj.(*v1.Node); ok {
			book.SetNode(time.Now(), n)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, obj any) { set(obj) },
		DeleteFunc: func(obj any) {
			if n, ok := LastState(obj).(*v1.Node); ok {
				book.DeleteNode(n.Name)
			}
		},
	}
}

func podHandler(book *Book) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if p, ok := obj.(*v1.Pod); ok {
				book.SetPod(time.Now(), p)
			}
		},
		UpdateFunc: func(before, after any) {
			old, okOld := before.(*v1.Pod)
			p, ok := after.(*v1.Pod)
			if !ok || !okOld {
				return
			}
			// A pod deleted and made again during a gap in the watch arrives as
			// one update with two UIDs.
			if old.UID != p.UID {
				book.DeletePod(time.Now(), old.UID)
			}
			book.SetPod(time.Now(), p)
		},
		DeleteFunc: func(obj any) {
			if p, ok := LastState(obj).(*v1.Pod); ok {
				book.DeletePod(time.Now(), p.UID)
			}
		},
	}
}

// LastState returns the object of a deletion event: the last version known
// where the watch missed the deletion itself.
func LastState(obj any) any {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		return gone.Obj
	}
	return obj
}
