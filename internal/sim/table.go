// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// WriteTable prints summaries of one trace side by side, a column a policy, and
// below them how often a later gang would fit, a row a policy.
func WriteTable(w io.Writer, summaries []Summary) {
	width := 12
	for _, s := range summaries {
		width = max(width, len(s.Policy))
	}
	line := func(name string, cell func(Summary) string) {
		fmt.Fprintf(w, "%-26s", name)
		for _, s := range summaries {
			fmt.Fprintf(w, " %*s", width, cell(s))
		}
		fmt.Fprintln(w)
	}
	line("", func(s Summary) string { return s.Policy })
	line("placed", func(s Summary) string { return fmt.Sprintf("%d/%d", s.Placed, s.Gangs) })
	line("partly started", func(s Summary) string { return strconv.Itoa(s.Partial) })
	line("stuck in part", func(s Summary) string { return strconv.Itoa(s.Stuck) })
	line("makespan", func(s Summary) string { return formatSpan(s.Makespan) })
	line("GPUs at work", func(s Summary) string { return formatPercent(s.Working) })
	line("GPUs held without work", func(s Summary) string { return formatPercent(s.Idle) })
	for i, class := range classNames(summaries) {
		line("wait p50, "+class, func(s Summary) string { return formatSpan(s.Waits[i].P50) })
		line("wait p95, "+class, func(s Summary) string { return formatSpan(s.Waits[i].P95) })
		if strings.HasPrefix(class, "all") {
			line("wait mean, "+class, func(s Summary) string { return formatSpan(s.Waits[i].Mean) })
		}
	}
	line("inside one leaf", func(s Summary) string { return fmt.Sprintf("%d/%d", s.InOneLeaf, s.FitLeaf) })
	line("leaves of larger gangs", leafSpread)
	line("decision p50", func(s Summary) string { return formatTimed("%.1f us", s.DecisionP50) })
	line("decision p99", func(s Summary) string { return formatTimed("%.1f us", s.DecisionP99) })
	line("all decisions", func(s Summary) string { return formatTimed("%.2f s", s.Deciding) })
	writeFits(w, summaries, width)
}

// leafSpread returns "-" where no gang is larger than a leaf.
func leafSpread(s Summary) string {
	if s.LeafSpread == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f x", s.LeafSpread)
}

// formatTimed returns "-" where nothing was measured.
func formatTimed(format string, value float64) string {
	if value == 0 {
		return "-"
	}
	return fmt.Sprintf(format, value)
}

// writeFits prints how often a later gang would have found room.
func writeFits(w io.Writer, summaries []Summary, width int) {
	if len(summaries) == 0 || len(summaries[0].Fits) == 0 {
		return
	}
	fmt.Fprintf(w, "\na later gang of whole nodes would fit, %% of the time\n%-12s %-*s", "nodes", width, "")
	for _, size := range LaterSizes {
		fmt.Fprintf(w, " %6d", size)
	}
	fmt.Fprintln(w)
	for _, in := range fitsWidths {
		for _, s := range summaries {
			fmt.Fprintf(w, "%-12s %-*s", in.Name, width, s.Policy)
			for _, f := range s.Fits {
				fmt.Fprintf(w, " %6.1f", 100*in.Share(f))
			}
			fmt.Fprintln(w)
		}
	}
}

// classNames returns the size classes; they are the same for every policy on
// one trace.
func classNames(summaries []Summary) []string {
	var names []string
	if len(summaries) > 0 {
		for _, wait := range summaries[0].Waits {
			names = append(names, wait.Class)
		}
	}
	return names
}

// formatSpan returns seconds in the unit that suits them.
func formatSpan(seconds float64) string {
	switch {
	case seconds < 120:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds < 2*3600:
		return fmt.Sprintf("%.1f min", seconds/60)
	}
	return fmt.Sprintf("%.1f h", seconds/3600)
}

// formatPercent returns a share of 0 to 1 in percent.
func formatPercent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// WriteCSVHeader writes the header row of WriteCSV.
func WriteCSVHeader(w io.Writer) error {
	_, err := io.WriteString(w, "policy,gang,pods,gpus_per_pod,arrival_s,placed_s,ended_s,leaves\n")
	return err
}

// WriteCSV writes the outcome of each gang, a row each. Times are in seconds;
// -1 for what never came.
func WriteCSV(w io.Writer, policy string, r *Result) error {
	out := csv.NewWriter(w)
	for _, x := range r.Records {
		_ = out.Write([]string{ // Error reports it
			policy, x.Name, strconv.Itoa(x.Pods), strconv.Itoa(x.GPUs),
			formatTimestamp(x.Arrival), formatTimestamp(x.Placed), formatTimestamp(x.Ended), strconv.Itoa(x.Leaves),
		})
	}
	out.Flush()
	return out.Error()
}

// formatTimestamp returns seconds, -1 for a time that never came.
func formatTimestamp(at time.Duration) string {
	if at < 0 {
		return "-1"
	}
	return strconv.FormatFloat(at.Seconds(), 'f', 3, 64)
}
