// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-scheduler/muster/pkg/report"
	"github.com/muster-scheduler/muster/pkg/snapshot"
	"github.com/muster-scheduler/muster/pkg/terminal"
)

// watchFlag is the flag --watch of a verb.
type watchFlag struct {
	on bool
}

// addFlags adds it.
func (w *watchFlag) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&w.on, "watch", "w", false, "go on and show each change until interrupted")
}

// minRefreshInterval is the shortest time between two readings: a gang of 1,000
// pods that starts is 1,000 changes.
const minRefreshInterval = time.Second

// run calls show once, or again with every change.
func (w *watchFlag) run(cmd *cobra.Command, o *options, show func(*timedView, io.Writer, report.Format) error) error {
	format, err := o.outputFormat()
	if err != nil {
		return err
	}
	if !w.on {
		v, err := o.readView(cmd.Context())
		if err != nil {
			return err
		}
		return show(v, cmd.OutOrStdout(), format)
	}
	if o.snapshot != "" {
		return errors.New("--watch and --snapshot exclude each other: a snapshot does not change")
	}
	return w.followCluster(cmd, o, func(s *snapshot.Snapshot, out io.Writer) error {
		v, err := o.buildView(s)
		if err != nil {
			return err
		}
		return show(v, out, format)
	})
}

// followCluster shows the cluster until it is interrupted. An error of one
// reading is shown and does not end it: the gang may be created yet.
func (w *watchFlag) followCluster(cmd *cobra.Command, o *options, show func(*snapshot.Snapshot, io.Writer) error) error {
	ctx := cmd.Context()
	clients, err := o.clusterClients()
	if err != nil {
		return err
	}
	live, err := snapshot.FollowCluster(ctx, clients)
	if err != nil {
		return err
	}
	screen := newScreen(cmd.OutOrStdout())
	for {
		var page bytes.Buffer
		out := &terminal.PlainWriter{Out: &page}
		if err := show(live.Snapshot(), out); err != nil && !errors.Is(err, errRefused) {
			writeError(out, err) // a gang may come yet
		}
		screen.showPage(page.Bytes())
		if err := waitForChange(ctx, live.Changed(), screen.tick); err != nil {
			return err
		}
	}
}

// waitForChange waits for a change, or for the time to redraw, but at least for
// the refresh interval.
func waitForChange(ctx context.Context, changed <-chan struct{}, tick time.Duration) error {
	timer := time.NewTimer(minRefreshInterval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	var redraw <-chan time.Time
	if tick > 0 {
		redraw = time.After(tick)
	}
	select {
	case <-changed:
	case <-redraw:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// screen shows one page after the other: in place on a terminal, one below the
// other elsewhere.
type screen struct {
	out      io.Writer
	terminal bool
	tick     time.Duration // how often ages are shown anew
	last     []byte
}

// newScreen returns a screen, whose pages are plain already. Ages are redrawn on a terminal only: in a file
// they would be noise.
func newScreen(out io.Writer) *screen {
	s := &screen{out: terminal.Unwrap(out)}
	if terminal.IsTerminal(out) {
		s.terminal, s.tick = true, 5*time.Second
	}
	return s
}

// showPage shows a page, unless it is the one that is shown already.
func (s *screen) showPage(page []byte) {
	switch {
	case bytes.Equal(page, s.last):
		return
	case s.terminal:
		fmt.Fprint(s.out, "\x1b[H\x1b[2J") // to the corner, and clear
	case s.last != nil:
		fmt.Fprintln(s.out)
	}
	s.last = bytes.Clone(page)
	_, _ = s.out.Write(page)
}
