// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package preemption

import (
	"cmp"
	"math"
)

// Part is one part of a price.
type Part uint8

// The parts of a price, in the order in which they are compared.
const (
	PartBudgets Part = iota
	PartPriority
	PartGangs
	PartWork
	PartPods
	// NumParts is the number of parts.
	NumParts
)

// Price is what a set of victims costs.
type Price struct {
	// Budgets is the number of pods that go although their budgets do not allow it.
	Budgets int
	// Priority is the highest one that is hit; math.MinInt32 if none is.
	Priority int32
	// Gangs is the number of gangs that stop.
	Gangs int
	// Work is what is lost, in GPU seconds.
	Work int64
	// Pods is the number of pods that go.
	Pods int
}

// free is the price of no victim.
var free = Price{Priority: math.MinInt32}

// Compare returns a negative number if a is cheaper than b, a positive one if it
// is dearer, and 0 if they are equal but for the parts that are ignored.
func (a Price) Compare(b Price, ignored [NumParts]bool) int {
	for part := range NumParts {
		if ignored[part] {
			continue
		}
		if c := a.comparePart(b, part); c != 0 {
			return c
		}
	}
	return 0
}

func (a Price) comparePart(b Price, part Part) int {
	switch part {
	case PartBudgets:
		return cmp.Compare(a.Budgets, b.Budgets)
	case PartPriority:
		return cmp.Compare(a.Priority, b.Priority)
	case PartGangs:
		return cmp.Compare(a.Gangs, b.Gangs)
	case PartWork:
		return cmp.Compare(a.Work, b.Work)
	default:
		return cmp.Compare(a.Pods, b.Pods)
	}
}
