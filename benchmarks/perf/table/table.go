// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package table puts the runs of a benchmark side by side.
package table

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Run is one run of one contestant.
type Run struct {
	Shape, Contestant string
	Pods              int
	// Wall is the time from the first pod created to the last one bound.
	Wall time.Duration
	// Quiet is the time until nothing more was written, such as events.
	Quiet time.Duration
	// Decision is the mean time that the scheduler took to decide on one gang;
	// zero if it does not decide.
	Decision time.Duration
}

// Write prints a row in Markdown for each shape and contestant, in the order in
// which they come: the median of the runs, then the lowest and the highest. Two
// columns compare the medians of a shape, the time with that of the contestant
// slow, the rate with that of the contestant fast.
func Write(w io.Writer, runs []Run, slow, fast string) error {
	var text strings.Builder
	fmt.Fprintf(&text, "| shape | scheduler | runs | wall time, s | all told, s | pods/s | decision a gang | times faster than %s | rate of %s |\n", slow, fast)
	text.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, row := range groupRuns(runs) {
		wall := medianOf(row, func(r Run) time.Duration { return r.Wall })
		text.WriteString(strings.Join([]string{
			"| " + row[0].Shape, row[0].Contestant, fmt.Sprint(len(row)),
			formatSpread(row, func(r Run) time.Duration { return r.Wall }, formatSeconds),
			formatSpread(row, func(r Run) time.Duration { return r.Quiet }, formatSeconds),
			fmt.Sprintf("%.0f", float64(row[0].Pods)/wall.Seconds()),
			formatSpread(row, func(r Run) time.Duration { return r.Decision }, formatDecision),
			compareWall(runs, row[0].Shape, slow, func(other time.Duration) string { return fmt.Sprintf("%.1f", other.Seconds()/wall.Seconds()) }),
			compareWall(runs, row[0].Shape, fast, func(other time.Duration) string {
				return fmt.Sprintf("%.0f%%", 100*other.Seconds()/wall.Seconds())
			}) + " |\n",
		}, " | "))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// groupRuns returns the runs of one shape and contestant together.
func groupRuns(runs []Run) [][]Run {
	var rows [][]Run
	for _, run := range runs {
		at := slices.IndexFunc(rows, func(row []Run) bool {
			return row[0].Shape == run.Shape && row[0].Contestant == run.Contestant
		})
		if at < 0 {
			rows, at = append(rows, nil), len(rows)
		}
		rows[at] = append(rows[at], run)
	}
	return rows
}

// compareWall returns a figure against the median wall time of another
// contestant with the same shape, if that one ran.
func compareWall(runs []Run, shape, contestant string, show func(time.Duration) string) string {
	for _, row := range groupRuns(runs) {
		if row[0].Shape == shape && row[0].Contestant == contestant {
			return show(medianOf(row, func(r Run) time.Duration { return r.Wall }))
		}
	}
	return ""
}

// medianOf returns the median of a duration of the runs.
func medianOf(runs []Run, of func(Run) time.Duration) time.Duration {
	values := sortedTimes(runs, of)
	half := len(values) / 2
	if len(values)%2 == 0 {
		return (values[half-1] + values[half]) / 2
	}
	return values[half]
}

// sortedTimes returns a duration of the runs in order.
func sortedTimes(runs []Run, of func(Run) time.Duration) []time.Duration {
	values := make([]time.Duration, len(runs))
	for i, run := range runs {
		values[i] = of(run)
	}
	slices.Sort(values)
	return values
}

// formatSpread returns the median and, of several runs, the lowest and the
// highest.
func formatSpread(runs []Run, of func(Run) time.Duration, show func(time.Duration) string) string {
	middle := show(medianOf(runs, of))
	if len(runs) == 1 || middle == "" {
		return middle
	}
	values := sortedTimes(runs, of)
	return fmt.Sprintf("%s (%s-%s)", middle, show(values[0]), show(values[len(values)-1]))
}

// formatSeconds returns seconds to a tenth.
func formatSeconds(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }

// formatDecision returns "" for a scheduler that does not decide.
func formatDecision(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
