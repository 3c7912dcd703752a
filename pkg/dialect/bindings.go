// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"context"
	"sync"
	"time"
)

const (
	// binds is the number of bindings at a time. More than an HTTP/2 connection
	// has streams (100 on an API server) would each open a connection, and the
	// burst makes the API server drop watchers that lag behind, the scheduler's
	// first. At 20 ms a binding these are 1,600 a second.
	binds = 32
	// lull is how long no binding has been under way when what was held back
	// behind them is written.
	lull = 100 * time.Millisecond
	// burst bounds how long it is held back. Bindings that go on for longer are
	// no burst, and events and statuses have to keep up with them.
	burst = 10 * time.Second
)

// bindings are the bindings under way. What only tells of them, events and
// statuses, stands behind them: it would take processor time from an API server
// and room from its watches while the other members of gangs wait to start.
type bindings struct {
	turns chan struct{}
	now   func() time.Time

	mu       sync.Mutex
	underWay int
	// began is when the first binding of the burst began, and last when one
	// began or ended.
	began, last time.Time
}

func newBindings() *bindings {
	return &bindings{turns: make(chan struct{}, binds), now: time.Now}
}

// do runs one binding when it has its turn.
func (b *bindings) do(ctx context.Context, bind func() error) error {
	select {
	case b.turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.turns }()
	b.count(1)
	defer b.count(-1)
	return bind()
}

func (b *bindings) count(change int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if b.underWay == 0 && now.Sub(b.last) > lull {
		b.began = now
	}
	b.underWay += change
	b.last = now
}

// goOn says whether bindings go on that others have to stand behind.
func (b *bindings) goOn() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	return (b.underWay > 0 || now.Sub(b.last) < lull) && now.Sub(b.began) < burst
}

// wait returns once no burst of bindings goes on.
func (b *bindings) wait(ctx context.Context) error {
	if !b.goOn() {
		return ctx.Err()
	}
	tick := time.NewTicker(lull / 4)
	defer tick.Stop()
	for b.goOn() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
