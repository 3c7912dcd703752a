// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A namespace whose call hangs holds back its own calls, which keep their order, and
// nobody else's.
func TestAPICalls(t *testing.T) {
	calls := &apiCalls{}
	hang, done := make(chan struct{}), make(chan string, 8)
	calls.start(t.Context(), "slow", func(context.Context) { <-hang })
	for i := range 3 {
		calls.start(t.Context(), "slow", func(context.Context) { done <- fmt.Sprint("slow ", i) })
	}
	calls.start(t.Context(), "other", func(context.Context) { done <- "other" })
	assert.Equal(t, "other", <-done)
	close(hang)
	for i := range 3 {
		assert.Equal(t, fmt.Sprint("slow ", i), <-done)
	}
	last := make(chan struct{})
	calls.start(t.Context(), "slow", func(context.Context) { close(last) })
	<-last
}
