// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/muster-scheduler/muster/pkg/audit"
)

// plainEvery is the distance of progress lines where the output is no terminal.
const plainEvery = 10 * time.Second

// progress shows how a replay goes: one line that changes on a terminal, a line
// now and then elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	gpus     int
	next     time.Duration
}

// isTerminal tells whether w is a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (p *progress) show(s sample, found audit.Report) {
	if !p.terminal && s.at < p.next {
		return
	}
	p.next += plainEvery
	line := fmt.Sprintf("%3.0f s  gangs: %d done, %d working, %d waiting, %d to come | GPUs %2.0f %% at work, %2.0f %% held idle | partly started: %d now, %d in all",
		s.at.Seconds(), s.done, s.running, s.waiting+s.partial, s.coming,
		p.percent(s.working), p.percent(s.held-s.working), len(found.Open), found.Partial)
	if p.terminal {
		fmt.Fprintf(p.out, "\r\033[K%s", line)
		return
	}
	fmt.Fprintln(p.out, line)
}

func (p *progress) percent(gpus int) float64 { return 100 * float64(gpus) / float64(p.gpus) }

// note says what is being done before the replay, or ends the line.
func (p *progress) note(format string, args ...any) {
	if p.terminal {
		fmt.Fprintf(p.out, "\r\033[K"+format, args...)
		return
	}
	fmt.Fprintf(p.out, format+"\n", args...)
}

// clear removes the changing line.
func (p *progress) clear() {
	if p.terminal {
		fmt.Fprint(p.out, "\r\033[K")
	}
}
