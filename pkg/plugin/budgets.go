// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

// budgetRefusal returns which of the disruption budgets of a namespace does not
// allow that all of the given pods are evicted, "" if all do. It counts as the
// API server does for each single eviction: dry runs of those spend nothing, so
// that each of ten pods passes under a budget of one.
func budgetRefusal(budgets []policyv1.PodDisruptionBudget, pods []*v1.Pod) string {
	budgets = slices.Clone(budgets)
	slices.SortFunc(budgets, func(a, b policyv1.PodDisruptionBudget) int { return strings.Compare(a.Name, b.Name) })
	selectedBy := map[*v1.Pod]string{}
	for i := range budgets {
		budget := &budgets[i]
		spent := 0
		for _, pod := range selectedPods(budget, pods) {
			if other, twice := selectedBy[pod]; twice {
				return fmt.Sprintf("PodDisruptionBudgets %s and %s both select pod %s, and the API server evicts no such pod", other, budget.Name, pod.Name)
			}
			selectedBy[pod] = budget.Name
			if spendsBudget(budget, pod) {
				spent++
			}
		}
		allowed := max(0, int(budget.Status.DisruptionsAllowed))
		switch {
		case spent == 0:
		case budget.Status.ObservedGeneration < budget.Generation:
			return fmt.Sprintf("PodDisruptionBudget %s has changed and is not evaluated yet", budget.Name)
		case spent > allowed:
			return fmt.Sprintf("PodDisruptionBudget %s allows only %d of these %d evictions", budget.Name, allowed, spent)
		}
	}
	return ""
}

// selectedPods returns the pods that a budget protects. A pod that does not run
// yet, has ended or was told to end is protected by none.
func selectedPods(budget *policyv1.PodDisruptionBudget, pods []*v1.Pod) []*v1.Pod {
	selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
	if err != nil {
		return nil // the API server takes it for one that selects nothing
	}
	var selected []*v1.Pod
	for _, pod := range pods {
		if pod.Status.Phase != v1.PodRunning && pod.Status.Phase != v1.PodUnknown || pod.DeletionTimestamp != nil {
			continue
		}
		if selector.Matches(labels.Set(pod.Labels)) {
			selected = append(selected, pod)
		}
	}
	return selected
}

// spendsBudget reports whether the eviction of a pod counts against a budget. That
// of a pod that is not ready counts too, unless the budget lets such pods go
// always, or while enough others are healthy, which is the default.
func spendsBudget(budget *policyv1.PodDisruptionBudget, pod *v1.Pod) bool {
	if podutil.IsPodReady(pod) {
		return true
	}
	policy := budget.Spec.UnhealthyPodEvictionPolicy
	if policy != nil && *policy == policyv1.AlwaysAllow {
		return false
	}
	return budget.Status.CurrentHealthy < budget.Status.DesiredHealthy || budget.Status.DesiredHealthy <= 0
}
