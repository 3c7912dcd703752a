// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"maps"
	"slices"
	"strings"
)

// What the Kubeflow Training Operator and the MPI Operator write on pods.
const (
	labelKubeflowJob      = "training.kubeflow.org/job-name"
	labelKubeflowOperator = "training.kubeflow.org/operator-name"
	labelReplicaType      = "training.kubeflow.org/replica-type"
	labelReplicaIndex     = "training.kubeflow.org/replica-index"
	labelKubeflowRole     = "training.kubeflow.org/job-role"
	mpiOperator           = "mpi-operator"

	launcher = "launcher"
	worker   = "worker"
)

// readReplicaSpecs reads a Kubeflow job: each replica type is a role.
func readReplicaSpecs(field string) func(*reader, *Shape) {
	return func(r *reader, s *Shape) {
		specs := r.readObject("spec." + field)
		label := labelReplicaType
		if r.readText("apiVersion") == kubeflowGroup+"/v2beta1" {
			label = labelKubeflowRole
		}
		for _, kind := range slices.Sorted(maps.Keys(specs)) {
			part := r.readPart("spec."+field+"."+kind, specs[kind])
			replicas := part.readNumber("replicas", 1)
			r.adoptProblem(part)
			// Its pods that have ended well are not started again.
			ended := min(r.readNumber("status.replicaStatuses."+kind+".succeeded", 0), replicas)
			name := strings.ToLower(kind)
			s.addRole(Role{Name: name, Label: label, Value: name, Replicas: replicas - ended, Ended: ended})
		}
		for i := range s.Roles {
			role := &s.Roles[i]
			switch role.Name {
			case worker:
				if least, ok := r.readOptional("spec.elasticPolicy.minReplicas"); ok {
					role.MinCount = min(role.MinCount, least)
				}
			case launcher:
				role.CreatedLater = r.readText("spec.launcherCreationPolicy") == "WaitForWorkersReady"
				role.NearRole = worker
			}
		}
		s.MinCount = r.readNumber("spec.runPolicy.schedulingPolicy.minAvailable", 0)
	}
}
