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

// Marker is what a pod says about the gang that it belongs to.
type Marker struct {
	Dialect kube.Dialect
	// Group is the name of the PodGroup as the scheduler knows it: the name of
	// the object for a native group, else "dialect~name".
	Group string
	// Name is the name that the user wrote.
	Name string
	// Problem is why the markers of the pod make no sense together, or nil.
	Problem *kube.Invalid
}

// GroupOf returns the name of the PodGroup that a pod belongs to, as the
// scheduler knows it, or "" for a pod outside gangs.
func (s Dialects) GroupOf(pod *v1.Pod) string {
	m, _ := s.ReadMarker(pod)
	return m.Group
}

// ReadMarker reads the gang markers of a pod in any dialect, and whether it has
// any. It may be given a pod from the API or one that was translated already.
func (s Dialects) ReadMarker(pod *v1.Pod) (Marker, bool) {
	if group := kube.GroupOf(pod); kube.IsTranslated(group) {
		return s.translatedMarker(pod, group), true
	}
	return s.readMarkers(pod)
}

// MarkerProblem returns why the markers of a pod that has its group make no
// sense, or no longer name that group; nil if they do.
func (s Dialects) MarkerProblem(pod *v1.Pod) *kube.Invalid {
	group := kube.GroupOf(pod)
	m, _ := s.ReadMarker(pod)
	if m.Problem == nil && m.Group != group {
		return markerChanged(pod, group)
	}
	return m.Problem
}

// translatedMarker reads the markers of a pod that has its group already: the
// one that it was given when it was first seen.
func (s Dialects) translatedMarker(pod *v1.Pod, group string) Marker {
	dialect, name := kube.SplitGroupName(group)
	m := Marker{Dialect: dialect, Group: group, Name: name}
	raw := *pod
	raw.Spec.SchedulingGroup = nil
	named := group
	if child := kube.ChildGroupOf(pod); child != "" {
		named, raw.Spec.SchedulingGroup = child, &v1.PodSchedulingGroup{PodGroupName: &child}
	}
	now, _ := s.readMarkers(&raw)
	switch {
	case now.Group == named:
		m.Problem = now.Problem
	case dialect == kube.DialectConflict:
		// spec.schedulingGroup was replaced in memory, so that the conflict
		// can no longer be spelled out.
		m.Problem = &kube.Invalid{Reason: kube.GangConfigConflict, Message: fmt.Sprintf(
			"pod %s declares its gang more than once; create it again with one of spec.schedulingGroup and the label", pod.Name)}
	default:
		m.Problem = markerChanged(pod, group)
	}
	return m
}

// markerChanged is the problem of a pod whose markers no longer name the gang
// that it was created in.
func markerChanged(pod *v1.Pod, group string) *kube.Invalid {
	_, name := kube.SplitGroupName(group)
	return &kube.Invalid{Reason: kube.GangConfigConflict, Message: fmt.Sprintf(
		"pod %s was created as a member of gang %s, and its markers have changed since; a pod keeps its gang: create it again", pod.Name, name)}
}

// collectMarks lists where a pod names its gang, each different gang once, in
// the dialects of the smallest precedence that name one. The dialect is that of
// the last.
func (s Dialects) collectMarks(pod *v1.Pod) (dialect *Dialect, marks []mark) {
	for p := range precedences {
		for _, d := range s {
			if d.precedence != p {
				continue
			}
			for _, m := range d.readMarks(pod) {
				if last := len(marks) - 1; d == dialect && last >= 0 && marks[last].name == m.name {
					continue
				}
				dialect, marks = d, append(marks, m)
			}
		}
		if len(marks) > 0 {
			break
		}
	}
	return dialect, marks
}

// readMarkers collects the marks of a pod and resolves them to one gang.
func (s Dialects) readMarkers(pod *v1.Pod) (Marker, bool) {
	d, marks := s.collectMarks(pod)
	if len(marks) == 0 {
		return s.unmarked(pod)
	}
	count, counted := pod.Annotations[kube.AnnotationMinCount]
	if counted && s.Find(kube.DialectLabel) != nil && d.Count != kube.AnnotationMinCount && d.override != kube.AnnotationMinCount {
		marks = append(marks, mark{where: "annotation " + kube.AnnotationMinCount, name: count})
	}
	if len(marks) > 1 {
		found := make([]string, len(marks))
		for i, m := range marks {
			found[i] = m.where + " " + kube.QuoteInput(m.name)
		}
		return invalidGroupOf(pod, kube.GangConfigConflict, fmt.Sprintf(
			"pod %s declares its gang more than once: %s; create it again with one of them", pod.Name, strings.Join(found, ", "))), true
	}
	return d.resolveMark(pod, marks[0]), true
}

// unmarked returns the marker of a pod that names no gang. One that asks for a
// gang all the same never runs on its own.
func (s Dialects) unmarked(pod *v1.Pod) (Marker, bool) {
	if s.Find(kube.DialectLabel) == nil {
		return Marker{}, false
	}
	if pod.Labels[kube.LabelGang] == kube.GangAuto {
		return invalidGroupOf(pod, kube.InvalidGangSpec, fmt.Sprintf(
			"pod %s asks for %s: %s, but the scheduler's argument dialects leaves %s out; give its gang a name and the annotation %s, or add the dialect",
			pod.Name, kube.LabelGang, kube.GangAuto, kube.DialectAuto, kube.AnnotationMinCount)), true
	}
	if _, counted := pod.Annotations[kube.AnnotationMinCount]; counted {
		return invalidGroupOf(pod, kube.InvalidGangSpec, fmt.Sprintf(
			"pod %s has annotation %s but no gang; add the label %s with the name of its gang", pod.Name, kube.AnnotationMinCount, kube.LabelGang)), true
	}
	return Marker{}, false
}

// resolveMark returns the gang that the only mark of a pod names.
func (d *Dialect) resolveMark(pod *v1.Pod, m mark) Marker {
	if m.problem != nil {
		return invalidGroupOf(pod, m.problem.Reason, m.problem.Message)
	}
	if m.gang != "" {
		group := kube.GroupName(d.Name, m.gang)
		_, name := kube.SplitGroupName(group)
		return Marker{Dialect: d.Name, Group: group, Name: name}
	}
	problem := d.checkName(m)
	if problem != nil && len(m.name) > validation.DNS1123SubdomainMaxLength {
		return invalidGroupOf(pod, problem.Reason, problem.Message)
	}
	return Marker{Dialect: d.Name, Group: kube.GroupName(d.Name, m.name), Name: m.name, Problem: problem}
}

// invalidGroupOf puts a pod into a group of its own that is never scheduled.
func invalidGroupOf(pod *v1.Pod, reason kube.Reason, message string) Marker {
	return Marker{
		Dialect: kube.DialectConflict,
		Group:   kube.GroupName(kube.DialectConflict, pod.Name),
		Name:    pod.Name,
		Problem: &kube.Invalid{Reason: reason, Message: message},
	}
}

// checkName returns why no object can have the name in a mark, or nil.
func (d *Dialect) checkName(m mark) *kube.Invalid {
	if d.Name == kube.DialectNative || len(validation.IsDNS1123Subdomain(m.name)) == 0 {
		return nil
	}
	return &kube.Invalid{Reason: kube.InvalidGangSpec, Message: fmt.Sprintf(
		"%s: found %s, want the name of a gang in the pod's own namespace: lower-case letters, digits, '-' and '.', such as \"train-1\"", m.where, kube.QuoteInput(m.name))}
}
