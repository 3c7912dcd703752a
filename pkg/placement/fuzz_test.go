// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"math/rand/v2"
	"testing"
)

// byteSource turns fuzz data into choices, a byte each, so that a mutated byte
// is a changed choice. Once the data is spent every choice is the first.
type byteSource struct{ data []byte }

func (s *byteSource) Uint64() uint64 {
	const low = 0x0055555555555555 // never asks rand for another try
	if len(s.data) == 0 {
		return low
	}
	b := s.data[0]
	s.data = s.data[1:]
	return uint64(b)<<56 | low
}

// FuzzSolve holds Solve against the brute-force twin on small clusters.
func FuzzSolve(f *testing.F) {
	for seed := range uint64(64) {
		rng := rand.New(rand.NewPCG(seed, 2))
		data := make([]byte, 160)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		u, g := small(rand.New(&byteSource{data}))
		compareWithTwin(t, u, g)
	})
}
