// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/internal/sim"
	"github.com/muster-scheduler/muster/internal/trace"
)

// Eight nodes below two leaves: from 0 to 10 s three nodes of the first leaf are
// busy and 1 + 4 idle, from 10 s to the last arrival at 40 s all eight are.
func TestRun_Fits(t *testing.T) {
	r := run(t, "muster", job("a", 0, 10, 3), job("last", 40, 10, 1))
	rows := map[int]sim.Fits{}
	for _, row := range r.Fits {
		rows[row.Nodes] = row
	}
	assert.Len(t, rows, len(sim.LaterSizes))
	assert.Equal(t, sim.Fits{Nodes: 4, Leaf: 1, Spine: 1, Cluster: 1}, rows[4])
	assert.Equal(t, sim.Fits{Nodes: 8, Leaf: 0, Spine: 0.75, Cluster: 0.75}, rows[8])
	assert.Equal(t, sim.Fits{Nodes: 16}, rows[16])
}

// A node that is used in part, if only its processors, is no whole node.
func TestRun_FitsCountsIdleNodesOnly(t *testing.T) {
	for name, request := range map[string]trace.Gang{"a GPU": {GPUs: 1}, "processors": {CPUMilli: 1}} {
		t.Run(name, func(t *testing.T) {
			part := job("part", 0, 100, 1)
			part.GPUs, part.CPUMilli = request.GPUs, request.CPUMilli
			r := run(t, "first-fit", part, job("last", 10, 10, 1))
			require.NotEmpty(t, r.Fits)
			assert.Equal(t, sim.Fits{Nodes: 8}, r.Fits[3], "seven nodes are idle")
		})
	}
}

func TestRun_FitsOfOneMoment(t *testing.T) {
	assert.Empty(t, run(t, "muster", job("a", 5, 10, 3)).Fits, "no time passes between the first and the last arrival")
}
