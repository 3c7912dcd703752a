// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"cmp"
	"time"
)

// Key is the place of a gang, or of a single pod, in the queue.
type Key struct {
	// Priority is that of the pods; a higher one goes first.
	Priority int32
	// Interrupted marks a gang that a crash or a loss left partly bound: it
	// goes before others of its priority, for as long as it may stay partial.
	Interrupted bool
	// Created is the creation time, which the API server keeps in whole seconds.
	Created time.Time
	// Arrival numbers what was created in one second, in the order in which this
	// replica first saw it since it schedules; 0 for what was there before.
	Arrival uint64
	// Name is namespace/name: the last resort, for what arrived in one list.
	Name string
}

// Compare orders keys: the higher priority first, then what was interrupted,
// then the older, then the earlier arrival, then the name. It is negative where
// k goes before o.
func (k Key) Compare(o Key) int {
	return cmp.Or(
		cmp.Compare(o.Priority, k.Priority),
		compareBool(k.Interrupted, o.Interrupted),
		k.Created.Compare(o.Created),
		cmp.Compare(k.Arrival, o.Arrival),
		cmp.Compare(k.Name, o.Name),
	)
}

// Before reports whether k goes before o.
func (k Key) Before(o Key) bool { return k.Compare(o) < 0 }

// compareBool puts true first.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
