// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-scheduler/muster/internal/sim"
	"github.com/muster-scheduler/muster/internal/sim/chart"
	"github.com/muster-scheduler/muster/pkg/report"
	"github.com/muster-scheduler/muster/pkg/terminal"
)

// simulateFlags are the flags of the verb.
type simulateFlags struct {
	replay     replayFlags
	policies   []string
	strict     bool
	csv, chart string
	fgd        fgdFlags
}

// simulateVerb returns the command simulate.
func simulateVerb(o *options) *cobra.Command {
	var s simulateFlags
	cmd := &cobra.Command{
		Use:   "simulate [--trace NAME | --nodes FILE --gangs FILE | --protocol fgd]",
		Short: "Replay a trace of gangs on a fleet in virtual time, policies side by side",
		Long: `Replay a trace of gangs on a fleet in virtual time, with the placement engine of
the scheduler and with simpler policies beside it: how long gangs and single pods
wait, how busy the GPUs are, how close together the gangs stand, and how often a
later gang would find room. Three traces come with the command; the files of
other public ones can be read too, internal/trace names their columns. The same input
gives the same figures, but for the times that decisions take. The flags that
name a cluster do nothing.`,
		Example: "  muster simulate\n" +
			"  muster simulate --trace philly --chart philly.svg\n" +
			"  muster simulate --trace mixed --policies muster,muster/most-allocated,spread\n" +
			"  muster simulate --nodes fabric.csv --gangs gangs.csv --load 0.9 -o json --csv gangs-out.csv\n" +
			"  muster simulate --protocol fgd --workload default --seeds 42..44",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.fgd.protocol != "" {
				return s.fgd.run(cmd.OutOrStdout())
			}
			return s.run(cmd, o)
		},
	}
	flags := cmd.Flags()
	s.replay.addFlags(flags)
	flags.StringSliceVar(&s.policies, "policies", sim.PolicyNames(),
		"the `policies` to compare; /RULE behind one says how it places single pods, as in muster/most-allocated")
	flags.BoolVar(&s.strict, "strict", false, "no gang passes one that waits before it")
	flags.StringVar(&s.csv, "csv", "", "write what became of each gang to this `file`")
	flags.StringVar(&s.chart, "chart", "", "draw the replays into this `file`, .svg or .html")
	for _, name := range []string{"nodes", "gangs", "singles"} {
		_ = cmd.MarkFlagFilename(name, "csv")
	}
	_ = cmd.MarkFlagFilename("chart", "svg", "html")
	_ = cmd.RegisterFlagCompletionFunc("trace", cobra.FixedCompletions(traceNames(), cobra.ShellCompDirectiveNoFileComp))
	s.fgd.addFlags(flags)
	cmd.MarkFlagsRequiredTogether("nodes", "gangs")
	for _, other := range []string{"nodes", "singles", "protocol"} {
		cmd.MarkFlagsMutuallyExclusive("trace", other)
	}
	cmd.MarkFlagsMutuallyExclusive("nodes", "protocol")
	return cmd
}

// run replays the trace once for each policy. What can be wrong in the flags is
// checked before, since a replay takes minutes.
func (s *simulateFlags) run(cmd *cobra.Command, o *options) error {
	format, err := o.outputFormat()
	if err != nil {
		return err
	}
	draw, err := s.chartWriter()
	if err != nil {
		return err
	}
	cfg, title, err := s.replay.simConfig(cmd.Flags())
	if err != nil {
		return err
	}
	start := time.Now()
	cfg.Strict, cfg.Clock = s.strict, func() time.Duration { return time.Since(start) }
	quiet := format != report.Text && !terminal.IsTerminal(cmd.OutOrStdout())
	runs, err := s.runPolicies(cfg, newProgressBar(cmd.ErrOrStderr(), quiet))
	if err != nil {
		return err
	}
	picture := &chart.Chart{Title: title, About: describeConfig(&cfg), Runs: runs}
	if err := s.writeFiles(picture, draw); err != nil {
		return err
	}
	summaries := make([]sim.Summary, len(runs))
	for i, r := range runs {
		summaries[i] = r.Summary
	}
	return report.WriteValue(cmd.OutOrStdout(), format, summaries, func(w io.Writer) {
		fmt.Fprintf(w, "%s\n%s\n\n", title, picture.About)
		sim.WriteTable(w, summaries)
	})
}

// runPolicies replays the trace under one policy after the other: side by side
// they would disturb the times of their decisions.
func (s *simulateFlags) runPolicies(cfg sim.Config, bar *progressBar) ([]chart.Run, error) {
	defer bar.clearLine()
	policies := make([]sim.Policy, len(s.policies))
	for i, name := range s.policies {
		var err error
		if policies[i], err = sim.PolicyNamed(name); err != nil {
			return nil, fmt.Errorf("--policies: %w", err)
		}
	}
	runs := make([]chart.Run, len(policies))
	for i, policy := range policies {
		cfg.Policy = policy
		label := fmt.Sprintf("%d of %d, %s", i+1, len(policies), policy.Name)
		cfg.Progress = func(ended int) { bar.showProgress(label, ended, len(cfg.Gangs)) }
		result, err := sim.Run(cfg)
		if err != nil {
			return nil, fmt.Errorf("replaying with %s: %w", policy.Name, err)
		}
		runs[i] = chart.Run{Summary: sim.NewSummary(&cfg, result), Result: result}
	}
	return runs, nil
}

// chartWriter returns the function that writes the file of --chart; nil without
// the flag.
func (s *simulateFlags) chartWriter() (func(*chart.Chart, io.Writer) error, error) {
	switch {
	case s.chart == "":
		return nil, nil
	case strings.HasSuffix(s.chart, ".svg"):
		return (*chart.Chart).WriteSVG, nil
	case strings.HasSuffix(s.chart, ".html"):
		return (*chart.Chart).WriteHTML, nil
	}
	return nil, fmt.Errorf("--chart: found %q, want a name that ends in .svg or .html", s.chart)
}

// writeFiles writes the files of --csv and --chart.
func (s *simulateFlags) writeFiles(picture *chart.Chart, draw func(*chart.Chart, io.Writer) error) error {
	if s.csv != "" {
		var rows bytes.Buffer
		if err := sim.WriteCSVHeader(&rows); err != nil {
			return err
		}
		for _, r := range picture.Runs {
			if err := sim.WriteCSV(&rows, r.Summary.Policy, r.Result); err != nil {
				return err
			}
		}
		if err := os.WriteFile(s.csv, rows.Bytes(), 0o644); err != nil {
			return fmt.Errorf("writing --csv: %w", err)
		}
	}
	if draw == nil {
		return nil
	}
	var drawn bytes.Buffer
	if err := draw(picture, &drawn); err != nil {
		return err
	}
	if err := os.WriteFile(s.chart, drawn.Bytes(), 0o644); err != nil {
		return fmt.Errorf("writing --chart: %w", err)
	}
	return nil
}
