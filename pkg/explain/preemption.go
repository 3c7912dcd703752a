// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/preemption"
)

// Preemption is who would make way for a gang.
type Preemption struct {
	Victims []PreemptedWorkload `json:"victims,omitempty"`
	// Pods is the number of pods that would end.
	Pods int `json:"pods"`
	// Why is set, and Victims empty, where nobody makes way.
	Why string `json:"why,omitempty"`
}

// PreemptedWorkload is a gang, or a pod by itself, that would make way.
type PreemptedWorkload struct {
	// Name is namespace/name.
	Name string `json:"name"`
	Gang bool   `json:"gang,omitempty"`
	Pods int    `json:"pods"`
	// Whole says that nothing is left of it.
	Whole      bool  `json:"whole"`
	Priority   int32 `json:"priority"`
	GPUSeconds int64 `json:"gpuSeconds"`
}

// preemption returns who would make way for the gang as it is, by the rules of the
// scheduler but for disruption budgets, which the view does not have. nil where no
// pod of lower priority runs, or where the choice is left to kube-scheduler.
func (x *explainer) preemption(now time.Time) *Preemption {
	v, priority := x.view, x.gang.queueKey().Priority
	if !x.members.LacksOnlyRoom() || !v.cluster.HasPodsBelow(priority) {
		return nil
	}
	if kube.NeverPreempts(x.gang.Waiting) {
		return &Preemption{Why: "its PriorityClass says preemptionPolicy: Never"}
	}
	candidates := v.cluster.PreemptionCandidates(&kube.PreemptionRules{
		Priority: priority, Now: now, GroupName: v.groupName, GroupOf: v.runningGroup, IsBound: func(*v1.Pod) bool { return true },
	})
	usage := v.cluster.Usage().Clone()
	answer := preemption.ChooseVictims(placement.NewPlanner(usage), &preemption.Problem{
		Usage: usage, Gang: &x.members.Gang, Priority: priority, Workloads: candidates.Workloads,
	})
	if answer.Plan.Refusal != nil {
		return &Preemption{Why: answer.Summary()}
	}
	out := &Preemption{Pods: answer.Price.Pods}
	for _, victim := range answer.Victims {
		out.Victims = append(out.Victims, v.describeVictim(candidates, victim))
	}
	return out
}

// describeVictim returns what would make way, by the name that users know it by.
func (v *ClusterView) describeVictim(candidates *kube.PreemptionCandidates, victim preemption.Victim) PreemptedWorkload {
	w := &candidates.Workloads[victim.Workload]
	one := PreemptedWorkload{Name: w.Name, Gang: w.Gang, Pods: len(victim.Pods), Whole: victim.Whole, Priority: w.Priority}
	for _, pod := range victim.Pods {
		one.GPUSeconds += w.Pods[pod].Work
	}
	if w.Gang {
		one.Name = v.gangOf[candidates.Pods[victim.Workload][0].UID].Key()
	}
	return one
}

// groupName is the name of the group of a pod with a node, "" for a single pod.
func (v *ClusterView) groupName(pod *v1.Pod) string {
	if g := v.gangOf[pod.UID]; g != nil {
		return g.Group.Name
	}
	return ""
}

// runningGroup reads what preemption has to know of a gang.
func (v *ClusterView) runningGroup(namespace, name string) (kube.RunningGroup, bool) {
	at := slices.IndexFunc(v.Gangs, func(g *Gang) bool { return g.Namespace == namespace && g.Group.Name == name })
	if at < 0 {
		return kube.RunningGroup{}, false
	}
	return kube.RunningGroupOf(v.Gangs[at].Group, v.Gangs[at].Declaration)
}
