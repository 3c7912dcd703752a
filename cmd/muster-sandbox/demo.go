// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/muster-scheduler/muster/pkg/demo"
)

const demoUsage = `usage: muster-sandbox demo [flags] [-- scheduler flags]

Replays gangs of the Kalos LLM cluster, squeezed in time, on a control plane of
its own, and reports how long they waited, how busy the GPUs were and whether
any gang was started in part. Exit status: 0 well, 1 a promise of Muster was
broken or the replay could not run, 2 wrong flags.

`

// runDemo is the verb demo. It returns the exit status.
func runDemo(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	opts, reportPath, err := demoFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	opts.Out = stdout
	report, err := demo.Run(ctx, opts)
	if err != nil {
		fmt.Fprintf(stderr, "demo: %v\n", err)
		return 1
	}
	report.WriteText(stdout)
	if err := writeReport(reportPath, report); err != nil {
		fmt.Fprintf(stderr, "demo: %v\n", err)
		return 1
	}
	if broken := report.Broken(); len(broken) > 0 && opts.Scheduler == demo.Muster {
		fmt.Fprintln(stderr, "\nMuster broke its promises:")
		for _, sentence := range broken {
			fmt.Fprintln(stderr, "  "+sentence)
		}
		return 1
	}
	return 0
}

func demoFlags(args []string, stderr io.Writer) (demo.Options, string, error) {
	opts := demo.Defaults()
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, demoUsage)
		flags.PrintDefaults()
	}
	flags.StringVar(&opts.Scheduler, "scheduler", opts.Scheduler, "`name` of the scheduler: muster, or default for the stock kube-scheduler")
	flags.IntVar(&opts.Nodes, "nodes", opts.Nodes, "`number` of nodes, with 8 GPUs each")
	flags.IntVar(&opts.Gangs, "gangs", opts.Gangs, "`number` of gangs, the first of the trace; 0 for all")
	flags.Float64Var(&opts.Speed, "speed", opts.Speed, "`factor` by which run times are divided")
	flags.DurationVar(&opts.MinRun, "min-run", opts.MinRun, "shortest `time` that a gang works, whatever the speed")
	flags.Float64Var(&opts.Load, "load", opts.Load, "offered load, as a `share` of the fleet; arrivals are squeezed until it comes out")
	topology := flags.String("topology", string(opts.Topology), "what gangs ask for, `wish`: preferred (one leaf if possible), required (one leaf for those that fit) or none")
	flags.DurationVar(&opts.Limit, "limit", opts.Limit, "longest `time` of the replay")
	flags.DurationVar(&opts.CommitWindow, "commit-window", opts.CommitWindow, "`time` from a gang's first to its last bind after which it counts as partly started")
	flags.StringVar(&opts.SchedulerLog, "scheduler-log", "", "`file` for the scheduler's log")
	report := flags.String("report", "", "`file` for the report as JSON")
	if err := flags.Parse(args); err != nil {
		return opts, "", err
	}
	opts.Topology = demo.Wish(*topology)
	opts.SchedulerArgs = flags.Args()
	return opts, *report, nil
}

func writeReport(path string, report *demo.Report) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}
