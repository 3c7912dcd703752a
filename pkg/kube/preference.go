// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"slices"

	v1 "k8s.io/api/core/v1"
)

// Preference is a field of a pod's specification by which it prefers some nodes to others
// without requiring them.
type Preference string

// The preferences of a pod.
const (
	PreferredNodes   Preference = "affinity.nodeAffinity" + soft
	PreferredPods    Preference = "affinity.podAffinity" + soft
	PreferredNotPods Preference = "affinity.podAntiAffinity" + soft
	PreferredSpread  Preference = "topologySpreadConstraints with whenUnsatisfiable ScheduleAnyway"

	soft = ".preferredDuringSchedulingIgnoredDuringExecution"
)

// PreferencesOf lists the preferences of a pod.
func PreferencesOf(spec *v1.PodSpec) []Preference {
	var all []Preference
	add := func(there bool, p Preference) {
		if there {
			all = append(all, p)
		}
	}
	if a := spec.Affinity; a != nil {
		add(a.NodeAffinity != nil && len(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0, PreferredNodes)
		add(a.PodAffinity != nil && len(a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0, PreferredPods)
		add(a.PodAntiAffinity != nil && len(a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0, PreferredNotPods)
	}
	add(slices.ContainsFunc(spec.TopologySpreadConstraints, func(c v1.TopologySpreadConstraint) bool { return c.WhenUnsatisfiable == v1.ScheduleAnyway }), PreferredSpread)
	return all
}
