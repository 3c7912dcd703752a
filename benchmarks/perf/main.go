// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command perf runs Kubernetes' own scheduler benchmark, scheduler_perf, for
// three contestants: kube-scheduler, Muster, and a null scheduler that binds
// without deciding anything. It prints one table in Markdown.
//
// Each run is a process of its own with a fresh etcd and API server. The
// contestants of a shape take turns, so that a busy machine hits them alike.
//
// What is scheduled stands in shape.go, who schedules in contestants.go and
// null.go. A run (measure.go) is scheduler_perf itself, called as a library; the
// time is taken beside it (stopwatch.go), since scheduler_perf polls. The figures
// go back to the parent in a file and from there into package table.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"go.etcd.io/etcd/server/v3/etcdmain"

	"github.com/muster-scheduler/muster/benchmarks/perf/table"
)

// main is etcd, one run, or the comparison that starts both.
func main() {
	// scheduler_perf starts the first etcd on the PATH, which is a link to this
	// program.
	if filepath.Base(os.Args[0]) == "etcd" {
		etcdmain.Main(os.Args)
		return
	}
	if len(os.Args) > 3 && os.Args[1] == oneRun {
		measureJob(os.Args[2], os.Args[3])
		return
	}
	if err := compareAll(); err != nil {
		fmt.Fprintln(os.Stderr, "perf:", err)
		os.Exit(1)
	}
}

// compareAll runs everything that was asked for, and prints the table.
func compareAll() error {
	shapeNames := flag.String("shapes", "topology/750x4,topology/3x1000,gang/1000x3,gang/3x1000", "what to schedule")
	contestantNames := flag.String("contestants", strings.Join(contestants, ","), "who schedules")
	runs := flag.Int("runs", 1, "how often")
	dir := flag.String("dir", "", "keep logs, results and profiles in this directory")
	profile := flag.Bool("profile", false, "write a CPU profile of each run, which needs -dir")
	flag.Parse()
	asked, err := parseJobs(*shapeNames, *contestantNames)
	if err != nil {
		return err
	}
	if *dir == "" {
		if *dir, err = os.MkdirTemp("", "muster-perf-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(*dir) }()
	} else if *dir, err = filepath.Abs(*dir); err != nil {
		return err
	}
	if err := linkEtcd(*dir); err != nil {
		return fmt.Errorf("making this program the etcd of scheduler_perf: %w", err)
	}
	var done []table.Run
	for run := range *runs {
		for _, one := range asked {
			where := filepath.Join(*dir, strings.ReplaceAll(one.shape.name, "/", "-"), fmt.Sprintf("%s-%d", one.contestant, run+1))
			r, err := spawnRun(one, where, *profile)
			if err != nil {
				return fmt.Errorf("%s by %s: %w", one.shape.name, one.contestant, err)
			}
			fmt.Fprintf(os.Stderr, "run %d of %d: %s by %s: %.1f s\n", run+1, *runs, one.shape.name, one.contestant, r.Wall.Seconds())
			done = append(done, r)
		}
	}
	return table.Write(os.Stdout, done, upstreamScheduler, nullScheduler)
}

// linkEtcd makes this program the first etcd on the PATH, so that no etcd has
// to be installed.
func linkEtcd(dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bin := filepath.Join(dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	// A link of an earlier run with the same -dir may lead to another build.
	link := filepath.Join(bin, "etcd")
	if err := os.Remove(link); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := os.Symlink(self, link); err != nil {
		return err
	}
	return os.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// spawnRun measures once, in a process of its own: scheduler_perf leaves
// goroutines and global metrics behind.
func spawnRun(one benchmarkJob, dir string, profile bool) (table.Run, error) {
	var run table.Run
	if err := os.RemoveAll(dir); err != nil {
		return run, err
	}
	if err := one.writeFiles(dir); err != nil {
		return run, err
	}
	logs, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return run, err
	}
	defer logs.Close()
	self, err := os.Executable()
	if err != nil {
		return run, err
	}
	cmd := exec.Command(self, oneRun, one.shape.name, one.contestant,
		"-test.v", "-test.bench=.", "-test.benchtime=1x", "-test.run=^$", "-test.timeout=40m", fmt.Sprintf("-perf-cpuprofile=%t", profile))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, logs, logs
	// etcd and its data end with the run.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Join(dir, "tmp"))
	if err := runGroup(cmd); err != nil {
		return run, fmt.Errorf("%w; see the end of %s", err, logs.Name())
	}
	// etcd's data is large, and of no use after the run. Log and result stay.
	if err := os.RemoveAll(filepath.Join(dir, "tmp")); err != nil {
		return run, err
	}
	data, err := os.ReadFile(filepath.Join(dir, resultFile))
	if err != nil {
		return run, err
	}
	return run, json.Unmarshal(data, &run)
}

// runGroup runs a process and kills its process group at the end, also when
// this one is asked to stop.
func runGroup(cmd *exec.Cmd) error {
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(interrupted)
	if err := cmd.Start(); err != nil {
		return err
	}
	defer syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // it may have ended as a whole
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-interrupted:
		return errors.New("interrupted")
	}
}
