// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"cmp"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// Objects are the pods and group objects of a cluster at one moment.
type Objects struct {
	Pods []*v1.Pod
	// Groups are the group objects, of any kind; others are left out.
	Groups []*unstructured.Unstructured
	// Absent are the group kinds that the API server does not serve.
	Absent []schema.GroupVersion
	// Dialects are those that the scheduler reads; none means all.
	Dialects []kube.Dialect
	// AutoNamespaces are the namespaces whose pods make gangs of their
	// workloads without being asked to; "*" for all.
	AutoNamespaces []string
}

// Gang is a gang as the scheduler sees it.
type Gang struct {
	// Group stands for the gang; kube.ReadSpec reads it.
	Group *schedulingapi.PodGroup
	// Pods are the members that have not ended, by name, each with its
	// spec.schedulingGroup set.
	Pods []*v1.Pod
}

// set is the dialects that the scheduler reads.
func (o Objects) set() set { return inUse(o.Dialects, o.AutoNamespaces) }

// GroupOf returns the group of a pod as it stands in the API server, or "".
func (o Objects) GroupOf(pod *v1.Pod) string { return o.set().groupOf(pod) }

// Gangs translates the gangs of a picture of a cluster, ordered by namespace
// and group, in the way in which a Translator does it on a live one. Only pods
// with one of the scheduler names count; none means all pods. The objects are
// not changed.
func (o Objects) Gangs(schedulerNames ...string) []Gang {
	s := newStore(newFeed(), o.set())
	for _, k := range s.set.kinds() {
		if slices.Contains(o.Absent, k.GroupVersion()) {
			s.setKind(k, absent)
			continue
		}
		s.setKind(k, served)
		for _, u := range o.Groups {
			if u.GetAPIVersion() == k.GroupVersion().String() && u.GetKind() == k.name {
				s.take(k, u)
			}
		}
	}
	members := o.members(s, newAssigner(s.set, schedulerNames))
	s.open()
	var gangs []Gang
	for _, key := range slices.SortedFunc(maps.Keys(s.feed.objects), groupKey.compare) {
		gangs = append(gangs, Gang{Group: s.feed.objects[key], Pods: members[key]})
	}
	return gangs
}

// members puts the pods into the store and returns them by gang.
func (o Objects) members(s *store, a *assigner) map[groupKey][]*v1.Pod {
	members := map[groupKey][]*v1.Pod{}
	for _, pod := range o.Pods {
		if podutil.IsPodTerminal(pod) || !a.ours(pod.Spec.SchedulerName) {
			continue
		}
		group := s.set.groupOf(pod)
		if group == "" {
			continue
		}
		member := *pod
		member.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &group}
		s.setPod(&member)
		key := groupKey{pod.Namespace, group}
		members[key] = append(members[key], &member)
	}
	for _, pods := range members {
		slices.SortFunc(pods, func(x, y *v1.Pod) int { return cmp.Compare(x.Name, y.Name) })
	}
	return members
}
