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

// insteadOf is what a gang may write in place of what its pods prefer by themselves.
var insteadOf = map[kube.Preference]string{
	kube.PreferredNodes:   "require the nodes, or write " + kube.AnnotationTopologyPreferred,
	kube.PreferredPods:    "write " + kube.AnnotationTopologyPreferred,
	kube.PreferredNotPods: "require it where it matters",
	kube.PreferredSpread:  "require it where it matters",
}

// ignoredPreferences tells of the nodes that a member would rather have: the plan of
// a gang knows requirements alone, and its own preferred level.
func ignoredPreferences(spec *v1.PodSpec) []string {
	var notes []string
	for _, p := range kube.PreferencesOf(spec) {
		notes = append(notes, "pods: spec."+string(p)+" is not read for a gang; "+insteadOf[p])
	}
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
