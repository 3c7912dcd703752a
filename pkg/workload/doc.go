// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package workload reads what workload controllers say of the pods that they
// create together: which object a pod belongs to (RefOf), and how many pods of
// which roles that object wants at once (Kind.ReadShape). It knows no client and no
// gang; package dialect makes gangs of it.
//
// A workload is read as its API documents it:
//
//   - Job: https://kubernetes.io/docs/concepts/workloads/controllers/job/
//   - StatefulSet: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
//   - JobSet: https://jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2/
//   - LeaderWorkerSet: https://lws.sigs.k8s.io/docs/reference/leaderworkerset.v1/
//   - Kubeflow v1 jobs: https://www.kubeflow.org/docs/components/trainer/legacy-v1/
//   - MPIJob v2beta1: https://github.com/kubeflow/mpi-operator
//   - RayCluster: https://docs.ray.io/en/latest/cluster/kubernetes/references.html
//
// A TrainJob of Kubeflow Trainer is read as the JobSet that stands for it, a
// RayJob and a RayService as their RayClusters, a CronJob as its Jobs.
package workload
