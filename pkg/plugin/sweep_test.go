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

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
)

// TestSweep_NothingIsLeftOfGangsThatAreGone lets a binding, a plan and a verdict
// end after their gang was deleted. Such a gang would be tried for ever.
func TestSweep_NothingIsLeftOfGangsThatAreGone(t *testing.T) {
	b, c, pods := planOfThree()
	pl := c.pl
	pl.gpus = newAppraiser(&config.GPUs{}, nil)
	groups := b.factory.Scheduling().V1beta1().PodGroups().Informer().GetStore()
	alive := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "alive", UID: "alive"}}
	require.NoError(t, groups.Add(alive))
	gone := c.group // it was never there, or is no more

	late := func(pg *schedulingapi.PodGroup) {
		why := &verdict{reason: kube.NoFittingDomain, message: "room for none"}
		pl.gangs.park(pg.UID, refused{class: "class", why: why}, epoch)
		pl.gangs.wakeUp(pg.UID, epoch)
		pl.reports.refused(pg, why)
	}
	late(alive)
	late(gone)
	denied := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "denied", UID: "denied"}}
	pl.bindFailed(denied, pods[0])
	for _, p := range append(pods, holder("old", 1)) {
		pl.gpus.observe(p, kube.GPUWish{})
	}

	pl.sweep()
	assert.Len(t, pl.gangs.gangs, 1)
	assert.Contains(t, pl.gangs.gangs, alive.UID)
	assert.Empty(t, pl.gangs.parked)
	assert.Len(t, pl.reports.gangs, 1)
	assert.Contains(t, pl.reports.gangs, alive.UID)
	assert.Len(t, pl.gpus.seen, len(pods))
	assert.NotContains(t, pl.gpus.seen, holder("old", 1).UID)

	require.NoError(t, groups.Delete(alive))
	pl.sweep()
	assert.Empty(t, pl.gangs.gangs)
	assert.Empty(t, pl.reports.gangs)
	pl.gangs.rechecks(epoch.Add(time.Hour))
	pl.gangs.takeDue()
	pl.gangs.rechecks(epoch.Add(2 * time.Hour))
	assert.Empty(t, pl.gangs.takeDue(), "nobody is to be tried")
}
