// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ControllersOf returns the controllers of some pods of one namespace, by kind and
// name, at most so many: the workload above, such as a JobSet, where the labels of a
// pod agree with its controller and tell its UID, else the controller itself. Pods without one are
// left out.
func ControllersOf(pods []*v1.Pod, most int) []*v1.ObjectReference {
	byUID := map[types.UID]*v1.ObjectReference{}
	for _, pod := range pods {
		if controller := controllerOf(pod); controller != nil {
			byUID[controller.UID] = controller
		}
	}
	controllers := slices.SortedFunc(maps.Values(byUID), func(a, b *v1.ObjectReference) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	return controllers[:min(len(controllers), most)]
}

func controllerOf(pod *v1.Pod) *v1.ObjectReference {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return nil
	}
	controller := &v1.ObjectReference{APIVersion: owner.APIVersion, Kind: owner.Kind, Namespace: pod.Namespace, Name: owner.Name, UID: owner.UID}
	ref, problem := RefOf(pod)
	if problem != "" || ref.Kind.uidLabel == "" {
		return controller
	}
	if uid := types.UID(pod.Labels[ref.Kind.uidLabel]); uid != "" {
		controller.APIVersion, controller.Kind = ref.Kind.ServedResources()[0].GroupVersion().String(), ref.Kind.Name
		controller.Name, controller.UID = ref.Workload, uid
	}
	return controller
}
