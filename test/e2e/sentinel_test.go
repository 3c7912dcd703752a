// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
)

// sentinel begins the names of the gangs that show that the scheduler has had its
// chance to do what it must not do.
const sentinel = "zzz"

// passTurn waits until the scheduler has tried all that it may try at present.
// It creates a gang that finds room on any node, or where more lets it, and once
// that one is bound another one. That shows it because
//   - the events of pods reach the scheduler in the order in which they happened,
//     so that it has seen those of all earlier pods when it places the first one;
//   - the queue gives out gangs of one priority by their age, and those of one
//     second by their names, of which the sentinels' are the last, so that all
//     that was in the queue has been tried when the second one is placed;
//   - the second one starts only when the first one has been bound, by when the
//     binds of what was tried before that are long on their way.
func (c *cluster) passTurn(more ...func(*v1.Pod)) {
	c.t.Helper()
	for range 2 {
		c.turns++
		name := fmt.Sprint(sentinel, c.turns)
		c.create(gangPods(name, 1, "1", append(more, ask(v1.ResourceCPU, 1))...)...)
		c.awaitBound(name, 1)
	}
}

// stayPending checks that a gang had its turn and no pod of it got a node. What
// could move the scheduler to place it must have happened before.
func (c *cluster) stayPending(gang string, more ...func(*v1.Pod)) {
	c.t.Helper()
	c.passTurn(more...)
	assert.Empty(c.t, c.bound(gang), "gang %s has to wait", gang)
}
