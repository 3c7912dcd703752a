// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package preemption

import (
	"fmt"
	"slices"

	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Check returns an error for the first rule that an answer breaks, or nil: those of
// CheckRules, and that nothing was given up that was not needed. It shares no code
// with the search, and costs a plan for each victim.
func Check(p *Problem, a Answer) error {
	if err := CheckRules(p, a); err != nil || len(a.Victims) == 0 {
		return err
	}
	return checkNeeded(p, a)
}

// CheckRules returns an error for the first rule that an answer breaks, or nil: only
// workloads make way that may; a gang ends as a whole or keeps what it needs;
// budgets hold where they are strict; and the plan holds on what the victims leave.
// An answer without victims breaks none.
func CheckRules(p *Problem, a Answer) error {
	if len(a.Victims) == 0 {
		return nil
	}
	if a.Plan.Refusal != nil {
		return fmt.Errorf("victims for a gang that is refused: %s", a.Plan.Refusal.Error())
	}
	for _, v := range a.Victims {
		if err := checkVictim(p, v); err != nil {
			return err
		}
	}
	if err := checkBudgets(p, a); err != nil {
		return err
	}
	if err := placement.Check(usageWithout(p, a.Victims), p.Gang, a.Plan); err != nil {
		return fmt.Errorf("the plan beside the victims: %w", err)
	}
	return nil
}

// checkVictim holds one victim against the rules of its workload.
func checkVictim(p *Problem, v Victim) error {
	w := &p.Workloads[v.Workload]
	if w.Exempt != Preemptible || w.Priority >= p.Priority {
		return fmt.Errorf("%s (priority %d) %s and makes way for priority %d", w.Name, w.Priority, w.Exempt, p.Priority)
	}
	if v.Whole || !w.Gang {
		if len(v.Pods) != len(w.Pods) {
			return fmt.Errorf("%s ends, but for %d of its %d pods", w.Name, len(w.Pods)-len(v.Pods), len(w.Pods))
		}
		return nil
	}
	if len(v.Pods) > w.Spare {
		return fmt.Errorf("%s has %d pods to spare and gives up %d", w.Name, w.Spare, len(v.Pods))
	}
	ofRole := map[int]int{}
	for _, pod := range v.Pods {
		role := w.Pods[pod].Role
		if ofRole[role]++; w.SpareOfRole != nil && ofRole[role] > w.SpareOfRole[role] {
			return fmt.Errorf("%s has %d pods of role %d to spare and gives up %d", w.Name, w.SpareOfRole[role], role, ofRole[role])
		}
	}
	return nil
}

func checkBudgets(p *Problem, a Answer) error {
	going, excess := make([]int, len(p.Budgets)), 0
	for _, v := range a.Victims {
		for _, pod := range v.Pods {
			for _, b := range p.Workloads[v.Workload].Pods[pod].Budgets {
				if going[b]++; going[b] > p.Budgets[b].Allowed {
					excess++
				}
			}
		}
	}
	if p.Strict && excess > 0 {
		return fmt.Errorf("%d pods go beyond what their disruption budgets allow", excess)
	}
	if excess != a.Price.Budgets {
		return fmt.Errorf("%d pods go beyond their disruption budgets, the price names %d", excess, a.Price.Budgets)
	}
	return nil
}

// checkNeeded takes each victim out by itself: a whole workload, or one member.
func checkNeeded(p *Problem, a Answer) error {
	for i, v := range a.Victims {
		parts := [][]int{v.Pods}
		if !v.Whole {
			parts = nil
			for _, pod := range v.Pods {
				parts = append(parts, []int{pod})
			}
		}
		for _, part := range parts {
			rest := slices.Clone(a.Victims)
			rest[i].Pods = slices.DeleteFunc(slices.Clone(v.Pods), func(pod int) bool { return slices.Contains(part, pod) })
			if placement.Solve(usageWithout(p, rest), p.Gang).Refusal == nil {
				return fmt.Errorf("the gang also fits without the end of %d pods of %s", len(part), p.Workloads[v.Workload].Name)
			}
		}
	}
	return nil
}

// usageWithout is the cluster of p once the victims are gone.
func usageWithout(p *Problem, victims []Victim) *topology.Usage {
	u := p.Usage.Clone()
	for _, v := range victims {
		for _, pod := range v.Pods {
			if pod := &p.Workloads[v.Workload].Pods[pod]; pod.Node >= 0 && int(pod.Node) < len(u.Tree.Nodes) {
				u.ReleaseOn(pod.Node, pod.Request)
			}
		}
	}
	return u
}
