// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

// checkInvariants returns what is wrong with a queue between two steps.
func checkInvariants(q *Queue) error {
	var wrong []error
	listed := map[GangID]string{}
	for class, list := range q.classes {
		if class == "" || len(list) == 0 {
			wrong = append(wrong, fmt.Errorf("class %q has %d gangs", class, len(list)))
		}
		if !slices.IsSortedFunc(list, compareGangs) {
			wrong = append(wrong, fmt.Errorf("class %q is not in queue order", class))
		}
		for _, g := range list {
			if listed[g.id] != "" || g.class != class {
				wrong = append(wrong, fmt.Errorf("gang %s of class %q stands in class %q, and also in %q", g.id, g.class, class, listed[g.id]))
			}
			listed[g.id] = class
		}
	}
	for id, g := range q.gangs {
		is := func(name string, have, want bool) {
			if have != want {
				wrong = append(wrong, fmt.Errorf("gang %s in state %d: %s is %t", id, g.state, name, have))
			}
		}
		is("stands in a class", listed[id] != "", g.state == unschedulable)
		is("has a refusal", g.refusal != nil, g.state == unschedulable || g.state == backingOff)
		is("pauses", q.pausing[id] == g, g.state == backingOff)
		is("is activated", q.activated[id] == g, !g.activatedAt.IsZero())
		is("is activated and not open", !g.activatedAt.IsZero() && g.state != open, false)
	}
	for class, g := range q.turns {
		if q.gangs[g.id] != g || g.class != class || g.state != open || g.activatedAt.IsZero() && q.trying != g {
			wrong = append(wrong, fmt.Errorf("gang %s has the turn of class %q and is not being tried", g.id, class))
		}
	}
	for id := range listed {
		if q.gangs[id] == nil {
			wrong = append(wrong, fmt.Errorf("gang %s stands in a class and is not known", id))
		}
	}
	return errors.Join(append(wrong, checkLedgers(q)...)...)
}

// checkLedgers returns what is wrong with what a queue remembers beside gangs.
func checkLedgers(q *Queue) (wrong []error) {
	for id := range q.activated {
		if q.gangs[id] == nil {
			wrong = append(wrong, fmt.Errorf("gang %s is activated and not known", id))
		}
	}
	for id := range q.pausing {
		if q.gangs[id] == nil {
			wrong = append(wrong, fmt.Errorf("gang %s pauses and is not known", id))
		}
	}
	for id := range q.holds.reservations {
		if q.gangs[id] == nil {
			wrong = append(wrong, fmt.Errorf("room is reserved for gang %s, which is not known", id))
		}
	}
	for name, g := range q.named {
		if q.gangs[g.id] != g || g.key.Name != name {
			wrong = append(wrong, fmt.Errorf("the name %s is of a gang that is not known", name))
		}
	}
	endings, promised := map[string]Endings{}, map[string]bool{}
	for _, t := range q.holds.terminating {
		if t.gang == "" {
			continue
		}
		e := endings[t.gang]
		if t.node == "" {
			e.Unbound++
		} else {
			e.Bound++
		}
		endings[t.gang] = e
	}
	for _, n := range q.holds.nominations {
		promised[n.gang] = true
	}
	if !assert.ObjectsAreEqual(endings, q.holds.endings) {
		wrong = append(wrong, fmt.Errorf("endings are %v, and counted as %v", endings, q.holds.endings))
	}
	for gang := range q.holds.promised {
		if !promised[gang] {
			wrong = append(wrong, fmt.Errorf("gang %s is promised a node without a nomination", gang))
		}
	}
	return wrong
}

// assertEmpty fails for anything that a queue still remembers once all gangs and
// pods are gone and time has passed.
func assertEmpty(t *testing.T, q *Queue) {
	t.Helper()
	assert.Empty(t, q.Known())
	assert.Empty(t, q.named)
	assert.Empty(t, q.classes)
	assert.Empty(t, q.turns)
	assert.Empty(t, q.activated)
	assert.Empty(t, q.pausing)
	assert.Nil(t, q.trying)
	assert.Empty(t, q.freed.released)
	assert.Empty(t, q.freed.changed)
	assert.Empty(t, q.holds.nominations)
	assert.Empty(t, q.holds.promised)
	assert.Empty(t, q.holds.reservations)
	assert.Empty(t, q.holds.terminating)
	assert.Empty(t, q.holds.endings)
	assert.Empty(t, q.rechecks.due)
	assert.Empty(t, q.arrivals.numbers)
	assert.True(t, Quantities{}.covers(q.holds.ending), "nothing ends any more")
}
