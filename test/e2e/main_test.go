// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e runs Muster on a real API server, with the scheduler as a process
// of its own, as users run it.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/component-base/cli"

	"github.com/muster-scheduler/muster/pkg/sandbox"
	"github.com/muster-scheduler/muster/pkg/scheduler"
)

// background is the context of what outlives a test.
var background = context.Background()

// asScheduler tells a copy of the test binary to be the scheduler.
const asScheduler = "MUSTER_TEST_SCHEDULER"

func TestMain(m *testing.M) {
	if os.Getenv(asScheduler) != "" {
		os.Exit(cli.Run(scheduler.NewCommand()))
	}
	flag.Parse()
	code := m.Run()
	stopStock()
	os.Exit(code)
}

// process is a running scheduler.
type process struct {
	cmd  *exec.Cmd
	done chan error
	log  string
}

// startScheduler runs the scheduler against the sandbox until the test ends.
func startScheduler(t *testing.T, box *sandbox.Sandbox, flags ...string) *process {
	t.Helper()
	log := filepath.Join(t.ArtifactDir(), fmt.Sprintf("scheduler-%d.log", time.Now().UnixNano()))
	out, err := os.Create(log)
	require.NoError(t, err)
	defer out.Close()
	args := append([]string{"--kubeconfig=" + box.Kubeconfig(), "--leader-elect=false", "--secure-port=0", "-v=2"}, flags...)
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asScheduler+"=1")
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	p := &process{cmd: cmd, done: make(chan error, 1), log: log}
	go func() { p.done <- cmd.Wait() }()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			p.dump(t)
		}
	})
	return p
}

// kill ends the scheduler as a crash would.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	select {
	case err := <-p.done:
		p.done <- err
	case <-time.After(time.Minute):
	}
}

func (p *process) dump(t *testing.T) {
	text, err := os.ReadFile(p.log)
	if err != nil {
		t.Logf("no scheduler log: %v", err)
		return
	}
	const most = 20_000
	if len(text) > most {
		text = text[len(text)-most:]
	}
	t.Logf("end of the scheduler's log:\n%s", text)
}

func startSandbox(t *testing.T, opts sandbox.Options) *sandbox.Sandbox {
	t.Helper()
	opts.Dir, opts.APIServer = filepath.Join(t.TempDir(), "sandbox"), os.Getenv(apiServer)
	box, err := sandbox.Start(background, opts)
	require.NoError(t, err)
	t.Cleanup(box.Stop)
	return box
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
