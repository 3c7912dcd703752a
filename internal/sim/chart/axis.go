// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

const day = 24 * time.Hour

// tickSteps are the intervals of ticks that people can read.
var tickSteps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 5 * day, 10 * day, 30 * day, 100 * day,
}

// axisTicks returns the times at which an axis from 0 to end has ticks, at most
// ten, and a function that returns the label of each: all in the unit of their
// interval.
func axisTicks(end time.Duration) ([]time.Duration, func(time.Duration) string) {
	step := tickSteps[len(tickSteps)-1]
	for _, s := range tickSteps {
		if end/s < 10 {
			step = s
			break
		}
	}
	var all []time.Duration
	for at := time.Duration(0); at <= end; at += step {
		all = append(all, at)
	}
	for _, u := range tickUnits {
		if step >= u.size {
			return all, func(t time.Duration) string {
				if t == 0 {
					return "0"
				}
				return fmt.Sprintf("%d %s", t/u.size, u.name)
			}
		}
	}
	return all, shortDuration
}

// tickUnits are the units of durations, the largest first.
var tickUnits = []struct {
	size time.Duration
	name string
}{{day, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}

// shortDuration returns a duration as one number and a unit.
func shortDuration(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	for _, u := range tickUnits {
		if d >= u.size {
			return strconv.FormatFloat(math.Round(10*float64(d)/float64(u.size))/10, 'f', -1, 64) + " " + u.name
		}
	}
	return fmt.Sprintf("%.2g s", d.Seconds())
}

// waitTicks are the marks of the axis of waits.
var waitTicks = []time.Duration{
	time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, day, 7 * day, 30 * day, 365 * day,
}

// waitAxis is logarithmic from a second up. Shorter waits are drawn at its left
// end, apart, since a logarithm has no zero.
type waitAxis struct {
	none, from, to float64 // pixels
	most           time.Duration
}

// newWaitAxis returns an axis that ends at the first tick beyond the longest
// wait.
func newWaitAxis(left, right float64, longest time.Duration) waitAxis {
	a := waitAxis{none: left, from: left + 46, to: right, most: waitTicks[1]}
	for _, t := range waitTicks {
		a.most = max(a.most, t)
		if t >= longest {
			break
		}
	}
	return a
}

// positionOf returns the x of a wait.
func (a waitAxis) positionOf(wait time.Duration) float64 {
	if wait < time.Second {
		return a.none
	}
	share := math.Log(wait.Seconds()) / math.Log(a.most.Seconds())
	return a.from + min(1, share)*(a.to-a.from)
}
