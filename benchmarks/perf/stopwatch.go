// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/test/utils/client-go/ktesting"
)

// stopwatch measures the time from the first pod created to the last one bound.
// It watches the API server: scheduler_perf itself looks once a second.
type stopwatch struct {
	client metadata.Interface
	start  time.Time
	done   chan struct{}
	// result is the time taken; start and result may be read once done is closed.
	result time.Duration
}

// startStopwatch returns a stopwatch that stops at count bound pods. It reads
// metadata only, to load the API server as little as possible.
func startStopwatch(tCtx ktesting.TContext, count int) (*stopwatch, error) {
	client, err := metadata.NewForConfig(tCtx.RESTConfig())
	if err != nil {
		return nil, err
	}
	pods := v1.SchemeGroupVersion.WithResource("pods")
	created, err := client.Resource(pods).Watch(tCtx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	// An informer, since the API server drops watchers that lag behind.
	bound := metadatainformer.NewFilteredMetadataInformer(client, pods, metav1.NamespaceAll, 0, cache.Indexers{},
		func(options *metav1.ListOptions) { options.FieldSelector = "spec.nodeName!=" }).Informer()
	// Room for all, so that the informer never waits for the counter.
	seen := make(chan struct{}, count)
	if _, err := bound.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(any) { seen <- struct{}{} }}); err != nil {
		return nil, err
	}
	runInBackground(tCtx, bound.RunWithContext)
	s := &stopwatch{client: client, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		<-created.ResultChan()
		s.start = time.Now()
		created.Stop()
		for range count {
			<-seen
		}
		s.result = time.Since(s.start)
	}()
	return s, nil
}

// wallTime returns the time taken, once scheduler_perf has seen all pods bound.
func (s *stopwatch) wallTime() (time.Duration, error) {
	select {
	case <-s.done:
		return s.result, nil
	case <-time.After(10 * time.Second):
		return 0, errors.New("the stopwatch has not seen all pods bound")
	}
}

// quietTime returns the time from the first pod created until nothing more was
// written to the API server for a second, such as the events about bound pods.
func (s *stopwatch) quietTime() (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	last, since := "", s.start.Add(s.result)
	for time.Since(since) < time.Second {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return 0, errors.New("the API server is written to without end")
		}
		// The version of any list is that of the whole store.
		list, err := s.client.Resource(v1.SchemeGroupVersion.WithResource("namespaces")).List(ctx, metav1.ListOptions{Limit: 1})
		if err != nil {
			return 0, err
		}
		if list.ResourceVersion != last {
			last, since = list.ResourceVersion, time.Now()
		}
	}
	return since.Sub(s.start), nil
}
