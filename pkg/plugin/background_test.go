// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// A binding, a plan and a verdict may end after their gang was deleted. Such a gang
// would be tried for ever.
func TestBackground_NothingIsLeftOfGangsThatAreGone(t *testing.T) {
	h, barrier, pods := planOfThree()
	gangs := barrier.all.gangs
	work := &background{gangs: gangs, barriers: barrier.all, gpus: newGPUInventory(&config.GPUs{}, nil), preemptor: newPreemptor(&config.Args{}, gangs, nil)}
	groups := h.factory.Scheduling().V1beta1().PodGroups().Informer().GetStore()
	alive := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "alive", UID: "alive"}}
	require.NoError(t, groups.Add(alive))
	gone := barrier.group // it was never there, or is no more

	for _, pg := range []*schedulingapi.PodGroup{alive, gone} {
		why := newVerdict(kube.NoFittingDomain, "room for none")
		gangs.step(queue.GangSeen{Gang: queue.GangID(pg.UID), Readiness: queue.Readiness{MinCount: 1, Waiting: 1}, Asking: true})
		gangs.step(queue.Refused{Gang: queue.GangID(pg.UID), Class: "class", Verdict: why})
		gangs.reports.reportKept(pg, why)
	}
	gangs.step(queue.GangSeen{Gang: "denied", Readiness: queue.Readiness{MinCount: 1, Waiting: 1}, Asking: true})
	gangs.step(queue.BindFailed{Gang: "denied", Verdict: func(time.Duration) *queue.Verdict { return newVerdict(kube.BindDenied, "denied") }})
	barrier.all.setBarrier("denied", barrier)
	for _, p := range append(pods, holder("old", 1)) {
		work.gpus.observePod(p, kube.GPURequirements{})
	}

	work.collectGarbage()
	assert.Equal(t, []types.UID{alive.UID}, ask(gangs, knownGangs))
	assert.Len(t, gangs.reports.gangs, 1)
	assert.Contains(t, gangs.reports.gangs, alive.UID)
	assert.Empty(t, barrier.all.last)
	assert.Len(t, work.gpus.seen, len(pods))
	assert.NotContains(t, work.gpus.seen, holder("old", 1).UID)

	require.NoError(t, groups.Delete(alive))
	work.collectGarbage()
	assert.Empty(t, ask(gangs, knownGangs))
	assert.Empty(t, gangs.reports.gangs)
	gangs.takePending()
	gangs.now = func() time.Time { return epoch.Add(time.Hour) }
	gangs.step(queue.Tick{})
	assert.Empty(t, gangs.takePending(), "nobody is to be tried")
}
