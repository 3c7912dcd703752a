// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

// Phase is what a gang does.
type Phase string

// The phases. Only gangs that wait, or began without all of their members, have
// a reason.
const (
	// Queued gangs may be tried, or are being planned.
	Queued Phase = "queued"
	// Gated gangs lack members that somebody holds back by a scheduling gate,
	// as Kueue sets it.
	Gated Phase = "gated"
	// Waiting gangs are kept out of the queue; the reason says why.
	Waiting Phase = "waiting"
	// Binding gangs have members that are reserved or being bound.
	Binding Phase = "binding"
	// Partial gangs have fewer bound members than they need, while others wait.
	Partial Phase = "partial"
	// Running gangs have the members that they need, or those that are left of
	// them wait for nothing.
	Running Phase = "running"
)

// Phases lists all phases, in the order of a gang's life.
func Phases() []Phase { return []Phase{Queued, Gated, Waiting, Binding, Partial, Running} }

// The reasons that the queue itself gives. The others come with the verdicts of
// its callers.
const (
	ReasonGated      = "SchedulingGated"
	ReasonIncomplete = "GangIncomplete"
	ReasonPartial    = "PartialGang"
	ReasonCostly     = "PlansTooCostly"
	ReasonConflict   = "GangConfigConflict"
)

// Status is the phase of a gang and, where it waits for something, why.
type Status struct {
	Phase   Phase
	Reason  string
	Message string
}

// StatusOf says what a gang does. Refusal is the last answer that still stands
// to the question whether it has room; nil if there is none.
//
// It is the one function that says so: the scheduler, its metrics, explain and
// the page ask it.
func StatusOf(r Readiness, refusal *Verdict) Status {
	obstacle := r.Obstacle()
	if obstacle == nil {
		obstacle = refusal
	}
	idle := r.Waiting+r.Gated+r.Later == 0
	switch {
	case r.Assumed > 0:
		return Status{Phase: Binding}
	case r.Bound > 0 && r.Problem == nil && idle && r.Bound < r.Required:
		return r.leftover().status(Running)
	case r.Bound > 0 && idle:
		return Status{Phase: Running}
	case r.Bound > 0 && r.Bound >= r.Required:
		return obstacle.status(Running)
	case r.Bound > 0:
		return obstacle.status(Partial)
	case obstacle == nil:
		return Status{Phase: Queued}
	case obstacle.Reason == ReasonGated:
		return obstacle.status(Gated)
	}
	return obstacle.status(Waiting)
}

// status is a phase with the verdict as its reason; v may be nil.
func (v *Verdict) status(phase Phase) Status {
	if v == nil {
		return Status{Phase: phase}
	}
	return Status{phase, v.Reason, v.Message}
}
