// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/internal/sim"
	"github.com/muster-scheduler/muster/internal/trace"
)

func TestSummarise(t *testing.T) {
	cfg := sim.Config{
		Nodes: twoLeaves(), Shape: sim.Shape{GPUs: 8}, Policy: policy(t, "muster"),
		Gangs: []trace.Gang{job("a", 10, 10, 8), job("b", 15, 10, 4), job("c", 30, 10, 1)},
	}
	r, err := sim.Run(cfg)
	require.NoError(t, err)
	s := sim.NewSummary(&cfg, r)
	assert.Equal(t, 3, s.Placed)
	assert.InDelta(t, 30.0, s.Makespan, 1e-9)
	assert.InDelta(t, (64*10+32*10)/(64*20.0), s.Working, 1e-9, "between the first and the last arrival")
	assert.InDelta(t, 0.0, s.Idle, 1e-9)
	assert.Equal(t, []float64{0, 1, 0.5, 0.125}, r.UsageCurve(0, r.End, 4))

	var table strings.Builder
	sim.WriteTable(&table, []sim.Summary{s, s})
	assert.Contains(t, table.String(), "GPUs at work                     75.0 %       75.0 %\n")
	assert.Contains(t, table.String(), "wait p95, 2-8 pods                5.0 s        5.0 s\n")

	assert.Contains(t, table.String(), "one leaf     muster         50.0   50.0   50.0    0.0    0.0    0.0    0.0\n")

	var rows strings.Builder
	require.NoError(t, sim.WriteCSVHeader(&rows))
	require.NoError(t, sim.WriteCSV(&rows, "muster", r))
	assert.Equal(t, "policy,gang,pods,gpus_per_pod,arrival_s,placed_s,ended_s,leaves\n"+
		"muster,a,8,8,10.000,10.000,20.000,2\n"+
		"muster,b,4,8,15.000,20.000,30.000,1\n"+
		"muster,c,1,8,30.000,30.000,40.000,1\n", rows.String())
}

func TestSummarise_OfNothing(t *testing.T) {
	cfg := sim.Config{Nodes: twoLeaves(), Policy: policy(t, "spread")}
	r, err := sim.Run(cfg)
	require.NoError(t, err)
	s := sim.NewSummary(&cfg, r)
	assert.Zero(t, s.Gangs)
	sim.WriteTable(&strings.Builder{}, []sim.Summary{s})
	sim.WriteTable(&strings.Builder{}, nil)
}
