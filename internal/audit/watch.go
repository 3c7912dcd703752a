// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// WatchCluster returns an auditor that watches the cluster until the context
// ends. It returns once all that is there has been read: nodes first, so that
// no pod is bound to an unknown one.
func WatchCluster(ctx context.Context, client kubernetes.Interface, opts Options) (*Auditor, error) {
	auditor := NewAuditor(opts)
	factory := informers.NewSharedInformerFactory(client, 0)
	nodes := factory.Core().V1().Nodes().Informer()
	if _, err := nodes.AddEventHandler(nodeHandler(auditor)); err != nil {
		return nil, fmt.Errorf("watching nodes: %w", err)
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), nodes.HasSynced) {
		return nil, errors.New("watching nodes: stopped before the list was read")
	}
	pods := factory.Core().V1().Pods().Informer()
	handle, err := pods.AddEventHandler(podHandler(auditor))
	if err != nil {
		return nil, fmt.Errorf("watching pods: %w", err)
	}
	claims, err := factory.Resource().V1().ResourceClaims().Informer().AddEventHandler(claimHandler(auditor))
	if err != nil {
		return nil, fmt.Errorf("watching claims: %w", err)
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), handle.HasSynced, claims.HasSynced) {
		return nil, errors.New("watching pods and claims: stopped before the list was read")
	}
	return auditor, nil
}

// nodeHandler passes the events of nodes on.
func nodeHandler(auditor *Auditor) cache.ResourceEventHandler {
	set := func(obj any) {
		if n, ok := obj.(*v1.Node); ok {
			auditor.SetNode(time.Now(), n)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    set,
		UpdateFunc: func(_, obj any) { set(obj) },
		DeleteFunc: func(obj any) {
			if n, ok := LastState(obj).(*v1.Node); ok {
				auditor.DeleteNode(n.Name)
			}
		},
	}
}

// podHandler passes the events of pods on.
func podHandler(auditor *Auditor) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if p, ok := obj.(*v1.Pod); ok {
				auditor.SetPod(time.Now(), p)
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
				auditor.DeletePod(time.Now(), old.UID)
			}
			auditor.SetPod(time.Now(), p)
		},
		DeleteFunc: func(obj any) {
			if p, ok := LastState(obj).(*v1.Pod); ok {
				auditor.DeletePod(time.Now(), p.UID)
			}
		},
	}
}

// claimHandler passes the events of ResourceClaims on.
func claimHandler(auditor *Auditor) cache.ResourceEventHandler {
	set := func(obj any) {
		if c, ok := obj.(*resourceapi.ResourceClaim); ok {
			auditor.SetClaim(time.Now(), c)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: set,
		UpdateFunc: func(before, after any) {
			old, okOld := before.(*resourceapi.ResourceClaim)
			c, ok := after.(*resourceapi.ResourceClaim)
			if ok && okOld && old.UID != c.UID {
				auditor.DeleteClaim(old.UID) // as with pods
			}
			set(after)
		},
		DeleteFunc: func(obj any) {
			if c, ok := LastState(obj).(*resourceapi.ResourceClaim); ok {
				auditor.DeleteClaim(c.UID)
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
