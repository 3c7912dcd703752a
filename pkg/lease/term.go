// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"context"
	"sync"
	"time"
)

// Term is the time for which this replica may act as the leader. A nil Term never
// ends: leader election is off. It is safe for concurrent use.
type Term struct {
	length time.Duration
	now    func() time.Time

	mu      sync.Mutex
	renewed time.Time // before the last renewal that succeeded; zero for none
	// extended is closed and replaced at each renewal.
	extended chan struct{}
}

// NewTerm returns a term that a renewal extends to so long after the time before it
// was asked for: the renew deadline of the leader election. It has not begun.
func NewTerm(length time.Duration) *Term {
	return &Term{length: length, now: time.Now, extended: make(chan struct{})}
}

// extendFrom records a renewal that was asked for at a time.
func (t *Term) extendFrom(asked time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.renewed = asked
	close(t.extended)
	t.extended = make(chan struct{})
}

// end ends the term: the lease was given up.
func (t *Term) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.renewed = time.Time{}
}

// hasBegun reports whether the lease was ever held, and not given up since.
func (t *Term) hasBegun() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.renewed.IsZero()
}

// IsValid reports whether this replica may act as the leader now.
func (t *Term) IsValid() bool {
	valid, _ := t.state()
	return valid
}

// state reports whether the term is valid, and returns what is closed when that may
// have changed for the better. The monotonic clock stops while a virtual machine is
// paused, and the wall clock may be set: both have to be within the term.
func (t *Term) state() (valid bool, extended <-chan struct{}) {
	if t == nil {
		return true, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	valid = !t.renewed.IsZero() && now.Sub(t.renewed) < t.length && now.Round(0).Sub(t.renewed.Round(0)) < t.length
	return valid, t.extended
}

// Wait returns once this replica may act as the leader. It fails only with the
// context: where another replica leads, the process ends.
func (t *Term) Wait(ctx context.Context) error {
	for {
		valid, extended := t.state()
		if valid {
			return ctx.Err()
		}
		select {
		case <-extended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
