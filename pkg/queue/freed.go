// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"maps"
	"math"
	"time"
)

// freedLedger sums, per resource, everything that was given back since the
// start, so that a refused gang is not tried before enough of it is free: it is
// retried once the sum has grown by its deficit.
//
// Events arrive here and at the scheduler's own cache in any order. A release
// that the refusing snapshot does not show yet is therefore counted as given back
// after it: it may be counted twice, but is never lost.
type freedLedger struct {
	total Quantities
	// released are pods that gave up their node, by UID, and changed the nodes
	// that changed in what plans look at, until a snapshot shows it.
	released map[string]release
	changed  map[string]nodeChange
	// lowestPriority is that of any pod that ever had a node: gangs above it may
	// find room by preemption.
	lowestPriority int32
	// unattributedAt is when room was last freed that cannot be looked for in a
	// snapshot.
	unattributedAt time.Time
	// devicesAt is when devices last changed.
	devicesAt time.Time
	prunedAt  time.Time
}

type release struct {
	node string
	gave Quantities
	at   time.Time
}

type nodeChange struct {
	version string
	at      time.Time
}

// cacheLag is how long the scheduler's cache may take to follow an event that
// cannot be looked for in a snapshot. eventTTL bounds how long the ledger waits
// for a snapshot to show a change, since there is none while no gang is planned,
// and none ever in a replica that stands by.
const (
	cacheLag = 300 * time.Millisecond
	eventTTL = time.Minute
)

func newFreedLedger() freedLedger {
	return freedLedger{
		total: Quantities{}, released: map[string]release{}, changed: map[string]nodeChange{},
		lowestPriority: math.MaxInt32,
	}
}

// recordRelease adds what a pod gave back. Node is "" if it is not known where.
func (f *freedLedger) recordRelease(pod, node string, gave Quantities, now time.Time) {
	f.prune(now)
	if _, twice := f.released[pod]; twice {
		return
	}
	f.total.Add(gave)
	if node == "" {
		f.unattributedAt = now
		return
	}
	f.released[pod] = release{node, gave, now}
}

// recordNode notes a change of a node. Once one mattered, later ones are followed
// too, since the snapshot will show the last.
func (f *freedLedger) recordNode(e NodeChanged, now time.Time) {
	f.prune(now)
	before, known := f.changed[e.Node]
	if !known && !e.Relevant {
		return
	}
	if !known {
		before.at = now
	}
	f.changed[e.Node] = nodeChange{e.Version, before.at}
}

// notInSnapshot returns what was recorded and a snapshot does not show: what
// pods gave back, and whether a node changed. What it shows is dropped.
func (f *freedLedger) notInSnapshot(s Snapshot) (gave Quantities, nodeChanged bool) {
	gave = Quantities{}
	if s == nil {
		return gave, false
	}
	for pod, r := range f.released {
		if s.HasPod(r.node, pod) {
			gave.Add(r.gave)
		} else {
			delete(f.released, pod)
		}
	}
	for node, c := range f.changed {
		if s.NodeVersion(node) == c.version {
			delete(f.changed, node)
		}
	}
	return gave, len(f.changed) > 0
}

// prune drops, now and then, what is too old to be news.
func (f *freedLedger) prune(now time.Time) {
	if now.Sub(f.prunedAt) < eventTTL {
		return
	}
	f.prunedAt = now
	maps.DeleteFunc(f.released, func(_ string, r release) bool { return now.Sub(r.at) >= eventTTL })
	maps.DeleteFunc(f.changed, func(_ string, c nodeChange) bool { return now.Sub(c.at) >= eventTTL })
}

// helps reports whether enough has been given back since g was refused: some of
// what it asks for, and no less than its deficit, unless it may take what is
// missing from pods of lower priority.
func (f *freedLedger) helps(g *gang) bool {
	if g.refusal == nil || g.refusal.Remedy != ByRoom {
		return false
	}
	some := false
	for name, lacks := range g.refusal.deficit() {
		back := f.total[name] - g.freedBefore[name]
		if back < lacks && f.lowestPriority >= g.key.Priority {
			return false
		}
		some = some || back > 0
	}
	return some
}
