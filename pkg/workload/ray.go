// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import "fmt"

// What KubeRay writes on pods. Source: KubeRay v1.5,
// ray-operator/controllers/ray/utils/constant.go.
const (
	labelRayCluster = "ray.io/cluster"
	labelRayGroup   = "ray.io/group"

	// rayHead is the group of the head.
	rayHead = "headgroup"
	// rayVersion is that of the objects that KubeRay makes of others.
	rayVersion = "ray.io/v1"
)

// rayWorkers is one worker group of a RayCluster.
type rayWorkers struct {
	part *reader
	role Role
}

// readRayCluster reads a RayCluster: the head and each worker group are roles.
// With an autoscaler the workers beyond minReplicas come and go; without one
// all replicas start together.
func readRayCluster(r *reader, s *Shape) {
	s.addRole(Role{Name: rayHead, Label: labelRayGroup, Value: rayHead, Replicas: 1})
	for _, group := range readRayWorkers(r) {
		s.Roles = append(s.Roles, group.role)
	}
}

func readRayWorkers(r *reader) []rayWorkers {
	var groups []rayWorkers
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
		groups = append(groups, rayWorkers{part, role})
		r.adoptProblem(part)
	}
	return groups
}

// layOutRayCluster makes the head and the workers of each group.
func layOutRayCluster(r *reader, l *Layout) {
	l.noteSuspended(r, "spec.suspend")
	labels := func(group string) map[string]string {
		kind := "worker"
		if group == rayHead {
			kind = "head"
		}
		return map[string]string{labelRayCluster: r.name(), labelRayGroup: group, "ray.io/node-type": kind}
	}
	const head = "spec.headGroupSpec.template"
	l.Pods = append(l.Pods, PodSet{
		Template: r.getValue(head), Where: head, Owner: r.controller(), Name: r.name() + "-head", Single: true, Count: 1, Labels: labels(rayHead),
	})
	for _, group := range readRayWorkers(r) {
		l.Pods = append(l.Pods, PodSet{
			Template: group.part.getValue("template"), Where: group.part.path + ".template", Owner: r.controller(),
			Name: r.name() + "-" + group.role.Name + "-worker", Count: group.role.Replicas, Labels: labels(group.role.Name),
		})
	}
}

// layOutRayJob makes the RayCluster of a RayJob, and the Job that submits to it
// where its template is given; KubeRay's own one is small and not Muster's.
func layOutRayJob(r *reader, l *Layout) {
	l.noteSuspended(r, "spec.suspend")
	if len(r.readObject("spec.clusterSelector")) > 0 {
		l.Notes = append(l.Notes, r.describe()+" runs on a RayCluster that is there already (spec.clusterSelector), and creates none")
	} else {
		l.addRayCluster(r, "spec.rayClusterSpec")
	}
	mode := r.readText("spec.submissionMode")
	if submitter := r.getValue("spec.submitterPodTemplate"); submitter != nil && (mode == "" || mode == "K8sJobMode") {
		l.Objects = append(l.Objects, Object{Fields: r.makeObject("batch/v1", job.Name, r.name(), map[string]any{"template": submitter})})
	}
}

// layOutRayService makes the RayCluster of a RayService.
func layOutRayService(r *reader, l *Layout) { l.addRayCluster(r, "spec.rayClusterConfig") }

// addRayCluster adds the RayCluster that a workload makes of one of its fields.
// KubeRay ends its name with random letters.
func (l *Layout) addRayCluster(r *reader, from string) {
	spec := r.readObject(from)
	if spec == nil {
		l.Notes = append(l.Notes, r.describe()+" has no "+from+", and creates no pods")
		return
	}
	l.Objects = append(l.Objects, Object{Fields: r.makeObject(rayVersion, rayCluster.Name, r.name()+"-x", spec), From: from})
}
