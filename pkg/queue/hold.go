// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// holdLedger knows the room that nobody else may take: nodes that a preemptor is
// promised while its victims end, and the nodes of a domain that empties for the
// first gang of its priority. Each hold has a reason, and ends with it.
type holdLedger struct {
	nominations map[string]nomination // by UID of the pod
	// promised is when a gang's nominations were last seen to have a reason, by
	// namespace/name.
	promised     map[string]time.Time
	reservations map[GangID]*reservation
	terminating  map[string]termination // by UID of the pod
	ending       Quantities             // what they give, together
	// endings counts the members of each gang that terminate, by
	// namespace/name.
	endings map[string]Endings
	// revision tells the states of what terminates and is promised apart.
	revision uint64
}

// nomination is a node that preemption promised to a pod.
type nomination struct {
	gang, node string
	priority   int32
	needs      Quantities
}

// termination is a pod that was told to end.
type termination struct {
	gang, node string
	// name is the namespace/name of the pod, and gangName what users call its
	// gang.
	name, gangName string
	priority       int32
	gives          Quantities
	until          time.Time
}

// Endings counts the members of a gang that terminate: with a node, and without.
type Endings struct{ Bound, Unbound int }

// reservation is the room that the first gang of a priority is kept while pods
// end there.
type reservation struct {
	key          Key
	rows         []NodeAmount
	since, until time.Time
	// idleSince is when the last pod that terminated there had ended.
	idleSince time.Time
}

const (
	// nominationGrace is how long nominations of a gang are kept once no victim
	// is left to end: the gang is tried in that time.
	nominationGrace = 3 * time.Second
	// TerminationSlack is how long after its grace period a pod that terminates
	// is still expected to end. A kubelet that is dead never ends one.
	TerminationSlack = 30 * time.Second
	// reservationGrace is how long a reservation lasts once all pods there have
	// ended, maxReservation how long at all, and reservationPause how long the
	// gang then waits for another one.
	reservationGrace = 2 * time.Second
	maxReservation   = 30 * time.Second
	reservationPause = 5 * maxReservation
)

func newHoldLedger() holdLedger {
	return holdLedger{
		nominations: map[string]nomination{}, promised: map[string]time.Time{},
		reservations: map[GangID]*reservation{}, terminating: map[string]termination{}, ending: Quantities{}, endings: map[string]Endings{},
	}
}

// Hold is room on a node that is kept for somebody.
type Hold struct {
	Holder string // namespace/name of a gang, or UID of a single pod
	NodeAmount
}

// HeldAgainst returns the room that is kept from a gang, as namespace/name, or
// from a single pod, by UID: what pods of its priority or a higher one are
// nominated for, and what is reserved for gangs that go before it. Sorted by node
// and holder.
func (q *Queue) HeldAgainst(holder string, key Key) []Hold {
	var held []Hold
	for pod, n := range q.holds.nominations {
		if n.priority >= key.Priority && holder != n.holder(pod) {
			held = append(held, Hold{n.holder(pod), NodeAmount{n.node, n.needs}})
		}
	}
	for _, r := range q.holds.reservations {
		if r.key.Name == holder || !r.key.Before(key) {
			continue
		}
		for _, row := range r.rows {
			held = append(held, Hold{r.key.Name, row})
		}
	}
	slices.SortFunc(held, func(a, b Hold) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Holder, b.Holder))
	})
	return held
}

// ReservedAgainst returns what is reserved for gangs that go before a single pod, by
// node; nil for nothing. What pods are nominated for is not among it:
// kube-scheduler itself keeps that from single pods.
func (q *Queue) ReservedAgainst(key Key) map[string]Quantities {
	var held map[string]Quantities
	for _, r := range q.holds.reservations {
		if !r.key.Before(key) {
			continue
		}
		for _, row := range r.rows {
			if held == nil {
				held = map[string]Quantities{}
			}
			if held[row.Node] == nil {
				held[row.Node] = Quantities{}
			}
			held[row.Node].Add(row.Amounts)
		}
	}
	return held
}

func (n nomination) holder(pod string) string {
	if n.gang != "" {
		return n.gang
	}
	return pod
}

