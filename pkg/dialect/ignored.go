// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"slices"
	"strings"

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
		case !strings.HasPrefix(key, ownDomain) || slices.Contains(TermKeys[:], key):
		case key == kube.LabelGang:
			notes = append(notes, "annotation "+key+" is not read; write it as a label")
		default:
			notes = append(notes, "annotation "+kube.Quote(key)+" is not read; Muster knows no such key")
		}
	}
	for key := range labels {
		switch {
		case !strings.HasPrefix(key, ownDomain) || key == kube.LabelGang:
		case slices.Contains(TermKeys[:], key):
			notes = append(notes, "label "+key+" is not read; write it as an annotation")
		default:
			notes = append(notes, "label "+kube.Quote(key)+" is not read; Muster knows no such key")
		}
	}
	slices.Sort(notes)
	return notes
}

// ignoreField records a field with text in it that counts for nothing, unless it holds
// what it would hold anyway.
func (o *Object) ignoreField(u *unstructured.Unstructured, project, field, why string, usual ...string) {
	value, _, _ := unstructured.NestedString(u.Object, "spec", field)
	if value != "" && !slices.Contains(usual, value) {
		o.ignore("%s: spec.%s %s is not read; %s", project, field, kube.Quote(value), why)
	}
}

const (
	noQueues    = "Muster has no queues"
	ownPriority = "the pods' own priority counts"
)
