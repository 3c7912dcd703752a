// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A namespace with thousands of writes delays another one's by one write each.
func TestWriteQueue_NamespacesTakeTurns(t *testing.T) {
	queue := newWriteQueue(func(item string) string { return strings.Split(item, "/")[0] })
	defer queue.ShutDown()
	for i := range 5000 {
		queue.Add(fmt.Sprintf("large/%04d", i))
	}
	for i := range 3 {
		queue.Add(fmt.Sprintf("small/%d", i))
	}
	queue.Add("small/0") // it waits already
	take := func() string {
		item, shutdown := queue.Get()
		assert.False(t, shutdown)
		queue.Done(item)
		return item
	}
	var first []string
	for range 6 {
		first = append(first, take())
	}
	assert.Equal(t, []string{"large/0000", "small/0", "large/0001", "small/1", "large/0002", "small/2"}, first)
	for i := 3; i < 5000; i++ {
		assert.Equal(t, fmt.Sprintf("large/%04d", i), take())
	}
	assert.Zero(t, queue.Len())
}
