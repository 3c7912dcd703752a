// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"cmp"
	"slices"
	"time"
)

const (
	// partialInterval is the time between two looks at partial gangs.
	partialInterval = time.Second
	// evictionRetry is how long an eviction that failed, such as for a
	// disruption budget, is put off.
	evictionRetry = 10 * time.Second
	// preemptionWindow is the time between the last victim in a gang and the moment when
	// the gang is seen to be partial.
	preemptionWindow = 10 * time.Second
	// leastSight is how long this process has seen a gang partial, at the least, before
	// it evicts it.
	leastSight = 5 * time.Second
	// lastInterrupted bounds how long an interrupted gang goes first where the
	// configuration has no grace period.
	lastInterrupted = time.Minute
)

// followPartial notes whether a gang has fewer bound members than it needs, and
// whether that is what a crash or a loss left: it was whole before, or was seen
// so before this replica scheduled, or a member of it could not be bound.
func (q *Queue) followPartial(g *gang, r *Readiness, now time.Time) {
	before := g.whole
	g.whole = r.Bound > 0 && r.Bound >= r.Required && q.leading
	g.wasWhole = g.wasWhole || r.Bound > 0 && r.Bound >= r.Required
	if r.Bound == 0 || r.Bound >= r.Required {
		g.partialSince, g.sightedAt, g.evictAfter = time.Time{}, time.Time{}, time.Time{}
		g.interrupted, g.shortage, g.partialReported = false, enoughWait, nil
		return
	}
	g.shortage = r.shortage()
	if g.shortage == noneWaits {
		g.leftover = r.leftover()
	}
	if g.partialSince.IsZero() {
		g.partialSince, g.sightedAt, g.lossSeen = now, now, before
	}
	if !g.lossSeen && !r.ChangedAt.IsZero() {
		g.datePartial(r.ChangedAt, now)
	}
	g.interrupted = g.interrupted || g.wasWhole || !q.leading || g.bindFailures > 0
}

// datePartial puts back the time since when a gang is partial to when its members last
// changed, as the API server says: a replica that takes over goes on with the time of
// the one before. A time to come, as a clock that is ahead gives, changes nothing.
func (g *gang) datePartial(changedAt, now time.Time) {
	if changedAt.Before(g.partialSince) {
		g.partialSince = now.Add(-now.Sub(changedAt)) // by the clock of the queue from here on
	}
}

// goesFirst reports whether a gang goes before others of its priority, because
// it was interrupted not long ago.
func (q *Queue) goesFirst(g *gang, now time.Time) bool {
	return g.interrupted && now.Sub(g.partialSince) < cmp.Or(q.cfg.PartialGrace, lastInterrupted)
}

// evictPartial gives up gangs that started, lost members, and within the grace
// period found no room for those or had too few of them created: what is left holds
// devices and does no work. Where nobody waits it may well work, as where its
// controller was scaled down and the minimum was not: that is told, once. What
// preemption left of a gang is given up at once: those who took its room keep it, and
// kube-scheduler's preemption knows no minimum.
func (q *Queue) evictPartial(now time.Time) {
	if q.cfg.PartialGrace <= 0 || now.Sub(q.partialTick) < partialInterval {
		return
	}
	q.partialTick = now
	var due []*gang
	for _, g := range q.gangs {
		if !g.partialSince.IsZero() && (g.isPreempted() || q.isOverdue(g, now)) {
			due = append(due, g)
		}
	}
	slices.SortFunc(due, compareGangs)
	for _, g := range due {
		switch {
		case g.isPreempted() && !now.Before(g.evictAfter):
			g.evictAfter = now.Add(evictionRetry)
			q.emit(Evict{Gang: g.id, Name: g.key.Name, Preempted: true})
		case g.shortage != enoughWait && q.holds.awaitsEnd(g.key.Name, now):
			g.evictAfter = now.Add(q.cfg.PartialGrace) // many are created again only then
		case now.Before(g.evictAfter):
		case g.shortage == noneWaits:
			if g.partialReported == nil || g.partialReported.Message != g.leftover.Message {
				g.partialReported = g.leftover
				q.emit(Report{g.id, g.leftover, false})
			}
		case g.refusal != nil || g.shortage == tooFewExist:
			g.evictAfter = now.Add(evictionRetry)
			q.emit(Evict{Gang: g.id, Name: g.key.Name})
		}
	}
}

// isOverdue reports whether a partial gang has had its grace period, and was seen for a
// while by this process: what it takes over may be about to change.
func (q *Queue) isOverdue(g *gang, now time.Time) bool {
	grace := q.cfg.PartialGrace
	return now.Sub(g.partialSince) > grace && now.Sub(g.sightedAt) >= min(grace, leastSight)
}

// isPreempted reports whether the gang has too few members because others made room
// for pods of higher priority.
func (g *gang) isPreempted() bool {
	return !g.preemptedAt.IsZero() && g.sightedAt.Sub(g.preemptedAt).Abs() < preemptionWindow
}

// evictionAnswered starts the grace period anew once a gang was evicted; it is
// seen again if it is still partial.
func (q *Queue) evictionAnswered(event Event, now time.Time) {
	switch e := event.(type) {
	case Evicted:
		g, ok := q.gangs[e.Gang]
		if !ok {
			return
		}
		g.partialSince, g.interrupted, g.evictAfter = time.Time{}, false, now.Add(q.cfg.PartialGrace)
		if e.Reason != "" {
			q.decide(Decision{now, g.key.Name, DecisionEvicted, e.Reason, ""})
		}
	case EvictionFailed:
		if g, ok := q.gangs[e.Gang]; ok {
			g.evictAfter = now.Add(evictionRetry)
		}
	}
}

// lead begins to schedule. Gangs that were seen partial until now were left so
// by somebody else's end, and are read again: that may have been long ago.
func (q *Queue) lead(now time.Time) {
	q.leading, q.arrivals.counting = true, true
	for _, g := range q.gangs {
		g.whole = false
		if !g.partialSince.IsZero() {
			g.partialSince, g.sightedAt, g.lossSeen = now, now, false
			q.rechecks.schedule(g.key.Name, now)
		}
	}
}
