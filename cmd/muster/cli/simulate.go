// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-scheduler/muster/pkg/report"
	"github.com/muster-scheduler/muster/pkg/sim"
	"github.com/muster-scheduler/muster/pkg/trace"
)

// simulate is the flags of the verb.
type simulate struct {
	nodes, gangs, csv string
	policies          []string
	shape             sim.Shape
	strict            bool
	load              float64
	fgd               fgd
}

func simulateVerb(o *options) *cobra.Command {
	var s simulate
	cmd := &cobra.Command{
		Use:   "simulate {--nodes FILE --gangs FILE | --protocol fgd}",
		Short: "Replay a trace of gangs on a fleet in virtual time, policies side by side",
		Long: `Replay a trace of gangs on a fleet in virtual time, with the placement engine of
the scheduler and with simpler policies beside it: how long gangs wait, how busy
the GPUs are, how close together the gangs stand. The files are those of public
traces; pkg/trace names the columns. The same files give the same figures, but
for the times that decisions take. The flags that name a cluster do nothing.`,
		Example: "  muster simulate --nodes pkg/demo/data/fabric_lingjun2023.csv --gangs pkg/demo/data/gangs_kalos.csv --load 0.9\n" +
			"  muster simulate --protocol fgd --workload default --seeds 42..44",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.fgd.protocol != "" {
				return s.fgd.run(cmd.OutOrStdout())
			}
			format, err := o.format()
			if err != nil {
				return err
			}
			summaries, err := s.run(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return report.Write(cmd.OutOrStdout(), format, summaries, func(w io.Writer) { sim.WriteTable(w, summaries) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.nodes, "nodes", "", "the fleet, a CSV `file`")
	flags.StringVar(&s.gangs, "gangs", "", "the gangs, a CSV `file`")
	flags.StringSliceVar(&s.policies, "policies", sim.PolicyNames(), "the `policies` to compare")
	flags.IntVar(&s.shape.GPUs, "gpus", 8, "`GPUs` of a node of which the file does not say")
	flags.Float64Var(&s.load, "load", 0, "squeeze the arrivals until this `share` of the fleet's GPU time is asked for; 0 leaves them")
	flags.BoolVar(&s.strict, "strict", false, "no gang passes one that waits before it")
	flags.StringVar(&s.csv, "csv", "", "write what became of each gang to this `file`")
	for _, name := range []string{"nodes", "gangs"} {
		_ = cmd.MarkFlagFilename(name, "csv")
	}
	s.fgd.addFlags(flags)
	cmd.MarkFlagsRequiredTogether("nodes", "gangs")
	cmd.MarkFlagsOneRequired("nodes", "protocol")
	cmd.MarkFlagsMutuallyExclusive("nodes", "protocol")
	return cmd
}

// run replays the trace once for each policy. Progress goes to a terminal only.
func (s *simulate) run(progress io.Writer) ([]sim.Summary, error) {
	cfg, err := s.config()
	if err != nil {
		return nil, err
	}
	var rows strings.Builder
	var summaries []sim.Summary
	for _, name := range s.policies {
		policy, err := sim.PolicyNamed(name)
		if err != nil {
			return nil, fmt.Errorf("--policies: %w", err)
		}
		if screenOf(progress).terminal {
			fmt.Fprintf(progress, "replaying %d gangs on %d nodes: %s\n", len(cfg.Gangs), len(cfg.Nodes), name)
		}
		cfg.Policy = policy
		result, err := sim.Run(cfg)
		if err != nil {
			return nil, fmt.Errorf("replaying with %s: %w", name, err)
		}
		summaries = append(summaries, sim.Summarise(&cfg, result))
		if err := sim.WriteCSV(&rows, name, result); err != nil {
			return nil, err
		}
	}
	if s.csv == "" {
		return summaries, nil
	}
	if err := os.WriteFile(s.csv, []byte(oneHeader(rows.String())), 0o644); err != nil {
		return nil, fmt.Errorf("writing --csv: %w", err)
	}
	return summaries, nil
}

// config reads the files.
func (s *simulate) config() (sim.Config, error) {
	start := time.Now()
	cfg := sim.Config{Shape: s.shape, Strict: s.strict, Clock: func() time.Duration { return time.Since(start) }}
	var err error
	if cfg.Nodes, err = readTrace(s.nodes, trace.Nodes); err != nil {
		return cfg, err
	}
	if cfg.Gangs, err = readTrace(s.gangs, trace.Gangs); err != nil || s.load == 0 {
		return cfg, err
	}
	gpus := 0
	for _, n := range cfg.Nodes {
		if n.GPUs == 0 {
			n.GPUs = s.shape.GPUs
		}
		gpus += n.GPUs
	}
	cfg.Gangs, _, err = trace.Compression{Speed: 1, Load: s.load, GPUs: gpus}.Apply(cfg.Gangs)
	return cfg, err
}

// oneHeader keeps the header row of the first of several tables.
func oneHeader(tables string) string {
	header, rest, _ := strings.Cut(tables, "\n")
	return header + "\n" + strings.ReplaceAll(rest, header+"\n", "")
}

// readTrace reads a file in one of the formats of package trace.
func readTrace[T any](path string, read func(string, io.Reader) ([]T, error)) ([]T, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows, err := read(filepath.Base(path), file)
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("%s has no rows", path)
	}
	return rows, err
}
