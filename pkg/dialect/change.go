// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"slices"
	"strconv"

	schedulingapi "k8s.io/api/scheduling/v1beta1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// Terms say how a gang's declaration is changed.
type Terms struct {
	// Resource is the group object as kubectl names it, "" without one.
	Resource string
	// Count is the path of the number of members that start together in that
	// object, or the annotation on the pods.
	Count []string
	// Fixed says that the count of an existing gang stays as it is.
	Fixed bool
}

// Patch is the merge patch that makes the count n.
func (t Terms) Patch(n int) string {
	text := strconv.Itoa(n)
	for _, field := range slices.Backward(t.Count) {
		text = "{" + strconv.Quote(field) + ":" + text + "}"
	}
	return text
}

// TermsOf returns how the gang behind a served group is changed.
func TermsOf(group *schedulingapi.PodGroup) Terms {
	for _, k := range set(table).kinds() {
		if k.workload == nil && k.GroupResource().String() == group.Annotations[kube.AnnotationObject] {
			return Terms{Resource: group.Annotations[kube.AnnotationObject], Count: k.countField, Fixed: k.fixed}
		}
	}
	count := kube.AnnotationMinCount
	if e := set(table).find(kube.Dialect(group.Annotations[kube.AnnotationDialect])); e != nil && e.count != "" {
		count = e.count
	}
	return Terms{Count: []string{count}, Fixed: true}
}
