// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// assigner gives pods their groups as they come in from the API server.
type assigner struct {
	set set
	// ours tells which pods are for this scheduler.
	ours func(schedulerName string) bool

	mu sync.Mutex
	// groups is what each pod of ours was given when it was first seen without
	// scheduling gates, "" for none. From then on the scheduler may have plans
	// for it, and cannot follow it from one group to another.
	groups map[types.UID]string
}

func newAssigner(set set, schedulerNames []string) *assigner {
	names := map[string]bool{}
	for _, name := range schedulerNames {
		names[name] = true
	}
	return &assigner{
		set:    set,
		ours:   func(name string) bool { return len(names) == 0 || names[name] },
		groups: map[types.UID]string{},
	}
}

// transform is called on each pod before anyone else sees it. It may see a pod
// twice.
func (a *assigner) transform(obj any) (any, error) {
	pod, ok := obj.(*v1.Pod)
	if !ok {
		return obj, nil
	}
	slim(pod)
	if !a.ours(pod.Spec.SchedulerName) {
		return pod, nil
	}
	switch group := a.groupOf(pod); {
	case group != "":
		pod.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &group}
	case pod.Spec.SchedulingGroup != nil:
		pod.Spec.SchedulingGroup = nil
	}
	return pod, nil
}

func (a *assigner) groupOf(pod *v1.Pod) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	group, seen := a.groups[pod.UID]
	if !seen {
		group = a.set.groupOf(pod)
	}
	if len(pod.Spec.SchedulingGates) == 0 {
		a.groups[pod.UID] = group
	}
	return group
}

// forget drops a pod that is gone.
func (a *assigner) forget(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.groups, uid)
}

// slim drops what no part of a scheduler reads, and what can be large.
func slim(pod *v1.Pod) {
	pod.ManagedFields = nil
	for i := range pod.Spec.InitContainers {
		pod.Spec.InitContainers[i].Env, pod.Spec.InitContainers[i].EnvFrom = nil, nil
	}
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].Env, pod.Spec.Containers[i].EnvFrom = nil, nil
	}
	for i := range pod.Spec.EphemeralContainers {
		pod.Spec.EphemeralContainers[i].Env, pod.Spec.EphemeralContainers[i].EnvFrom = nil, nil
	}
}
