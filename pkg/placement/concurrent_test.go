// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Solve reads its usage only, so that callers may share one.
func TestSolve_RunsBesideItself(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	u := largeUsage(rng)
	var all sync.WaitGroup
	for range 8 {
		g := withLauncher(rng, largeGang(rng, u))
		want := solved(t, u, g)
		all.Go(func() {
			for range 50 {
				assert.Equal(t, want, Solve(u, g))
			}
		})
	}
	all.Wait()
}
