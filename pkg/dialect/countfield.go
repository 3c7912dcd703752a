// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"slices"
	"strconv"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// CountField is where a gang's declaration has the number of members that start
// together.
type CountField struct {
	// Resource is the group object as kubectl names it, "" without one.
	Resource string
	// Path is its path in that object, or the annotation on the pods.
	Path []string
	// Fixed says that the count of an existing gang stays as it is.
	Fixed bool
}

// Patch is the merge patch that makes the count n.
func (c CountField) Patch(n int) string {
	text := strconv.Itoa(n)
	for _, field := range slices.Backward(c.Path) {
		text = "{" + strconv.Quote(field) + ":" + text + "}"
	}
	return text
}

// CountFieldOf returns where the count of a declared gang is changed.
func CountFieldOf(d *kube.Declaration) CountField {
	for _, k := range registry.Kinds() {
		if k.Workload == nil && k.GroupResource().String() == d.Resource {
			return CountField{Resource: d.Resource, Path: k.CountField, Fixed: k.Fixed}
		}
	}
	count := kube.AnnotationMinCount
	if e := registry.Find(d.Dialect); e != nil && e.Count != "" {
		count = e.Count
	}
	return CountField{Path: []string{count}, Fixed: true}
}
