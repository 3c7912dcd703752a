// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Kind is a kind of workload that is understood.
type Kind struct {
	// Name is the kind as its API spells it, such as "JobSet".
	Name string
	// Group, Versions and Resource say where it is served. The versions are
	// those that can be read, the preferred one first.
	Group    string
	Versions []string
	Resource string

	read func(*reader, *Shape)
}

// Word is what messages put before the name of a workload: "job" in "job/train".
func (k *Kind) Word() string { return strings.ToLower(k.Name) }

// Served lists the kind's resources, the preferred one first.
func (k *Kind) Served() []schema.GroupVersionResource {
	all := make([]schema.GroupVersionResource, len(k.Versions))
	for i, version := range k.Versions {
		all[i] = schema.GroupVersionResource{Group: k.Group, Version: version, Resource: k.Resource}
	}
	return all
}

// Read reads a workload of this kind as it came from the API server, where any
// field may hold anything.
func (k *Kind) Read(u *unstructured.Unstructured) Shape {
	s := Shape{}
	r := &reader{object: u.Object}
	k.read(r, &s)
	if r.problem != "" {
		s.Problem = r.problem
	}
	return s
}

// The kinds.
var (
	job = &Kind{
		Name: "Job", Group: "batch", Versions: []string{"v1"}, Resource: "jobs", read: readJob,
	}
	statefulSet = &Kind{
		Name: "StatefulSet", Group: "apps", Versions: []string{"v1"}, Resource: "statefulsets", read: readStatefulSet,
	}
	jobSet = &Kind{
		Name: "JobSet", Group: "jobset.x-k8s.io", Versions: []string{"v1alpha2"}, Resource: "jobsets", read: readJobSet,
	}
	leaderWorkerSet = &Kind{
		Name: "LeaderWorkerSet", Group: "leaderworkerset.x-k8s.io", Versions: []string{"v1"}, Resource: "leaderworkersets", read: readLeaderWorkerSet,
	}
	mpiJob = &Kind{
		Name: "MPIJob", Group: kubeflowGroup, Versions: []string{"v2beta1", "v1"}, Resource: "mpijobs", read: replicaSpecs("mpiReplicaSpecs"),
	}
	rayCluster = &Kind{
		Name: "RayCluster", Group: "ray.io", Versions: []string{"v1"}, Resource: "rayclusters", read: readRayCluster,
	}
	kinds = []*Kind{
		job, jobSet, leaderWorkerSet, statefulSet, mpiJob, rayCluster,
		kubeflow("PyTorchJob", "pytorchReplicaSpecs"),
		kubeflow("TFJob", "tfReplicaSpecs"),
		kubeflow("XGBoostJob", "xgbReplicaSpecs"),
		kubeflow("PaddleJob", "paddleReplicaSpecs"),
		kubeflow("JAXJob", "jaxReplicaSpecs"),
		kubeflow("MXJob", "mxReplicaSpecs"),
	}
)

const kubeflowGroup = "kubeflow.org"

// kubeflow is a job of the Kubeflow Training Operator.
func kubeflow(name, field string) *Kind {
	return &Kind{
		Name: name, Group: kubeflowGroup, Versions: []string{"v1"},
		Resource: strings.ToLower(name) + "s", read: replicaSpecs(field),
	}
}

// Kinds lists the kinds of workload that are understood.
func Kinds() []*Kind { return kinds }

// Supported lists them for a sentence.
const Supported = "Job, JobSet (also of a TrainJob), LeaderWorkerSet, StatefulSet, MPIJob, RayCluster (also of a RayJob), PyTorchJob, TFJob, XGBoostJob, PaddleJob, JAXJob and MXJob"

// kindOf finds the kind of an owner, in any of its versions.
func kindOf(apiVersion, name string) *Kind {
	version, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil
	}
	for _, k := range kinds {
		if k.Group == version.Group && k.Name == name {
			return k
		}
	}
	return nil
}
