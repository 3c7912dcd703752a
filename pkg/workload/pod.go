// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"strconv"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Ref names the workload of a pod, as the pod alone tells it: it must be known
// before the workload itself is.
type Ref struct {
	Kind *Kind
	// Workload is the name of the object.
	Workload string
	// Part is the index of the pod's group, where each group of the workload
	// starts on its own (LeaderWorkerSet); "" elsewhere.
	Part string
	// Instance tells the workload from an earlier one of its name, whose pods may
	// still be ending: the beginning of its UID, or "" where pods do not tell.
	Instance string
	// Role is the pod's role, by the name that it has in Shape.Roles.
	Role string
}

// DisplayName is what users call the pods that start together, such as "job/train"
// or, of a LeaderWorkerSet, "leaderworkerset/serve-2".
func (r Ref) DisplayName() string {
	if r.Part == "" {
		return r.Kind.DisplayName() + "/" + r.Workload
	}
	return r.Kind.DisplayName() + "/" + r.Workload + "-" + r.Part
}

// RefOf finds the workload of a pod. It goes by the pod's controller; the labels
// that lead from there to a controller above are taken only if they agree with
// it, so that a label alone never joins strange pods. problem says why no
// workload was found.
func RefOf(pod *v1.Pod) (ref Ref, problem string) {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return Ref{}, "it has no controller"
	}
	kind := kindOf(owner.APIVersion, owner.Kind)
	if kind == nil {
		return Ref{}, "its controller is " + owner.Kind + " " + owner.Name
	}
	ref = Ref{Kind: kind, Workload: owner.Name, Instance: InstanceOf(owner.UID)}
	switch kind {
	case job:
		return jobOwner(pod, ref)
	case statefulSet:
		return statefulSetOwner(pod, ref)
	case mpiJob:
		ref.Instance = "" // the launcher's pod does not tell it
		ref.Role = pod.Labels[labelKubeflowRole]
		if kind := pod.Labels[labelReplicaType]; kind != "" {
			ref.Role = kind
		}
		return ref, checkLabel(pod, labelKubeflowJob, ref)
	case rayCluster:
		ref.Role = pod.Labels[labelRayGroup]
		return ref, checkLabel(pod, labelRayCluster, ref)
	default:
		ref.Role = pod.Labels[labelReplicaType]
		return ref, checkLabel(pod, labelKubeflowJob, ref)
	}
}

// InstanceOf is as much of a UID as tells two objects of one name apart.
func InstanceOf(uid types.UID) string {
	return string(uid[:min(len(uid), 8)])
}

// checkLabel compares a label that repeats the name of the controller.
func checkLabel(pod *v1.Pod, label string, ref Ref) string {
	name, ok := pod.Labels[label]
	if !ok || name == ref.Workload {
		return ""
	}
	return mismatchText(label, name, ref)
}

func mismatchText(label, value string, ref Ref) string {
	return fmt.Sprintf("its label %s says %s, but its controller is %s %s", label, strconv.QuoteToASCII(value), ref.Kind.Name, ref.Workload)
}

// jobOwner finds the controller above a Job: a JobSet, or the MPIJob whose
// launcher the Job is.
func jobOwner(pod *v1.Pod, ref Ref) (Ref, string) {
	if name, ok := pod.Labels[labelJobSet]; ok {
		role := pod.Labels[labelReplicatedJob]
		if ref.Workload != name+"-"+role+"-"+pod.Labels[labelJobIndex] {
			return Ref{}, mismatchText(labelJobSet, name, ref)
		}
		return Ref{Kind: jobSet, Workload: name, Role: role, Instance: InstanceOf(types.UID(pod.Labels[labelJobSetUID]))}, ""
	}
	if name, ok := pod.Labels[labelKubeflowJob]; ok && pod.Labels[labelKubeflowOperator] == mpiOperator {
		if ref.Workload != name+"-"+launcher {
			return Ref{}, mismatchText(labelKubeflowJob, name, ref)
		}
		return Ref{Kind: mpiJob, Workload: name, Role: launcher}, ""
	}
	return ref, ""
}

// statefulSetOwner finds the LeaderWorkerSet above a StatefulSet. Its leaders are
// in one that has its name, the workers of each group in one that has the name
// of their leader.
func statefulSetOwner(pod *v1.Pod, ref Ref) (Ref, string) {
	name, ok := pod.Labels[labelLWS]
	if !ok {
		return ref, ""
	}
	group, worker := pod.Labels[labelLWSGroup], pod.Labels[labelLWSWorker]
	if n, err := strconv.Atoi(group); err != nil || n < 0 || strconv.Itoa(n) != group {
		return Ref{}, fmt.Sprintf("its label %s says %s, which is no index", labelLWSGroup, strconv.QuoteToASCII(group))
	}
	lws := Ref{Kind: leaderWorkerSet, Workload: name, Part: group, Role: lwsWorkers}
	holder := name + "-" + group
	if worker == "0" {
		lws.Role, holder = lwsLeader, name
	}
	if ref.Workload != holder {
		return Ref{}, mismatchText(labelLWS, name, ref)
	}
	return lws, ""
}
