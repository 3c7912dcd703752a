// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// marker is what a pod says about the gang that it belongs to.
type marker struct {
	dialect kube.Dialect
	// group is the name of the PodGroup as the scheduler knows it: the name of
	// the object for a native group, else "dialect~name".
	group string
	// name is the name that the user wrote.
	name string
	// problem is why the markers of the pod make no sense together, or nil.
	problem *kube.Invalid
}

// groupOf is the name of the PodGroup that a pod belongs to, as the scheduler
// knows it, or "" for a pod outside gangs.
func (s set) groupOf(pod *v1.Pod) string {
	m, _ := s.markerOf(pod)
	return m.group
}

// markerOf reads the gang markers of a pod in any dialect, and whether it has
// any. It may be given a pod from the API or one that was translated already.
func (s set) markerOf(pod *v1.Pod) (marker, bool) {
	if group := kube.GroupOf(pod); kube.IsTranslated(group) {
		return s.translated(pod, group), true
	}
	return s.readMarkers(pod)
}

// translated reads the markers of a pod that has its group already: the one
// that it was given when it was first seen.
func (s set) translated(pod *v1.Pod, group string) marker {
	dialect, name := kube.SplitGroupName(group)
	m := marker{dialect: dialect, group: group, name: name}
	raw := *pod
	raw.Spec.SchedulingGroup = nil
	now, _ := s.readMarkers(&raw)
	switch {
	case now.group == group:
		m.problem = now.problem
	case dialect == kube.DialectConflict:
		// spec.schedulingGroup was replaced in memory, so that the conflict
		// can no longer be spelled out.
		m.problem = &kube.Invalid{Reason: kube.GangConfigConflict, Message: fmt.Sprintf(
			"pod %s declares its gang more than once; create it again with one of spec.schedulingGroup and the label", pod.Name)}
	default:
		m.problem = moved(pod, group)
	}
	return m
}

// moved is the problem of a pod whose markers no longer name the gang that it
// was created in.
func moved(pod *v1.Pod, group string) *kube.Invalid {
	_, name := kube.SplitGroupName(group)
	return &kube.Invalid{Reason: kube.GangConfigConflict, Message: fmt.Sprintf(
		"pod %s was created as a member of gang %s, and its markers have changed since; a pod keeps its gang: create it again", pod.Name, name)}
}

// marks lists where a pod names its gang, each different gang once. The weak
// ones are left out where there are others, the last ones where there are any.
func (s set) marks(pod *v1.Pod) (dialect *entry, marks []mark) {
	for strength := range 3 {
		for _, e := range s {
			if e.strength() != strength {
				continue
			}
			for _, m := range e.marks(pod) {
				if last := len(marks) - 1; e == dialect && last >= 0 && marks[last].name == m.name {
					continue
				}
				dialect, marks = e, append(marks, m)
			}
		}
		if len(marks) > 0 {
			break
		}
	}
	return dialect, marks
}

// strength orders the marks of dialects, the strongest first.
func (e *entry) strength() int { return count(e.weak) + 2*count(e.last) }

func (s set) readMarkers(pod *v1.Pod) (marker, bool) {
	e, marks := s.marks(pod)
	count, counted := pod.Annotations[kube.AnnotationMinCount]
	counted = counted && s.find(kube.DialectLabel) != nil
	switch {
	case len(marks) == 0 && pod.Labels[kube.LabelGang] == kube.GangAuto && s.find(kube.DialectLabel) != nil:
		return alone(pod, kube.InvalidGangSpec, fmt.Sprintf(
			"pod %s asks for %s: %s, but the scheduler's argument dialects leaves %s out; give its gang a name and the annotation %s, or add the dialect",
			pod.Name, kube.LabelGang, kube.GangAuto, kube.DialectAuto, kube.AnnotationMinCount)), true
	case len(marks) == 0 && !counted:
		return marker{}, false
	case len(marks) == 0:
		return alone(pod, kube.InvalidGangSpec, fmt.Sprintf(
			"pod %s has annotation %s but no gang; add the label %s with the name of its gang", pod.Name, kube.AnnotationMinCount, kube.LabelGang)), true
	}
	if counted && e.count != kube.AnnotationMinCount && e.override != kube.AnnotationMinCount {
		marks = append(marks, mark{where: "annotation " + kube.AnnotationMinCount, name: count})
	}
	if len(marks) > 1 {
		words := make([]string, len(marks))
		for i, m := range marks {
			words[i] = m.where + " " + kube.Quote(m.name)
		}
		return alone(pod, kube.GangConfigConflict, fmt.Sprintf(
			"pod %s declares its gang more than once: %s; create it again with one of them", pod.Name, strings.Join(words, ", "))), true
	}
	first := marks[0]
	if first.problem != nil {
		return alone(pod, first.problem.Reason, first.problem.Message), true
	}
	if first.gang != "" {
		group := kube.GroupName(e.name, first.gang)
		_, name := kube.SplitGroupName(group)
		return marker{dialect: e.name, group: group, name: name}, true
	}
	m := marker{dialect: e.name, group: kube.GroupName(e.name, first.name), name: first.name, problem: nameProblem(e, first)}
	if m.problem != nil && len(first.name) > validation.DNS1123SubdomainMaxLength {
		return alone(pod, m.problem.Reason, m.problem.Message), true
	}
	return m, true
}

// alone puts a pod into a group of its own that is never scheduled.
func alone(pod *v1.Pod, reason kube.Reason, message string) marker {
	return marker{
		dialect: kube.DialectConflict,
		group:   kube.GroupName(kube.DialectConflict, pod.Name),
		name:    pod.Name,
		problem: &kube.Invalid{Reason: reason, Message: message},
	}
}

func nameProblem(e *entry, m mark) *kube.Invalid {
	if e.name == kube.DialectNative || len(validation.IsDNS1123Subdomain(m.name)) == 0 {
		return nil
	}
	return &kube.Invalid{Reason: kube.InvalidGangSpec, Message: fmt.Sprintf(
		"%s: found %s, want the name of a gang in the pod's own namespace: lower-case letters, digits, '-' and '.', such as \"train-1\"", m.where, kube.Quote(m.name))}
}
