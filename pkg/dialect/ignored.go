// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// ownDomain is the domain of Muster's keys.
const ownDomain = "muster.sh/"

// misspelledKeys tells of keys in Muster's domain that it does not know, so that a
// misspelling is not silently dropped.
func misspelledKeys(labels, annotations map[string]string) []string {
	var notes []string
	for key := range annotations {
		switch {
		case !strings.HasPrefix(key, ownDomain) || slices.Contains(TermKeys[:], key) || key == kube.AnnotationStartedWith:
		case key == kube.LabelGang:
			notes = append(notes, "annotation "+key+" is not read; write it as a label")
		default:
			notes = append(notes, "annotation "+kube.QuoteInput(key)+" is not read; Muster knows no such key")
		}
	}
	for key := range labels {
		switch {
		case !strings.HasPrefix(key, ownDomain) || key == kube.LabelGang:
		case slices.Contains(TermKeys[:], key):
			notes = append(notes, "label "+key+" is not read; write it as an annotation")
		default:
			notes = append(notes, "label "+kube.QuoteInput(key)+" is not read; Muster knows no such key")
		}
	}
	slices.Sort(notes)
	return notes
}

// ignoredPreferences tells of the nodes that a member would rather have: the plan of
// a gang knows requirements alone, and its own preferred level.
func ignoredPreferences(spec *v1.PodSpec) []string {
	var notes []string
	tell := func(there bool, field, instead string) {
		if there {
			notes = append(notes, "pods: spec."+field+" is not read for a gang; "+instead)
		}
	}
	if a := spec.Affinity; a != nil {
		const soft = ".preferredDuringSchedulingIgnoredDuringExecution"
		tell(a.NodeAffinity != nil && len(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0,
			"affinity.nodeAffinity"+soft, "require the nodes, or write "+kube.AnnotationTopologyPreferred)
		tell(a.PodAffinity != nil && len(a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0,
			"affinity.podAffinity"+soft, "write "+kube.AnnotationTopologyPreferred)
		tell(a.PodAntiAffinity != nil && len(a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0,
			"affinity.podAntiAffinity"+soft, "require it where it matters")
	}
	tell(slices.ContainsFunc(spec.TopologySpreadConstraints, func(c v1.TopologySpreadConstraint) bool { return c.WhenUnsatisfiable == v1.ScheduleAnyway }),
		"topologySpreadConstraints with whenUnsatisfiable ScheduleAnyway", "require it where it matters")
	return notes
}

// ignoreField records a field with text in it that counts for nothing, unless it holds
// what it would hold anyway.
func (o *Object) ignoreField(u *unstructured.Unstructured, project, field, why string, usual ...string) {
	value, _, _ := unstructured.NestedString(u.Object, "spec", field)
	if value != "" && !slices.Contains(usual, value) {
		o.ignore("%s: spec.%s %s is not read; %s", project, field, kube.QuoteInput(value), why)
	}
}

// ignoreMinResources tells of spec.minResources that a user wrote: the controllers of a
// project write what the pods ask for anyway.
func (o *Object) ignoreMinResources(u *unstructured.Unstructured, project string) {
	resources, _, _ := unstructured.NestedMap(u.Object, "spec", "minResources")
	if len(resources) > 0 && (o.MinCount <= 1 || metav1.GetControllerOf(u) == nil) {
		o.ignore("%s: spec.minResources is not read; the requests of the pods count, %d at a time", project, max(o.MinCount, 1))
	}
}

const (
	noQueues    = "Muster has no queues"
	ownPriority = "the pods' own priority counts"
)
