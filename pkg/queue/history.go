// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import "time"

// DecisionKind is what was decided of a gang.
type DecisionKind string

// The kinds of decision.
const (
	DecisionPlaced     DecisionKind = "placed"
	DecisionRefused    DecisionKind = "refused"
	DecisionPassed     DecisionKind = "passed"
	DecisionPreempted  DecisionKind = "preempted"
	DecisionEvicted    DecisionKind = "evicted"
	DecisionBindFailed DecisionKind = "bindFailed"
	DecisionReserved   DecisionKind = "reserved"
	DecisionReleased   DecisionKind = "released"
)

// Decision is one entry of the history.
type Decision struct {
	Time    time.Time    `json:"time"`
	Gang    string       `json:"gang"` // namespace/name of its group
	Kind    DecisionKind `json:"kind"`
	Reason  string       `json:"reason,omitempty"`
	Message string       `json:"message,omitempty"`
}

// DefaultHistorySize is the number of decisions that are kept.
const DefaultHistorySize = 1000

// history is a ring of the last decisions.
type history struct {
	size int
	ring []Decision
	next int // where the next one goes once the ring is full
}

func (h *history) add(d Decision) {
	if len(h.ring) < h.size {
		h.ring = append(h.ring, d)
		return
	}
	h.ring[h.next] = d
	h.next = (h.next + 1) % h.size
}

// decide keeps a decision, and has it logged.
func (q *Queue) decide(d Decision) {
	q.history.add(d)
	q.emit(Decided{d})
}

// History returns the last decisions, the oldest first. With a gang, as
// namespace/name, only those on it.
func (q *Queue) History(gang string) []Decision {
	var out []Decision
	for i := range q.history.ring {
		d := q.history.ring[(q.history.next+i)%len(q.history.ring)]
		if gang == "" || d.Gang == gang {
			out = append(out, d)
		}
	}
	return out
}
