// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// MemberState is what a pod counts as in its gang. docs/lifecycle.md has the table.
type MemberState string

const (
	// MemberWaiting pods have no node and may be scheduled.
	MemberWaiting MemberState = "waiting"
	// MemberGated pods may not be scheduled before their gates are removed.
	MemberGated MemberState = "gated"
	// MemberBound pods have a node, also one that is lost: they are members until
	// somebody deletes them or they end.
	MemberBound MemberState = "bound"
	// MemberTerminating pods hold the room on their node and are no members.
	MemberTerminating MemberState = "terminating"
	// MemberFinished pods have done their work: it is not waited for.
	MemberFinished MemberState = "finished"
	// MemberFailed pods are no members; who replaces them is.
	MemberFailed MemberState = "failed"
)

// Field selectors of the pods that have done their work, of those that have failed,
// and of those that have not ended.
const (
	SelectFinished = "status.phase=" + string(v1.PodSucceeded)
	SelectFailed   = "status.phase=" + string(v1.PodFailed)
	SelectNotEnded = "status.phase!=" + string(v1.PodSucceeded) + ",status.phase!=" + string(v1.PodFailed)
)

// IsMember reports whether pods in the state count towards those that start
// together, now or once their gates are removed.
func (s MemberState) IsMember() bool {
	return s == MemberWaiting || s == MemberGated || s == MemberBound
}

// HasEnded reports whether pods in the state have ended: they hold no room.
func (s MemberState) HasEnded() bool { return s == MemberFinished || s == MemberFailed }

// MemberStateOf returns what a pod counts as in its gang.
func MemberStateOf(pod *v1.Pod) MemberState {
	switch {
	case pod.Status.Phase == v1.PodSucceeded && pod.Spec.NodeName != "":
		return MemberFinished
	case pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed:
		return MemberFailed
	case pod.DeletionTimestamp != nil:
		return MemberTerminating
	case pod.Spec.NodeName != "":
		return MemberBound
	case IsGated(pod):
		return MemberGated
	}
	return MemberWaiting
}

// IsMember reports whether a pod counts towards those of its gang that start together,
// now or once its gates are removed.
func IsMember(pod *v1.Pod) bool { return MemberStateOf(pod).IsMember() }

// MembersAmong returns those of the pods that count as members of their gang.
func MembersAmong(pods []*v1.Pod) []*v1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(pod *v1.Pod) bool { return !IsMember(pod) })
}

// StartedWith returns the number of pods that had to start together when Muster bound
// the pod, 0 where it does not say so. It is in what the pod is bound with: a process
// that begins later knows what the gang runs with.
func StartedWith(pod *v1.Pod) int {
	if MemberStateOf(pod) != MemberBound {
		return 0
	}
	n, err := ParseMinCount(pod.Annotations[AnnotationStartedWith])
	if err != nil {
		return 0
	}
	return n
}

// LastChange returns when the members of a gang last changed, as far as its pods that
// are there say by the API server's clock: when one was created, bound, or told to end.
func LastChange(lists ...[]*v1.Pod) time.Time {
	var last time.Time
	for _, pods := range lists {
		for _, pod := range pods {
			if at := lastChangeOf(pod); at.After(last) {
				last = at
			}
		}
	}
	return last
}

func lastChangeOf(pod *v1.Pod) time.Time {
	switch MemberStateOf(pod) {
	case MemberTerminating:
		grace := time.Duration(ptr.Deref(pod.DeletionGracePeriodSeconds, 0)) * time.Second
		return pod.DeletionTimestamp.Add(-grace)
	case MemberBound:
		for i := range pod.Status.Conditions {
			if c := &pod.Status.Conditions[i]; c.Type == v1.PodScheduled && c.Status == v1.ConditionTrue {
				return c.LastTransitionTime.Time
			}
		}
	case MemberWaiting, MemberGated, MemberFinished, MemberFailed:
	}
	return pod.CreationTimestamp.Time
}

// IsGated reports whether scheduling gates keep a pod without a node from being
// scheduled.
func IsGated(pod *v1.Pod) bool {
	return pod.Spec.NodeName == "" && len(pod.Spec.SchedulingGates) > 0
}

