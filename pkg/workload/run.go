// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"cmp"
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Run names a workload that comes to its end by itself, within a namespace. The zero
// value stands for none.
type Run struct {
	Kind *Kind
	// Workload is the name of the object, Instance tells it from an earlier one of
	// its name as Ref.Instance does.
	Workload, Instance string
}

// RunOf returns the run that a pod belongs to.
func RunOf(pod *v1.Pod) Run {
	ref, problem := RefOf(pod)
	if problem != "" || !ref.Kind.EndsByItself {
		return Run{}
	}
	return Run{ref.Kind, ref.Workload, ref.Instance}
}

// Compare puts the runs of one kind in an order.
func (r Run) Compare(o Run) int {
	return cmp.Or(cmp.Compare(r.Workload, o.Workload), cmp.Compare(r.Instance, o.Instance))
}

// DisplayName is what sentences call the run, such as "Job nightly".
func (r Run) DisplayName() string { return r.Kind.Name + " " + r.Workload }

// ControllersOfRuns returns the controllers of the pods that belong to runs, in order,
// if there are several runs; nil if not.
func ControllersOfRuns(pods []*v1.Pod) []types.UID {
	byUID := map[types.UID]*v1.Pod{}
	for _, pod := range pods {
		if owner := metav1.GetControllerOfNoCopy(pod); owner != nil && byUID[owner.UID] == nil {
			byUID[owner.UID] = pod
		}
	}
	if len(byUID) < 2 {
		return nil
	}
	var controllers []types.UID
	runs := map[Run]bool{}
	for uid, pod := range byUID {
		if run := RunOf(pod); run != (Run{}) {
			runs[run] = true
			controllers = append(controllers, uid)
		}
	}
	if len(runs) < 2 {
		return nil
	}
	slices.Sort(controllers)
	return controllers
}
