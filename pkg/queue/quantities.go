// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

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

// Sub takes o from q.
func (q Quantities) Sub(o Quantities) {
	for name, amount := range o {
		q[name] -= amount
	}
}

// covers reports whether q has no less than o of any resource.
func (q Quantities) covers(o Quantities) bool {
	for name, amount := range o {
		if q[name] < amount {
			return false
		}
	}
	return true
}
