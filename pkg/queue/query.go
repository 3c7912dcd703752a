// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import "slices"

// KeyOf completes the place of a gang in the scheduler's queue by what the queue
// knows of it.
func (q *Queue) KeyOf(id GangID, key Key) Key {
	key.Arrival = q.arrivals.numbers[key.Name]
	if g, ok := q.gangs[id]; ok {
		key.Interrupted = g.key.Interrupted
	}
	return key
}

// KeyOfPod completes the place of a single pod, by its UID.
func (q *Queue) KeyOfPod(uid string, key Key) Key {
	key.Arrival = q.arrivals.numbers[uid]
	return key
}

// Arrived numbers a single pod that enters the queue.
func (q *Queue) Arrived(pod string) { q.arrivals.number(pod) }

// Refusal returns the refusal that still stands for a gang, or nil if it may be
// tried. While room is being made for it, that is the refusal.
func (q *Queue) Refusal(id GangID) *Verdict {
	if g, ok := q.gangs[id]; ok {
		return g.refusalNow()
	}
	return nil
}

// Tried reports whether the gang was answered and not let into the queue again:
// a plan that is asked for now is a what-if of preemption within its attempt.
func (q *Queue) Tried(id GangID) bool {
	g, ok := q.gangs[id]
	return ok && (g.state == unschedulable || g.state == backingOff)
}

// Admitted reports whether the gang is known and may be tried, or was refused for
// want of room.
func (q *Queue) Admitted(id GangID) bool {
	g, ok := q.gangs[id]
	return ok && g.state != gated
}

// KeptOut lists, as namespace/name and in queue order, the gangs that wait for
// something to change.
func (q *Queue) KeptOut() []string {
	var out []*gang
	for _, g := range q.gangs {
		if g.keptOut() {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, compareGangs)
	names := make([]string, len(out))
	for i, g := range out {
		names[i] = g.key.Name
	}
	return names
}

// Known lists the gangs that are remembered.
func (q *Queue) Known() []GangID {
	ids := make([]GangID, 0, len(q.gangs))
	for id := range q.gangs {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
