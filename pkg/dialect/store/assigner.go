// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
)

// Assigner gives pods their groups as they come in from the API server. It is
// safe for concurrent use.
type Assigner struct {
	dialects       dialect.Dialects
	schedulerNames map[string]bool

	mu sync.Mutex
	// groups is what each pod of ours was given when it was first seen without
	// scheduling gates, "" for none. From then on the scheduler may have plans
	// for it, and cannot follow it from one group to another.
	groups map[types.UID]string
}

// NewAssigner returns an assigner for the pods with one of the scheduler names;
// none means all pods.
func NewAssigner(dialects dialect.Dialects, schedulerNames []string) *Assigner {
	names := map[string]bool{}
	for _, name := range schedulerNames {
		names[name] = true
	}
	return &Assigner{dialects: dialects, schedulerNames: names, groups: map[types.UID]string{}}
}

// IsOurs reports whether a pod is for this scheduler.
func (a *Assigner) IsOurs(pod *v1.Pod) bool {
	return len(a.schedulerNames) == 0 || a.schedulerNames[pod.Spec.SchedulerName]
}

// Assign gives a pod of ours its group. A pod may be given its group twice.
func (a *Assigner) Assign(pod *v1.Pod) {
	if !a.IsOurs(pod) {
		return
	}
	switch group := a.groupOf(pod); {
	case group != "":
		pod.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &group}
	case pod.Spec.SchedulingGroup != nil:
		pod.Spec.SchedulingGroup = nil
	}
}

func (a *Assigner) groupOf(pod *v1.Pod) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	group, seen := a.groups[pod.UID]
	if !seen {
		group = a.dialects.GroupOf(pod)
	}
	if len(pod.Spec.SchedulingGates) == 0 {
		a.groups[pod.UID] = group
	}
	return group
}

// Forget drops a pod that is gone.
func (a *Assigner) Forget(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.groups, uid)
}
