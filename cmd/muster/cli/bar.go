// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// bar shows on a terminal how far the replays are, in one line that changes. It
// is silent elsewhere.
type bar struct {
	out   io.Writer
	width func() int // of the terminal, in columns; nil: silent
	now   func() time.Time
	next  time.Time
}

// redraw is how often the bar changes at most, barWidth how wide it is.
const (
	redraw   = 100 * time.Millisecond
	barWidth = 30
)

func newBar(out io.Writer, quiet bool) *bar {
	b := &bar{out: out, now: time.Now}
	if f, ok := out.(*os.File); ok && !quiet && isTerminal(out) {
		b.width = func() int {
			columns, _, err := term.GetSize(int(f.Fd()))
			if err != nil || columns <= 0 {
				return 80
			}
			return columns
		}
	}
	return b
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (b *bar) show(what string, done, total int) {
	if b.width == nil {
		return
	}
	now := b.now()
	if now.Before(b.next) {
		return
	}
	b.next = now.Add(redraw)
	full := barWidth * done / max(1, total)
	line := []rune(fmt.Sprintf("[%s%s] %3d %%  %s: %d of %d jobs have ended",
		strings.Repeat("█", full), strings.Repeat("░", barWidth-full), 100*done/max(1, total), what, done, total))
	fmt.Fprintf(b.out, "\r\x1b[K%s", string(line[:min(len(line), max(0, b.width()-1))]))
}

// clear removes the line.
func (b *bar) clear() {
	if b.width != nil {
		fmt.Fprint(b.out, "\r\x1b[K")
	}
}