// Terminating returns what pods that terminate will give back, by node.
func (q *Queue) Terminating(now time.Time) []NodeAmount {
	byNode := map[string]Quantities{}
	for _, t := range q.holds.terminating {
		if !t.expected(now) {
			continue
		}
		if byNode[t.node] == nil {
			byNode[t.node] = Quantities{}
		}
		byNode[t.node].Add(t.gives)
	}
	var rows []NodeAmount
	for _, node := range slices.Sorted(maps.Keys(byNode)) {
		rows = append(rows, NodeAmount{node, byNode[node]})
	}
	return rows
}

// expected reports whether a pod that terminates is on a node and still expected
// to end.
func (t termination) expected(now time.Time) bool {
	return t.node != "" && isExpected(t.until, now)
}

// Endings returns how many members of a gang, as namespace/name, terminate.
func (q *Queue) Endings(gang string) Endings { return q.holds.endings[gang] }

// awaitsEnd reports whether members of a gang, as namespace/name, are still expected
// to end.
func (h *holdLedger) awaitsEnd(gang string, now time.Time) bool {
	if h.endings[gang].Bound == 0 {
		return false
	}
	for _, t := range h.terminating {
		if t.gang == gang && t.expected(now) {
			return true
		}
	}
	return false
}

// addTermination notes a pod that was told to end.
func (h *holdLedger) addTermination(pod string, t termination) {
	h.removeTermination(pod)
	h.revision++
	h.terminating[pod] = t
	h.ending.Add(t.gives)
	h.countEnding(t, 1)
}

// removeTermination forgets a pod that has ended.
func (h *holdLedger) removeTermination(pod string) {
	if t, ok := h.terminating[pod]; ok {
		h.revision++
		delete(h.terminating, pod)
		h.ending.Sub(t.gives)
		h.countEnding(t, -1)
	}
}

func (h *holdLedger) countEnding(t termination, by int) {
	if t.gang == "" {
		return
	}
	e := h.endings[t.gang]
	if t.node == "" {
		e.Unbound += by
	} else {
		e.Bound += by
	}
	if e == (Endings{}) {
		delete(h.endings, t.gang)
		return
	}
	h.endings[t.gang] = e
}

// nominate notes the node that a pod is promised, "" for none any more, and
// returns what is free for others by that.
func (h *holdLedger) nominate(e PodNominated, now time.Time) Quantities {
	h.revision++
	old, had := h.nominations[e.Pod]
	if e.Node == "" {
		delete(h.nominations, e.Pod)
	} else {
		h.nominations[e.Pod] = nomination{e.Gang, e.Node, e.Priority, e.Needs}
		h.promised[e.Gang] = now
	}
	if had && old.node != e.Node {
		return old.needs
	}
	return nil
}

// awaited reports whether pods are still to end on any of a gang's nominated
// nodes that the gang could have preempted.
func (h *holdLedger) awaited(nodes map[string]int32, now time.Time) bool {
	for _, t := range h.terminating {
		if t.isVictim(nodes, now) {
			return true
		}
	}
	return false
}

// isVictim reports whether a pod is still to end on one of a gang's nominated nodes,
// and the gang could have preempted it.
func (t termination) isVictim(nodes map[string]int32, now time.Time) bool {
	priority, ok := nodes[t.node]
	return ok && t.priority < priority && t.expected(now)
}

// MayReserve reports whether a gang may reserve room while pods end: no gang of
// its priority waits for room before it, and it had no reservation of late.
func (q *Queue) MayReserve(id GangID, now time.Time) bool {
	g, ok := q.gangs[id]
	if !ok || len(q.holds.terminating) == 0 || now.Before(g.noHoldBefore) {
		return false
	}
	for other := range q.holds.reservations {
		if other != id && q.gangs[other] != nil && q.gangs[other].key.Priority == g.key.Priority {
			return false
		}
	}
	first := q.bandHeads(now)[g.key.Priority]
	return first == nil || first == g || compareGangs(g, first) < 0
}

// bandHeads returns, for each priority, the first gang that waits for room. Those
// that had a reservation of late, and made nothing of it, hold back nobody.
func (q *Queue) bandHeads(now time.Time) map[int32]*gang {
	heads := map[int32]*gang{}
	for _, list := range q.classes {
		g := list[0]
		first := heads[g.key.Priority]
		if g.refusal.Remedy == ByRoom && !now.Before(g.noHoldBefore) && (first == nil || compareGangs(g, first) < 0) {
			heads[g.key.Priority] = g
		}
	}
	return heads
}

