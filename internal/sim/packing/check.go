// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package packing

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// Agreement is the difference between a replay's order of arrival and that of
// the published experiments. Up to a load of 90 % no policy drops a pod of the
// default list, so that the curve of allocation shows the order of arrival
// alone.
type Agreement struct {
	Seed int64
	// Loads is the number of loads that were compared, Equal how many of them
	// agree to two decimals, and Furthest the largest difference in points.
	Loads, Equal int
	Furthest     float64
}

// CheckArrivals replays the default list with each seed of which the whole
// curve was published and compares it with that.
func CheckArrivals(policy Policy) ([]Agreement, error) {
	e, err := LoadExperiment("default")
	if err != nil {
		return nil, err
	}
	curves, err := publishedCurves()
	if err != nil {
		return nil, err
	}
	var all []Agreement
	for _, curve := range curves {
		a := Agreement{Seed: curve.seed, Loads: len(curve.allocated)}
		got := e.ReplayPods(policy, curve.seed)
		for load, want := range curve.allocated {
			off := math.Abs(math.Round(got.Allocated[load]*100)/100 - want)
			a.Furthest = max(a.Furthest, off)
			if off < 0.005 {
				a.Equal++
			}
		}
		all = append(all, a)
	}
	return all, nil
}

// publishedCurve is the allocation in percent at each whole load from 0.
type publishedCurve struct {
	seed      int64
	allocated []float64
}

// publishedCurves reads the curves that were published, one for each seed.
func publishedCurves() ([]publishedCurve, error) {
	const name = "fgd_published_curve.csv"
	rows, err := readTable(name)
	if err != nil {
		return nil, err
	}
	var curves []publishedCurve
	for i, row := range rows[1:] {
		c := publishedCurve{}
		if c.seed, err = strconv.ParseInt(row[0], 10, 64); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+2, err)
		}
		for _, cell := range row[1:] {
			value, err := strconv.ParseFloat(cell, 64)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, i+2, err)
			}
			c.allocated = append(c.allocated, value)
		}
		curves = append(curves, c)
	}
	return curves, nil
}

// policyNamed returns the policy of a name.
func policyNamed(name string) (Policy, bool) {
	all := AllPolicies()
	i := slices.IndexFunc(all, func(p Policy) bool { return p.Name == name })
	if i < 0 {
		return Policy{}, false
	}
	return all[i], true
}
