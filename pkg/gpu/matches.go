// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import "sync"

// Matches is Admits for a node of which only the product label is known. It is
// the one rule by which models are told apart, in the planner and around it, and
// remembers its answers: a cluster has few products and its users few wishes. It
// is safe for concurrent use.
func Matches(want, label string) bool {
	pair := [2]string{want, label}
	matches.RLock()
	answer, known := matches.known[pair]
	matches.RUnlock()
	if known {
		return answer
	}
	answer = Admits(want, ParseProduct(label))
	matches.Lock()
	defer matches.Unlock()
	if len(matches.known) >= maxMatches {
		clear(matches.known)
	}
	matches.known[pair] = answer
	return answer
}

// maxMatches bounds the memory that wishes of passing pods take up.
const maxMatches = 4096

var matches = struct {
	sync.RWMutex
	known map[[2]string]bool
}{known: map[[2]string]bool{}}
