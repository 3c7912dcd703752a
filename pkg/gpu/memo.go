// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import "sync/atomic"

// scoreCache remembers scores by the state of the node and the request. It has a
// fixed number of places; a newer score takes the place of an older one that
// falls on it. Reading takes no lock: several goroutines score at once.
type scoreCache struct {
	entries []atomic.Pointer[cacheEntry]
}

type cacheEntry struct {
	node   NodeState
	pod    Request
	score  int64
	device int8
}

// cacheEntries is a power of two: enough for the nodes of a large cluster in the
// states that they pass through while a few dozen kinds of pods come in.
const cacheEntries = 1 << 16

func newScoreCache() *scoreCache {
	return &scoreCache{entries: make([]atomic.Pointer[cacheEntry], cacheEntries)}
}

func (m *scoreCache) getScore(node *NodeState, pod *Request) *cacheEntry {
	e := m.entries[entryIndex(node, pod)].Load()
	if e == nil || e.pod != *pod || e.node != *node {
		return nil
	}
	return e
}

func (m *scoreCache) putScore(node *NodeState, pod *Request, score int64, device int) {
	m.entries[entryIndex(node, pod)].Store(&cacheEntry{*node, *pod, score, int8(device)})
}

// entryIndex maps a node and a pod to one of the places.
func entryIndex(node *NodeState, pod *Request) uint64 {
	h := mixHash(uint64(node.CPUMilli), uint64(node.Model)<<8|uint64(node.GPUs))
	for i := 0; i < MaxNodeGPUs; i += 4 {
		f := node.Free[i : i+4 : i+4]
		h = mixHash(h, uint64(uint16(f[0]))|uint64(uint16(f[1]))<<16|uint64(uint16(f[2]))<<32|uint64(uint16(f[3]))<<48)
	}
	h = mixHash(h, uint64(pod.CPUMilli))
	h = mixHash(h, uint64(pod.GPUs)<<16|uint64(pod.GPUMilli))
	h = mixHash(h, uint64(pod.Models))
	return (h ^ h>>32) % cacheEntries
}

// mixHash mixes a word into a hash: multiply by an odd constant (the golden ratio
// in 64 bits), fold the high half down.
func mixHash(h, word uint64) uint64 {
	h = (h ^ word) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}
