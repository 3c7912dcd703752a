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
	// EndsByItself says that a workload of this kind is a run that comes to its end,
	// and not a service.
	EndsByItself bool

	readShape func(*reader, *Shape)
}

// DisplayName is what messages put before the name of a workload: "job" in "job/train".
func (k *Kind) DisplayName() string { return strings.ToLower(k.Name) }

// ServedResources lists the kind's resources, the preferred one first.
func (k *Kind) ServedResources() []schema.GroupVersionResource {
	all := make([]schema.GroupVersionResource, len(k.Versions))
	for i, version := range k.Versions {
		all[i] = schema.GroupVersionResource{Group: k.Group, Version: version, Resource: k.Resource}
	}
	return all
}

// ReadShape reads a workload of this kind as it came from the API server, where any
// field may hold anything.
func (k *Kind) ReadShape(u *unstructured.Unstructured) Shape {
	s := Shape{}
	r := &reader{object: u.Object}
	k.readShape(r, &s)
	if r.problem != "" {
		s.Problem = r.problem
	}
	return s
}

// The kinds.
var (
	job = &Kind{
		Name: "Job", Group: "batch", Versions: []string{"v1"}, Resource: "jobs", EndsByItself: true, readShape: readJob,
	}
	statefulSet = &Kind{
		Name: "StatefulSet", Group: "apps", Versions: []string{"v1"}, Resource: "statefulsets", readShape: readStatefulSet,
	}
	jobSet = &Kind{
		Name: "JobSet", Group: "jobset.x-k8s.io", Versions: []string{"v1alpha2"}, Resource: "jobsets", EndsByItself: true, readShape: readJobSet,
	}
	leaderWorkerSet = &Kind{
		Name: "LeaderWorkerSet", Group: "leaderworkerset.x-k8s.io", Versions: []string{"v1"}, Resource: "leaderworkersets", readShape: readLeaderWorkerSet,
	}
	mpiJob = &Kind{
		Name: "MPIJob", Group: kubeflowGroup, Versions: []string{"v2beta1", "v1"}, Resource: "mpijobs", EndsByItself: true, readShape: readReplicaSpecs("mpiReplicaSpecs"),
	}
	rayCluster = &Kind{
		Name: "RayCluster", Group: "ray.io", Versions: []string{"v1"}, Resource: "rayclusters", readShape: readRayCluster,
	}
	supportedKinds = []*Kind{
		job, jobSet, leaderWorkerSet, statefulSet, mpiJob, rayCluster,
		kubeflowKind("PyTorchJob", "pytorchReplicaSpecs"),
		kubeflowKind("TFJob", "tfReplicaSpecs"),
		kubeflowKind("XGBoostJob", "xgbReplicaSpecs"),
		kubeflowKind("PaddleJob", "paddleReplicaSpecs"),
		kubeflowKind("JAXJob", "jaxReplicaSpecs"),
		kubeflowKind("MXJob", "mxReplicaSpecs"),
	}
)

const kubeflowGroup = "kubeflow.org"

// kubeflowKind is a job of the Kubeflow Training Operator.
func kubeflowKind(name, field string) *Kind {
	return &Kind{
		Name: name, Group: kubeflowGroup, Versions: []string{"v1"},
		Resource: strings.ToLower(name) + "s", EndsByItself: true, readShape: readReplicaSpecs(field),
	}
}

// SupportedKinds lists the kinds of workload that are understood.
func SupportedKinds() []*Kind { return supportedKinds }

// SupportedText lists them for a sentence.
const SupportedText = "Job, JobSet (also of a TrainJob), LeaderWorkerSet, StatefulSet, MPIJob, RayCluster (also of a RayJob), PyTorchJob, TFJob, XGBoostJob, PaddleJob, JAXJob and MXJob"

// kindOf finds the kind of an owner, in any of its versions.
func kindOf(apiVersion, name string) *Kind {
	version, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil
	}
	for _, k := range supportedKinds {
		if k.Group == version.Group && k.Name == name {
			return k
		}
	}
	return nil
}
