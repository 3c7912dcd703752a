// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/muster-scheduler/muster/pkg/dialect"
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

// inUse returns the dialects that the scheduler reads.
func (o Objects) inUse() dialect.Dialects { return dialect.Enabled(o.Dialects, o.AutoNamespaces) }

// GroupOf returns the group of a pod as it stands in the API server, or "".
func (o Objects) GroupOf(pod *v1.Pod) string { return o.inUse().GroupOf(pod) }

// Workloads lists the kinds of workload that any of the pods asks about.
func (o Objects) Workloads() []schema.GroupVersionResource { return o.inUse().Workloads(o.Pods) }

// FinishedMembers returns those of finished pods whose gang has a pod that lives: the
// work of the others counts for nobody.
func (o Objects) FinishedMembers(finished []*v1.Pod) []*v1.Pod {
	dialects := o.inUse()
	gangOf := func(pod *v1.Pod) Key {
		group := dialects.GroupOf(pod)
		if group != "" && !kube.IsTranslated(group) {
			group = anyNative // several PodGroups of Kubernetes may be one gang
		}
		return Key{pod.Namespace, group}
	}
	living := map[Key]bool{}
	for _, pod := range o.Pods {
		living[gangOf(pod)] = true
	}
	return slices.DeleteFunc(slices.Clone(finished), func(pod *v1.Pod) bool {
		key := gangOf(pod)
		return key.Group == "" || !living[key] || kube.MemberStateOf(pod) != kube.MemberFinished
	})
}

// anyNative stands for all PodGroups of Kubernetes in a namespace.
const anyNative = "*"

// Gangs translates the gangs of a picture of a cluster, ordered by namespace
// and group, in the way in which it is done on a live one. Only pods with one of
// the scheduler names count; none means all pods. The objects are not changed.
func (o Objects) Gangs(schedulerNames ...string) []dialect.Gang {
	dialects := o.inUse()
	published := map[Key]dialect.Gang{}
	s := New(dialects, func(key Key, pg *schedulingapi.PodGroup, d *kube.Declaration) {
		published[key] = dialect.Gang{Group: pg, Declaration: d}
	}, func(Key) {})
	for _, k := range dialects.Kinds() {
		if slices.Contains(o.Absent, k.GroupVersion()) {
			s.SetKind(k, Absent)
			continue
		}
		s.SetKind(k, Served)
		for _, u := range o.Groups {
			if k.HasObject(u) {
				s.SetObject(k, u)
			}
		}
	}
	members := o.setMembers(s, NewAssigner(dialects, schedulerNames))
	s.Open()
	var gangs []dialect.Gang
	for _, key := range slices.SortedFunc(maps.Keys(published), Key.Compare) {
		gang := published[key]
		gang.Pods = members[key]
		gangs = append(gangs, gang)
	}
	return gangs
}

// setMembers puts the pods into the store and returns them by gang.
func (o Objects) setMembers(s *Store, a *Assigner) map[Key][]*v1.Pod {
	members := map[Key][]*v1.Pod{}
	for _, pod := range o.Pods {
		if !a.IsOurs(pod) {
			continue
		}
		group := s.dialects.GroupOf(pod)
		if group == "" {
			continue
		}
		member := *pod
		member.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &group}
		if gang, _ := s.ResolveGroup(pod.Namespace, group); gang != group && !kube.IsTranslated(group) {
			kube.JoinGang(&member, gang)
			group = gang
		}
		if kube.MemberStateOf(pod).HasEnded() {
			s.SetFinished(&member)
			continue
		}
		s.SetPod(&member)
		key := Key{pod.Namespace, group}
		members[key] = append(members[key], &member)
	}
	for _, pods := range members {
		slices.SortFunc(pods, func(x, y *v1.Pod) int { return cmp.Compare(x.Name, y.Name) })
	}
	return members
}
