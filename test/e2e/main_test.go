// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e runs Muster on a real API server, with the scheduler as a process
// of its own, as users run it.
package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/test/process"
)

// background is the context of what outlives a test.
var background = context.Background()

func TestMain(m *testing.M) {
	process.Main(func() int {
		defer func() { stopStock() }()
		return m.Run()
	})
}

// startScheduler runs the scheduler against the sandbox until the test ends.
func startScheduler(t *testing.T, box *sandbox.Sandbox, flags ...string) *process.Process {
	t.Helper()
	return process.StartScheduler(t, append([]string{"--kubeconfig=" + box.KubeconfigPath(), "--leader-elect=false", "--secure-port=0", "-v=2"}, flags...)...)
}

func startSandbox(t *testing.T, opts sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	opts.Dir, opts.APIServer = filepath.Join(t.TempDir(), "sandbox"), os.Getenv(apiServer)
	box, err := sandbox.Start(background, opts)
	require.NoError(t, err)
	t.Cleanup(box.Stop)
	return box
}