// GatesOf returns the names of the gates that keep a pod from being scheduled.
func GatesOf(pod *v1.Pod) []string {
	if MemberStateOf(pod) != MemberGated {
		return nil
	}
	var names []string
	for _, gate := range pod.Spec.SchedulingGates {
		names = append(names, gate.Name)
	}
	return names
}

// Revision tells the pods that one workload created from one version of its
// template from those of another.
type Revision struct {
	// Of is the workload, "" where the pod tells of no revisions, and Hash the
	// version.
	Of, Hash string
}

// RevisionOf reads the revision of a pod that a ReplicaSet, a LeaderWorkerSet, or a
// controller with revisions of its own (a StatefulSet) created.
func RevisionOf(pod *v1.Pod) Revision {
	if name, hash := pod.Labels[labelLWSName], pod.Labels[labelLWSRevision]; name != "" && hash != "" {
		return Revision{"LeaderWorkerSet/" + name, hash}
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return Revision{}
	}
	hash := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	if deployment, ok := strings.CutSuffix(owner.Name, "-"+hash); ok && hash != "" && owner.Kind == "ReplicaSet" {
		return Revision{"Deployment/" + deployment, hash}
	}
	if hash := pod.Labels[appsv1.ControllerRevisionHashLabelKey]; hash != "" {
		return Revision{string(owner.UID), hash}
	}
	return Revision{}
}

// The labels of a LeaderWorkerSet's pods that tell its revisions. Source:
// kubernetes-sigs/lws, api/leaderworkerset/v1, v0.7.
const (
	labelLWSName     = "leaderworkerset.sigs.k8s.io/name"
	labelLWSRevision = "leaderworkerset.sigs.k8s.io/template-revision-hash"
)

// NeededMembers returns how many members must have a node together, of a gang
// that declares a minimum and of which some have finished. At least one is
// needed: who comes after all have finished starts alone.
func NeededMembers(minCount, finished int) int { return max(minCount-max(finished, 0), 1) }

// Lifetime is when a pod lived, and who created it.
type Lifetime struct {
	// Controller is the UID of the pod's controller, "" for a bare pod.
	Controller types.UID
	Created    time.Time
	// Ended is zero for a pod that lives, and where it is not known.
	Ended time.Time
}

// LifetimeOf reads the lifetime of a pod. The end is the last one of its
// containers, or the last change of its conditions where those do not say.
func LifetimeOf(pod *v1.Pod) Lifetime {
	life := Lifetime{Created: pod.CreationTimestamp.Time}
	if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
		life.Controller = owner.UID
	}
	if !MemberStateOf(pod).HasEnded() {
		return life
	}
	for i := range pod.Status.ContainerStatuses {
		if end := pod.Status.ContainerStatuses[i].State.Terminated; end != nil && end.FinishedAt.After(life.Ended) {
			life.Ended = end.FinishedAt.Time
		}
	}
	if !life.Ended.IsZero() {
		return life
	}
	for i := range pod.Status.Conditions {
		if at := pod.Status.Conditions[i].LastTransitionTime; at.After(life.Ended) {
			life.Ended = at.Time
		}
	}
	return life
}

// FinishedInRun returns the indexes of the finished pods whose work counts for the
// gang that the living pods make up now, in order. Those of an earlier run under
// the gang's name do not: a pod counts if a living one has the same controller,
// or if it had not ended when a pod was created that lives or counts.
func FinishedInRun(living, finished []Lifetime) []int {
	if len(living) == 0 || len(finished) == 0 {
		return nil
	}
	controllers := map[types.UID]bool{}
	began := living[0].Created
	for _, life := range living {
		if life.Controller != "" {
			controllers[life.Controller] = true
		}
		if life.Created.Before(began) {
			began = life.Created
		}
	}
	order := make([]int, len(finished))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return finished[b].Ended.Compare(finished[a].Ended) })
	var counted []int
	for _, i := range order {
		life := finished[i]
		overlaps := life.Ended.After(began)
		if overlaps && life.Created.Before(began) {
			began = life.Created
		}
		if overlaps || controllers[life.Controller] {
			counted = append(counted, i)
		}
	}
	slices.Sort(counted)
	return counted
}
