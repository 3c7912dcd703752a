// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestWrite(t *testing.T) {
	var runs []Run
	for _, wall := range []time.Duration{40 * time.Second, 44 * time.Second, 50 * time.Second} { // taking turns
		runs = append(runs,
			Run{"gang", "upstream", 3000, wall, wall + time.Second, 1500 * time.Millisecond},
			Run{"gang", "muster", 3000, wall / 5, wall/5 + time.Second, 2 * time.Millisecond},
			Run{"gang", "null", 3000, wall / 10, wall / 10, 0})
	}
	runs = append(runs, Run{"alone", "muster", 30, 3 * time.Second, 3 * time.Second, 0}, Run{"alone", "muster", 30, 4 * time.Second, 5 * time.Second, 0})
	var out strings.Builder
	require.NoError(t, Write(&out, runs, "upstream", "null"))
	assert.Equal(t, `| shape | scheduler | runs | wall time, s | all told, s | pods/s | decision a gang | times faster than upstream | rate of null |
|---|---|---|---|---|---|---|---|---|
| gang | upstream | 3 | 44.0 (40.0-50.0) | 45.0 (41.0-51.0) | 68 | 1.5 s (1.5 s-1.5 s) | 1.0 | 10% |
| gang | muster | 3 | 8.8 (8.0-10.0) | 9.8 (9.0-11.0) | 341 | 2.0 ms (2.0 ms-2.0 ms) | 5.0 | 50% |
| gang | null | 3 | 4.4 (4.0-5.0) | 4.4 (4.0-5.0) | 682 |  | 10.0 | 100% |
| alone | muster | 2 | 3.5 (3.0-4.0) | 4.0 (3.0-5.0) | 9 |  |  |  |
`, out.String())
}
