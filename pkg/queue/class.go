// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"slices"
	"time"
)

// insertIntoClass puts a refused gang into its class, in queue order.
func (q *Queue) insertIntoClass(g *gang) {
	list := q.classes[g.class]
	at, _ := slices.BinarySearchFunc(list, g, compareGangs)
	q.classes[g.class] = slices.Insert(list, at, g)
}

// removeFromClass takes a gang out of its class, if it stands there.
func (q *Queue) removeFromClass(g *gang) {
	list := q.classes[g.class]
	if at := slices.Index(list, g); at >= 0 {
		q.classes[g.class] = slices.Delete(list, at, at+1)
	}
	if len(q.classes[g.class]) == 0 {
		delete(q.classes, g.class)
	}
}

// leaveClass takes a gang out of its class that will not be tried for it.
func (q *Queue) leaveClass(g *gang) {
	first := q.classes[g.class][0]
	q.removeFromClass(g)
	q.handOn(first)
}

// handOn has the first of a class tried when the one was to be that was the first
// until now: what it was to be tried for is there for the class.
func (q *Queue) handOn(was *gang) {
	if list := q.classes[was.class]; len(list) > 0 && list[0] != was {
		list[0].retryBy(was.retryAt)
	}
}

// classHeads returns the first gang of each class, in queue order.
func (q *Queue) classHeads() []*gang {
	heads := make([]*gang, 0, len(q.classes))
	for _, list := range q.classes {
		heads = append(heads, list[0])
	}
	slices.SortFunc(heads, compareGangs)
	return heads
}

// takeTurn gives g the turn of its class, unless another one has it.
func (q *Queue) takeTurn(g *gang) {
	if g.class != "" && q.turns[g.class] == nil {
		q.turns[g.class] = g
	}
}

// endTurn ends the turn of g and reports whether it had one.
func (q *Queue) endTurn(g *gang) bool {
	if q.turns[g.class] != g {
		return false
	}
	delete(q.turns, g.class)
	return true
}

// passTurn has the next of the class that g held the turn of tried, if g held
// it. It is called when g was placed, or failed for something of its own.
func (q *Queue) passTurn(g *gang, now time.Time) {
	if !q.endTurn(g) {
		return
	}
	if list := q.classes[g.class]; len(list) > 0 {
		q.activate(list[0], now)
	}
}

// activate lets a gang that is kept out be tried. One of a class takes its turn,
// if that is free. One whose namespace has had its share of the time stays where it is
// until it has not.
func (q *Queue) activate(g *gang, now time.Time) {
	if wait := q.shareWait(g, now); wait > 0 && g.state == unschedulable {
		g.retryAt = now.Add(wait)
		return
	}
	if g.state == unschedulable {
		q.removeFromClass(g)
		q.takeTurn(g)
	}
	g.state, g.refusal, g.retryAt = open, nil, time.Time{}
	q.wake(g, now)
}

// wake hands a gang to the scheduler's queue.
func (q *Queue) wake(g *gang, now time.Time) {
	g.activatedAt = now
	q.activated[g.id] = g
	q.emit(Activate{g.id, g.key.Name})
}

// A gang that was activated and is not tried is activated again, since it may
// have been on its way back to the scheduler's queue: after activationRetry, and
// then at intervals that double up to lastActivationRetry. After turnTimeout its
// turn passes to the next of its class.
const (
	activationRetry     = 100 * time.Millisecond
	lastActivationRetry = 10 * time.Second
	turnTimeout         = 500 * time.Millisecond
)

// activationDue reports whether g was activated in vain for long enough.
func (g *gang) activationDue(now time.Time) bool {
	if g.activatedAt.IsZero() {
		return false
	}
	wait := min(activationRetry<<min(g.activations, 10), lastActivationRetry)
	return !now.Before(g.activatedAt.Add(wait))
}

// retryActivations activates again what was activated in vain.
func (q *Queue) retryActivations(now time.Time) {
	var due []*gang
	for _, g := range q.activated {
		if g.activationDue(now) {
			due = append(due, g)
		}
	}
	slices.SortFunc(due, compareGangs)
	for _, g := range due {
		g.activations++
		if activationRetry<<min(g.activations, 10) >= turnTimeout {
			q.passTurn(g, now)
		}
		q.wake(g, now)
	}
}

// retryHelped has the first of each class tried at its pace for which enough was
// freed.
func (q *Queue) retryHelped(now time.Time) {
	for _, list := range q.classes {
		if g := list[0]; q.freed.helps(g) {
			g.retryBy(now.Add(g.pace()))
		}
	}
}

// retryForDevices has the first of each class tried at its pace that asks for devices.
func (q *Queue) retryForDevices(now time.Time) {
	q.freed.devicesAt = now
	for _, list := range q.classes {
		if g := list[0]; g.refusal.Devices {
			g.retryBy(now.Add(g.pace()))
		}
	}
}

// retryForVolumes has the first of each class tried at its pace whose volumes were
// refused.
func (q *Queue) retryForVolumes(now time.Time) {
	for _, list := range q.classes {
		if g := list[0]; g.refusal.Volumes {
			g.retryBy(now.Add(g.pace()))
		}
	}
}

// retryDue activates the first of each class whose time has come, unless another
// one of it is being tried, and gangs whose pause is over.
func (q *Queue) retryDue(now time.Time) {
	var due []*gang
	for _, g := range q.classHeads() {
		if q.turns[g.class] == nil && !now.Before(g.retryAt) {
			due = append(due, g)
		}
	}
	for _, g := range q.pausing {
		if !now.Before(g.retryAt) {
			due = append(due, g)
		}
	}
	slices.SortFunc(due, compareGangs)
	for _, g := range due {
		delete(q.pausing, g.id)
		q.activate(g, now)
	}
}
