// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"cmp"
	"time"
)

// stepPod takes in what happened to a pod.
func (q *Queue) stepPod(now time.Time, event Event) {
	switch e := event.(type) {
	case PodAssigned:
		delete(q.freed.released, e.Pod)
		q.freed.lowestPriority = min(q.freed.lowestPriority, e.Priority)
		q.arrivals.forget(e.Pod)
		q.unnominate(e.Pod, now)
	case PodReleased:
		q.freed.recordRelease(e.Pod, e.Node, e.Gave, now)
		q.retryHelped(now)
	case PodDeleted:
		q.podDeleted(e, now)
	case PodResized:
		q.freed.total.Add(e.Gave)
		q.freed.unattributedAt = now
		q.retryHelped(now)
	case PodTerminating:
		q.podTerminating(e, now)
	case PodNominated:
		q.podNominated(e, now)
	}
}

// podDeleted counts what a pod gave back, and has its gang read again.
func (q *Queue) podDeleted(e PodDeleted, now time.Time) {
	q.holds.removeTermination(e.Pod)
	q.arrivals.forget(e.Pod)
	q.unnominate(e.Pod, now)
	if e.Gave != nil {
		q.freed.recordRelease(e.Pod, e.Node, e.Gave, now)
		q.retryHelped(now)
	}
	if e.Gang == "" {
		return
	}
	if e.Preempted {
		q.markPreempted(e.Gang, now)
	}
	q.rechecks.schedule(e.Gang, now)
	if q.named[e.Gang] == nil {
		q.arrivals.forget(e.Gang) // it never was a gang
	}
}

// podTerminating notes what a pod will give back. Its gang has a member less.
func (q *Queue) podTerminating(e PodTerminating, now time.Time) {
	_, known := q.holds.terminating[e.Pod]
	q.holds.addTermination(e.Pod, termination{
		gang: e.Gang, node: e.Node, name: e.Name, gangName: e.GangName, priority: e.Priority, gives: e.Gives, until: e.Until,
	})
	if known {
		return
	}
	if e.Gang != "" {
		q.rechecks.schedule(e.Gang, now)
	}
	if e.Preempted {
		q.markPreempted(e.Gang, now)
		q.decide(Decision{now, cmp.Or(e.Gang, e.Name), DecisionPreempted, "", "a pod on node " + e.Node + " ends for another one of higher priority"})
	}
	q.retryPromised(now)
}

// markPreempted notes that a member of a gang made room for others.
func (q *Queue) markPreempted(gang string, now time.Time) {
	if g := q.named[gang]; g != nil {
		g.preemptedAt = now
	}
}

// promiseDelay is how long pods that terminate are given to end before room is kept
// for a gang. Most end sooner: the gang is then tried once, for what they freed.
const promiseDelay = time.Second

// retryPromised has the first gang of each priority tried that waits for room, if
// the pods that terminate leave as much as it lacks: it may keep that.
func (q *Queue) retryPromised(now time.Time) {
	for _, g := range q.bandHeads(now) {
		if q.holds.reservations[g.id] == nil && q.holds.ending.covers(g.refusal.deficit()) && q.MayReserve(g.id, now) {
			g.retryBy(now.Add(max(promiseDelay, g.pace())))
		}
	}
}

func (q *Queue) podNominated(e PodNominated, now time.Time) {
	if freed := q.holds.nominate(e, now); freed != nil {
		q.offerHeld([]NodeAmount{{e.Node, freed}}, now)
	}
	q.holds.forgetPromise(e.Gang)
}

// unnominate ends the nomination of a pod that has a node or is gone.
func (q *Queue) unnominate(pod string, now time.Time) {
	if n, ok := q.holds.nominations[pod]; ok {
		q.podNominated(PodNominated{Pod: pod, Gang: n.gang}, now)
	}
}

// forgetPromise forgets since when a gang's nominations have a reason, once it
// has none.
func (h *holdLedger) forgetPromise(gang string) {
	for _, n := range h.nominations {
		if n.gang == gang {
			return
		}
	}
	delete(h.promised, gang)
}
