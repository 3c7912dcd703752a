// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dra

// memory remembers what was asked for among the last limit entries, and at most twice as
// many.
type memory[K comparable, V any] struct {
	limit         int
	recent, older map[K]V
}

// get returns what is remembered of a key.
func (m *memory[K, V]) get(key K) (V, bool) {
	if value, ok := m.recent[key]; ok {
		return value, true
	}
	value, ok := m.older[key]
	if ok {
		m.put(key, value)
	}
	return value, ok
}

// put remembers a value.
func (m *memory[K, V]) put(key K, value V) {
	if m.recent == nil || len(m.recent) >= m.limit {
		m.recent, m.older = map[K]V{}, m.recent
	}
	m.recent[key] = value
}
