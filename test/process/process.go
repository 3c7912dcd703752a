// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package process lets tests run the scheduler as users do, as a process of its
// own. A process ends with its test; a test that fails shows what the process
// wrote last.
package process

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/scheduler"
)

// Process is a command that was started.
type Process struct {
	t   testing.TB
	cmd *exec.Cmd
	log string
	// ended is closed once the process has ended, and err is how.
	ended chan struct{}
	err   error
	// stopRequested is true once the test expects the end.
	stopRequested bool
}

// StartScheduler starts the scheduler, which is this test binary; see Main.
func StartScheduler(t testing.TB, flags ...string) *Process {
	t.Helper()
	return startProcess(t, scheduler.Name, SchedulerCommand(flags...))
}

// StartCommand starts a command. The test fails if it ends before it is told
// to.
func StartCommand(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	return startProcess(t, filepath.Base(cmd.Path), cmd)
}

// startProcess starts a command and has it end with the test. The log is a
// file, which stays as an artifact of the test.
func startProcess(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	log, err := os.CreateTemp(t.ArtifactDir(), name+"-*.log")
	require.NoError(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	p := &Process{t: t, cmd: cmd, log: log.Name(), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	t.Cleanup(p.cleanUp)
	return p
}

// cleanUp kills the process when the test is over, and shows its log if the
// test failed.
func (p *Process) cleanUp() {
	_ = p.cmd.Process.Kill() // an error says that it has ended, which p.err says more exactly
	<-p.ended
	if !p.stopRequested {
		assert.EqualError(p.t, p.err, "signal: killed", "%s ended by itself", p.cmd)
	}
	if p.t.Failed() {
		text := p.Log()
		p.t.Logf("%s wrote last:\n%s", p.cmd, text[max(0, len(text)-20_000):])
	}
}

// Log returns what the process has written so far.
func (p *Process) Log() string {
	p.t.Helper()
	text, err := os.ReadFile(p.log)
	require.NoError(p.t, err)
	return string(text)
}

// Kill ends the process as a crash would.
func (p *Process) Kill() {
	p.t.Helper()
	p.Signal(os.Kill)
	_ = p.Wait()
}

// Terminate stops the process as the kubelet does, and returns how it ended.
func (p *Process) Terminate() error {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	return p.Wait()
}

// Signal tells the process to end, and does not wait for it.
func (p *Process) Signal(signal os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(signal), "%s", p.cmd)
	p.stopRequested = true
}

// Wait waits for the end of the process and returns how it ended.
func (p *Process) Wait() error {
	p.stopRequested = true
	<-p.ended
	return p.err
}

// CPUTime returns the processor time that the process has used so far: the 14th
// and 15th field of its stat file, in hundredths of a second
// (proc_pid_stat(5)).
func (p *Process) CPUTime() time.Duration {
	p.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	total := 0
	for _, field := range fields[11:13] {
		ticks, err := strconv.Atoi(field)
		require.NoError(p.t, err)
		total += ticks
	}
	return time.Duration(total) * 10 * time.Millisecond
}
