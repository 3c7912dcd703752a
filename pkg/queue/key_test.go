// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKey_EachPartCountsBeforeTheNext(t *testing.T) {
	base := Key{Priority: 5, Created: scriptStart, Arrival: 7, Name: "ns/m"}
	with := func(change func(*Key)) Key {
		k := base
		change(&k)
		return k
	}
	tests := []struct {
		name string
		key  Key
	}{
		{"a higher priority", Key{Priority: 6, Created: scriptStart.Add(time.Hour), Arrival: 9, Name: "ns/z"}},
		{"interrupted", Key{Priority: 5, Interrupted: true, Created: scriptStart.Add(time.Hour), Arrival: 9, Name: "ns/z"}},
		{"older", Key{Priority: 5, Created: scriptStart.Add(-time.Second), Arrival: 9, Name: "ns/z"}},
		{"seen earlier", Key{Priority: 5, Created: scriptStart, Arrival: 6, Name: "ns/z"}},
		{"by name", with(func(k *Key) { k.Name = "ns/a" })},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.True(t, test.key.Before(base))
			assert.False(t, base.Before(test.key))
		})
	}
	assert.False(t, base.Before(base))
}

// Sorting is defined for strict weak orders only.
func TestKey_CompareIsAStrictWeakOrder(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	random := func() Key {
		return Key{
			Priority: dice.Int32N(3) - 1, Interrupted: dice.IntN(2) == 0, Created: scriptStart.Add(time.Duration(dice.IntN(2)) * time.Second),
			Arrival: dice.Uint64N(2), Name: string(rune('a' + dice.IntN(2))),
		}
	}
	for range 20000 {
		a, b, c := random(), random(), random()
		require.Equal(t, a == b, a.Compare(b) == 0, "%v %v", a, b)
		require.Equal(t, sign(a.Compare(b)), -sign(b.Compare(a)), "%v %v", a, b)
		if a.Compare(b) <= 0 && b.Compare(c) <= 0 {
			require.LessOrEqual(t, a.Compare(c), 0, "%v %v %v", a, b, c)
		}
	}
}

func sign(n int) int { return min(max(n, -1), 1) }
