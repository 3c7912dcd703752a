// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestSteady runs many small gangs for long, without a fault, and checks that nothing is
// left of them.
func TestSteady(t *testing.T) {
	if *steady == 0 {
		t.Skip("-steady=30m runs it")
	}
	b := newBench(t, max(*seedFlag, 1), setup{qps: 1000})
	done := b.startClock()
	b.start = b.measure()
	b.load.setPairs(*rate)
	time.Sleep(*steady)
	b.load.setPairs(0)
	b.settle()
	b.drain()
	b.end = b.checkBounds(b.start)
	close(done)
	found := b.report()
	t.Logf("%d gangs, %d bindings in %s; partial starts %s", found.Gangs, found.Binds, *steady, percentiles(found.Windows["none"]))
	assert.Zero(t, found.Rejected)
}
