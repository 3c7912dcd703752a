// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/test/chaos/checker"
)

// unchecked is a scheduler that does not look at the newest pods before a gang binds.
var unchecked = mutant{
	name: "unchecked", file: "pkg/plugin/barrier.go", rule: checker.NoOvercommit,
	old: "roomTaken(b.all.handle.SharedInformerFactory(), b.plan, b.placed)",
	new: "func() string { if " + mutation("unchecked") + " { return \"\" }; return roomTaken(b.all.handle.SharedInformerFactory(), b.plan, b.placed) }()",
}

// TestRival has another scheduler bind pods to the same nodes all the time, and counts
// what both give away twice. Each gang that is hit is whole again or given up within a
// minute.
func TestRival(t *testing.T) {
	for name, prepare := range map[string]func(*setup){
		"rechecked": func(*setup) {},
		"unchecked": func(s *setup) { s.binary, s.mutant = buildMutants(t, []mutant{unchecked}), unchecked.name },
		"tainted":   func(s *setup) { s.tainted = true },
	} {
		if *rivals != "all" && *rivals != name {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := setup{qps: 1000}
			prepare(&s)
			b := newBench(t, max(*seedFlag, 1), s)
			b.runBesideRival()
			found := b.report()
			t.Logf("%s: %d bindings, %d of the rival; overcommits by a binding of its own %d, %.1f in 10,000, by one of the rival %d; %d pods refused; repairs %s",
				name, found.Binds, found.RivalBinds, found.OwnOvercommits, float64(found.OwnOvercommits)*10_000/float64(found.Binds),
				found.RivalOvercommits-found.OwnOvercommits, found.Rejected, percentiles(found.Windows["repair"]))
			if s.tainted {
				assert.Zero(t, found.RivalOvercommits)
				return
			}
			require.NotZero(t, found.RivalBinds)
			if all := found.Windows["repair"]; len(all) > 0 {
				assert.LessOrEqual(t, all[len(all)-1], time.Minute)
			}
		})
	}
}

// runBesideRival runs load and rival for the length of the bench.
func (b *bench) runBesideRival() {
	done := b.startClock()
	b.start = b.measure()
	b.load.setFill(0.98)
	random := rand.New(rand.NewPCG(b.seed, 5))
	end := b.checker.BeginFault(time.Now(), checker.Healthy, "rival")
	for until := time.Now().Add(*length); time.Now().Before(until); {
		b.runRival(random)
		b.countFault("rival")
	}
	end(time.Now())
	b.settle()
	b.drain()
	b.end = b.checkBounds(b.start)
	close(done)
}
