// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package trace_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/internal/trace"
)

func TestMix(t *testing.T) {
	at := func(name string, arrival, run time.Duration, pods, gpus int) trace.Gang {
		return trace.Gang{Name: name, Arrival: arrival * time.Second, Run: run * time.Second, Pods: pods, GPUs: gpus}
	}
	gangs := []trace.Gang{at("first", 10, 5, 2, 8), at("last", 110, 5, 2, 8)}
	singles := []trace.Gang{
		at("a", 1000, 100, 1, 2), at("gang", 1001, 100, 2, 8), at("b", 1010, 100, 1, 4), at("c", 1040, 100, 1, 4), at("late", 1050, 100, 1, 1),
	}
	all, err := trace.MixSingles(gangs, singles, 0.5, 20) // 1,000 of 2,000 GPU-seconds
	require.NoError(t, err)
	assert.Equal(t, []trace.Gang{
		gangs[0], at("a", 10, 100, 1, 2), at("b", 35, 100, 1, 4), gangs[1], at("c", 110, 100, 1, 4),
	}, all, "the pods that make up the load, spread over the time in which gangs arrive")
	assert.Equal(t, 1000*time.Second, singles[0].Arrival, "the input is left alone")

	_, err = trace.MixSingles(gangs, singles, 0.6, 20)
	require.EqualError(t, err, "mixing traces: the single pods ask for 0.55 of the GPU time while the gangs arrive; 0.6 is wanted")
	_, err = trace.MixSingles(nil, singles, 0.6, 20)
	require.ErrorContains(t, err, "0 gangs")
}
