// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package preemption answers instead of whom: which pods of lower priority make
// way for a gang that finds no room. It chooses the place by its price, and not
// the victims of a place that was chosen before. It reads neither clock nor
// chance: the same question has the same answer.
//
// # What can make way
//
// A workload makes way as a whole; a gang above its minimum can also give up
// single members, no more than it has to spare. Those pieces are the units of
// the search: a victim is a unit, never a part of one.
//
// # The price
//
// Prices compare part by part, in this order: pods that a disruption budget
// does not allow to go; the highest priority that is hit; gangs that stop; GPU
// seconds of work that are lost; pods. Parts can be left out of the comparison.
// Of equal prices the first domain in the order of the tree wins.
//
// # The search
//
// Units are admitted by priority, the lowest first: no unit of a priority is
// touched where those below it are enough. For each domain of the required
// level a selection is made (select.go): single pods and spare members first;
// where those are not enough, the fewest gangs, and then as little as possible
// of the rest. Where the members of the gang are alike, rooms of nodes add up,
// and the cheapest pods are found node by node and combined exactly
// (options.go). The selections are verified with the planner in the order of
// their prices: it places the gang on what they leave, or the selection is
// dropped. What the plan does not need is given back, the most valuable first.
//
// # What is exact
//
// Every answer is feasible, and has no unit that could be left out: Check holds
// that. Whether it is also the cheapest is a covering problem, hard in general;
// Answer.Proven says where the search went through all that could be cheaper.
package preemption
