// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// roomVerdict says that room is being made for a gang that was promised nodes by
// preemption; nil if nothing is left to end there. The words are the scheduler's.
func (v *ClusterView) roomVerdict(g *Gang, now time.Time) *queue.Verdict {
	promised := map[string]bool{}
	for _, pod := range g.Waiting {
		promised[pod.Status.NominatedNodeName] = true
	}
	delete(promised, "")
	if len(promised) == 0 {
		return nil
	}
	var victims, others []queue.Victim
	for _, pod := range v.pods {
		if pod.Spec.NodeName == "" || kube.MemberStateOf(pod) != kube.MemberTerminating {
			continue
		}
		victim := v.victimOf(pod)
		switch {
		case !victim.IsExpected(now):
		case promised[pod.Spec.NodeName] && corev1helpers.PodPriority(pod) < g.queueKey().Priority:
			victims = append(victims, victim)
		case victim.Gang != "":
			victim.Beside = true
			others = append(others, victim)
		}
	}
	if len(victims) == 0 {
		return nil
	}
	victims = append(victims, matesAmong(others, victims)...)
	slices.SortFunc(victims, func(a, b queue.Victim) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return queue.RoomVerdict(g.Namespace, g.Name, victims)
}

// matesAmong returns those of other pods that end which are of a gang of the victims.
func matesAmong(others, victims []queue.Victim) []queue.Victim {
	return slices.DeleteFunc(others, func(o queue.Victim) bool {
		return !slices.ContainsFunc(victims, func(v queue.Victim) bool { return v.Namespace == o.Namespace && v.Gang == o.Gang })
	})
}

// victimOf is a pod that ends as the queue knows it.
func (v *ClusterView) victimOf(pod *v1.Pod) queue.Victim {
	victim := queue.Victim{Namespace: pod.Namespace, Name: pod.Name, Node: pod.Spec.NodeName, Until: pod.DeletionTimestamp.Time}
	if g := v.gangOf[pod.UID]; g != nil {
		victim.Gang = g.Name
	}
	return victim
}
