// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"time"
)

// WriteTable prints summaries of one trace side by side, a column a policy.
func WriteTable(w io.Writer, summaries []Summary) {
	line := func(name string, cell func(Summary) string) {
		fmt.Fprintf(w, "%-26s", name)
		for _, s := range summaries {
			fmt.Fprintf(w, " %12s", cell(s))
		}
		fmt.Fprintln(w)
	}
	line("", func(s Summary) string { return s.Policy })
	line("gangs placed", func(s Summary) string { return fmt.Sprintf("%d/%d", s.Placed, s.Gangs) })
	line("gangs stuck in part", func(s Summary) string { return strconv.Itoa(s.Stuck) })
	line("makespan", func(s Summary) string { return span(s.Makespan) })
	line("GPUs at work", func(s Summary) string { return percent(s.Working) })
	line("GPUs held without work", func(s Summary) string { return percent(s.Idle) })
	for i, class := range classes(summaries) {
		line("wait p50, "+class, func(s Summary) string { return span(s.Waits[i].P50) })
		line("wait p95, "+class, func(s Summary) string { return span(s.Waits[i].P95) })
	}
	line("inside one leaf", func(s Summary) string { return fmt.Sprintf("%d/%d", s.InOneLeaf, s.FitLeaf) })
	line("leaves of larger gangs", func(s Summary) string { return fmt.Sprintf("%.2f x", s.LeafSpread) })
	line("decision p50", func(s Summary) string { return fmt.Sprintf("%.1f us", s.DecisionP50) })
	line("decision p99", func(s Summary) string { return fmt.Sprintf("%.1f us", s.DecisionP99) })
	if len(summaries) == 0 {
		return
	}
	for i, open := range summaries[0].Open {
		line("open: "+open.What, func(s Summary) string { return percent(s.Open[i].Share) })
	}
}

// classes are the size classes; the same for every policy on one trace.
func classes(summaries []Summary) []string {
	var names []string
	if len(summaries) > 0 {
		for _, wait := range summaries[0].Waits {
			names = append(names, wait.Class)
		}
	}
	return names
}

// span writes seconds in the unit that suits them.
func span(seconds float64) string {
	switch {
	case seconds < 120:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds < 2*3600:
		return fmt.Sprintf("%.1f min", seconds/60)
	}
	return fmt.Sprintf("%.1f h", seconds/3600)
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// WriteCSV writes what became of each gang, a row each. Times are in seconds;
// -1 for what never came.
func WriteCSV(w io.Writer, policy string, r *Result) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"policy", "gang", "pods", "gpus_per_pod", "arrival_s", "placed_s", "ended_s", "leaves"}) // Error reports it
	for _, x := range r.Records {
		_ = out.Write([]string{
			policy, x.Name, strconv.Itoa(x.Pods), strconv.Itoa(x.GPUs),
			stamp(x.Arrival), stamp(x.Placed), stamp(x.Ended), strconv.Itoa(x.Leaves),
		})
	}
	out.Flush()
	return out.Error()
}

func stamp(at time.Duration) string {
	if at < 0 {
		return "-1"
	}
	return strconv.FormatFloat(at.Seconds(), 'f', 3, 64)
}
