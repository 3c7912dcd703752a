// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// The schedulers that a demo can run.
const (
	Muster  = "muster"
	Default = "default"
)

// podScheduler returns the schedulerName that the pods carry.
func podScheduler(scheduler string) (string, error) {
	switch scheduler {
	case Muster:
		return "muster", nil
	case Default:
		return "default-scheduler", nil
	}
	return "", fmt.Errorf("scheduler %q is not known; there are %q and %q (the stock kube-scheduler)", scheduler, Muster, Default)
}

// schedulerProcess is a scheduler that runs as a process of its own.
type schedulerProcess struct {
	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed once the process has ended
	err    error         // how it ended; read after exited
}

// schedulerCommand returns the program and the first arguments of a scheduler:
// muster-scheduler beside this executable, or the stock one inside it.
func schedulerCommand(scheduler string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding the schedulers: %w", err)
	}
	if scheduler == Default {
		return []string{self, "kube-scheduler"}, nil
	}
	beside := filepath.Join(filepath.Dir(self), "muster-scheduler")
	if _, err := os.Stat(beside); err != nil {
		return nil, fmt.Errorf("muster-scheduler is wanted beside %s: %w; `make build` puts both into bin/", filepath.Base(self), err)
	}
	return []string{beside}, nil
}

// startScheduler runs a scheduler against the cluster of the kubeconfig. Both
// get the same flags.
func startScheduler(ctx context.Context, program []string, kubeconfig, log string, more ...string) (*schedulerProcess, error) {
	file, err := os.Create(log)
	if err != nil {
		return nil, fmt.Errorf("the scheduler's log: %w", err)
	}
	defer file.Close()
	args := append(program[1:len(program):len(program)],
		"--kubeconfig="+kubeconfig, "--leader-elect=false", "--secure-port=0",
		"--kube-api-qps=1000", "--kube-api-burst=2000")
	c := &schedulerProcess{cmd: exec.CommandContext(ctx, program[0], append(args, more...)...), log: log, exited: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = file, file
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(os.Interrupt) }
	c.cmd.WaitDelay = 10 * time.Second
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the scheduler: %w", err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

// stopProcess ends the scheduler and returns the processor time that it took.
// One that does not end in time is killed.
func (c *schedulerProcess) stopProcess() time.Duration {
	_ = c.cmd.Process.Signal(os.Interrupt) // it may have ended by itself
	select {
	case <-c.exited:
	case <-time.After(10 * time.Second):
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
	return c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime()
}

// errSchedulerEnded is the cause with which a replay ends when its scheduler does.
var errSchedulerEnded = errors.New("the scheduler ended by itself")

// logTail returns the last lines of the scheduler's log.
func (c *schedulerProcess) logTail() string {
	log, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-15):], []byte("\n")))
}
