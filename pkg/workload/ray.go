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
	s.addRole(Role{Name: rayHead, Label: labelRayGroup, Value: rayHead, Replicas: 1})
	elastic := r.readFlag("spec.enableInTreeAutoscaling")
	for i, entry := range r.readList("spec.workerGroupSpecs") {
		part := r.readPart(fmt.Sprintf("spec.workerGroupSpecs[%d]", i), entry)
		least := part.readNumber("minReplicas", 0)
		most := part.readNumber("maxReplicas", MaxPods)
		replicas := min(max(part.readNumber("replicas", least), least), most)
		if part.readFlag("suspend") {
			replicas, least = 0, 0
		}
		hosts := max(part.readNumber("numOfHosts", 1), 1)
		name := part.readText("groupName")
		role := Role{Name: name, Label: labelRayGroup, Value: name, Replicas: part.multiplyPods("replicas", replicas, hosts)}
		role.MinCount = role.Replicas
		if elastic {
			role.MinCount = part.multiplyPods("minReplicas", min(least, replicas), hosts)
		}
		if hosts > 1 {
			role.SliceSize = hosts
		}
		s.Roles = append(s.Roles, role)
		r.adoptProblem(part)
	}
}
