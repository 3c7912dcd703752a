// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import "time"

// maxUnschedulable is when a refused gang is tried again that nothing seems to
// help, as kube-scheduler does with pods (podMaxInUnschedulablePodsDuration).
const maxUnschedulable = 5 * time.Minute

// The pause after a member could not be bound: the API server, or a policy in
// it, refuses what the scheduler decided, and asking again at once would only
// take turns and room from others. It doubles with each failure.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Minute
)

// lastPluginRetry bounds the time to the next try of a gang that other plugins
// refuse, which doubles: what they wait for, such as a volume, is not followed
// here.
const lastPluginRetry = 30 * time.Second

// promptTrials is in how many domains a gang is tried one after the other that other
// plugins refuse; in further ones it is tried at its pace.
const promptTrials = 16

// attempted ends the wait for a gang that was activated. The scheduling loop
// tries one gang at a time: if the last one has not answered, it has failed
// without a word, as with an error of the framework.
func (q *Queue) attempted(id GangID, now time.Time) {
	g, ok := q.gangs[id]
	if !ok {
		return
	}
	g.activatedAt, g.activations = time.Time{}, 0
	delete(q.activated, id)
	if q.trying != g {
		q.giveUpTrying(now)
	}
	q.trying, q.triedAt = g, now
}

// giveUpTrying passes the turn of a gang that was tried and never answered.
func (q *Queue) giveUpTrying(now time.Time) {
	if q.trying != nil {
		q.passTurn(q.trying, now)
		q.trying = nil
	}
}

// refused keeps a gang out until something can help it.
func (q *Queue) refused(e Refused, now time.Time) {
	g, ok := q.gangs[e.Gang]
	if !ok {
		return
	}
	q.decide(Decision{now, g.key.Name, DecisionRefused, e.Verdict.Reason, e.Verdict.Message})
	class := e.Class
	if e.ByPlugins || class == "" {
		class = string(g.id) // others need not share what it failed for
	}
	q.answered(g, class, now)
	if e.ByPlugins {
		q.endReservation(g, now) // the room is there, and is not what it lacks
	}
	if e.Fingerprint != g.fingerprint {
		g.pluginRefusals = 0
	}
	g.countRefusal(now)
	g.state, g.class, g.refusal, g.fingerprint = unschedulable, class, e.Verdict, e.Fingerprint
	g.retryAt = now.Add(max(g.retryAfter(e), g.pace()))
	if e.TryElsewhere && g.trials < promptTrials {
		g.retryAt = now.Add(firstPace)
	}
	q.emit(Report{g.id, q.refusalToReport(g, now), e.Verdict.Remedy == ByUser || e.Verdict.Remedy == ByTime}) // those pass, as a rule
	q.insertIntoClass(g)
	q.catchUp(g, e.Snapshot, now)
	if e.Verdict.Remedy == ByUser {
		q.rechecks.schedule(g.key.Name, now)
	}
	q.reserve(g, e.Promise, now)
}

// answered takes a gang that was tried out of where it was. Its turn ends; it
// passes unless the gang is refused as the class whose turn it had.
func (q *Queue) answered(g *gang, class string, now time.Time) {
	if q.trying == g {
		q.trying = nil
	}
	if g.state == unschedulable && class != g.class {
		q.leaveClass(g)
	} else if g.state == unschedulable {
		q.removeFromClass(g)
	}
	if class != g.class {
		q.passTurn(g, now)
	}
	q.endTurn(g)
	g.activatedAt, g.activations = time.Time{}, 0
	delete(q.activated, g.id)
	delete(q.pausing, g.id)
}

// retryAfter is when a refused gang is tried again without a reason.
func (g *gang) retryAfter(e Refused) time.Duration {
	if e.RetryAfter == 0 {
		return maxUnschedulable
	}
	if !e.ByPlugins {
		return e.RetryAfter
	}
	if e.TryElsewhere {
		g.trials++
		return firstPace
	}
	g.trials = 0
	g.pluginRefusals++
	return min(e.RetryAfter<<min(g.pluginRefusals-1, 10), max(lastPluginRetry, e.RetryAfter))
}

// catchUp counts for a refused gang what was freed after the snapshot that it was
// tried on.
func (q *Queue) catchUp(g *gang, s Snapshot, now time.Time) {
	missed, nodeChanged := q.freed.notInSnapshot(s)
	g.freedBefore = Quantities{}
	for name := range g.refusal.deficit() {
		g.freedBefore[name] = q.freed.total[name] - missed[name]
	}
	if nodeChanged && g.refusal.helpedByNodes() || q.freed.helps(g) {
		g.retryBy(now.Add(g.pace()))
	}
	if g.refusal.Devices && now.Sub(q.freed.devicesAt) < cacheLag {
		g.retryBy(now.Add(max(cacheLag, g.pace())))
	}
	if g.refusal.Remedy == ByRoom && now.Sub(q.freed.unattributedAt) < cacheLag {
		g.retryBy(now.Add(max(cacheLag, g.pace())))
	}
}

// placed forgets the refusal of a gang that got its nodes and lets the next of
// its class try.
func (q *Queue) placed(e Placed, now time.Time) {
	g, ok := q.gangs[e.Gang]
	if !ok {
		return
	}
	q.decide(Decision{now, g.key.Name, DecisionPlaced, "", e.Message})
	q.notePassed(g, now)
	q.answered(g, g.class, now)
	q.takeTurn(g) // others of the class may fit beside it
	q.passTurn(g, now)
	g.state, g.refusal, g.room, g.class = open, nil, nil, ""
	g.refusals, g.pluginRefusals, g.trials = 0, 0, 0
	g.partialSince, g.sightedAt, g.interrupted = time.Time{}, time.Time{}, false
	g.wasWhole, g.whole = true, true
	// It may have gone elsewhere than it was promised.
	q.offerHeld(q.releaseReservation(g.id), now)
}

// notePassed notes the first gang that waits before one that was placed.
func (q *Queue) notePassed(placed *gang, now time.Time) {
	var first *gang
	for _, list := range q.classes {
		for _, g := range list {
			if g == placed || !g.key.Before(placed.key) {
				break // the class is in queue order
			}
			if first == nil || compareGangs(g, first) < 0 {
				first = g
			}
		}
	}
	if first != nil {
		q.decide(Decision{now, first.key.Name, DecisionPassed, first.refusal.Reason, "passed by " + placed.key.Name})
	}
}

// bindFailed keeps a gang out for a time that doubles with each failure to bind.
// Further failures of the same attempt do not count.
func (q *Queue) bindFailed(e BindFailed, now time.Time) {
	g, ok := q.gangs[e.Gang]
	if !ok || g.state == backingOff {
		return
	}
	if now.Sub(g.refusedAt) > 2*lastPause {
		g.bindFailures = 0
	}
	pause := min(firstPause<<min(g.bindFailures, 20), lastPause)
	g.bindFailures++
	q.answered(g, "", now)
	verdict := e.Verdict(pause)
	g.state, g.class, g.refusal, g.room, g.refusedAt, g.retryAt = backingOff, "", verdict, nil, now, now.Add(pause)
	q.pausing[g.id] = g
	q.decide(Decision{now, g.key.Name, DecisionBindFailed, verdict.Reason, verdict.Message})
	q.emit(Report{g.id, verdict, false})
}
