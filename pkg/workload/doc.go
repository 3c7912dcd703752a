// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package workload reads what workload controllers say of the pods that they
// create together: which object a pod belongs to (RefOf), how many pods of which
// roles that object wants at once (Kind.ReadShape), and what pods a new one brings
// about (Kind.LayOut). All that is known of a controller is one row of one table
// (table.go). It knows no client and no gang; package dialect makes gangs of it.
//
// A workload is read as its API documents it:
//
//   - Job: https://kubernetes.io/docs/concepts/workloads/controllers/job/
//   - StatefulSet: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
//   - JobSet: https://jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2/
//   - LeaderWorkerSet: https://lws.sigs.k8s.io/docs/reference/leaderworkerset.v1/
//   - Kubeflow v1 jobs: https://www.kubeflow.org/docs/components/trainer/legacy-v1/
//   - MPIJob v2beta1: https://github.com/kubeflow/mpi-operator
//   - TrainJob: https://www.kubeflow.org/docs/components/trainer/
//   - RayCluster, RayJob, RayService: https://docs.ray.io/en/latest/cluster/kubernetes/references.html
//   - SparkApplication: https://www.kubeflow.org/docs/components/spark-operator/
//   - Volcano's Job: https://volcano.sh/en/docs/vcjob/
//   - Workflow: https://argo-workflows.readthedocs.io/en/latest/fields/
//
// A CronJob is read as its Jobs.
package workload
