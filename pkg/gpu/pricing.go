// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"cmp"
	"slices"
)

// deviceValues says, for every free share of a device from 0 to MilliPerGPU, how much
// of a device it is worth to the pods that share: the best that the workload
// can make of it. A hole that no usual combination of pods fills is worth
// nothing, however large. Values are in parts of a million devices; a whole
// device is worth a million.
//
// The worth of each size is its price in the cutting-stock problem: packed as
// well as can be, how many more devices one more pod of that size costs. If
// nothing but pods of 810 and 470 thousandths came, an 810 would cost a whole
// device, since its hole of 190 stays empty, and a 470 half of one.
func deviceValues(w Workload) *[MilliPerGPU + 1]int64 {
	sizes, demand := sharedSizes(w)
	prices := cuttingPrices(sizes, demand)
	best, _ := solveKnapsack(sizes, prices)
	var value [MilliPerGPU + 1]int64
	full := max(best[MilliPerGPU], 1) // rounding may leave it a hair above
	for r := range MilliPerGPU {
		value[r] = int64(best[r]/full*valueUnit + 0.5)
	}
	value[MilliPerGPU] = valueUnit
	return &value
}

// valueUnit is the worth of a whole device.
const valueUnit = 1_000_000

// pricedSizes is the number of sizes that get a price of their own. The time to
// find prices grows with the fourth power: 32 take some milliseconds, 256 took
// seconds. A size without a price is worth what fits in it. No openb list has
// more than 20 among its typical pods.
const pricedSizes = 32

// sharedSizes collects the sizes of the pods that share a device, rising, and
// how often each comes: those that take up the most devices.
func sharedSizes(w Workload) (sizes []int, demand []float64) {
	var often [MilliPerGPU]int64
	for _, t := range w {
		if t.sharesDevice() && t.GPUMilli > 0 {
			often[t.GPUMilli] += t.Share
		}
	}
	for size, share := range often {
		if share > 0 {
			sizes = append(sizes, size)
		}
	}
	slices.SortStableFunc(sizes, func(a, b int) int {
		return cmp.Compare(often[b]*int64(b), often[a]*int64(a))
	})
	sizes = sizes[:min(len(sizes), pricedSizes)]
	slices.Sort(sizes)
	for _, size := range sizes {
		demand = append(demand, float64(often[size])/shareUnit)
	}
	return sizes, demand
}

// cuttingPrices solves the fractional cutting-stock problem and returns the
// price of each size in devices: the dual prices that column generation ends
// with (Gilmore and Gomory 1961). On the way there prices mean nothing; should
// the end not be reached, each size costs what it takes up. Rounding is pinned
// by conversions, so that every machine comes to the same prices.
func cuttingPrices(sizes []int, demand []float64) []float64 {
	n := len(sizes)
	inverse := make([][]float64, n) // of the basis: one pattern for each row
	amount := make([]float64, n)    // devices cut by each pattern of the basis
	for i, size := range sizes {
		perDevice := float64(MilliPerGPU / size)
		inverse[i] = make([]float64, n)
		inverse[i][i] = 1 / perDevice
		amount[i] = demand[i] / perDevice
	}
	prices := make([]float64, n)
	for range maxPivots {
		for j := range prices {
			prices[j] = 0
			for i := range inverse {
				prices[j] += inverse[i][j]
			}
		}
		best, pattern := solveKnapsack(sizes, prices)
		if best[MilliPerGPU] <= 1+pivotEpsilon {
			return prices
		}
		if !pivotBasis(inverse, amount, pattern) {
			break
		}
	}
	for i, size := range sizes {
		prices[i] = float64(size) / MilliPerGPU
	}
	return prices
}

const (
	// maxPivots bounds the search; 30 sizes take some dozens.
	maxPivots    = 2000
	pivotEpsilon = 1e-9
)

// pivotBasis brings a pattern into the basis in place of the one that it uses up
// first, and reports whether there was one.
func pivotBasis(inverse [][]float64, amount []float64, pattern []int) bool {
	n := len(pattern)
	column := make([]float64, n)
	leaving := -1
	for i := range n {
		for j := range n {
			column[i] += float64(inverse[i][j] * float64(pattern[j]))
		}
		if column[i] > pivotEpsilon && (leaving < 0 || amount[i]/column[i] < amount[leaving]/column[leaving]) {
			leaving = i
		}
	}
	if leaving < 0 {
		return false
	}
	step := amount[leaving] / column[leaving]
	for j := range n {
		inverse[leaving][j] /= column[leaving]
	}
	for i := range n {
		if i == leaving {
			continue
		}
		amount[i] -= float64(step * column[i])
		for j := range n {
			inverse[i][j] -= float64(column[i] * inverse[leaving][j])
		}
	}
	amount[leaving] = step
	return true
}

// solveKnapsack finds, for every room from 0 to MilliPerGPU, the largest sum of prices that
// fits in it, and the pattern that makes up the one of a whole device.
func solveKnapsack(sizes []int, prices []float64) (best []float64, pattern []int) {
	best = make([]float64, MilliPerGPU+1)
	last := make([]int, MilliPerGPU+1)
	for room := range best {
		last[room] = -1
		if room > 0 {
			best[room] = best[room-1]
		}
		for i, size := range sizes {
			if size <= room && best[room-size]+prices[i] > best[room]+1e-12 {
				best[room] = best[room-size] + prices[i]
				last[room] = i
			}
		}
	}
	pattern = make([]int, len(sizes))
	for room := MilliPerGPU; room > 0; {
		if last[room] < 0 {
			room--
			continue
		}
		pattern[last[room]]++
		room -= sizes[last[room]]
	}
	return best, pattern
}
