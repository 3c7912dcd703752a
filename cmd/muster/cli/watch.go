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

// watch is the flag --watch of a verb.
type watch struct {
	on bool
}

func (w *watch) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&w.on, "watch", "w", false, "go on and show each change until interrupted")
}

// pause is the least time between two looks: a gang of 1,000 pods that starts
// is 1,000 changes.
const pause = time.Second

// run shows what show writes, once or again with every change.
func (w *watch) run(cmd *cobra.Command, o *options, show func(*view, io.Writer, report.Format) error) error {
	format, err := o.format()
	if err != nil {
		return err
	}
	if !w.on {
		v, err := o.look(cmd.Context())
		if err != nil {
			return err
		}
		return show(v, cmd.OutOrStdout(), format)
	}
	if o.snapshot != "" {
		return errors.New("--watch and --snapshot exclude each other: a snapshot does not change")
	}
	return w.follow(cmd, o, func(s *snapshot.Snapshot, out io.Writer) error {
		v, err := o.view(s)
		if err != nil {
			return err
		}
		return show(v, out, format)
	})
}

func (w *watch) follow(cmd *cobra.Command, o *options, show func(*snapshot.Snapshot, io.Writer) error) error {
	ctx := cmd.Context()
	clients, err := o.clients()
	if err != nil {
		return err
	}
	live, err := snapshot.Follow(ctx, clients)
	if err != nil {
		return err
	}
	screen := screenOf(cmd.OutOrStdout())
	for {
		var page bytes.Buffer
		if err := show(live.Snapshot(), &page); err != nil && !errors.Is(err, errRefused) {
			fmt.Fprintf(&page, "muster: %v\n", err) // a gang may come yet
		}
		screen.show(page.Bytes())
		if err := next(ctx, live.Changed(), screen.tick); err != nil {
			return err
		}
	}
}

// next waits for a change, or for the time to redraw, but at least a pause.
func next(ctx context.Context, changed <-chan struct{}, tick time.Duration) error {
	timer := time.NewTimer(pause)
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

// screen shows one page after the other: in place on a terminal, below one
// another elsewhere.
type screen struct {
	out      io.Writer
	terminal bool
	tick     time.Duration // how often ages are shown anew
	last     []byte
}

func screenOf(out io.Writer) *screen {
	s := &screen{out: out}
	if terminal.IsTerminal(out) {
		s.terminal, s.tick = true, 5*time.Second
	}
	return s
}

func (s *screen) show(page []byte) {
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
