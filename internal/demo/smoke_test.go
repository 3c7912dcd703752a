// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/internal/audit"
	"github.com/muster-scheduler/muster/internal/demo"
	"github.com/muster-scheduler/muster/test/process"
)

// TestMain lets the test binary play the scheduler binaries.
func TestMain(m *testing.M) { process.Main(m.Run) }

// small is the demo in a few seconds.
func small() demo.Options {
	return demo.Options{
		Nodes: 32, Gangs: 20, Speed: 200_000, MinRun: 300 * time.Millisecond, Load: 1,
		Limit: 2 * time.Minute, Stall: 5 * time.Second, CommitWindow: 30 * time.Second,
	}
}

func TestRun_Muster(t *testing.T) {
	opts := small()
	opts.Program = process.SchedulerCommand().Args
	opts.Stall = time.Minute // longer than the queue's backoff of a gang of 32
	report, err := demo.Run(t.Context(), opts)
	require.NoError(t, err)
	assert.Equal(t, demo.EndDone, report.End)
	assert.Equal(t, 20, report.Worked)
	assert.Equal(t, report.Load.Pods, report.Binds)
	assert.Equal(t, report.Load.Pods, report.Audit.Binds)
	assert.Empty(t, report.BrokenPromises())
	assert.Empty(t, report.Stuck)
}

func TestRun_StockSchedulerOnDRA(t *testing.T) {
	opts := small()
	opts.Scheduler, opts.DRA = demo.Default, true
	report, err := demo.Run(t.Context(), opts)
	require.NoError(t, err)
	assert.Positive(t, report.Worked)
	assert.Zero(t, report.Audit.Violations[audit.NoOvercommit])
	assert.Zero(t, report.Audit.Rejected)
}

func TestRun_StockScheduler(t *testing.T) {
	opts := small()
	opts.Scheduler = demo.Default
	report, err := demo.Run(t.Context(), opts)
	require.NoError(t, err)
	assert.NotEqual(t, demo.EndLimit, report.End)
	assert.Equal(t, 20, report.Load.Gangs)
	assert.Positive(t, report.Binds)
	assert.Zero(t, report.Audit.Violations[audit.NoOvercommit])
	assert.Zero(t, report.Audit.Rejected)
	assert.Zero(t, report.Audit.Unchecked)
	assert.Equal(t, report.Binds, report.Audit.Binds)
}

func TestRun_SaysWhyTheSchedulerEnded(t *testing.T) {
	opts := small()
	opts.Scheduler = demo.Default
	opts.SchedulerArgs = []string{"--no-such-flag"}
	_, err := demo.Run(t.Context(), opts)
	require.ErrorContains(t, err, "the scheduler ended by itself")
	require.ErrorContains(t, err, "no-such-flag")
}
