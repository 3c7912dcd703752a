// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/muster-scheduler/muster/internal/audit"
	"github.com/muster-scheduler/muster/pkg/terminal"
)

// plainEvery is the interval of progress lines where the output is no terminal.
const plainEvery = 10 * time.Second

// barWidth is the width of the bar of GPUs.
const barWidth = 10

// progress shows the state of a replay: in one line that is rewritten on a
// terminal, in a line every plainEvery elsewhere.
type progress struct {
	out  io.Writer
	line *terminal.Line // nil where out is no terminal
	gpus int
	next time.Duration
}

// newProgress returns a progress that knows whether out is a terminal.
func newProgress(out io.Writer, gpus int) *progress {
	return &progress{out: out, line: terminal.NewLine(out), gpus: gpus}
}

// showSample shows one sample, unless the last line is too recent.
func (p *progress) showSample(s sample, found audit.Report) {
	if p.line == nil && s.at < p.next {
		return
	}
	p.next += plainEvery
	work, idle := percentOf(s.working, p.gpus), percentOf(s.held-s.working, p.gpus)
	text := fmt.Sprintf("%3.0f s %s %3.0f %% at work, %.0f %% idle | %d done, %d working, %d waiting | partly started %d",
		s.at.Seconds(), usageBar(work, idle), 100*work, 100*idle, s.done, s.running, s.waiting+s.partial, found.Partial)
	if p.line == nil {
		fmt.Fprintln(p.out, text)
		return
	}
	p.line.ShowText(text)
}

// usageBar returns a bar of the GPUs at work, held without work, and free.
func usageBar(work, idle float64) string {
	// The two are rounded separately, so held could come out below full.
	full := min(barWidth, int(work*barWidth+0.5))
	held := max(full, min(barWidth, int((work+idle)*barWidth+0.5)))
	return "[" + strings.Repeat("█", full) + strings.Repeat("▒", held-full) + strings.Repeat(" ", barWidth-held) + "]"
}

// percentOf returns part as a share of whole, from 0 to 1.
func percentOf(part, whole int) float64 { return float64(part) / float64(whole) }

// printNote prints a line that stays.
func (p *progress) printNote(format string, args ...any) {
	fmt.Fprintf(p.out, format+"\n", args...)
}

// clearLine removes the line that is rewritten.
func (p *progress) clearLine() {
	if p.line != nil {
		p.line.Clear()
	}
}
