// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"hash/fnv"
	"maps"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// GroupOf returns the PodGroup that a pod belongs to, "" for none.
func GroupOf(pod *v1.Pod) string {
	if group := pod.Spec.SchedulingGroup; group != nil && group.PodGroupName != nil {
		return *group.PodGroupName
	}
	return ""
}

// What a pod has in memory only whose gang is that of a CompositePodGroup: the
// PodGroup that it names, and the same as the value of a selector.
const (
	AnnotationChildGroup = "in-memory.muster.sh/pod-group"
	AnnotationChildRole  = "in-memory.muster.sh/role"
)

// ChildRole returns the name of a PodGroup as a selector can have it.
func ChildRole(group string) string {
	if len(group) <= validation.LabelValueMaxLength {
		return group
	}
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(group)) // never fails
	return fmt.Sprintf("%s-%016x", strings.TrimRight(group[:40], "-."), sum.Sum64())
}

// ChildGroupOf returns the PodGroup that a member of a CompositePodGroup's gang
// names, "" for any other pod.
func ChildGroupOf(pod *v1.Pod) string {
	if dialect, _ := SplitGroupName(GroupOf(pod)); dialect != DialectComposite {
		return ""
	}
	return pod.Annotations[AnnotationChildGroup]
}

// JoinGang makes a pod that names a PodGroup a member of another gang.
func JoinGang(pod *v1.Pod, gang string) {
	child := GroupOf(pod)
	pod.Annotations = maps.Clone(pod.Annotations)
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[AnnotationChildGroup], pod.Annotations[AnnotationChildRole] = child, ChildRole(child)
	pod.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &gang}
}

// LeaveGang undoes JoinGang.
func LeaveGang(pod *v1.Pod) {
	if child := ChildGroupOf(pod); child != "" {
		pod.Annotations = maps.Clone(pod.Annotations)
		delete(pod.Annotations, AnnotationChildGroup)
		delete(pod.Annotations, AnnotationChildRole)
		pod.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &child}
	}
}
