// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import "sync"

// MatchesLabel is MatchesProduct for a node of which only the product label is known. It is
// the one rule by which models are told apart, in the planner and around it, and
// remembers its answers: a cluster has few products and its users few wishes. It
// is safe for concurrent use.
func MatchesLabel(want, label string) bool {
	pair := [2]string{want, label}
	matchCache.RLock()
	answer, known := matchCache.known[pair]
	matchCache.RUnlock()
	if known {
		return answer
	}
	answer = MatchesProduct(want, ParseProduct(label))
	matchCache.Lock()
	defer matchCache.Unlock()
	if len(matchCache.known) >= maxCachedMatches {
		clear(matchCache.known)
	}
	matchCache.known[pair] = answer
	return answer
}

// maxCachedMatches bounds the memory that wishes of passing pods take up.
const maxCachedMatches = 4096

var matchCache = struct {
	sync.RWMutex
	known map[[2]string]bool
}{known: map[[2]string]bool{}}
