// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// recheckSchedule says which gangs are to be read again. An event may come before
// the scheduler's cache knows of it, so a gang is read several times for it, at
// intervals that double. A gang that is kept out is compared each time with the
// gang as it was kept out: no order of events and no delay of the cache can make
// a change pass unseen.
//
// The scheduler's own queueing hints would be asked for each event about each
// pending pod; with 10,000 pending pods that was most of its work.
type recheckSchedule struct {
	due      map[string]recheck // by namespace/name
	prunedAt time.Time
	allAt    time.Time
}

type recheck struct {
	at    time.Time
	pause time.Duration
}

// lastRecheck ends the reads for one event. What the cache learns later than that
// is found by the read of every gang that is kept out, once in resyncPeriod. One
// that was activated and is not tried is read then, too: nobody of it may wait.
const (
	lastRecheck  = time.Second
	resyncPeriod = 10 * time.Second
)

func newRecheckSchedule() recheckSchedule { return recheckSchedule{due: map[string]recheck{}} }

// schedule has a gang read again.
func (s *recheckSchedule) schedule(gang string, now time.Time) {
	if now.Sub(s.prunedAt) > eventTTL {
		// Nobody reads in a replica that stands by.
		s.prunedAt = now
		maps.DeleteFunc(s.due, func(_ string, r recheck) bool { return now.Sub(r.at) > eventTTL })
	}
	s.due[gang] = recheck{now, firstPace}
}

// takeDue returns the gangs whose read is due, by name.
func (s *recheckSchedule) takeDue(now time.Time) []string {
	var names []string
	for name, r := range s.due {
		if now.Before(r.at) {
			continue
		}
		names = append(names, name)
		if r.pause > lastRecheck {
			delete(s.due, name)
		} else {
			s.due[name] = recheck{now.Add(r.pause), 2 * r.pause}
		}
	}
	slices.Sort(names)
	return names
}

// recheck asks for the gangs that are to be read again.
func (q *Queue) recheck(now time.Time) {
	names := q.rechecks.takeDue(now)
	if now.Sub(q.rechecks.allAt) >= resyncPeriod {
		q.rechecks.allAt = now
		for _, g := range q.gangs {
			if g.keptOut() || !g.activatedAt.IsZero() {
				names = append(names, g.key.Name)
			}
		}
		slices.Sort(names)
		names = slices.Compact(names)
	}
	for _, name := range names {
		q.emit(Recheck{name})
	}
}

// tick carries out what has become due.
func (q *Queue) tick(now time.Time) {
	q.freed.prune(now)
	q.pruneArrivals(now)
	q.recheck(now)
	q.expireHolds(now)
	q.retryDue(now)
	q.retryActivations(now)
	if q.trying != nil && now.Sub(q.triedAt) >= turnTimeout {
		q.giveUpTrying(now)
	}
	q.evictPartial(now)
}

// arrivals numbers gangs and single pods in the order in which they were first
// seen since this replica schedules: the API server keeps creation times in whole
// seconds only. What was there before came in one list and has the number 0.
type arrivals struct {
	counting bool
	last     uint64
	numbers  map[string]uint64 // by namespace/name of a gang, or UID of a single pod
	prunedAt time.Time
}

// number returns the number of a gang or pod.
func (a *arrivals) number(id string) uint64 {
	n, ok := a.numbers[id]
	if !ok {
		if a.counting {
			a.last++
			n = a.last
		}
		a.numbers[id] = n
	}
	return n
}

func (a *arrivals) forget(id string) { delete(a.numbers, id) }

// pruneArrivals drops, now and then, the numbers of what was told to have changed
// and turned out to be no gang, or none any more.
func (q *Queue) pruneArrivals(now time.Time) {
	if now.Sub(q.arrivals.prunedAt) < eventTTL {
		return
	}
	q.arrivals.prunedAt = now
	maps.DeleteFunc(q.arrivals.numbers, func(id string, _ uint64) bool {
		_, toBeRead := q.rechecks.due[id]
		return strings.Contains(id, "/") && q.named[id] == nil && !toBeRead
	})
}
