// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// eventsOn lists the notes of the events of a reason on one object, as
// "kubectl describe" finds them, by kind and name.
func (c *cluster) eventsOn(kind, name, reason string) []string {
	list, err := c.client.EventsV1().Events(c.namespace).List(background, metav1.ListOptions{})
	if !assert.NoError(c.t, err) {
		return nil
	}
	var notes []string
	for _, e := range list.Items {
		if e.Reason == reason && e.Regarding.Kind == kind && e.Regarding.Name == name {
			notes = append(notes, e.Note)
		}
	}
	return notes
}

// allowDisruptions writes the status of a disruption budget, as the disruption
// controller would.
func (c *cluster) allowDisruptions(budget string, count int) {
	c.t.Helper()
	_, err := c.client.PolicyV1().PodDisruptionBudgets(c.namespace).Patch(background, budget, types.MergePatchType,
		fmt.Appendf(nil, `{"status":{"observedGeneration":1,"disruptionsAllowed":%d,"currentHealthy":3,"desiredHealthy":2,"expectedPods":4}}`, count),
		metav1.PatchOptions{}, "status")
	require.NoError(c.t, err)
}

// TestPartialGang_IsEvictedWholeOrNotAtAll has a disruption budget that allows the
// eviction of each of the members that are left, but not of all.
func TestPartialGang_IsEvictedWholeOrNotAtAll(t *testing.T) {
	c := on(t, takeStock(t), racks(4, 4)...)
	scheduler := startQuickScheduler(t, c.box, "partialGangGracePeriod: 1s")
	budgets := c.client.PolicyV1().PodDisruptionBudgets(c.namespace)
	two := intstr.FromInt32(2)
	_, err := budgets.Create(background, &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "train"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &two, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{kube.LabelGang: "train"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, budgets.Delete(background, "train", metav1.DeleteOptions{})) })

	pods := gangPods("train", 4, "4", owned)
	c.create(pods...)
	bound := c.awaitBound("train", 4)
	require.Eventually(t, func() bool {
		return !slices.ContainsFunc(c.pods("train-"), func(p v1.Pod) bool { return p.Status.Phase != v1.PodRunning })
	}, patience, poll)
	c.allowDisruptions("train", 1)
	c.cordon(bound["train-3"], true)
	c.remove("train-3")
	require.Eventually(t, func() bool { return len(c.pods("train-")) == 3 }, patience, poll)
	c.create(pods[3])

	const kept = "PodDisruptionBudget train allows only 1 of these 3 evictions"
	require.Eventually(t, func() bool { return len(c.eventsOn("ConfigMap", "owner", string(kube.PartialGang))) > 0 }, patience, poll)
	for _, note := range c.events(string(kube.PartialGang)) {
		assert.Contains(t, note, kept)
	}
	assert.Contains(t, scheduler.Log(), "Kept a partly started gang")
	assert.Len(t, c.bound("train"), 3, "none was evicted")

	c.allowDisruptions("train", 3)
	require.Eventually(t, func() bool { return len(c.bound("train")) == 0 }, patience, poll, "all are evicted")
	const told = "all 3 were evicted"
	for i := range 3 {
		name := fmt.Sprintf("train-%d", i)
		require.Eventually(t, func() bool {
			return slices.ContainsFunc(c.eventsOn("Pod", name, string(kube.PartialGang)), func(note string) bool { return strings.Contains(note, told) })
		}, patience, poll, "%s is not told", name)
	}
	assert.Contains(t, scheduler.Log(), "Evicted a partly started gang")
}
