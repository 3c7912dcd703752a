// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
	nobody := "its controller is " + owner.Kind + " " + owner.Name
	version, err := schema.ParseGroupVersion(owner.APIVersion)
	if err != nil {
		return Ref{}, nobody
	}
	for _, k := range controllers {
		if l := k.linkOf(version.Group, owner.Kind, pod.Labels); l != nil {
			return k.follow(l, owner, pod.Labels)
		}
	}
	kind := findIn(version.Group, owner.Kind)
	switch {
	case kind == nil:
		return Ref{}, nobody
	case !kind.IsGang():
		return Ref{}, strings.TrimSuffix(nobody+", "+kind.Advice, ", ")
	}
	if name, ok := pod.Labels[kind.nameLabel]; ok && name != owner.Name {
		return Ref{}, mismatchText(kind.nameLabel, name, owner)
	}
	ref = Ref{Kind: kind, Workload: owner.Name, Role: kind.roleOf(pod.Labels)}
	if !kind.sharesName {
		ref.Instance = InstanceOf(owner.UID)
	}
	return ref, ""
}

// InstanceOf is as much of a UID as tells two objects of one name apart.
func InstanceOf(uid types.UID) string {
	return string(uid[:min(len(uid), 8)])
}

func mismatchText(label, value string, owner *metav1.OwnerReference) string {
	return fmt.Sprintf("its label %s says %s, but its controller is %s %s", label, strconv.QuoteToASCII(value), owner.Kind, owner.Name)
}
