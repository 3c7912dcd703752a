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

// plainEvery is the distance of progress lines where the output is no terminal.
const plainEvery = 10 * time.Second

// barWidth is the width of the bar of GPUs.
const barWidth = 10

// progress shows how a replay goes: one line that changes on a terminal, a line
// now and then elsewhere.
type progress struct {
	out  io.Writer
	line *terminal.Line // nil where out is no terminal
	gpus int
	next time.Duration
}

func newProgress(out io.Writer, gpus int) *progress {
	return &progress{out: out, line: terminal.NewLine(out), gpus: gpus}
}

func (p *progress) show(s sample, found audit.Report) {
	if p.line == nil && s.at < p.next {
		return
	}
	p.next += plainEvery
	work, idle := share(s.working, p.gpus), share(s.held-s.working, p.gpus)
	text := fmt.Sprintf("%3.0f s %s %3.0f %% at work, %.0f %% idle | %d done, %d working, %d waiting | partly started %d",
		s.at.Seconds(), bar(work, idle), 100*work, 100*idle, s.done, s.running, s.waiting+s.partial, found.Partial)
	if p.line == nil {
		fmt.Fprintln(p.out, text)
		return
	}
	p.line.ShowText(text)
}

// bar draws GPUs at work, held without work, and free.
func bar(work, idle float64) string {
	full := min(barWidth, int(work*barWidth+0.5))
	held := max(full, min(barWidth, int((work+idle)*barWidth+0.5)))
	return "[" + strings.Repeat("█", full) + strings.Repeat("▒", held-full) + strings.Repeat(" ", barWidth-held) + "]"
}

func share(part, whole int) float64 { return float64(part) / float64(whole) }

// note says what is being done before the replay starts.
func (p *progress) note(format string, args ...any) {
	fmt.Fprintf(p.out, format+"\n", args...)
}

// clear removes the changing line.
func (p *progress) clear() {
	if p.line != nil {
		p.line.Clear()
	}
}
