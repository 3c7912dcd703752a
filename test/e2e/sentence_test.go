// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/muster-scheduler/muster/internal/sandbox"
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

// sentencesOf follows the pods whose names begin with a prefix and returns, once it
// is called, each message that their conditions PodScheduled gave until then, and how
// often one of them was written.
func (c *cluster) sentencesOf(prefix string) func() map[string]int {
	c.t.Helper()
	pods, err := c.client.CoreV1().Pods(c.namespace).Watch(background, metav1.ListOptions{})
	require.NoError(c.t, err)
	seen, done := map[string]int{}, make(chan struct{})
	last := map[string]string{}
	go func() {
		defer close(done)
		for event := range pods.ResultChan() {
			pod, ok := event.Object.(*v1.Pod)
			if !ok || !strings.HasPrefix(pod.Name, prefix) {
				continue
			}
			if message := messageOf(pod); message != "" && message != last[pod.Name] {
				seen[message]++
				last[pod.Name] = message
			}
		}
	}()
	return func() map[string]int {
		pods.Stop()
		<-done
		return seen
	}
}

// messageOf is what the condition PodScheduled of a pod without a node says.
func messageOf(pod *v1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == v1.PodScheduled && condition.Status == v1.ConditionFalse {
			return condition.Message
		}
	}
	return ""
}

// TestSentence_OfAPlanThatOtherPluginsRefuse has a gang whose members may not share
// the one node that they may use.
func TestSentence_OfAPlanThatOtherPluginsRefuse(t *testing.T) {
	c := on(t, takeStock(t), racks(4, 4)...)
	scheduler := startQuickScheduler(t, c.box)
	seen := c.sentencesOf("anti-")
	onlyOne := func(p *v1.Pod) {
		ask(gpu, 1)(p)
		owned(p)
		p.Spec.NodeSelector = map[string]string{v1.LabelHostname: "n1"}
		p.Spec.Affinity = &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []v1.PodAffinityTerm{{
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{kube.LabelGang: "anti"}}, TopologyKey: v1.LabelHostname,
		}}}}
	}
	c.create(gangPods("anti", 3, "3", onlyOne)...)
	c.awaitReason("anti", kube.NoFittingDomain, "only 1 of its 3 waiting pods pass every other check there (pod anti-affinity): ", `"node(s) didn't match pod anti-affinity rules"`)
	require.Eventually(t, func() bool {
		_, refused := attempts(scheduler)
		return refused >= 3
	}, patience, poll, "it has to be tried again")
	c.passTurn()
	messages := seen()
	assert.Len(t, messages, 1, "no pod ever said anything else: %v", messages)
	for message, count := range messages {
		assert.Equal(t, 3, count, "each pod was written once")
		assert.Equal(t, []string{strings.TrimPrefix(message, "NoFittingDomain: ")}, c.eventsOn("ConfigMap", "owner", "NoFittingDomain"), "and the controller says it too")
	}
}

// createGangJob creates a Job of so many pods of eight GPUs, which start together.
func (c *cluster) createGangJob(name string, count int32, more ...func(*v1.Pod)) {
	c.t.Helper()
	template := gangPods(name, 1, fmt.Sprint(count), more...)[0]
	template.Spec.RestartPolicy = v1.RestartPolicyNever
	_, err := c.client.BatchV1().Jobs(c.namespace).Create(background, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{
			Parallelism: &count, Completions: &count, BackoffLimit: new(int32(100)),
			Template: v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: template.Labels, Annotations: template.Annotations}, Spec: template.Spec},
		},
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
}

// endsSlowly gives a pod a grace period of ten minutes, and some seconds to end.
func endsSlowly(seconds string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Annotations[sandbox.StopSecondsAnnotation] = seconds
		p.Spec.TerminationGracePeriodSeconds = new(int64(600))
	}
}

// TestSentence_RoomIsBeingMade has a Job preempt another one whose pods take some
// seconds to end, and be deleted after that.
func TestSentence_RoomIsBeingMade(t *testing.T) {
	t.Parallel()
	c := on(t, startSandbox(t, sandbox.Options{}), racks(4, 4)...)
	require.Eventually(t, func() bool {
		_, err := c.client.CoreV1().ServiceAccounts(c.namespace).Get(background, "default", metav1.GetOptions{})
		return err == nil
	}, patience, poll)
	startQuickScheduler(t, c.box)
	c.classes()
	c.createGangJob("old", 4, priority("low"), endsSlowly("6"))
	c.awaitBound("old", 4)
	require.Eventually(t, func() bool {
		return !slices.ContainsFunc(c.pods("old-"), func(p v1.Pod) bool { return p.Status.Phase != v1.PodRunning })
	}, patience, poll)

	until := time.Now().Add(9 * time.Minute)
	c.createGangJob("urgent", 4, priority("high"))
	c.awaitReason("urgent", kube.RoomBeingMade, "room is being made for gang urgent: waiting for 4 pods of gang old to end on nodes n0, n1, n2 and 1 more; ")
	sentence := ""
	for _, pod := range c.pods("urgent-") {
		if sentence == "" {
			sentence = messageOf(&pod)
		}
		assert.Equal(t, sentence, messageOf(&pod), "one sentence")
	}
	_, over, _ := strings.Cut(sentence, "the last grace period is over at ")
	ends, err := time.Parse(time.RFC3339, over)
	require.NoError(t, err, sentence)
	assert.WithinRange(t, ends, until, until.Add(3*time.Minute))
	told := func(job, reason string) []string { return c.eventsOn("Job", job, reason) }
	require.Eventually(t, func() bool { return len(told("urgent", "RoomBeingMade")) > 0 }, patience, poll)
	assert.Equal(t, []string{strings.TrimPrefix(sentence, "RoomBeingMade: ")}, told("urgent", "RoomBeingMade"))
	c.awaitBound("urgent", 4)
	require.Eventually(t, func() bool { return len(told("urgent", "GangPlaced")) == 1 }, patience, poll)
	for _, pod := range c.pods("urgent-") {
		assert.Empty(t, messageOf(&pod), "it waits no more")
	}
	assert.Len(t, told("urgent", "NoFittingDomain"), 1, "told once, before others were preempted")
	assert.Len(t, told("urgent", "RoomBeingMade"), 1)

	// The other Job's pods wait, and start again. What is told a second time, with the
	// same reason, is told in full.
	c.awaitReason("old", kube.NoFittingDomain)
	require.Eventually(t, func() bool { return len(told("old", "NoFittingDomain")) == 1 }, patience, poll)
	require.NoError(t, c.client.BatchV1().Jobs(c.namespace).Delete(background, "urgent", metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)}))
	c.awaitBound("old", 4)
	require.Eventually(t, func() bool { return len(told("old", "GangPlaced")) == 2 }, patience, poll, "an event for each change")
	assert.Empty(t, c.events("FailedScheduling"))
}
