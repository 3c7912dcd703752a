// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import "slices"

// modelScarcity says how much of each model's devices the choosy pods would take,
// that is those that do not accept every model, if the workload just filled the
// cluster: in parts of a million of the model's capacity. It may exceed a
// million. A pod that accepts any model should go where it is low.
//
// Each group of pods that accept the same models is poured over them like water
// over connected vessels, in turn until the levels rest: the highest level is
// then as low as it can be.
func modelScarcity(w Workload, capacity []int) []int64 {
	groups, demand := restrictedGroups(w, capacity)
	level := make([]float64, len(capacity))
	assigned := make([][]float64, len(groups))
	for i := range assigned {
		assigned[i] = make([]float64, len(capacity))
	}
	for range fillRounds {
		for i, group := range groups {
			for m := range level {
				level[m] -= assigned[i][m]
			}
			waterFill(level, assigned[i], capacity, group, demand[i])
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

// fillRounds is how often every group is poured anew. Levels of openb's
// workloads rest to the sixth digit within 20 rounds.
const fillRounds = 60

// restrictedGroups adds up the demand of the pods by the models that they accept,
// in devices, for a load equal to the whole capacity.
func restrictedGroups(w Workload, capacity []int) (groups []ModelSet, demand []float64) {
	present, devices := ModelSet(0), 0
	for m, c := range capacity {
		devices += c
		if c > 0 {
			present |= 1 << m
		}
	}
	total := 0.0
	for _, t := range w {
		total += float64(t.Share * int64(t.TotalMilli()))
		if accepted := t.Models & present; t.GPUs > 0 && accepted != 0 && accepted != present {
			groups = append(groups, accepted)
		}
	}
	slices.Sort(groups)
	groups = slices.Compact(groups)
	demand = make([]float64, len(groups))
	for _, t := range w {
		if i, found := slices.BinarySearch(groups, t.Models&present); found && t.GPUs > 0 {
			demand[i] += float64(t.Share*int64(t.TotalMilli())) / total * float64(devices)
		}
	}
	return groups, demand
}

// waterFill spreads an amount over the models of a group so that the lowest rise
// first, and adds it to the levels, which count devices.
func waterFill(level, assigned []float64, capacity []int, group ModelSet, amount float64) {
	var models []int
	for m, c := range capacity {
		assigned[m] = 0
		if c > 0 && group.HasModel(m) {
			models = append(models, m)
		}
	}
	levelOf := func(m int) float64 { return level[m] / float64(capacity[m]) }
	slices.SortStableFunc(models, func(a, b int) int {
		switch {
		case levelOf(a) < levelOf(b):
			return -1
		case levelOf(a) > levelOf(b):
			return 1
		default:
			return 0
		}
	})
	capacitySum, assignedSum, common := 0.0, 0.0, 0.0
	filled := 0
	for filled < len(models) {
		capacitySum += float64(capacity[models[filled]])
		assignedSum += level[models[filled]]
		common = (assignedSum + amount) / capacitySum
		filled++
		if filled < len(models) && levelOf(models[filled]) >= common {
			break
		}
	}
	for _, m := range models[:filled] {
		assigned[m] = float64(common*float64(capacity[m])) - level[m]
		level[m] += assigned[m]
	}
}
