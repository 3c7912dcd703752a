// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/muster-scheduler/muster/internal/sim"
)

func TestWaits(t *testing.T) {
	rows := sim.WaitsByClass([]sim.Stay{
		{Pods: 1, Placed: time.Second},
		{Pods: 1, Placed: 3 * time.Second},
		{Pods: 8, Submitted: time.Second, Placed: -1},
		{Pods: 128, Submitted: -1, Placed: -1},
	}, 10*time.Second)
	assert.Equal(t, []sim.Wait{
		{Class: "1 pod", Gangs: 2, Mean: 2, P50: 1, P95: 3, Max: 3},
		{Class: "2-8 pods", Gangs: 1, Waiting: 1, Mean: 9, P50: 9, P95: 9, Max: 9},
		{Class: "all", Gangs: 3, Waiting: 1, Mean: 13.0 / 3, P50: 3, P95: 9, Max: 9},
	}, rows)
	assert.Equal(t, []sim.Wait{{Class: "all"}}, sim.WaitsByClass(nil, 0))
}

func TestWaits_ClassBounds(t *testing.T) {
	for pods, want := range map[int]string{
		1: "1 pod", 2: "2-8 pods", 8: "2-8 pods", 9: "9-32 pods", 32: "9-32 pods", 33: "33-64 pods", 65: "over 64 pods",
	} {
		assert.Equal(t, want, sim.WaitsByClass([]sim.Stay{{Pods: pods}}, 0)[0].Class)
	}
}

func TestWaits_PartsOfNodesApart(t *testing.T) {
	rows := sim.WaitsByClass([]sim.Stay{{Pods: 1, Part: true}, {Pods: 1}}, 0)
	assert.Equal(t, []string{"part of a node", "1 pod", "all"}, []string{rows[0].Class, rows[1].Class, rows[2].Class})
}

func TestLocalityOf(t *testing.T) {
	l := sim.MeasureLocality([]sim.Stay{
		{Pods: 1, Leaves: 1}, {Pods: 8, Leaves: 1}, {Pods: 4, Leaves: 2}, {Pods: 16, Leaves: 3}, {Pods: 2, Leaves: 1, Placed: -1},
	}, 8)
	assert.Equal(t, sim.Locality{Fitting: 2, InOne: 1, Larger: 1, Spread: 1.5}, l)
	assert.Zero(t, sim.MeasureLocality([]sim.Stay{{Pods: 8, Leaves: 1}}, 0), "without leaves")
}

func TestPercentile(t *testing.T) {
	assert.Zero(t, sim.Percentile(nil, 50))
	values := []float64{1, 2, 3, 4}
	assert.Equal(t, []float64{1, 2, 4, 4}, []float64{
		sim.Percentile(values, 0), sim.Percentile(values, 50), sim.Percentile(values, 95), sim.Percentile(values, 100),
	})
}

func TestSparkline(t *testing.T) {
	assert.Equal(t, "▁▄█ ", sim.Sparkline([]float64{0.01, 0.49, 1, 0}))
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		assert.Equal(t, want, sim.FormatThousands(n))
	}
}
