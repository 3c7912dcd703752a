// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// classes makes the priority classes low (1), mid (500), high (1000) and top (2000).
func (c *cluster) classes() {
	c.t.Helper()
	for name, value := range map[string]int32{"low": 1, "mid": 500, "high": 1000, "top": 2000} {
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

// TestPreemption_OfAGangLeavesNoHalf has pods of high priority meet gangs that
// hold every node: of a gang that needs all of its pods, all go at once, and of
// one that can do with fewer as many as are in the way.
func TestPreemption_OfAGangLeavesNoHalf(t *testing.T) {
	for _, test := range []struct {
		name, min string
		urgent    []*v1.Pod
		left      int
	}{
		{"by a pod", "4", []*v1.Pod{pod("urgent-0", 8, priority("high"))}, 0},
		{"by a gang", "4", gangPods("urgent", 2, "2", priority("high")), 0},
		{"of a gang that can shrink", "2", gangPods("urgent", 2, "2", priority("high")), 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newCluster(t, racks(4, 4)...)
			c.classes()
			c.create(gangPods("train", 4, test.min, priority("low"))...)
			c.awaitBound("train", 4)
			c.create(test.urgent...)
			c.awaitBound("urgent", len(test.urgent))
			require.Eventually(t, func() bool { return len(c.pods("train-")) == test.left }, patience, poll)
		})
	}
}

// TestPreemption_ChoosesThePlaceByItsPrice has a gang that needs a rack meet one
// with a running gang in it and one with a single small pod, both of the same low
// priority.
func TestPreemption_ChoosesThePlaceByItsPrice(t *testing.T) {
	c := newCluster(t, racks(8, 4)...)
	c.classes()
	c.create(gangPods("train", 4, "4", priority("low"), annotation(kube.AnnotationTopologyRequired, "rack"))...)
	c.awaitBound("train", 4)
	c.create(pod("notebook-0", 1, priority("low")))
	c.awaitBound("notebook", 1)

	c.create(gangPods("urgent", 4, "4", priority("high"), annotation(kube.AnnotationTopologyRequired, "rack"))...)
	c.awaitBound("urgent", 4)
	assert.Len(t, c.bound("train"), 4, "64 GPUs of work were not in the way")
	assert.Empty(t, c.pods("notebook-"))
}

// TestPreemption_APodTakesWhatLosesTheLeast has a pod of 4 GPUs meet a node with two
// pods of 2 GPUs, and others with the members of a gang.
func TestPreemption_APodTakesWhatLosesTheLeast(t *testing.T) {
	c := newCluster(t, racks(3, 3)...)
	c.classes()
	c.create(gangPods("train", 2, "2", priority("low"))...)
	c.awaitBound("train", 2)
	c.create(pod("small-0", 4, priority("low")), pod("small-1", 2, priority("low")), pod("kept-0", 2, priority("low"), annotation(kube.AnnotationPreemptible, "false")))
	c.awaitBound("small", 2)
	c.awaitBound("kept", 1)

	c.create(pod("urgent-0", 2, priority("high")))
	c.awaitBound("urgent", 1)
	assert.Len(t, c.bound("train"), 2)
	assert.Len(t, c.bound("kept"), 1, "it says that it makes way for nobody")
	assert.Len(t, c.bound("small"), 1, "one of the two is enough")
}

// TestPreemption_NominationsHoldUpNobody has the API server answer no patch of the pods
// of a gang that preempts. Others start meanwhile, and nobody else has to go for it
// though it is tried again.
func TestPreemption_NominationsHoldUpNobody(t *testing.T) {
	c := on(t, takeStock(t), racks(6, 6)...)
	c.classes()
	f, flag := faulty(t, c.box)
	startScheduler(t, c.box, flag)
	for i := range 6 {
		c.create(pod(fmt.Sprintf("old-%d", i), 8, priority("low")))
	}
	c.awaitBound("old", 6)
	answer := make(chan struct{})
	f.when(func(r *http.Request) fault {
		if r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/pods/urgent-") {
			return fault{until: answer}
		}
		return fault{}
	})
	c.create(gangPods("urgent", 4, "4", priority("high"))...)
	require.Eventually(t, func() bool { return len(c.pods("old-")) == 2 }, patience, poll)
	c.create(gangPods("small", 2, "2", func(p *v1.Pod) { p.Spec.Containers[0].Resources = v1.ResourceRequirements{} })...)
	c.awaitBound("small", 2)
	assert.Empty(t, c.nominated("urgent"), "nothing is written yet")
	close(answer)
	c.awaitBound("urgent", 4)
	assert.Len(t, c.bound("old"), 2)
}
