// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"strings"

	schedulingapi "k8s.io/api/scheduling/v1beta1"
)

// Origin is where what a gang asks for stands in what its user wrote.
type Origin struct {
	// Word is the key of an annotation, or the path of a field of the group
	// object, such as "spec.networkTopology".
	Word string
	// OnPods says that it stands on the pods of a gang that has a group object.
	OnPods bool
}

const (
	// originPrefix stands before the key of an annotation whose value the user
	// wrote in another place. Like AnnotationNotes it exists in memory only.
	originPrefix = "origin."
	// onPods begins the value of such an annotation: see Origin.OnPods.
	onPods = "pods "
)

// IsField tells whether it is a field of the group object.
func (o Origin) IsField() bool { return strings.HasPrefix(o.Word, "spec.") }

// OriginOf tells where the user wrote what a group has in the annotation key.
func OriginOf(pg *schedulingapi.PodGroup, key string) Origin {
	text, ok := pg.Annotations[originPrefix+key]
	if !ok {
		return Origin{Word: key}
	}
	word, pods := strings.CutPrefix(text, onPods)
	return Origin{Word: word, OnPods: pods}
}

// SetOrigin writes down where the value of annotations[key] comes from.
func SetOrigin(annotations map[string]string, key string, o Origin) {
	switch {
	case o.OnPods:
		annotations[originPrefix+key] = onPods + o.Word
	case o.Word != key:
		annotations[originPrefix+key] = o.Word
	}
}
