// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"cmp"
	"time"
)

// state is where a gang is, as far as the queue has to know.
type state int

const (
	// open: nothing keeps the gang from being tried. It is in the scheduler's
	// queue, being planned, being bound, or running.
	open state = iota
	// gated: it may not be tried as it is.
	gated
	// unschedulable: it was refused, and waits in its class for something that
	// can help.
	unschedulable
	// backingOff: a member could not be bound; it waits for a time.
	backingOff
)

// gang is the queue's memory of one gang.
type gang struct {
	id      GangID
	key     Key
	name    string // what users call it
	state   state
	refusal *Verdict // while unschedulable or backingOff
	room    *room    // while victims end on the nodes that it is promised
	// class is the equivalence class that the gang was last refused in; "" once
	// it was placed.
	class string

	// fingerprint is of the gang as it was last refused, and freedBefore what
	// had been freed by then of the resources that it asks for.
	fingerprint uint64
	freedBefore Quantities
	// refusedAt is when the gang was last refused, and refusals how often that
	// came about within backoffReset of one another.
	refusedAt time.Time
	refusals  int
	// retryAt is when a gang that is kept out is tried again, at the latest.
	retryAt time.Time

	// activatedAt is when the gang was last activated, until it is tried: it may
	// have been on its way back to the queue then, and is activated again.
	// Zero when it is not to be. activations counts how often in a row.
	activatedAt time.Time
	activations int

	// wasWhole says that the gang was seen whole by this process, and whole that it
	// was when it was last read, by the replica that schedules.
	wasWhole, whole bool
	// partialSince is since when the gang has fewer bound members than it needs,
	// as far as is known, and sightedAt since when this process has seen it so while
	// it may evict; both are zero when it has none or enough. lossSeen says that it
	// became so before the eyes of this process, and interrupted that this is what a
	// crash or a loss left, and not how somebody made it.
	partialSince, sightedAt time.Time
	lossSeen, interrupted   bool
	// preemptedAt is when a member of it last made room for a pod of higher priority.
	preemptedAt time.Time
	// shortage is what the members of a partial gang do that have no node; leftover
	// is what to tell where nobody waits, and partialReported what was told.
	shortage                  shortage
	leftover, partialReported *Verdict
	// evictAfter puts off the next try to evict.
	evictAfter time.Time

	bindFailures int
	// pluginRefusals is how often in a row other plugins refused its plan.
	pluginRefusals int
	// trials is in how many domains in a row other plugins refused it, with others left.
	trials int
	// noHoldBefore is when the gang may have another reservation.
	noHoldBefore time.Time
}

// compareGangs puts gangs in queue order. Two that have the same name, of which
// one is about to be deleted, are told apart as well: no order is left to chance.
func compareGangs(a, b *gang) int {
	return cmp.Or(a.key.Compare(b.key), cmp.Compare(a.id, b.id))
}

// keptOut reports whether the gang is kept out of the scheduler's queue until
// something changes. One that backs off waits for time alone.
func (g *gang) keptOut() bool { return g.state == gated || g.state == unschedulable }

// The pace at which a gang is tried while room is being freed: a gang that ends
// gives its pods back one by one, and each of them could be the last that
// another one needs. A refusal doubles the time to the next try, up to lastPace;
// after backoffReset without one, it starts anew.
const (
	firstPace    = 25 * time.Millisecond
	lastPace     = 800 * time.Millisecond
	backoffReset = 5 * time.Second
)

// pace is the time to the next try of a gang for which something was freed.
func (g *gang) pace() time.Duration {
	return min(firstPace<<min(g.refusals, 10), lastPace)
}

// retryBy has a gang that is kept out tried at a time, if it would be tried
// later.
func (g *gang) retryBy(at time.Time) {
	if g.retryAt.IsZero() || at.Before(g.retryAt) {
		g.retryAt = at
	}
}

// countRefusal notes one more refusal.
func (g *gang) countRefusal(now time.Time) {
	g.refusals++
	if now.Sub(g.refusedAt) > backoffReset {
		g.refusals = 0
	}
	g.refusedAt = now
}
