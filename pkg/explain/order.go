// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// Order is a way to sort statuses.
type Order string

// The orders.
const (
	// ByName: namespace, then name.
	ByName Order = "name"
	// ByQueue: those that wait by their place, then the others.
	ByQueue Order = "queue"
	// ByAge: the oldest first.
	ByAge Order = "age"
	// ByGPUs: those that ask for most first.
	ByGPUs Order = "gpus"
)

// AllOrders lists all orders.
func AllOrders() []Order { return []Order{ByName, ByQueue, ByAge, ByGPUs} }

// SortStatuses sorts statuses; equal ones by namespace and name.
func SortStatuses(list []Status, order Order) {
	slices.SortStableFunc(list, func(a, b Status) int {
		return cmp.Or(order.compareStatuses(&a, &b), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

func (o Order) compareStatuses(a, b *Status) int {
	switch o {
	case ByQueue:
		// Place 0, of those that do not wait, comes last.
		return cmp.Or(cmp.Compare(uint(a.Place)-1, uint(b.Place)-1), cmp.Compare(b.Priority, a.Priority), a.Created.Compare(b.Created))
	case ByAge:
		return a.Created.Compare(b.Created)
	case ByGPUs:
		return cmp.Compare(b.GPUs, a.GPUs)
	case ByName:
	}
	return 0
}

// queueKey is the gang's place in the scheduler's queue, by what its objects
// say. A gang with fewer bound members than it needs counts as interrupted.
func (g *Gang) queueKey() queue.Key {
	key := queue.Key{Created: g.Group.CreationTimestamp.Time, Name: g.Namespace + "/" + g.Group.Name}
	if g.Group.Spec.Priority != nil {
		key.Priority = *g.Group.Spec.Priority
	}
	key.Interrupted = queue.StatusOf(g.queueReadiness(), nil).Phase == queue.Partial
	return key
}

// isWaiting reports whether the gang is still to start, or began without all of the
// members that it needs. It does not ask the engine.
func (g *Gang) isWaiting() bool {
	return queue.StatusOf(g.queueReadiness(), nil).Phase != queue.Running
}

// numberPlaces numbers the gangs that wait, in the order of the queue.
func (v *ClusterView) numberPlaces() {
	waiting := slices.DeleteFunc(slices.Clone(v.Gangs), func(g *Gang) bool { return !g.isWaiting() })
	slices.SortFunc(waiting, func(a, b *Gang) int { return a.queueKey().Compare(b.queueKey()) })
	for i, g := range waiting {
		g.Place = i + 1
	}
}

// totalGPUs is the number of GPUs, and of parts of them, that all members ask for.
func (g *Gang) totalGPUs() int64 {
	total := int64(0)
	for _, pod := range g.Members() {
		total += gpusOf(pod)
	}
	return total
}

func gpusOf(pod *v1.Pod) int64 {
	count := int64(0)
	for name, amount := range kube.PodRequests(pod) {
		if gpu.IsDevice(string(name)) {
			count += amount.Value()
		}
	}
	return count
}
