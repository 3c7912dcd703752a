// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import "k8s.io/client-go/util/workqueue"

// turns is what waits to be written, each namespace in its turn and its own in order:
// one that has much to write delays itself, not the others. The workqueue around it
// calls it by one goroutine at a time.
type turns[T comparable] struct {
	namespaceOf func(T) string
	waiting     map[string][]T
	// order is the namespaces with something that waits, the next one first.
	order []string
	count int
}

// newWriteQueue returns a queue of what is to be written, in turns.
func newWriteQueue[T comparable](namespaceOf func(T) string) workqueue.TypedRateLimitingInterface[T] {
	queue := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[T]{
		Queue: &turns[T]{namespaceOf: namespaceOf, waiting: map[string][]T{}},
	})
	return workqueue.NewTypedRateLimitingQueueWithConfig(workqueue.DefaultTypedControllerRateLimiter[T](), workqueue.TypedRateLimitingQueueConfig[T]{
		DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[T]{Queue: queue}),
	})
}

// Touch does nothing: what is added again keeps its place.
func (q *turns[T]) Touch(T) {}

// Push adds an item behind those of its namespace.
func (q *turns[T]) Push(item T) {
	namespace := q.namespaceOf(item)
	if len(q.waiting[namespace]) == 0 {
		q.order = append(q.order, namespace)
	}
	q.waiting[namespace] = append(q.waiting[namespace], item)
	q.count++
}

// Len returns how many items wait.
func (q *turns[T]) Len() int { return q.count }

// Pop takes the first item of the namespace whose turn it is. There is one.
func (q *turns[T]) Pop() T {
	namespace := q.order[0]
	item, rest := q.waiting[namespace][0], q.waiting[namespace][1:]
	q.order = q.order[1:]
	q.count--
	if len(rest) == 0 {
		delete(q.waiting, namespace)
		return item
	}
	q.waiting[namespace] = rest
	q.order = append(q.order, namespace)
	return item
}
