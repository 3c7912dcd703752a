// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"cmp"
	"time"
)

// Config is what a Queue is built with.
type Config struct {
	// PartialGrace is how long a gang that lost members may stay below what it
	// needs before it is evicted as a whole, and how long it goes before others
	// of its priority; 0 leaves such gangs alone.
	PartialGrace time.Duration
	// NamespaceShare is the percentage of the scheduling loop's time that costly plans
	// of one namespace may take; 0 for no bound.
	NamespaceShare int
	// HistorySize is the number of decisions that are kept.
	HistorySize int
}

// Queue is the state of all gangs and of what is held for whom. It is not safe
// for concurrent use.
type Queue struct {
	cfg     Config
	gangs   map[GangID]*gang
	named   map[string]*gang   // by namespace/name
	classes map[string][]*gang // unschedulable gangs, in queue order
	turns   map[string]*gang   // by class: who was activated for it and has not answered
	// activated and pausing index the gangs that a tick has to look at.
	activated map[GangID]*gang
	pausing   map[GangID]*gang

	freed    freedLedger
	holds    holdLedger
	rechecks recheckSchedule
	history  history
	arrivals arrivals
	shares   loopShares
	leading  bool
	// trying is the gang that the scheduling loop took last, since triedAt, until
	// it answers.
	trying  *gang
	triedAt time.Time
	// partialTick is when partial gangs were last looked through.
	partialTick time.Time

	effects []Effect // of the step under way
}

// New returns a queue that knows of nothing.
func New(cfg Config) *Queue {
	return &Queue{
		cfg:   cfg,
		gangs: map[GangID]*gang{}, named: map[string]*gang{}, classes: map[string][]*gang{}, turns: map[string]*gang{},
		activated: map[GangID]*gang{}, pausing: map[GangID]*gang{},
		freed: newFreedLedger(), holds: newHoldLedger(), rechecks: newRecheckSchedule(),
		history: history{size: cmp.Or(cfg.HistorySize, DefaultHistorySize)}, arrivals: arrivals{numbers: map[string]uint64{}},
		shares: loopShares{percent: cfg.NamespaceShare, debts: map[string]debt{}},
	}
}

// Step takes in what happened and returns what is to be done about it, in order.
// Times are to be those of one monotonic clock; events that carry an
// earlier time than the last step's do no harm.
func (q *Queue) Step(now time.Time, event Event) []Effect {
	q.effects = nil
	switch e := event.(type) {
	case PodAssigned, PodReleased, PodDeleted, PodResized, PodTerminating, PodNominated:
		q.stepPod(now, e)
	case NodeChanged:
		q.nodeChanged(e, now)
	case NodeDeleted:
		delete(q.freed.changed, e.Node)
	case DevicesChanged:
		q.retryForDevices(now)
	case VolumesChanged:
		q.retryForVolumes(now)
	case GangChanged:
		q.rechecks.schedule(e.Gang, now)
		q.arrivals.number(e.Gang)
		q.pruneArrivals(now)
	case GangSeen:
		q.gangSeen(e, now)
	case GangIdle:
		q.gangIdle(e, now)
	case GangDeleted:
		q.gangDeleted(e.Gang, now)
	case Attempted:
		q.attempted(e.Gang, now)
	case Planned:
		q.planned(e, now)
	case Refused:
		q.refused(e, now)
	case Placed:
		q.placed(e, now)
	case BindFailed:
		q.bindFailed(e, now)
	case EvictionFailed, Evicted:
		q.evictionAnswered(e, now)
	case Leading:
		q.lead(now)
	case Tick:
		q.tick(now)
	}
	return q.effects
}

func (q *Queue) emit(e Effect) { q.effects = append(q.effects, e) }

// gangOf returns the memory of a gang, a new one if there is none.
func (q *Queue) gangOf(id GangID) *gang {
	g, ok := q.gangs[id]
	if !ok {
		g = &gang{id: id}
		q.gangs[id] = g
	}
	return g
}

// nodeChanged has the first of each class tried that room could help, if plans
// look at what changed.
func (q *Queue) nodeChanged(e NodeChanged, now time.Time) {
	q.freed.recordNode(e, now)
	if !e.Relevant {
		return
	}
	for _, list := range q.classes {
		if g := list[0]; g.refusal.helpedByNodes() {
			g.retryBy(now.Add(g.pace()))
		}
	}
}

// gangSeen notes a gang as it is now. One that may not be tried as it is, is
// gated; one that was kept out as another one is activated.
func (q *Queue) gangSeen(e GangSeen, now time.Time) {
	g := q.gangOf(e.Gang)
	q.follow(g, e, now)
	if obstacle := e.Readiness.Obstacle(); obstacle != nil {
		q.gate(g, now)
		q.emit(Report{g.id, obstacle, true})
		if e.Asking {
			q.emit(Gate{g.id, obstacle})
		}
		return
	}
	if e.Asking {
		if g.state == open || g.state == gated {
			if pause := q.pauseForShare(g, now); pause != nil {
				q.emit(Report{g.id, pause, false})
				q.emit(Gate{g.id, pause})
				return
			}
		}
		q.emit(Unreport{g.id})
		q.admit(g)
		return
	}
	if g.state == gated || g.state == unschedulable && e.Fingerprint != g.fingerprint {
		q.activate(g, now)
	}
}

// follow brings the place of a gang in the queue up to date.
func (q *Queue) follow(g *gang, e GangSeen, now time.Time) {
	listed := g.state == unschedulable
	var first *gang
	if listed {
		first = q.classes[g.class][0]
		q.removeFromClass(g)
	}
	e.Key.Arrival = q.arrivals.number(e.Key.Name)
	g.key, g.name = e.Key, e.Readiness.Gang
	q.named[g.key.Name] = g
	q.followPartial(g, &e.Readiness, now)
	g.key.Interrupted = q.goesFirst(g, now)
	if listed {
		q.insertIntoClass(g)
		q.handOn(first)
	}
}

// admit answers a member that asks to be queued.
func (q *Queue) admit(g *gang) {
	switch g.state {
	case gated:
		g.state = open
	case unschedulable, backingOff:
		q.emit(Gate{g.id, g.refusal})
	case open:
	}
}

// gate keeps a gang out that may not be tried as it is. A pause goes on: members
// that could not be bound come back one after the other.
func (q *Queue) gate(g *gang, now time.Time) {
	if g.state == backingOff {
		return
	}
	q.withdraw(g, now)
	g.state = gated
}

// withdraw takes a gang out of its class and of what it was activated for.
func (q *Queue) withdraw(g *gang, now time.Time) {
	if g.state == unschedulable {
		q.leaveClass(g)
	}
	g.state, g.refusal, g.room, g.activatedAt = open, nil, nil, time.Time{}
	delete(q.activated, g.id)
	delete(q.pausing, g.id)
	q.offerHeld(q.releaseReservation(g.id), now)
	q.passTurn(g, now)
}

// gangIdle notes a gang of which no member waits: it is out of the queue.
func (q *Queue) gangIdle(e GangIdle, now time.Time) {
	g := q.gangOf(e.Gang)
	q.follow(g, GangSeen{Gang: e.Gang, Key: e.Key, Readiness: e.Readiness}, now)
	if g.state != backingOff {
		q.withdraw(g, now)
	}
}

func (q *Queue) gangDeleted(id GangID, now time.Time) {
	g, ok := q.gangs[id]
	if !ok {
		return
	}
	q.withdraw(g, now)
	delete(q.gangs, id)
	if q.named[g.key.Name] == g {
		delete(q.named, g.key.Name)
		q.arrivals.forget(g.key.Name)
	}
}
