// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Wait is how long gangs of one size class waited, in seconds: from the moment
// that the first pod was created until every pod had a node. Gangs that still
// waited when the replay ended count with the time until then.
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

func className(i int) string {
	switch {
	case i == 0:
		return "1 pod"
	case sizeClasses[i] == math.MaxInt:
		return fmt.Sprintf("over %d pods", sizeClasses[i-1])
	}
	return fmt.Sprintf("%d-%d pods", sizeClasses[i-1]+1, sizeClasses[i])
}

// waits gives one row a size class that occurs, and one for all at the end.
func waits(jobs []*job, end time.Duration) []Wait {
	byClass := make([][]*job, len(sizeClasses))
	var all []*job
	for _, j := range jobs {
		if j.submitted < 0 {
			continue
		}
		class := slices.IndexFunc(sizeClasses, func(most int) bool { return j.Pods <= most })
		byClass[class] = append(byClass[class], j)
		all = append(all, j)
	}
	var rows []Wait
	for i, members := range byClass {
		if len(members) > 0 {
			rows = append(rows, waitOf(className(i), members, end))
		}
	}
	return append(rows, waitOf("all", all, end))
}

func waitOf(class string, jobs []*job, end time.Duration) Wait {
	w := Wait{Class: class, Gangs: len(jobs)}
	var seconds []float64
	var sum float64
	for _, j := range jobs {
		until := j.placed
		if until < 0 {
			until = end
			w.Waiting++
		}
		wait := (until - j.submitted).Seconds()
		seconds = append(seconds, wait)
		sum += wait
	}
	if len(seconds) == 0 {
		return w
	}
	slices.Sort(seconds)
	w.Mean = sum / float64(len(seconds))
	w.P50, w.P95, w.Max = percentile(seconds, 50), percentile(seconds, 95), seconds[len(seconds)-1]
	return w
}

// percentile is the nearest rank of p in sorted values; 0 of none.
func percentile(sorted []float64, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

// locality is how close together the placed gangs of more than one pod stand.
type locality struct {
	// fitting gangs are no larger than the largest leaf; inOne of them stand
	// inside one.
	fitting, inOne int
	// spread is the mean, over the larger gangs, of the leaves used divided by
	// the fewest that could hold them if every leaf were as large as the largest.
	larger int
	spread float64
}

func localityOf(jobs []*job, leaf int) locality {
	var l locality
	var sum float64
	for _, j := range jobs {
		switch {
		case j.placed < 0 || j.Pods < 2:
		case j.Pods <= leaf:
			l.fitting++
			if len(j.leaves) == 1 {
				l.inOne++
			}
		default:
			l.larger++
			sum += float64(len(j.leaves)) / math.Ceil(float64(j.Pods)/float64(leaf))
		}
	}
	if l.larger > 0 {
		l.spread = sum / float64(l.larger)
	}
	return l
}

// utilisation is the share of the fleet's GPU time, between two moments, that
// gangs had a node for and that they worked.
func utilisation(samples []sample, from, to time.Duration, gpus int) (held, working float64) {
	var first, last *sample
	for i := range samples {
		s := &samples[i]
		if s.at < from || s.at > to {
			continue
		}
		if first == nil {
			first = s
		}
		last = s
	}
	if first == nil || last.at == first.at {
		return 0, 0
	}
	capacity := float64(gpus) * (last.at - first.at).Seconds()
	return (last.heldTime - first.heldTime) / capacity, (last.workTime - first.workTime) / capacity
}

// curve cuts the samples into at most n stretches of equal length and gives the
// mean of a running total in each, as a share of gpus.
func curve(samples []sample, n, gpus int, total func(sample) float64) []float64 {
	if len(samples) < 2 {
		return nil
	}
	n = min(n, len(samples)-1)
	points := make([]float64, n)
	for i := range points {
		a, b := samples[i*(len(samples)-1)/n], samples[(i+1)*(len(samples)-1)/n]
		if seconds := (b.at - a.at).Seconds(); seconds > 0 {
			points[i] = (total(b) - total(a)) / seconds / float64(gpus)
		}
	}
	return points
}

// sparkline draws shares of 0 to 1 as bars of eight heights; a share of 0 is a
// blank.
func sparkline(shares []float64) string {
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

// busiest returns the most binds in one second and the mean over the seconds
// that had any.
func busiest(bySecond []int) (most int, mean float64) {
	active, sum := 0, 0
	for _, n := range bySecond {
		most = max(most, n)
		sum += n
		if n > 0 {
			active++
		}
	}
	if active > 0 {
		mean = float64(sum) / float64(active)
	}
	return most, mean
}
