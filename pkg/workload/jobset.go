// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import "fmt"

// What JobSet writes on its pods, and what its users write on a JobSet.
const (
	labelJobSet        = "jobset.sigs.k8s.io/jobset-name"
	labelJobSetUID     = "jobset.sigs.k8s.io/jobset-uid"
	labelReplicatedJob = "jobset.sigs.k8s.io/replicatedjob-name"
	labelJobIndex      = "jobset.sigs.k8s.io/job-index"

	jobSetExclusive    = "alpha.jobset.sigs.k8s.io/exclusive-topology"
	jobSetNodeSelector = "alpha.jobset.sigs.k8s.io/node-selector"
)

// readJobSet reads a JobSet: each replicated job is a role, each of its Jobs a
// slice.
func readJobSet(r *reader, s *Shape) {
	ended := succeededJobs(r)
	inOrder := r.readText("spec.startupPolicy.startupPolicyOrder") == "InOrder"
	exclusive := isExclusive(r.readObject("metadata.annotations"))
	for i, entry := range r.readList("spec.replicatedJobs") {
		part := r.readPart(fmt.Sprintf("spec.replicatedJobs[%d]", i), entry)
		pods, waves := initialPods(part, "template.spec")
		name := part.readText("name")
		jobs := part.readNumber("replicas", 1)
		over := min(ended[name], jobs)
		s.addRole(Role{
			Name: name, Label: labelReplicatedJob, Value: name, SliceSize: pods, Waves: waves,
			Replicas: part.multiplyPods("replicas", jobs-over, pods), Ended: part.multiplyPods("replicas", over, pods),
			CreatedLater: inOrder && i > 0 || len(part.readList("dependsOn")) > 0,
		})
		exclusive = exclusive || isExclusive(part.readObject("template.metadata.annotations"))
		r.adoptProblem(part)
	}
	if exclusive {
		s.Problem = "has annotation " + jobSetExclusive + ", with which JobSet creates most pods of a Job only when its first one runs, so that they cannot start together; " +
			"remove it, and ask for one domain per Job with the annotation muster.sh/slice-topology on the pods"
	}
}

func isExclusive(annotations map[string]any) bool {
	return annotations[jobSetExclusive] != nil && annotations[jobSetNodeSelector] == nil
}

// succeededJobs counts the Jobs of each replicated job that have done their
// work. They are not started again.
func succeededJobs(r *reader) map[string]int {
	ended := map[string]int{}
	for i, entry := range r.readList("status.replicatedJobsStatus") {
		part := r.readPart(fmt.Sprintf("status.replicatedJobsStatus[%d]", i), entry)
		ended[part.readText("name")] = part.readNumber("succeeded", 0)
		r.adoptProblem(part)
	}
	return ended
}
