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
	labelKubeflowRole     = "training.kubeflow.org/job-role"
	mpiOperator           = "mpi-operator"

	launcher = "launcher"
	worker   = "worker"
)

// replicaSpecs reads a Kubeflow job: each replica type is a role.
func replicaSpecs(field string) func(*reader, *Shape) {
	return func(r *reader, s *Shape) {
		specs := r.fields("spec." + field)
		label := labelReplicaType
		if r.text("apiVersion") == kubeflowGroup+"/v2beta1" {
			label = labelKubeflowRole
		}
		for _, kind := range slices.Sorted(maps.Keys(specs)) {
			part := r.in("spec."+field+"."+kind, specs[kind])
			replicas := part.number("replicas", 1)
			r.done(part)
			// Its pods that have ended well are not started again.
			replicas = max(replicas-r.number("status.replicaStatuses."+kind+".succeeded", 0), 0)
			name := strings.ToLower(kind)
			s.add(Role{Name: name, Label: label, Value: name, Replicas: replicas})
		}
		for i := range s.Roles {
			role := &s.Roles[i]
			switch role.Name {
			case worker:
				if least, ok := r.optional("spec.elasticPolicy.minReplicas"); ok {
					role.Min = min(role.Min, least)
				}
			case launcher:
				role.Later = r.text("spec.launcherCreationPolicy") == "WaitForWorkersReady"
				role.Beside = worker
			}
		}
		s.MinCount = r.number("spec.runPolicy.schedulingPolicy.minAvailable", 0)
	}
}
