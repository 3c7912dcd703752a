// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// runningPod is a pod of the gang train that runs.
func runningPod(name string, ready bool) *v1.Pod {
	pod := holder(name, 8)
	pod.Labels = map[string]string{"gang": "train"}
	pod.Status.Phase = v1.PodRunning
	pod.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionFalse}}
	if ready {
		pod.Status.Conditions[0].Status = v1.ConditionTrue
	}
	return pod
}

// budgetFor is a disruption budget for some pods.
func budgetFor(name string, allowed int32, labels map[string]string, changes ...func(*policyv1.PodDisruptionBudget)) policyv1.PodDisruptionBudget {
	b := policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Generation: 2},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}},
		Status:     policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 2, DisruptionsAllowed: allowed, CurrentHealthy: 1, DesiredHealthy: 2},
	}
	for _, change := range changes {
		change(&b)
	}
	return b
}

func TestBudgetRefusal(t *testing.T) {
	train := map[string]string{"gang": "train"}
	always := func(b *policyv1.PodDisruptionBudget) {
		policy := policyv1.AlwaysAllow
		b.Spec.UnhealthyPodEvictionPolicy = &policy
	}
	healthy := func(b *policyv1.PodDisruptionBudget) { b.Status.CurrentHealthy = 2 }
	stale := func(b *policyv1.PodDisruptionBudget) { b.Status.ObservedGeneration = 1 }
	none := func(b *policyv1.PodDisruptionBudget) { b.Spec.Selector = nil }
	ready := []*v1.Pod{runningPod("a", true), runningPod("b", true), runningPod("c", true)}
	mixed := []*v1.Pod{runningPod("a", true), runningPod("b", false)}
	starting := runningPod("c", true)
	starting.Status.Phase = v1.PodPending
	type budgets = []policyv1.PodDisruptionBudget
	for _, test := range []struct {
		name    string
		budgets budgets
		pods    []*v1.Pod
		want    string
	}{
		{"nothing protects them", nil, ready, ""},
		{"enough for all", budgets{budgetFor("p", 3, train)}, ready, ""},
		{"each alone would pass", budgets{budgetFor("p", 1, train)}, ready, "PodDisruptionBudget p allows only 1 of these 3 evictions"},
		{"an empty selector is for every pod", budgets{budgetFor("p", 2, nil)}, ready, "PodDisruptionBudget p allows only 2 of these 3 evictions"},
		{"no selector is for none", budgets{budgetFor("p", 0, nil, none)}, ready, ""},
		{"of other pods", budgets{budgetFor("p", 0, map[string]string{"gang": "other"})}, ready, ""},
		{"two for one pod", budgets{budgetFor("q", 9, nil), budgetFor("p", 9, train)}, ready, "PodDisruptionBudgets p and q both select pod a, and the API server evicts no such pod"},
		{"a status of an older specification", budgets{budgetFor("p", 9, train, stale)}, ready, "PodDisruptionBudget p has changed and is not evaluated yet"},
		{"pods that are not ready count", budgets{budgetFor("p", 1, train)}, mixed, "PodDisruptionBudget p allows only 1 of these 2 evictions"},
		{"not where they may always go", budgets{budgetFor("p", 1, train, always)}, mixed, ""},
		{"nor where enough others are healthy", budgets{budgetFor("p", 1, train, healthy)}, mixed, ""},
		{"a negative budget", budgets{budgetFor("p", -1, train)}, mixed[:1], "PodDisruptionBudget p allows only 0 of these 1 evictions"},
		{"pods that do not run yet are free", budgets{budgetFor("p", 0, train)}, []*v1.Pod{starting}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, budgetRefusal(test.budgets, test.pods))
		})
	}
}
