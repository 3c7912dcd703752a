// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// classes makes the priority classes low (1) and high (1000).
func (c *cluster) classes() {
	c.t.Helper()
	for name, value := range map[string]int32{"low": 1, "high": 1000} {
		_, err := c.client.SchedulingV1().PriorityClasses().Create(background, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value}, metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) {
			require.NoError(c.t, err)
		}
	}
}

func priority(class string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.PriorityClassName = class }
}

// TestPreemption_TakesWhatHelpsAndNoMore has a gang of high priority meet pods
// of low priority that hold every node.
func TestPreemption_TakesWhatHelpsAndNoMore(t *testing.T) {
	c := newCluster(t, racks(4, 4)...)
	c.classes()
	for i := range 4 {
		c.create(pod(fmt.Sprintf("old-%d", i), 8, priority("low")))
	}
	c.awaitBound("old", 4)

	c.create(gangPods("huge", 5, "5", priority("high"))...)
	c.awaitReason("huge", kube.GangTooLarge)
	assert.Len(t, c.bound("old"), 4, "nobody dies for a gang that cannot run")
	c.remove(names(gangPods("huge", 5, "5"))...)

	c.create(gangPods("train", 2, "2", priority("high"))...)
	c.awaitBound("train", 2)
	assert.Len(t, c.bound("old"), 2, "two had to go, and no more")

	c.create(gangPods("next", 3, "3", priority("high"))...)
	c.awaitReason("next", kube.NoFittingDomain)
	c.stayPending("next")
	assert.Len(t, c.bound("old"), 2, "nobody dies for a gang that would still lack room")
	assert.Len(t, c.bound("train"), 2, "nobody dies for an equal")
}

// TestPreemption_OfAMemberLeavesNoHalf takes the node of one member of a running
// gang for a pod of higher priority: the rest of the gang gives its nodes back,
// since its pods have a controller.
func TestPreemption_OfAMemberLeavesNoHalf(t *testing.T) {
	box, err := stock()
	require.NoError(t, err)
	c := on(t, box, racks(2, 2)...)
	c.classes()
	startScheduler(t, box, "--config="+writeConfig(t, box, "{name: Muster, args: {partialGangGracePeriod: 1s}}"))
	owned := func(p *v1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "owner", UID: "owner", Controller: new(true)}}
	}
	c.create(gangPods("train", 2, "2", priority("low"), owned)...)
	c.awaitBound("train", 2)
	c.create(pod("urgent-0", 8, priority("high")))
	c.awaitBound("urgent", 1)
	require.Eventually(t, func() bool { return len(c.pods("train-")) == 1 }, patience, poll)
	// The controller creates it again.
	for _, p := range gangPods("train", 2, "2", priority("low"), owned) {
		_, err := c.client.CoreV1().Pods(c.namespace).Create(background, p, metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) {
			require.NoError(t, err)
		}
	}
	require.Eventually(t, func() bool { return len(c.bound("train")) == 0 }, patience, poll, "the rest of the gang has to be evicted")
	assert.Len(t, c.events(string(kube.PartialGang)), 1)
}
