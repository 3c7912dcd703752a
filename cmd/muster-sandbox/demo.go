// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/muster-scheduler/muster/internal/demo"
)

func init() { verbs = append(verbs, newDemo) }

// newDemo returns the command demo.
func newDemo() *cobra.Command {
	// The defaults are those of package demo, so that `make demo` and the flags
	// of the help agree.
	opts := demo.DefaultOptions()
	topology := string(opts.Topology)
	var report string
	var port int
	cmd := &cobra.Command{
		Use:   "demo [flags] [-- flags of the scheduler]",
		Short: "Replay gangs of a real cluster against a scheduler, and report",
		Long: `Replay gangs of the Kalos LLM cluster, squeezed in time, on a control plane of
its own, and report how long they waited, how busy the GPUs were and whether any
gang was started in part. The exit status is 1 when Muster broke a promise.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Topology, opts.SchedulerArgs, opts.Out = demo.TopologyMode(topology), args, cmd.OutOrStdout()
			// Package demo knows no page: it would depend on the product's page.
			if port != noPage {
				opts.Page = func(ctx context.Context, cfg *rest.Config) (string, error) { return servePage(ctx, cfg, port) }
			}
			return runDemo(cmd, opts, report)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&opts.Scheduler, "scheduler", opts.Scheduler, "`name` of the scheduler: muster, or default for the stock kube-scheduler")
	flags.IntVar(&opts.Nodes, "nodes", opts.Nodes, "how many nodes, with 8 GPUs each")
	flags.IntVar(&opts.Gangs, "gangs", opts.Gangs, "how many gangs, the first of the trace; 0: all")
	flags.Float64Var(&opts.Speed, "speed", opts.Speed, "`factor` by which run times are divided")
	flags.DurationVar(&opts.MinRun, "min-run", opts.MinRun, "shortest `time` that a gang works, whatever the speed")
	flags.Float64Var(&opts.Load, "load", opts.Load, "offered load as a `share` of the fleet; arrivals are squeezed until it comes out")
	flags.StringVar(&topology, "topology", topology, "what gangs ask for: preferred (one leaf if possible), required (one leaf for those that fit one) or none")
	flags.BoolVar(&opts.DRA, "dra", false, "serve the GPUs by DRA in place of a device plugin; the gangs stay as they are")
	flags.DurationVar(&opts.Limit, "limit", opts.Limit, "longest `time` of the replay")
	flags.DurationVar(&opts.CommitWindow, "commit-window", opts.CommitWindow, "`time` from a gang's first to its last bind after which it counts as partly started")
	flags.StringVar(&opts.SchedulerLog, "scheduler-log", "", "`file` for the scheduler's log")
	flags.StringVar(&report, "report", "", "`file` for the report as JSON")
	addPageFlag(cmd, &port)
	return cmd
}

// runDemo runs the demo and prints its report. Only Muster's broken rules are
// an error: of the stock scheduler they are the point of the comparison.
func runDemo(cmd *cobra.Command, opts demo.Options, path string) error {
	report, err := demo.Run(cmd.Context(), opts)
	if err != nil {
		return err
	}
	report.WriteText(opts.Out)
	if err := writeReport(path, report); err != nil {
		return err
	}
	if broken := report.BrokenPromises(); len(broken) > 0 && opts.Scheduler == demo.Muster {
		return errors.New("broken promises:\n  " + strings.Join(broken, "\n  "))
	}
	return nil
}

// writeReport writes the report as JSON, if a file is named.
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
