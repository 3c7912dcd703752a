// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/internal/audit"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// TestAtomic_TwoGangsThatDoNotFitTogether creates, in each round, two gangs
// that each need more than half of the cluster, member by member in turns:
// exactly one runs, the other holds nothing, and it runs once the first ends.
func TestAtomic_TwoGangsThatDoNotFitTogether(t *testing.T) {
	c := newCluster(t, racks(4, 4)...)
	book := c.audit()
	for round := range rounds(20, 200) {
		a, b := fmt.Sprintf("a%d", round), fmt.Sprintf("b%d", round)
		left, right := gangPods(a, 3, "3"), gangPods(b, 3, "3")
		for i := range left {
			if round%2 == 0 {
				c.create(left[i])
				c.create(right[i])
			} else {
				c.create(right[i])
				c.create(left[i])
			}
		}
		require.Eventually(t, func() bool { return len(c.bound(a))+len(c.bound(b)) == 3 }, patience, poll, "round %d", round)
		first, second := a, b
		if len(c.bound(b)) > 0 {
			first, second = b, a
		}
		require.Len(t, c.bound(first), 3, "round %d", round)
		require.Empty(t, c.bound(second), "round %d", round)
		// What the second holds would be missing here.
		c.create(pod(fmt.Sprintf("probe%d-0", round), 8))
		c.awaitBound(fmt.Sprintf("probe%d", round), 1)
		c.remove(names(gangPods(first, 3, "3"))...)
		c.awaitBound(second, 3)
		c.removeAll()
	}
	c.mustBeClean(book)
}

func names(pods []*v1.Pod) []string {
	list := make([]string, len(pods))
	for i, p := range pods {
		list[i] = p.Name
	}
	return list
}

// TestAtomic_KilledSchedulerFinishesItsGangs kills the scheduler at random
// moments while gangs of 64 bind: after the restart every gang ends whole.
func TestAtomic_KilledSchedulerFinishesItsGangs(t *testing.T) {
	const size = 64
	kills := rounds(5, 20)
	seed := uint64(1)
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	c := on(t, takeStock(t), racks(40, 8)...)
	book := c.audit()
	// Slow enough for a kill to hit a gang while it binds.
	slowly := []string{"--kube-api-qps=50", "--kube-api-burst=10"}
	scheduler := startScheduler(t, c.box, slowly...)
	partial := 0
	for round := range kills {
		gang := fmt.Sprintf("storm%d", round)
		awaitBinds := c.afterBinds(1 + random.IntN(size-1))
		c.create(gangPods(gang, size, fmt.Sprint(size), ask(gpu, 4))...)
		awaitBinds()
		scheduler.Kill()
		if n := len(c.bound(gang)); n > 0 && n < size {
			partial++
		}
		scheduler = startScheduler(t, c.box, slowly...)
		c.awaitBound(gang, size)
		c.empty()
	}
	t.Logf("%d of %d kills left a gang partly bound", partial, kills)
	assert.NotZero(t, partial, "no kill hit a gang while it was binding (seed %d)", seed)
	c.mustBeClean(book)
}

// afterBinds returns a function that waits until as many pods were bound since.
func (c *cluster) afterBinds(count int) (wait func()) {
	c.t.Helper()
	watcher, err := c.client.CoreV1().Pods(c.namespace).Watch(c.t.Context(), metav1.ListOptions{})
	require.NoError(c.t, err)
	reached := make(chan struct{})
	go func() {
		defer watcher.Stop()
		bound := map[types.UID]bool{}
		for event := range watcher.ResultChan() {
			if p, ok := event.Object.(*v1.Pod); ok && p.Spec.NodeName != "" {
				bound[p.UID] = true
			}
			if len(bound) == count {
				close(reached)
				return
			}
		}
	}()
	return func() {
		c.t.Helper()
		select {
		case <-reached:
		case <-time.After(patience):
			require.Fail(c.t, "no gang began to bind", "%d pods were awaited", count)
		}
	}
}

// audit watches the cluster with the independent checker.
func (c *cluster) audit() *audit.Auditor {
	book, err := audit.WatchCluster(c.t.Context(), c.client, audit.Options{CommitWindow: patience, Levels: levelKeys()})
	require.NoError(c.t, err)
	return book
}

func levelKeys() map[string][]string {
	keys := map[string][]string{}
	for _, level := range kube.DefaultLevels() {
		keys[level.Name] = level.Keys
	}
	return keys
}

func (c *cluster) mustBeClean(book *audit.Auditor) {
	c.t.Helper()
	report := book.Report(time.Now())
	for rule, count := range report.Violations {
		assert.Zero(c.t, count, "%s: %v", rule, report.First)
	}
	assert.Zero(c.t, report.Rejected, "pods that a kubelet refused")
	assert.Zero(c.t, report.Unchecked)
	assert.NotZero(c.t, report.Binds)
}

// TestAtomic_AGangThatMayNotBeBoundHoldsNothing lets an admission policy deny
// the binds of one gang: another one runs in its place, and the denied gang
// tries again after pauses only.
func TestAtomic_AGangThatMayNotBeBoundHoldsNothing(t *testing.T) {
	c := newCluster(t, racks(2, 2)...)
	policies := c.client.AdmissionregistrationV1()
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "deny-binds"},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods/binding"}},
			}}}},
			Validations: []admissionv1.Validation{{Expression: "!object.metadata.name.startsWith('denied-')", Message: "not today"}},
		},
	}
	_, err := policies.ValidatingAdmissionPolicies().Create(background, policy, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = policies.ValidatingAdmissionPolicyBindings().Create(background, &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "deny-binds"},
		Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: "deny-binds", ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, policies.ValidatingAdmissionPolicyBindings().Delete(background, "deny-binds", metav1.DeleteOptions{}))
		assert.NoError(t, policies.ValidatingAdmissionPolicies().Delete(background, "deny-binds", metav1.DeleteOptions{}))
	})
	// The API server takes a moment to follow its policies.
	require.Eventually(t, func() bool {
		err := c.client.CoreV1().Pods(c.namespace).Bind(background, &v1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: "denied-probe"}, Target: v1.ObjectReference{Kind: "Node", Name: "n0"},
		}, metav1.CreateOptions{})
		return err != nil && strings.Contains(err.Error(), "not today")
	}, patience, poll)

	c.create(gangPods("denied", 2, "2")...)
	require.Eventually(t, func() bool { return len(c.events(string(kube.BindDenied))) > 0 }, patience, poll)
	// All pods have one sentence, with the API server's answer, as the event has.
	c.awaitReason("denied", kube.BindDenied, "gang denied had its nodes and is tried again in", "could not be bound", "not today")
	assert.Contains(t, c.events(string(kube.BindDenied))[0], "not today")
	c.create(gangPods("good", 2, "2")...)
	c.awaitBound("good", 2)
	assert.Empty(t, c.bound("denied"))
	assert.LessOrEqual(t, len(c.events(string(kube.BindDenied))), 10, "it does not try without a pause")
}
