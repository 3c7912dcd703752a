// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A replica that stands by follows the cluster for weeks, and neither plans nor
// ticks. What it remembers is bounded by what there is, and by what happened in
// the last minutes.
func TestStandby_RemembersNoMoreThanTheLastMinutes(t *testing.T) {
	q, now := New(Config{}), scriptStart
	const perMinute = 60
	for i := range 100 * perMinute {
		now = now.Add(time.Second)
		gang, pod := fmt.Sprint("ns/g", i), fmt.Sprint("p", i)
		q.Step(now, GangChanged{Gang: gang})
		q.Step(now, GangSeen{Gang: GangID(gang), Key: Key{Name: gang}, Readiness: Readiness{MinCount: 1, Waiting: 1}, Asking: true})
		q.Arrived(pod)
		q.Step(now, PodNominated{Pod: pod, Gang: gang, Node: "n", Needs: Quantities{"gpu": 1}})
		q.Step(now, PodAssigned{Pod: pod})
		q.Step(now, NodeChanged{Node: fmt.Sprint("n", i), Version: "1", Relevant: true})
		q.Step(now, PodTerminating{Pod: pod, Gang: gang, Node: "n", Until: now, Preempted: true})
		q.Step(now, PodDeleted{Pod: pod, Gang: gang, Node: "n", Gave: Quantities{"gpu": 1}})
		q.Step(now, GangDeleted{Gang: GangID(gang)})
		for what, size := range map[string]int{
			"released": len(q.freed.released), "changed": len(q.freed.changed), "rechecks": len(q.rechecks.due),
		} {
			assert.LessOrEqual(t, size, 2*perMinute+2, what)
		}
		if t.Failed() {
			return
		}
	}
	assert.Len(t, q.History(""), DefaultHistorySize)
	assert.NotEmpty(t, q.rechecks.due)

	// It leads, and forgets the rest.
	q.Step(now, Leading{})
	for range 3 * perMinute {
		now = now.Add(time.Second)
		q.Step(now, Tick{})
	}
	assertEmpty(t, q)
}
