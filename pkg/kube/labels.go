// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import "github.com/muster-scheduler/muster/pkg/gpu"

// What users write on pods and on group objects.
const (
	// LabelGang names the gang of a pod that has no group object.
	LabelGang = "muster.sh/gang"
	// GangAuto in its place makes a gang of the pods that one workload, such as
	// a Job, creates together.
	GangAuto = "auto"
	// AnnotationMinCount is the number of pods of such a gang that start
	// together, in plain decimal digits.
	AnnotationMinCount = "muster.sh/min-count"
	// AnnotationTopologyRequired names the level whose one domain must hold
	// the gang: a level of the ladder, or the node label key of one.
	AnnotationTopologyRequired = "muster.sh/topology-required"
	// AnnotationTopologyPreferred names the level whose one domain should.
	AnnotationTopologyPreferred = "muster.sh/topology-preferred"
	// AnnotationSliceSize is the number of members in a slice, such as "16". Of
	// slices inside slices it lists the sizes, the largest first: "16,4".
	AnnotationSliceSize = "muster.sh/slice-size"
	// AnnotationSliceTopology names the level whose one domain must hold a
	// slice, AnnotationSliceTopologyPreferred the level whose one domain should.
	// Of slices inside slices each lists levels: "rack,clique". The largest size
	// belongs to the widest level of both lists, and so on.
	AnnotationSliceTopology          = "muster.sh/slice-topology"
	AnnotationSliceTopologyPreferred = "muster.sh/slice-topology-preferred"
	// AnnotationGPUModels is the ordered choice of GPU models, such as
	// "H100,A100". The whole gang gets one of them.
	AnnotationGPUModels = "muster.sh/gpu-models"
	// AnnotationGPUMemory is the least memory of each GPU, such as ">=80Gi".
	AnnotationGPUMemory = "muster.sh/gpu-memory"
	// AnnotationRoles says what parts of the gang ask for: see Role.
	AnnotationRoles = "muster.sh/roles"
	// AnnotationStartedWith is what the scheduler itself writes on a member when it
	// binds it: the number of pods that had to start together then.
	AnnotationStartedWith = "muster.sh/started-with"

	// LabelPodGroup names the scheduling.x-k8s.io PodGroup of a pod, as the
	// coscheduling plugin of kubernetes-sigs/scheduler-plugins reads it.
	LabelPodGroup = "scheduling.x-k8s.io/pod-group"
	// LabelPodGroupOld is the older spelling of LabelPodGroup.
	LabelPodGroupOld = "pod-group.scheduling.sigs.k8s.io"
)

// What GPU Feature Discovery writes on nodes.
const (
	// LabelGPUProduct is the GPU model, such as "NVIDIA-H100-80GB-HBM3".
	LabelGPUProduct = gpu.ProductLabel
)

// Dialect is a way to declare a gang.
type Dialect string

// The dialects.
const (
	// DialectLabel: LabelGang and annotations on the pods, and no object.
	DialectLabel Dialect = "label"
	// DialectCRD: a scheduling.x-k8s.io/v1alpha1 PodGroup.
	DialectCRD Dialect = "crd"
	// DialectAuto: LabelGang with the value GangAuto; the pods' controller says
	// how many they are.
	DialectAuto Dialect = "auto"
	// DialectNative: a scheduling.k8s.io/v1beta1 PodGroup.
	DialectNative Dialect = "native"
	// DialectComposite: a scheduling.k8s.io CompositePodGroup, whose PodGroups
	// start together.
	DialectComposite Dialect = "composite"
	// DialectConflict: a pod whose own markers contradict one another. It is
	// a group of its own, and never scheduled.
	DialectConflict Dialect = "conflict"
)

// GangAnnotations are the annotations that describe a gang as a whole, so that
// its members must agree on them.
func GangAnnotations() []string {
	return []string{
		AnnotationMinCount,
		AnnotationTopologyRequired, AnnotationTopologyPreferred,
		AnnotationSliceSize, AnnotationSliceTopology, AnnotationSliceTopologyPreferred,
		AnnotationGPUModels, AnnotationGPUMemory,
		AnnotationRoles,
	}
}

// SliceAnnotations are those of them that describe slices.
func SliceAnnotations() []string {
	return []string{AnnotationSliceSize, AnnotationSliceTopology, AnnotationSliceTopologyPreferred}
}

// Reason is the stable name of why a gang is not running.
type Reason string

// The reasons that users meet in conditions, events and metrics.
const (
	// InvalidGangSpec: a key or field of the gang cannot be read.
	InvalidGangSpec Reason = "InvalidGangSpec"
	// GangConfigConflict: the members, or the markers of one pod, disagree.
	GangConfigConflict Reason = "GangConfigConflict"
	// InvalidMIGProfile: no GPU can be cut into the MIG profile asked for.
	InvalidMIGProfile Reason = "InvalidMIGProfile"
	// GangIncomplete: members are still to be created.
	GangIncomplete Reason = "GangIncomplete"
	// SchedulingGated: scheduling gates leave fewer members than must start together.
	SchedulingGated Reason = "SchedulingGated"
	// GangNotFound: the group object that the pods name does not exist.
	GangNotFound Reason = "GangNotFound"
	// GangAPIUnavailable: the API server does not serve the group's kind.
	GangAPIUnavailable Reason = "GangAPIUnavailable"
	// PriorityMismatch: members, or members and group, differ in priority.
	PriorityMismatch Reason = "PriorityMismatch"
	// TopologyUnknownLevel: no level has the name or key that was written.
	TopologyUnknownLevel Reason = "TopologyUnknownLevel"
	// TopologyLevelUnused: no usable node carries the level.
	TopologyLevelUnused Reason = "TopologyLevelUnused"
	// TopologyDrift: bound members no longer share the required domain.
	TopologyDrift Reason = "TopologyDrift"
	// NoFittingDomain: no domain has room now.
	NoFittingDomain Reason = "NoFittingDomain"
	// RoomBeingMade: it preempted others, and they have not ended yet.
	RoomBeingMade Reason = "RoomBeingMade"
	// GangTooLarge: no domain could hold the gang even if it were empty.
	GangTooLarge Reason = "GangTooLarge"
	// GangTooComplex: the steps that one plan may take do not suffice for the gang.
	GangTooComplex Reason = "GangTooComplex"
	// PlansTooCostly: the gangs of the namespace have had their share of the loop.
	PlansTooCostly Reason = "PlansTooCostly"
	// PartialGang: fewer members than the minimum are bound, and the rest
	// find no room.
	PartialGang Reason = "PartialGang"
	// BindDenied: the API server refuses to bind a member.
	BindDenied Reason = "BindDenied"
)
