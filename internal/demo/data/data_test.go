// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package data_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/internal/demo/data"
)

// The figures are those that README.md gives.
func TestWhatComesWithMuster(t *testing.T) {
	kalos, err := data.KalosGangs()
	require.NoError(t, err)
	assert.Len(t, kalos, 160)
	philly, err := data.PhillyGangs()
	require.NoError(t, err)
	assert.Len(t, philly, 47_192)
	gangs := 0
	for _, g := range philly {
		if g.Pods > 1 {
			gangs++
		}
	}
	assert.Equal(t, 73, gangs)
	hosts, err := data.LingjunNodes()
	require.NoError(t, err)
	assert.Len(t, hosts, 847)
}
