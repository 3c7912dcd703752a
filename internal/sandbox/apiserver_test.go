// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDone ends the API server as if it had ended by itself.
func TestDone(t *testing.T) {
	s, err := Start(t.Context(), Options{})
	require.NoError(t, err)
	select {
	case <-s.Done():
		require.Fail(t, "it runs")
	default:
		require.NoError(t, s.Err())
	}
	s.server.stop()
	<-s.Done()
	assert.NoError(t, s.Err())
	s.Stop()
	assert.NoDirExists(t, s.Dir())
}
