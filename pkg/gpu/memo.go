// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import "sync/atomic"

// memo remembers scores by the state of the node and the request. It has a
// fixed number of places; a newer score takes the place of an older one that
// falls on it. Reading takes no lock: several goroutines score at once.
type memo struct {
	places []atomic.Pointer[scored]
}

type scored struct {
	node   NodeState
	pod    Request
	score  int64
	device int8
}

// memoPlaces is a power of two: enough for the nodes of a large cluster in the
// states that they pass through while a few dozen kinds of pods come in.
const memoPlaces = 1 << 16

func newMemo() *memo { return &memo{places: make([]atomic.Pointer[scored], memoPlaces)} }

func (m *memo) find(node *NodeState, pod *Request) *scored {
	e := m.places[place(node, pod)].Load()
	if e == nil || e.pod != *pod || e.node != *node {
		return nil
	}
	return e
}

func (m *memo) keep(node *NodeState, pod *Request, score int64, device int) {
	m.places[place(node, pod)].Store(&scored{*node, *pod, score, int8(device)})
}

// place maps a node and a pod to one of the places.
func place(node *NodeState, pod *Request) uint64 {
	h := stir(uint64(node.CPUMilli), uint64(node.Model)<<8|uint64(node.GPUs))
	for i := 0; i < MaxNodeGPUs; i += 4 {
		f := node.Free[i : i+4 : i+4]
		h = stir(h, uint64(uint16(f[0]))|uint64(uint16(f[1]))<<16|uint64(uint16(f[2]))<<32|uint64(uint16(f[3]))<<48)
	}
	h = stir(h, uint64(pod.CPUMilli))
	h = stir(h, uint64(pod.GPUs)<<16|uint64(pod.GPUMilli))
	h = stir(h, uint64(pod.Models))
	return (h ^ h>>32) % memoPlaces
}

// stir mixes a word into a hash: multiply by an odd constant (the golden ratio
// in 64 bits), fold the high half down.
func stir(h, word uint64) uint64 {
	h = (h ^ word) * 0x9e3779b97f4a7c15
	return h ^ h>>29
}
