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

// progressBar shows the progress of replays on a terminal, in one line that is
// rewritten. It is silent elsewhere.
type progressBar struct {
	line *terminal.Line // nil: silent
	now  func() time.Time
	next time.Time
}

// redrawInterval is how often the bar changes at most, barWidth how wide it is.
const (
	// redrawInterval is the shortest time between two updates, barWidth the width
	// in characters.
	redrawInterval = 100 * time.Millisecond
	barWidth       = 30
)

// newProgressBar returns a bar that is silent if quiet, or if out is no
// terminal.
func newProgressBar(out io.Writer, quiet bool) *progressBar {
	b := &progressBar{now: time.Now}
	if !quiet {
		b.line = terminal.NewLine(out)
	}
	return b
}

// showProgress updates the bar, unless the last update is too recent.
func (b *progressBar) showProgress(what string, done, total int) {
	if b.line == nil {
		return
	}
	now := b.now()
	if now.Before(b.next) {
		return
	}
	b.next = now.Add(redrawInterval)
	full := barWidth * done / max(1, total)
	b.line.ShowText(fmt.Sprintf("[%s%s] %3d %%  %s: %d of %d jobs have ended",
		strings.Repeat("█", full), strings.Repeat("░", barWidth-full), 100*done/max(1, total), what, done, total))
}

// clearLine removes the bar, so that what follows starts at the left.
func (b *progressBar) clearLine() {
	if b.line != nil {
		b.line.Clear()
	}
}
