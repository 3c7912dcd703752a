// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// finishedPage is how many finished pods are read at a time: a cluster may have
// thousands that are of no gang.
const finishedPage = 1000

// readFinished reads the finished members of the gangs of which pods live.
func (s *Snapshot) readFinished(ctx context.Context, c Clients) error {
	if groupOf := c.members(nil).GroupOf; !slices.ContainsFunc(s.Pods, func(pod *v1.Pod) bool { return groupOf(pod) != "" }) {
		return nil // there is no gang
	}
	var finished []*v1.Pod
	options := metav1.ListOptions{FieldSelector: kube.SelectFinished, Limit: finishedPage}
	for {
		page, err := c.Typed.CoreV1().Pods(metav1.NamespaceAll).List(ctx, options)
		if err != nil {
			return describeListError("pods", err)
		}
		var pods []*v1.Pod
		for i := range page.Items {
			pods = append(pods, &page.Items[i])
		}
		for _, pod := range c.members(s.Pods).FinishedMembers(pods) {
			finished = append(finished, StripPod(pod))
		}
		if options.Continue = page.Continue; options.Continue == "" {
			break
		}
	}
	s.addFinished(finished)
	return nil
}

// members are pods as those of gangs.
func (c Clients) members(pods []*v1.Pod) store.Objects {
	return store.Objects{Pods: pods, AutoNamespaces: c.AutoGangNamespaces}
}

// addFinished adds pods that have done their work. Those that were read before as
// pods that run have finished since.
func (s *Snapshot) addFinished(pods []*v1.Pod) {
	ended := map[types.UID]bool{}
	for _, pod := range pods {
		ended[pod.UID] = true
	}
	s.Pods = slices.DeleteFunc(s.Pods, func(pod *v1.Pod) bool { return ended[pod.UID] })
	s.Finished = append(s.Finished, pods...)
}

// stripEnded returns a copy of a pod that has ended with what its gang is told by:
// names, labels, owners, and when it lived.
func stripEnded(pod *v1.Pod) *v1.Pod {
	kept := &v1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: stripMeta(&pod.ObjectMeta),
		Spec:       v1.PodSpec{NodeName: pod.Spec.NodeName, SchedulerName: pod.Spec.SchedulerName, SchedulingGroup: pod.Spec.SchedulingGroup},
		Status:     v1.PodStatus{Phase: pod.Status.Phase},
	}
	if ended := kube.LifetimeOf(pod).Ended; !ended.IsZero() {
		kept.Status.ContainerStatuses = []v1.ContainerStatus{{
			State: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{FinishedAt: metav1.NewTime(ended)}},
		}}
	}
	return kept
}
