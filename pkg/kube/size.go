// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import "github.com/muster-scheduler/muster/pkg/gang"

const (
	// maxResourceNames is the number of resources that a pod of a gang may ask for.
	maxResourceNames = 64
	// maxAffinityValues is the number of expressions and values in the node affinities
	// of a gang, pods of one shape counted once: each is compared with each node.
	maxAffinityValues = 4096
)

// checkSize returns why a gang is more than a plan may be, or nil. All tenants wait
// while a gang is planned.
func checkSize(sets []*podSet) *Invalid {
	shapes, values := map[shape]bool{}, 0
	selections := map[digest]bool{}
	for _, set := range sets {
		if names := len(set.requests); names > maxResourceNames {
			return invalidMembers("pod %s asks for %d resources; at most %d count", set.template.Name, names, maxResourceNames)
		}
		if len(set.waiting) == 0 {
			continue
		}
		shapes[set.shape] = true
		if !selections[set.shape.constraints] {
			selections[set.shape.constraints] = true
			values += constraintsOf(set.template).affinityValues()
		}
	}
	switch {
	case len(sets) > gang.MaxPodSets:
		return invalidMembers("its pods are in %d groups; at most %d are planned together", len(sets), gang.MaxPodSets)
	case len(shapes) > gang.MaxShapes:
		return invalidMembers("its pods have %d shapes (requests, node selection and tolerations), such as %s and %s; at most %d are planned together: give pods of one kind the same",
			len(shapes), sets[0].template.Name, sets[1].template.Name, gang.MaxShapes)
	case values > maxAffinityValues:
		return invalidMembers("the node selectors and affinities of its pods have %d expressions and values; at most %d are planned with: select nodes by a label that they share", values, maxAffinityValues)
	}
	return nil
}
