// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package queue decides which gang is tried when, and what happens to it
// otherwise. It is the second pure core beside package placement, which decides
// where a gang goes.
//
// A Queue is a state machine in the manner of a consensus core: [Queue.Step]
// takes the time and one [Event] and returns the [Effect] values that the caller
// has to carry out. It imports the standard library only, reads no clock, starts
// no goroutine and calls nobody. The same events at the same times give the same
// effects.
//
// The life of a gang here:
//
//	seen ──> queued ──> attempted ──> placed
//	  │        ▲            │
//	  │        │ activate   │ refused
//	  ▼        │            ▼
//	gated ─────┴────── unschedulable (in an equivalence class)
//
// Gangs that ask for exactly the same are of one equivalence class and share a
// fate, since a plan depends on nothing else. Only the first of a class, in queue
// order, is activated by an event: it holds the turn of its class. When it is
// placed, the turn passes to the next one. When it fails for something that the
// class does not share, such as a volume that only it has, the turn passes too.
// When it is refused as its class is, all of the class wait on. The attempts that
// a freed slot costs do therefore not grow with the number of gangs that wait.
//
// Files: key.go has the order of the queue, readiness.go and status.go what a
// gang needs and the phase it is in, event.go and effect.go the language,
// queue.go the step, gang.go the states of one gang, class.go the turns,
// freed.go what was given back and whom it can help, hold.go what is kept for
// whom, recheck.go when a gang is read again, partial.go gangs that lost
// members, history.go the last decisions.
package queue
