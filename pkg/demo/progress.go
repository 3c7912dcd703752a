// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/muster-scheduler/muster/pkg/audit"
)

// plainEvery is the distance of progress lines where the output is no terminal.
const plainEvery = 10 * time.Second

// barWidth is the width of the bar of GPUs.
const barWidth = 10

// progress shows how a replay goes: one line that changes on a terminal, a line
// now and then elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	width    func() int // of the terminal, in columns
	gpus     int
	next     time.Duration
}

func newProgress(out io.Writer, gpus int) *progress {
	p := &progress{out: out, gpus: gpus}
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return p
	}
	p.terminal = true
	p.width = func() int {
		columns, _, err := term.GetSize(int(file.Fd()))
		if err != nil || columns <= 0 {
			return 80
		}
		return columns
	}
	return p
}

func (p *progress) show(s sample, found audit.Report) {
	if !p.terminal && s.at < p.next {
		return
	}
	p.next += plainEvery
	work, idle := share(s.working, p.gpus), share(s.held-s.working, p.gpus)
	line := fmt.Sprintf("%3.0f s %s %3.0f %% at work, %.0f %% idle | %d done, %d working, %d waiting | partly started %d",
		s.at.Seconds(), bar(work, idle), 100*work, 100*idle, s.done, s.running, s.waiting+s.partial, found.Partial)
	if !p.terminal {
		fmt.Fprintln(p.out, line)
		return
	}
	runes := []rune(line)
	fmt.Fprintf(p.out, "\r\033[K%s", string(runes[:min(len(runes), p.width()-1)]))
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
	if p.terminal {
		fmt.Fprint(p.out, "\r\033[K")
	}
}
