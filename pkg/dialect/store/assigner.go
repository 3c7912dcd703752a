// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// Assigner gives pods their groups as they come in from the API server. It is
// safe for concurrent use.
type Assigner struct {
	dialects       dialect.Dialects
	schedulerNames map[string]bool

	// resolve returns the gang that the pods which name a PodGroup are members of;
	// nil where that is always the PodGroup's own.
	resolve func(namespace, group string) string

	mu sync.Mutex
	// joined is the gang of pods with a node where that is not what they name:
	// they stay in it.
	joined map[types.UID]string
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
	return &Assigner{dialects: dialects, schedulerNames: names, groups: map[types.UID]string{}, joined: map[types.UID]string{}}
}

// ResolveBy has the assigner ask in which gang the pods are that name a PodGroup. It
// is called before any pod is assigned.
func (a *Assigner) ResolveBy(resolve func(namespace, group string) string) { a.resolve = resolve }

// IsOurs reports whether a pod is for this scheduler.
func (a *Assigner) IsOurs(pod *v1.Pod) bool {
	return len(a.schedulerNames) == 0 || a.schedulerNames[pod.Spec.SchedulerName]
}

// Assign gives a pod of ours its group. A pod may be given its group twice.
func (a *Assigner) Assign(pod *v1.Pod) {
	if !a.IsOurs(pod) {
		return
	}
	kube.LeaveGang(pod)
	group := a.groupOf(pod)
	switch {
	case group != "":
		pod.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &group}
	case pod.Spec.SchedulingGroup != nil:
		pod.Spec.SchedulingGroup = nil
	}
	if gang := a.gangOf(pod, group); gang != group {
		kube.JoinGang(pod, gang)
	}
}

// gangOf returns the gang of a pod with a group.
func (a *Assigner) gangOf(pod *v1.Pod, group string) string {
	if a.resolve == nil || group == "" || kube.IsTranslated(group) {
		return group
	}
	a.mu.Lock()
	before := a.joined[pod.UID]
	a.mu.Unlock()
	if before != "" {
		return before
	}
	gang := a.resolve(pod.Namespace, group)
	if gang != group && pod.Spec.NodeName != "" {
		a.mu.Lock()
		a.joined[pod.UID] = gang
		a.mu.Unlock()
	}
	return gang
}

func (a *Assigner) groupOf(pod *v1.Pod) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	group, seen := a.groups[pod.UID]
	if !seen {
		group = a.dialects.GroupOf(pod)
	}
	if !kube.IsGated(pod) {
		a.groups[pod.UID] = group
	}
	return group
}

// Forget drops a pod that is gone.
func (a *Assigner) Forget(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.groups, uid)
	delete(a.joined, uid)
}
