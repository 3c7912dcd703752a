// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRegistry_AMinimumThatIsRaisedBreaksNoGangThatRuns(t *testing.T) {
	r := newRegistry()
	assert.Equal(t, 8, r.needs("g", 3, 8), "it is starting, or a crash broke it")
	assert.Equal(t, 8, r.needs("g", 8, 8), "it runs")
	assert.Equal(t, 8, r.needs("g", 8, 12), "more are asked for")
	assert.Equal(t, 8, r.needs("g", 7, 12), "it lost a member")
	assert.Equal(t, 12, r.needs("g", 12, 12), "the others came")
	assert.Equal(t, 12, r.needs("g", 8, 12), "and went")
	assert.Equal(t, 6, r.needs("g", 5, 6), "fewer are asked for")
	assert.Equal(t, 6, r.needs("g", 6, 6))
	assert.Equal(t, 6, r.needs("g", 6, 12))
}
