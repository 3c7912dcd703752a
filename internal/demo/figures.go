// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"slices"
	"time"

	"github.com/muster-scheduler/muster/internal/sim"
)

// Lag is how long the control plane, and not the scheduler, took over something
// for whole gangs, in seconds.
type Lag struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
}

// measureLag measures the time between two moments of the gangs that had both.
func measureLag(jobs []*job, moments func(*job) (from, to time.Duration)) Lag {
	var lags []float64
	for _, j := range jobs {
		if from, to := moments(j); from >= 0 && to >= 0 {
			lags = append(lags, (to - from).Seconds())
		}
	}
	slices.Sort(lags)
	return Lag{P50: sim.Percentile(lags, 50), P95: sim.Percentile(lags, 95)}
}

// gpuUtilization returns the share of the fleet's GPU time, between two
// moments, for which gangs had a node, and the share in which they worked.
func gpuUtilization(samples []sample, from, to time.Duration, gpus int) (held, working float64) {
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

// usageCurve divides the samples into at most n intervals of equal length and
// returns the mean of a running total in each, as a share of gpus.
func usageCurve(samples []sample, n, gpus int, total func(sample) float64) []float64 {
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

// peakBindRate returns the most binds in one second and the mean over the
// seconds that had any.
func peakBindRate(bySecond []int) (most int, mean float64) {
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
