// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"sync"
	"time"
)

const (
	// bindSlots is the number of bindings at a time. More than an HTTP/2 connection
	// has streams (100 on an API server) would each open a connection, and the
	// burst makes the API server drop watchers that lag behind, the scheduler's
	// first. At 20 ms a binding these are 1,600 a second.
	bindSlots = 32
	// quietPeriod is how long no binding has been under way when what was held back
	// behind them is written.
	quietPeriod = 100 * time.Millisecond
	// maxHold bounds how long it is held back. Bindings that go on for longer are
	// no burst, and events and statuses have to keep up with them.
	maxHold = 10 * time.Second
)

// bindings are the bindings under way. What only tells of them, events and
// statuses, stands behind them: it would take processor time from an API server
// and room from its watches while the other members of gangs wait to start.
type bindings struct {
	slots chan struct{}
	now   func() time.Time

	mu       sync.Mutex
	underWay int
	// began is when the first binding of the burst began, and last when one
	// began or ended.
	began, last time.Time
}

func newBindings() *bindings {
	return &bindings{slots: make(chan struct{}, bindSlots), now: time.Now}
}

// runInSlot runs one binding when it has a slot.
func (b *bindings) runInSlot(ctx context.Context, bind func() error) error {
	select {
	case b.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.slots }()
	b.countUnderWay(1)
	defer b.countUnderWay(-1)
	return bind()
}

// countUnderWay records that a binding begins or ends.
func (b *bindings) countUnderWay(change int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if b.underWay == 0 && now.Sub(b.last) > quietPeriod {
		b.began = now
	}
	b.underWay += change
	b.last = now
}

// inBurst reports whether bindings go on that others have to stand behind.
func (b *bindings) inBurst() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	return (b.underWay > 0 || now.Sub(b.last) < quietPeriod) && now.Sub(b.began) < maxHold
}

// waitForQuiet returns once no burst of bindings goes on.
func (b *bindings) waitForQuiet(ctx context.Context) error {
	if !b.inBurst() {
		return ctx.Err()
	}
	tick := time.NewTicker(quietPeriod / 4)
	defer tick.Stop()
	for b.inBurst() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
