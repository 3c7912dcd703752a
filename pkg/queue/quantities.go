// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import "maps"

// Quantities are amounts by resource name, in the planner's units: milli-cores
// of CPU, bytes, pods, and counts of everything else.
type Quantities map[string]int64

// Add adds o to q.
func (q Quantities) Add(o Quantities) {
	for name, amount := range o {
		q[name] += amount
	}
}

// Excess returns what q has more than o, resource by resource.
func (q Quantities) Excess(o Quantities) Quantities {
	excess := Quantities{}
	for name, amount := range q {
		if amount > o[name] {
			excess[name] = amount - o[name]
		}
	}
	return excess
}

// Clone returns a copy.
func (q Quantities) Clone() Quantities { return maps.Clone(q) }
