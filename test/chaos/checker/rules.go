// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"slices"
	"time"
)

// Rule is the name of a rule that a scheduler must keep.
type Rule string

// The rules.
const (
	// NoOvercommit: a binding leaves the requests on its node within what the node
	// offers, or offered as late as the scheduler may not have heard otherwise.
	NoOvercommit Rule = "NoOvercommit"
	// GangAtomic: a gang is partly bound only for a time.
	GangAtomic Rule = "GangAtomic"
	// RequiredTopology: the members of a gang that requires a rack share one.
	RequiredTopology Rule = "RequiredTopology"
	// BindOnce: a pod keeps the node that it got.
	BindOnce Rule = "BindOnce"
	// OwnPodsOnly: only pods of the scheduler's name are bound by it.
	OwnPodsOnly Rule = "OwnPodsOnly"
	// OneWriter: bindings are sent by the holder of the lease.
	OneWriter Rule = "OneWriter"
	// NothingLost: pods go only where somebody said so, and the books balance.
	NothingLost Rule = "NothingLost"
	// Progress: what fits is bound, once the faults are over.
	Progress Rule = "Progress"
	// TruthfulStatus: conditions and statuses say what is.
	TruthfulStatus Rule = "TruthfulStatus"
	// BoundedState: nothing is left in memory of what is gone.
	BoundedState Rule = "BoundedState"
	// StaysAlive: the scheduler never ends by a panic.
	StaysAlive Rule = "StaysAlive"
)

// Class is how much a fault disturbs.
type Class int

// The classes, the worst last.
const (
	Healthy   Class = iota
	Disturbed       // the API server, nodes or objects
	Crash           // a process
)

// Limits are the times that the checker allows.
type Limits struct {
	// Partial is how long a gang may be partly bound while it starts. Over crashes it
	// counts from the last one, since the next leader begins anew; PartialInAll bounds
	// it then.
	Partial      map[Class]time.Duration
	PartialInAll time.Duration
	// Repair is the same for one that lost members.
	Repair time.Duration
	// Tail is how long a fault that is over may still have an effect.
	Tail time.Duration
	// Stale is how old the scheduler's picture of a node may be.
	Stale map[Class]time.Duration
	// Handover is how long bindings of a former leader may be under way.
	Handover time.Duration
}

// Violation is one event at which a rule was broken.
type Violation struct {
	Rule Rule
	Time time.Time
	What string
}

// fault is something that the bench did, from a time to a time.
type fault struct {
	class      Class
	kind       string
	begin, end time.Time // the end is zero while it lasts
}

// faultLog is what the bench did.
type faultLog struct {
	tail   time.Duration
	faults []*fault
}

// add records a fault that begins and forgets old ones.
func (l *faultLog) add(now time.Time, class Class, kind string) *fault {
	l.faults = slices.DeleteFunc(l.faults, func(f *fault) bool {
		return !f.end.IsZero() && now.Sub(f.end) > 10*time.Minute
	})
	f := &fault{class: class, kind: kind, begin: now}
	l.faults = append(l.faults, f)
	return f
}

// worstBetween returns the class and kind of the worst fault that can have had an
// effect in a span of time; of several the latest.
func (l *faultLog) worstBetween(from, to time.Time) (Class, string) {
	class, kind := Healthy, "none"
	for _, f := range l.faults {
		over := !f.end.IsZero() && f.end.Add(l.tail).Before(from)
		if f.begin.Before(to) && !over && f.class >= class {
			class, kind = f.class, f.kind
		}
	}
	return class, kind
}

// lastCrash is the last time at which a crash had not been overcome, the zero time for
// none.
func (l *faultLog) lastCrash(now time.Time) time.Time {
	var last time.Time
	for _, f := range l.faults {
		end := f.end
		if end.IsZero() {
			end = now
		}
		if f.class == Crash && end.After(last) {
			last = end
		}
	}
	return last
}
