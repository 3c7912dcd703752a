// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import v1 "k8s.io/api/core/v1"

// GroupOf returns the PodGroup that a pod belongs to, "" for none.
func GroupOf(pod *v1.Pod) string {
	if group := pod.Spec.SchedulingGroup; group != nil && group.PodGroupName != nil {
		return *group.PodGroupName
	}
	return ""
}
