// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"sync"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/test/utils/client-go/ktesting"
)

// nullBinders is the number of binds at a time, as many as Muster makes.
const nullBinders = 32

// startNull starts the null scheduler: it binds each pod as soon as it sees it,
// to the nodes in turn. It decides nothing, and writes no event and no status,
// so that its time is the lower bound of this API server.
func startNull(tCtx ktesting.TContext, nodes int) error {
	client, err := kubernetes.NewForConfig(tCtx.RESTConfig())
	if err != nil {
		return err
	}
	// More pods than any shape has would fit: the handler must not block.
	pods := make(chan *v1.Pod, 10_000)
	source := cache.NewListWatchFromClient(client.CoreV1().RESTClient(), "pods", metav1.NamespaceAll,
		fields.OneTermEqualSelector("spec.nodeName", ""))
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: source, ObjectType: &v1.Pod{},
		Handler: cache.ResourceEventHandlerFuncs{AddFunc: func(obj any) { pods <- obj.(*v1.Pod) }},
	})
	runInBackground(tCtx, func(ctx context.Context) {
		var group sync.WaitGroup
		group.Go(func() { informer.RunWithContext(ctx) })
		for first := range nullBinders {
			group.Go(func() {
				for next := first; ; next += nullBinders {
					select {
					case <-ctx.Done():
						return
					case pod := <-pods:
						if err := bindPod(ctx, client, pod, fmt.Sprintf("node-%d", next%nodes)); err != nil {
							tCtx.Errorf("null scheduler: %v", err)
						}
					}
				}
			})
		}
		group.Wait()
	})
	return nil
}

// bindPod binds a pod. The UID keeps a later pod of that name safe.
func bindPod(ctx context.Context, client kubernetes.Interface, pod *v1.Pod, node string) error {
	return client.CoreV1().Pods(pod.Namespace).Bind(ctx, &v1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     v1.ObjectReference{Kind: "Node", Name: node},
	}, metav1.CreateOptions{})
}
