// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import "slices"

// scarcity says how much of each model's devices the choosy pods would take,
// that is those that do not accept every model, if the workload just filled the
// cluster: in parts of a million of the model's capacity. It may exceed a
// million. A pod that accepts any model should go where it is low.
//
// Each group of pods that accept the same models is poured over them like water
// over connected vessels, in turn until the levels rest: the highest level is
// then as low as it can be.
func scarcity(w Workload, capacity []int) []int64 {
	groups, demand := choosyGroups(w, capacity)
	level := make([]float64, len(capacity))
	poured := make([][]float64, len(groups))
	for i := range poured {
		poured[i] = make([]float64, len(capacity))
	}
	for range pourRounds {
		for i, group := range groups {
			for m := range level {
				level[m] -= poured[i][m]
			}
			pour(level, poured[i], capacity, group, demand[i])
		}
	}
	scarce := make([]int64, len(capacity))
	for m, c := range capacity {
		if c > 0 {
			scarce[m] = int64(level[m]/float64(c)*valueUnit + 0.5)
		}
	}
	return scarce
}

// pourRounds is how often every group is poured anew. Levels of openb's
// workloads rest to the sixth digit within 20 rounds.
const pourRounds = 60

// choosyGroups adds up the demand of the pods by the models that they accept,
// in devices, for a load equal to the whole capacity.
func choosyGroups(w Workload, capacity []int) (groups []ModelSet, demand []float64) {
	present, devices := ModelSet(0), 0
	for m, c := range capacity {
		devices += c
		if c > 0 {
			present |= 1 << m
		}
	}
	total := 0.0
	for _, t := range w {
		total += float64(t.Share * int64(t.Milli()))
		if accepted := t.Models & present; t.GPUs > 0 && accepted != 0 && accepted != present {
			groups = append(groups, accepted)
		}
	}
	slices.Sort(groups)
	groups = slices.Compact(groups)
	demand = make([]float64, len(groups))
	for _, t := range w {
		if i, found := slices.BinarySearch(groups, t.Models&present); found && t.GPUs > 0 {
			demand[i] += float64(t.Share*int64(t.Milli())) / total * float64(devices)
		}
	}
	return groups, demand
}

// pour spreads an amount over the models of a group so that the lowest rise
// first, and adds it to the levels, which count devices.
func pour(level, poured []float64, capacity []int, group ModelSet, amount float64) {
	var vessels []int
	for m, c := range capacity {
		poured[m] = 0
		if c > 0 && group.Has(m) {
			vessels = append(vessels, m)
		}
	}
	height := func(m int) float64 { return level[m] / float64(capacity[m]) }
	slices.SortStableFunc(vessels, func(a, b int) int {
		switch {
		case height(a) < height(b):
			return -1
		case height(a) > height(b):
			return 1
		default:
			return 0
		}
	})
	wide, held, rise := 0.0, 0.0, 0.0
	filled := 0
	for filled < len(vessels) {
		wide += float64(capacity[vessels[filled]])
		held += level[vessels[filled]]
		rise = (held + amount) / wide
		filled++
		if filled < len(vessels) && height(vessels[filled]) >= rise {
			break
		}
	}
	for _, m := range vessels[:filled] {
		poured[m] = float64(rise*float64(capacity[m])) - level[m]
		level[m] += poured[m]
	}
}
