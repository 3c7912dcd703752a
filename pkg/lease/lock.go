// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package lease

import (
	"context"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// watchedLock is the lock of a leader election, whose renewals a Term follows.
type watchedLock struct {
	resourcelock.Interface
	term *Term
	lost func(holder string)
}

// WatchLock returns the lock of a leader election, of which the term follows the
// renewals. lost is called when another holder is seen by a replica that leads: it
// has to end the process, whose leader election would notice only a renew deadline
// later.
func (t *Term) WatchLock(lock resourcelock.Interface, lost func(holder string)) resourcelock.Interface {
	return &watchedLock{Interface: lock, term: t, lost: lost}
}

// Get reads who holds the lease.
func (l *watchedLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err == nil && record.HolderIdentity != "" && record.HolderIdentity != l.Identity() && l.term.hasBegun() {
		l.term.end()
		l.lost(record.HolderIdentity)
	}
	return record, raw, err
}

// Create takes a lease that nobody has.
func (l *watchedLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.follow(record, func() error { return l.Interface.Create(ctx, record) })
}

// Update takes the lease, renews it, or gives it up.
func (l *watchedLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.follow(record, func() error { return l.Interface.Update(ctx, record) })
}

// follow extends the term if a write of the lease succeeds. What gives the lease up
// ends the term before it is sent.
func (l *watchedLock) follow(record resourcelock.LeaderElectionRecord, write func() error) error {
	if record.HolderIdentity != l.Identity() {
		l.term.end()
		return write()
	}
	asked := l.term.now()
	if err := write(); err != nil {
		return err
	}
	l.term.extendFrom(asked)
	return nil
}
