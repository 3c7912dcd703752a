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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/test/process"
)

// attempts counts what a scheduler has planned and refused.
func attempts(scheduler *process.Process) (planned, refused int) {
	log := scheduler.Log()
	return strings.Count(log, `"Planned gang"`), strings.Count(log, `"Refused gang"`)
}

// settled waits until the scheduler has made all attempts that it is to make at
// present, and returns how many it has made, those for the sentinels aside.
func (c *cluster) settled(scheduler *process.Process) int {
	c.t.Helper()
	c.passTurn()
	planned, refused := attempts(scheduler)
	return planned + refused - c.turns
}

// TestWaitingGangsCostNothing frees room for one gang at a time, a pod after the
// other. What that costs must not depend on how many gangs wait for it.
func TestWaitingGangsCostNothing(t *testing.T) {
	for _, gangs := range []int{20, rounds(50, 100)} {
		t.Run(fmt.Sprintf("%d gangs", gangs), func(t *testing.T) {
			const size, slots = 8, 5
			c := on(t, takeStock(t), racks(2, 2)...)
			scheduler := startScheduler(t, c.box)
			var pods []*v1.Pod
			for g := range gangs {
				pods = append(pods, gangPods(fmt.Sprintf("g%d", g), size, fmt.Sprint(size), ask(gpu, 2))...)
			}
			c.create(pods...)
			require.Eventually(t, func() bool {
				_, refused := attempts(scheduler)
				return refused >= gangs-1 && len(c.running()) == size
			}, patience, poll)
			before := c.settled(scheduler)
			for slot := range slots {
				planned, _ := attempts(scheduler)
				c.remove(c.running()...)
				require.Eventually(t, func() bool {
					now, _ := attempts(scheduler)
					return now > planned && len(c.running()) == size
				}, patience, poll, "the gang of slot %d has to run", slot)
			}
			assert.LessOrEqual(t, c.settled(scheduler)-before, 3*slots, "a slot costs one plan and the refusal of the next gang")
		})
	}
}

// running lists the pods that have a node, but for sentinels.
func (c *cluster) running() []string {
	var names []string
	for _, p := range c.pods("") {
		if p.Spec.NodeName != "" && !strings.HasPrefix(p.Name, sentinel) {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// TestRefusedGangIsTriedWhenItsPodsChange lets the members of a gang tolerate
// the taint that keeps them off the nodes. Nothing else happens.
func TestRefusedGangIsTriedWhenItsPodsChange(t *testing.T) {
	nodes := racks(2, 2)
	for _, n := range nodes {
		n.Spec.Taints = []v1.Taint{{Key: "team", Value: "a", Effect: v1.TaintEffectNoSchedule}}
	}
	c := newCluster(t, nodes...)
	c.create(gangPods("train", 2, "2")...)
	c.awaitReason("train", kube.NoFittingDomain, "2 nodes tainted")
	patch := []byte(`{"spec":{"tolerations":[{"key":"team","operator":"Exists"}]}}`)
	for _, p := range c.pods("train-") {
		_, err := c.client.CoreV1().Pods(c.namespace).Patch(background, p.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		require.NoError(t, err)
	}
	c.awaitBound("train", 2)
}
