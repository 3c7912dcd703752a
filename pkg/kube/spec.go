// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// MaxMinCount is the largest gang that is taken for one that was meant.
const MaxMinCount = 100_000

// separator stands between the dialect and the name of a translated group. No
// object in the API can have it in its name, so that translated groups and
// native ones never meet.
const separator = "~"

// Marker is what a pod says about the gang that it belongs to.
type Marker struct {
	Dialect Dialect
	// Group is the name of the PodGroup as the scheduler knows it: the name of
	// the object for a native group, else "dialect~name".
	Group string
	// Name is the name that the user wrote.
	Name string
	// Problem is why the markers of the pod make no sense together, or nil.
	Problem *Invalid
}

// MarkerOf reads the gang markers of a pod, and whether it has any. It may be
// given a pod from the API or one that was translated already.
func MarkerOf(pod *v1.Pod) (Marker, bool) {
	if group := podGroupName(pod); strings.Contains(group, separator) {
		return translated(pod, group), true
	}
	return readMarkers(pod)
}

// GroupOf returns the name of the PodGroup that a pod belongs to, as the
// scheduler knows it, or "" for a pod outside gangs.
func GroupOf(pod *v1.Pod) string {
	marker, _ := MarkerOf(pod)
	return marker.Group
}

// GroupName is the name under which the scheduler knows a group.
func GroupName(dialect Dialect, name string) string {
	if dialect == DialectNative {
		return name
	}
	return string(dialect) + separator + strings.ReplaceAll(name, "/", separator)
}

// GangName is what users call the gang behind a group.
func GangName(pg *schedulingapi.PodGroup) string {
	_, name := SplitGroupName(pg.Name)
	return name
}

// SplitGroupName is the reverse of GroupName.
func SplitGroupName(group string) (Dialect, string) {
	dialect, name, ok := strings.Cut(group, separator)
	if !ok {
		return DialectNative, group
	}
	return Dialect(dialect), name
}

// translated reads the markers of a pod that has its group already: the one
// that it was given when it was first seen.
func translated(pod *v1.Pod, group string) Marker {
	dialect, name := SplitGroupName(group)
	m := Marker{Dialect: dialect, Group: group, Name: name}
	raw := *pod
	raw.Spec.SchedulingGroup = nil
	now, _ := readMarkers(&raw)
	switch {
	case now.Group == group:
		m.Problem = now.Problem
	case dialect == DialectConflict:
		// spec.schedulingGroup was replaced in memory, so that the conflict
		// can no longer be spelled out.
		m.Problem = &Invalid{GangConfigConflict, fmt.Sprintf(
			"pod %s declares its gang more than once; create it again with one of spec.schedulingGroup and the label", pod.Name)}
	default:
		m.Problem = Moved(pod, group)
	}
	return m
}

// Moved is the problem of a pod whose markers no longer name the gang that it
// was created in.
func Moved(pod *v1.Pod, group string) *Invalid {
	_, name := SplitGroupName(group)
	return &Invalid{GangConfigConflict, fmt.Sprintf(
		"pod %s was created as a member of gang %s, and its markers have changed since; a pod keeps its gang: create it again", pod.Name, name)}
}

func readMarkers(pod *v1.Pod) (Marker, bool) {
	var found []string
	m := Marker{}
	mark := func(dialect Dialect, where, name string) {
		if m.Dialect != dialect || m.Name != name {
			found = append(found, where+" "+Quote(name))
		}
		m = Marker{Dialect: dialect, Name: name}
	}
	if name := podGroupName(pod); name != "" {
		mark(DialectNative, "spec.schedulingGroup", name)
	}
	for _, key := range []string{LabelPodGroup, LabelPodGroupOld} {
		if name, ok := pod.Labels[key]; ok {
			mark(DialectCRD, "label "+key, name)
		}
	}
	if name, ok := pod.Labels[LabelGang]; ok {
		mark(DialectLabel, "label "+LabelGang, name)
	}
	count, hasCount := pod.Annotations[AnnotationMinCount]
	if hasCount && m.Dialect != DialectLabel {
		found = append(found, "annotation "+AnnotationMinCount+" "+Quote(count))
	}
	switch {
	case len(found) == 0:
		return Marker{}, false
	case m.Dialect == "":
		return alone(pod, InvalidGangSpec, fmt.Sprintf(
			"pod %s has annotation %s but no gang; add the label %s with the name of its gang", pod.Name, AnnotationMinCount, LabelGang)), true
	case len(found) > 1:
		return alone(pod, GangConfigConflict, fmt.Sprintf(
			"pod %s declares its gang more than once: %s; create it again with one of them", pod.Name, strings.Join(found, ", "))), true
	}
	m.Group = GroupName(m.Dialect, m.Name)
	m.Problem = nameProblem(m.Dialect, m.Name)
	return m, true
}

// alone puts a pod into a group of its own that is never scheduled.
func alone(pod *v1.Pod, reason Reason, message string) Marker {
	return Marker{
		Dialect: DialectConflict,
		Group:   GroupName(DialectConflict, pod.Name),
		Name:    pod.Name,
		Problem: &Invalid{reason, message},
	}
}

func nameProblem(dialect Dialect, name string) *Invalid {
	key := LabelGang
	switch dialect {
	case DialectNative, DialectConflict:
		return nil
	case DialectCRD:
		key = LabelPodGroup
	case DialectLabel:
	}
	if len(validation.IsDNS1123Subdomain(name)) == 0 {
		return nil
	}
	return &Invalid{InvalidGangSpec, fmt.Sprintf(
		"label %s: found %s, want the name of a gang in the pod's own namespace: lower-case letters, digits, '-' and '.', such as \"train-1\"", key, Quote(name))}
}

func podGroupName(pod *v1.Pod) string {
	if g := pod.Spec.SchedulingGroup; g != nil && g.PodGroupName != nil {
		return *g.PodGroupName
	}
	return ""
}

// ParseMinCount reads the number of pods that start together. Only plain
// decimal digits from 1 to MaxMinCount are taken: a number that two readers
// could read in two ways is none.
func ParseMinCount(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text || n < 1 || n > MaxMinCount {
		return 0, fmt.Errorf("found %s, want a number from 1 to %d in plain digits, such as \"8\"", Quote(text), MaxMinCount)
	}
	return n, nil
}

// Quote shows text that a user wrote, so that what is wrong with it can be
// seen, and not more of it than fits a message.
func Quote(text string) string {
	const most = 40
	if len(text) > most {
		return strconv.QuoteToASCII(text[:most]) + "..."
	}
	return strconv.QuoteToASCII(text)
}
