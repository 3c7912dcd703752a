// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import "fmt"

// What KubeRay writes on pods.
const (
	labelRayCluster = "ray.io/cluster"
	labelRayGroup   = "ray.io/group"

	// rayHead is the group of the head.
	rayHead = "headgroup"
)

// readRayCluster reads a RayCluster: the head and each worker group are roles.
// With an autoscaler the workers beyond minReplicas come and go; without one
// all replicas start together.
func readRayCluster(r *reader, s *Shape) {
	s.add(Role{Name: rayHead, Label: labelRayGroup, Value: rayHead, Replicas: 1})
	elastic := r.flag("spec.enableInTreeAutoscaling")
	for i, entry := range r.list("spec.workerGroupSpecs") {
		part := r.in(fmt.Sprintf("spec.workerGroupSpecs[%d]", i), entry)
		least := part.number("minReplicas", 0)
		most := part.number("maxReplicas", Most)
		replicas := min(max(part.number("replicas", least), least), most)
		if part.flag("suspend") {
			replicas, least = 0, 0
		}
		hosts := max(part.number("numOfHosts", 1), 1)
		name := part.text("groupName")
		role := Role{Name: name, Label: labelRayGroup, Value: name, Replicas: part.times("replicas", replicas, hosts)}
		role.Min = role.Replicas
		if elastic {
			role.Min = part.times("minReplicas", min(least, replicas), hosts)
		}
		if hosts > 1 {
			role.Slice = hosts
		}
		s.Roles = append(s.Roles, role)
		r.done(part)
	}
}
