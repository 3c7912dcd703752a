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

	"github.com/muster-scheduler/muster/pkg/kube"
)

// Objects are the pods and group objects of a cluster at one moment.
type Objects struct {
	Pods []*v1.Pod
	// Native are scheduling.k8s.io/v1beta1 PodGroups, CRD those of
	// scheduling.x-k8s.io/v1alpha1.
	Native []*schedulingapi.PodGroup
	CRD    []*unstructured.Unstructured
	// Absent are the group kinds that the API server does not serve.
	Absent []schema.GroupVersion
}

// Gang is a gang as the scheduler sees it.
type Gang struct {
	// Group stands for the gang; kube.ReadSpec reads it.
	Group *schedulingapi.PodGroup
	// Pods are the members that have not ended, by name, each with its
	// spec.schedulingGroup set.
	Pods []*v1.Pod
}

// GroupKinds are the kinds of group object that are read.
func GroupKinds() []schema.GroupVersionResource {
	return []schema.GroupVersionResource{nativeKind, crdKind}
}

// Gangs translates the gangs of a picture of a cluster, ordered by namespace
// and group, in the way in which a Translator does it on a live one. Only pods
// with one of the scheduler names count; none means all pods. The objects are
// not changed.
func (o Objects) Gangs(schedulerNames ...string) []Gang {
	s := newStore(newFeed())
	for dialect, kind := range map[kube.Dialect]schema.GroupVersionResource{kube.DialectNative: nativeKind, kube.DialectCRD: crdKind} {
		if !slices.Contains(o.Absent, kind.GroupVersion()) {
			s.setKind(dialect, served)
		}
	}
	for _, pg := range o.Native {
		s.setObject(groupKey{pg.Namespace, kube.GroupName(kube.DialectNative, pg.Name)}, readNative(pg))
	}
	for _, u := range o.CRD {
		s.setObject(groupKey{u.GetNamespace(), kube.GroupName(kube.DialectCRD, u.GetName())}, readCRD(u))
	}
	members := o.members(s, newAssigner(schedulerNames))
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
		if pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed || !a.ours(pod.Spec.SchedulerName) {
			continue
		}
		group := kube.GroupOf(pod)
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
