// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"fmt"
	"time"
)

// Readiness is what a gang needs for a start, and what it has: the count of its
// pods against its declaration. Pods that terminate are no members.
type Readiness struct {
	// Gang is what users call it.
	Gang string
	// MinCount is the number of members that must start together.
	MinCount int
	// Required is the number of bound members below which a gang that has
	// started is broken: MinCount, or less where members are still to come.
	Required int
	// Bound members have a node. Assumed ones are reserved or on their way to
	// be bound, and count as bound too.
	Bound, Assumed int
	// ChangedAt is when a member was last created, bound or told to end, of a gang that
	// is partial; zero where that was not read.
	ChangedAt time.Time
	// Waiting members have no node; Gated ones may not be scheduled before
	// somebody removes their scheduling gates, named in Gates.
	Waiting, Gated int
	Gates          string
	// Later members belong to another run under the gang's name, and wait until this
	// one has ended; LaterWhy says so.
	Later    int
	LaterWhy string
	// Problem is why the declaration cannot be scheduled as it is; nil if it
	// can.
	Problem *Verdict
}

// Obstacle returns why the gang may not be tried as it is: its declaration
// cannot be scheduled, or members are missing or gated. Nil if it may.
func (r *Readiness) Obstacle() *Verdict {
	if r.Problem != nil {
		return r.Problem
	}
	have := r.Bound + r.Waiting
	switch {
	case have+r.Gated == 0:
		return &Verdict{Reason: ReasonIncomplete, Message: fmt.Sprintf(
			"gang %s has none of the %s that must start together; waiting for them to be created", r.Gang, podCount(r.MinCount))}
	case have+r.Gated < r.MinCount:
		return &Verdict{Reason: ReasonIncomplete, Message: fmt.Sprintf(
			"gang %s has %d of the %d pods that must start together%s; waiting for the others to be created", r.Gang, have+r.Gated, r.MinCount, r.gatedClause())}
	case r.Gated > 0 && (have < r.MinCount || r.Waiting == 0):
		return &Verdict{Reason: ReasonGated, Message: fmt.Sprintf(
			"gang %s: the scheduling gate %s holds back %s of %d; whoever put it there has to remove it",
			r.Gang, r.Gates, podCount(r.Gated), have+r.Gated)}
	case r.Later > 0 && r.Waiting == 0:
		return &Verdict{Reason: ReasonConflict, Message: r.LaterWhy}
	}
	return nil
}

// gatedClause says how many of the members are gated, as part of a sentence.
func (r *Readiness) gatedClause() string {
	if r.Gated == 0 {
		return ""
	}
	return fmt.Sprintf(" (the scheduling gate %s holds back %d of them)", r.Gates, r.Gated)
}

// shortage is what the members of a partial gang do that have no node.
type shortage int

const (
	// enoughWait: with those that wait there are enough, or the declaration has to
	// change first.
	enoughWait shortage = iota
	// tooFewExist: some wait, and not as many as are needed.
	tooFewExist
	// noneWaits: the others have ended, or nobody created them.
	noneWaits
)

// shortage says what the members without a node do, of a gang that is partial.
func (r *Readiness) shortage() shortage {
	switch {
	case r.Problem != nil:
		return enoughWait
	case r.Waiting+r.Gated == 0:
		return noneWaits
	case r.Bound+r.Waiting+r.Gated < r.MinCount:
		return tooFewExist
	}
	return enoughWait
}

// leftover is the verdict on a partial gang of which nobody waits.
func (r *Readiness) leftover() *Verdict {
	return &Verdict{Reason: ReasonPartial, Message: fmt.Sprintf(
		"gang %s: %d of the %d pods that start together have a node and none waits; the others have ended or are still to be created: if no more are to come, lower the minimum",
		r.Gang, r.Bound, r.MinCount)}
}

// podCount is a number with its noun.
func podCount(n int) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", n)
}
