// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Stay is one gang as the figures need it. Times that never came are negative.
type Stay struct {
	Pods              int
	Submitted, Placed time.Duration
	// Part says that it is one pod that takes only part of a node's GPUs.
	Part bool
	// Leaves is the number of distinct leaves that its pods stood in.
	Leaves int
}

// Wait is how long gangs of one size class waited, in seconds, from their
// submission until every pod had a node. Gangs that still waited at the end of a
// replay count with the time until then.
type Wait struct {
	Class string `json:"class"`
	// Gangs came, Waiting of them were never placed.
	Gangs   int     `json:"gangs"`
	Waiting int     `json:"neverPlaced"`
	Mean    float64 `json:"mean"`
	P50     float64 `json:"p50"`
	P95     float64 `json:"p95"`
	Max     float64 `json:"max"`
}

// sizeClasses are the largest number of pods of each class.
var sizeClasses = []int{1, 8, 32, 64, math.MaxInt}

// partClass is the class of pods that take part of a node.
const partClass = "part of a node"

// className returns the name of a size class in tables.
func className(i int) string {
	switch {
	case i == 0:
		return "1 pod"
	case sizeClasses[i] == math.MaxInt:
		return fmt.Sprintf("over %d pods", sizeClasses[i-1])
	}
	return fmt.Sprintf("%d-%d pods", sizeClasses[i-1]+1, sizeClasses[i])
}

// WaitsByClass returns one row for each size class that occurs, and one for all
// at the end. Gangs that were never submitted do not count.
func WaitsByClass(stays []Stay, end time.Duration) []Wait {
	byClass := make([][]Stay, len(sizeClasses))
	var parts, all []Stay
	for _, j := range stays {
		if j.Submitted < 0 {
			continue
		}
		all = append(all, j)
		if j.Part {
			parts = append(parts, j)
			continue
		}
		class := slices.IndexFunc(sizeClasses, func(most int) bool { return j.Pods <= most })
		byClass[class] = append(byClass[class], j)
	}
	var rows []Wait
	if len(parts) > 0 {
		rows = append(rows, summarizeWaits(partClass, parts, end))
	}
	for i, members := range byClass {
		if len(members) > 0 {
			rows = append(rows, summarizeWaits(className(i), members, end))
		}
	}
	return append(rows, summarizeWaits("all", all, end))
}

// summarizeWaits returns the row of one class. A gang that was never placed has
// waited until end: leaving it out would reward a policy that starves gangs.
func summarizeWaits(class string, stays []Stay, end time.Duration) Wait {
	w := Wait{Class: class, Gangs: len(stays)}
	var seconds []float64
	var sum float64
	for _, j := range stays {
		until := j.Placed
		if until < 0 {
			until = end
			w.Waiting++
		}
		wait := (until - j.Submitted).Seconds()
		seconds = append(seconds, wait)
		sum += wait
	}
	if len(seconds) == 0 {
		return w
	}
	slices.Sort(seconds)
	w.Mean = sum / float64(len(seconds))
	w.P50, w.P95, w.Max = Percentile(seconds, 50), Percentile(seconds, 95), seconds[len(seconds)-1]
	return w
}

// Percentile returns the nearest rank of p in sorted values; 0 of none.
func Percentile(sorted []float64, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

// Locality is the number of leaves over which the placed gangs of more than one
// pod are spread.
type Locality struct {
	// Fitting gangs are no larger than the largest leaf; InOne of them stand
	// inside one.
	Fitting, InOne int
	// Spread is the mean, over the Larger gangs, of the leaves used divided by
	// the fewest that could hold them if every leaf were as large as the largest.
	Larger int
	Spread float64
}

// MeasureLocality measures the placed gangs; leaf is the number of nodes of the
// largest leaf. Without leaves there is nothing to measure.
func MeasureLocality(stays []Stay, leaf int) Locality {
	var l Locality
	if leaf < 1 {
		return l
	}
	var sum float64
	for _, j := range stays {
		switch {
		case j.Placed < 0 || j.Pods < 2:
		case j.Pods <= leaf:
			l.Fitting++
			if j.Leaves == 1 {
				l.InOne++
			}
		default:
			l.Larger++
			sum += float64(j.Leaves) / math.Ceil(float64(j.Pods)/float64(leaf))
		}
	}
	if l.Larger > 0 {
		l.Spread = sum / float64(l.Larger)
	}
	return l
}

// Sparkline returns shares of 0 to 1 as bars of eight heights; a share of 0 is
// a blank.
func Sparkline(shares []float64) string {
	const bars = "▁▂▃▄▅▆▇█"
	heights := []rune(bars)
	line := make([]rune, len(shares))
	for i, share := range shares {
		if share <= 0 {
			line[i] = ' '
			continue
		}
		line[i] = heights[min(len(heights)-1, int(share*float64(len(heights))))]
	}
	return string(line)
}

// FormatThousands returns 12345 as 12,345.
func FormatThousands(n int) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
