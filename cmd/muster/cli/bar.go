// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/muster-scheduler/muster/pkg/terminal"
)

// bar shows on a terminal how far the replays are, in one line that changes. It
// is silent elsewhere.
type bar struct {
	line *terminal.Line // nil: silent
	now  func() time.Time
	next time.Time
}

// redraw is how often the bar changes at most, barWidth how wide it is.
const (
	redraw   = 100 * time.Millisecond
	barWidth = 30
)

func newBar(out io.Writer, quiet bool) *bar {
	b := &bar{now: time.Now}
	if !quiet {
		b.line = terminal.NewLine(out)
	}
	return b
}

func (b *bar) show(what string, done, total int) {
	if b.line == nil {
		return
	}
	now := b.now()
	if now.Before(b.next) {
		return
	}
	b.next = now.Add(redraw)
	full := barWidth * done / max(1, total)
	b.line.ShowText(fmt.Sprintf("[%s%s] %3d %%  %s: %d of %d jobs have ended",
		strings.Repeat("█", full), strings.Repeat("░", barWidth-full), 100*done/max(1, total), what, done, total))
}

// clear removes the line.
func (b *bar) clear() {
	if b.line != nil {
		b.line.Clear()
	}
}