// reserve keeps for a refused gang the room that it is promised by pods that
// terminate. A renewed reservation keeps its end.
func (q *Queue) reserve(g *gang, promise []NodeAmount, now time.Time) {
	old := q.holds.reservations[g.id]
	if len(promise) == 0 || old == nil && !q.MayReserve(g.id, now) {
		return
	}
	r := &reservation{key: g.key, rows: promise, since: now, until: now.Add(maxReservation)}
	if old != nil {
		r.since, r.until = old.since, old.until
	} else {
		q.decide(Decision{now, g.key.Name, DecisionReserved, "", "keeps what is freed in its domain while pods end there"})
	}
	q.holds.reservations[g.id] = r
}

// expireHolds ends holds that have lost their reason.
func (q *Queue) expireHolds(now time.Time) {
	q.expireReservations(now)
	q.expireNominations(now)
}

func (q *Queue) expireReservations(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(q.holds.reservations)) {
		r := q.holds.reservations[id]
		if q.holds.endsOn(r.rows, now) {
			r.idleSince = time.Time{}
		} else if r.idleSince.IsZero() {
			r.idleSince = now
		}
		over := !r.idleSince.IsZero() && now.Sub(r.idleSince) >= reservationGrace
		if !over && now.Before(r.until) {
			continue
		}
		q.endReservation(q.gangs[id], now)
	}
}

// endReservation ends the reservation of a gang that made nothing of it, if it has
// one. There is a pause before it may have another one.
func (q *Queue) endReservation(g *gang, now time.Time) {
	if q.holds.reservations[g.id] == nil {
		return
	}
	g.noHoldBefore = now.Add(reservationPause)
	q.decide(Decision{now, g.key.Name, DecisionReleased, "", "no longer keeps what was freed in its domain"})
	q.offerHeld(q.releaseReservation(g.id), now)
}

// endsOn reports whether a pod is expected to end on any of the nodes.
func (h *holdLedger) endsOn(rows []NodeAmount, now time.Time) bool {
	for _, t := range h.terminating {
		if t.expected(now) && slices.ContainsFunc(rows, func(row NodeAmount) bool { return row.Node == t.node }) {
			return true
		}
	}
	return false
}

// releaseReservation ends the reservation of a gang, if it has one.
func (q *Queue) releaseReservation(id GangID) []NodeAmount {
	r, ok := q.holds.reservations[id]
	if !ok {
		return nil
	}
	delete(q.holds.reservations, id)
	q.emit(Offer{})
	return r.rows
}

// offerHeld counts room that was held as given back: others may fit now.
func (q *Queue) offerHeld(rows []NodeAmount, now time.Time) {
	if len(rows) == 0 {
		return
	}
	for _, row := range rows {
		q.freed.total.Add(row.Amounts)
	}
	q.retryHelped(now)
}

// expireNominations has the nominations of a gang taken back that is kept out and
// waits for no victim any more. Those of single pods are renewed by kube-scheduler
// itself at each attempt.
func (q *Queue) expireNominations(now time.Time) {
	if len(q.holds.nominations) == 0 {
		return
	}
	nodes := map[string]map[string]int32{}
	for _, n := range q.holds.nominations {
		if nodes[n.gang] == nil {
			nodes[n.gang] = map[string]int32{}
		}
		if most, ok := nodes[n.gang][n.node]; !ok || n.priority > most {
			nodes[n.gang][n.node] = n.priority
		}
	}
	for _, name := range slices.Sorted(maps.Keys(nodes)) {
		if name == "" {
			continue
		}
		g := q.named[name]
		if q.holds.awaited(nodes[name], now) {
			q.holds.promised[name] = now
			if g != nil {
				q.followRoom(g, nodes[name], now)
			}
		}
		if g != nil && g.keptOut() && now.Sub(q.holds.promised[name]) >= nominationGrace {
			q.holds.promised[name] = now // again, should it come to nothing
			q.emit(ClearNominations{name})
			q.endRoom(g)
		}
	}
}
