// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"sync"
	"time"
)

// apiCallTimeout bounds one request for which a gang waits. The client would try for
// minutes what the API server asks to be tried later; the queue does that itself.
const apiCallTimeout = 10 * time.Second

// apiCalls makes the queue's calls of the API server beside the loop that wakes gangs:
// those of one namespace one after the other, so that a namespace whose calls take long
// holds up nobody else. It is safe for concurrent use.
type apiCalls struct {
	mu sync.Mutex
	// waiting are the calls behind the one that is under way, by namespace.
	waiting map[string][]func()
}

// start makes a call when those of the namespace before it are done, and does not wait
// for it.
func (c *apiCalls) start(ctx context.Context, namespace string, call func(context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting == nil {
		c.waiting = map[string][]func(){}
	}
	behind, busy := c.waiting[namespace]
	c.waiting[namespace] = append(behind, func() { call(ctx) })
	if !busy {
		go c.drain(namespace)
	}
}

// drain makes the calls of a namespace until there are none.
func (c *apiCalls) drain(namespace string) {
	for {
		c.mu.Lock()
		if len(c.waiting[namespace]) == 0 {
			delete(c.waiting, namespace)
			c.mu.Unlock()
			return
		}
		call := c.waiting[namespace][0]
		c.waiting[namespace] = c.waiting[namespace][1:]
		c.mu.Unlock()
		call()
	}
}
