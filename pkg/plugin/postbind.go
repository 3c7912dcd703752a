// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
)

var _ fwk.PostBindPlugin = &Plugin{}

// PostBind notes that a member is bound; the last one ends the gang's wait.
func (pl *Plugin) PostBind(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ string) {
	if plan := planOf(state); plan != nil {
		plan.commit.bound(pl.now())
	}
}

// course is when the steps of one commit came about, for metrics.
type course struct {
	planned time.Time
	// reserved is when the first member was, and youngest when the youngest of
	// the reserved ones was created.
	reserved, youngest time.Time
	bound              int
}

// arrived notes a member that was reserved for good.
func (c *course) arrived(pod *v1.Pod, now time.Time) {
	if c.reserved.IsZero() {
		c.reserved = now
	}
	if created := pod.CreationTimestamp.Time; created.After(c.youngest) {
		c.youngest = created
	}
}

// ended notes the end of the barrier: opened or released.
func (c *course) ended(result string, now time.Time) {
	if !c.reserved.IsZero() {
		barrierWait.WithLabelValues(result).Observe(now.Sub(c.reserved).Seconds())
	}
}

// bound notes one more member that is bound. A gang that ran whole before and
// only grew did not wait.
func (c *commit) bound(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.course.bound++
	if c.course.bound != len(c.arrived) {
		return
	}
	planToBound.Observe(now.Sub(c.course.planned).Seconds())
	if before := c.plan.running; before < c.plan.spec.Whole {
		size := before + len(c.arrived)
		gangWait.WithLabelValues(sizeLabel(size)).Observe(now.Sub(c.course.youngest).Seconds())
	}
}
