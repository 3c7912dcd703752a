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

// misspelled tells of keys in Muster's domain that it does not know, so that a
// slip of the pen does not drop a wish in silence.
func misspelled(labels, annotations map[string]string) []string {
	var notes []string
	for key := range annotations {
		switch {
		case !strings.HasPrefix(key, ownDomain) || slices.Contains(gangAnnotations[:], key):
		case key == kube.LabelGang:
			notes = append(notes, "annotation "+key+" is not read; write it as a label")
		default:
			notes = append(notes, "annotation "+kube.Quote(key)+" is not read; Muster knows no such key")
		}
	}
	for key := range labels {
		switch {
		case !strings.HasPrefix(key, ownDomain) || key == kube.LabelGang:
		case slices.Contains(gangAnnotations[:], key):
			notes = append(notes, "label "+key+" is not read; write it as an annotation")
		default:
			notes = append(notes, "label "+kube.Quote(key)+" is not read; Muster knows no such key")
		}
	}
	slices.Sort(notes)
	return notes
}

// unread notes a field with text in it that counts for nothing, unless it holds
// what it would hold anyway.
func (o *object) unread(u *unstructured.Unstructured, project, field, why string, usual ...string) {
	value, _, _ := unstructured.NestedString(u.Object, "spec", field)
	if value != "" && !slices.Contains(usual, value) {
		o.note("%s: spec.%s %s is not read; %s", project, field, kube.Quote(value), why)
	}
}

const (
	noQueues    = "Muster has no queues"
	ownPriority = "the pods' own priority counts"
)
