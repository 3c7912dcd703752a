// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"testing"
	"time"

	"k8s.io/component-base/metrics/legacyregistry"
	perf "k8s.io/kubernetes/test/integration/scheduler_perf"
	"k8s.io/kubernetes/test/utils/client-go/ktesting"

	"github.com/muster-scheduler/muster/benchmarks/perf/table"
)

// oneRun is the first argument of the process that measures once. It works in
// the directory of its job.
const oneRun = "one-run"

// resultFile is the file that it writes there, a table.Run.
const resultFile = "result.json"

// measureJob runs scheduler_perf on the files in the working directory. It does
// not return.
func measureJob(shapeName, contestant string) {
	one, err := findJob(shapeName, contestant)
	// What is left of the arguments is for package testing, which reads os.Args.
	if err == nil {
		os.Args = append(os.Args[:1], os.Args[4:]...)
		testing.Init()
		err = perf.InitTests()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "perf:", err)
		os.Exit(1)
	}
	testing.Main(regexp.MatchString, nil, []testing.InternalBenchmark{{
		Name: "BenchmarkPerfScheduling",
		F: func(b *testing.B) {
			perf.RunBenchmarkPerfScheduling(b, "workload.yaml", "perf", nil,
				perf.WithPodsSchedulingTimeout(20*time.Minute),
				perf.WithPrepareFn(one.prepareRun))
		},
	}}, nil)
}

// prepareRun starts the stopwatch and, beside the scheduler that scheduler_perf
// has started, the contestant. It is called before there are nodes.
func (j benchmarkJob) prepareRun(tCtx ktesting.TContext) error {
	watch, err := startStopwatch(tCtx, j.shape.podCount())
	if err != nil {
		return err
	}
	switch j.contestant {
	case musterScheduler:
		err = startMuster(tCtx)
	case nullScheduler:
		err = startNull(tCtx, j.shape.nodes)
	}
	tCtx.Cleanup(func() {
		// What is left is to stop the control plane, politely. scheduler_perf
		// would wait ten minutes for the signal handler of muster-scheduler,
		// which belongs to a process and not to a benchmark.
		if tCtx.Failed() {
			os.Exit(1)
		}
		if err := j.writeResult(watch); err != nil {
			fmt.Fprintln(os.Stderr, "perf:", err)
			os.Exit(1)
		}
		os.Exit(0)
	})
	return err
}

// writeResult writes the result into the working directory.
func (j benchmarkJob) writeResult(watch *stopwatch) error {
	run := table.Run{Shape: j.shape.name, Contestant: j.contestant, Pods: j.shape.podCount()}
	var err error
	if run.Wall, err = watch.wallTime(); err != nil {
		return err
	}
	if run.Quiet, err = watch.quietTime(); err != nil {
		return err
	}
	if run.Decision, err = meanDecision(); err != nil {
		return err
	}
	data, err := json.Marshal(run)
	if err != nil {
		return err
	}
	return os.WriteFile(resultFile, data, 0o644)
}

// meanDecision returns the mean time that the scheduler in this process took to
// decide on a gang; zero if it decided on none.
func meanDecision() (time.Duration, error) {
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		return 0, err
	}
	sum, count := 0.0, uint64(0)
	for _, family := range families {
		if family.GetName() != "scheduler_podgroup_scheduling_algorithm_duration_seconds" {
			continue
		}
		for _, metric := range family.GetMetric() {
			sum += metric.GetHistogram().GetSampleSum()
			count += metric.GetHistogram().GetSampleCount()
		}
	}
	if count == 0 {
		return 0, nil
	}
	return time.Duration(sum / float64(count) * float64(time.Second)), nil
}
