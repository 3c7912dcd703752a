// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"
	"time"
)

// Summary is the figures of a replay. Times are in seconds, decision times in
// microseconds, shares from 0 to 1.
type Summary struct {
	Policy string `json:"policy"`
	Gangs  int    `json:"gangs"`
	// Placed gangs got all their nodes. Partial ones held nodes for some of
	// their pods only, at some time; Stuck ones still did at the end.
	Placed  int `json:"placed"`
	Partial int `json:"partialStarts"`
	Stuck   int `json:"stuck"`
	// Makespan is from the first arrival to the last end.
	Makespan float64 `json:"makespan"`
	// Working is the share of the fleet's GPU time in which gangs worked, Idle
	// that held without work, between the first and the last arrival.
	Working float64 `json:"working"`
	Idle    float64 `json:"heldWithoutWork"`
	Waits   []Wait  `json:"waits"`
	// FitLeaf gangs of more than one pod are no larger than the largest leaf;
	// InOneLeaf of them stood in one. LeafSpread is, for larger gangs, the leaves
	// used over the fewest possible, 1 at best. InOneClique is the number of
	// gangs of more than one pod that stood in one NVLink domain.
	FitLeaf     int     `json:"gangsThatFitOneLeaf"`
	InOneLeaf   int     `json:"gangsInsideOneLeaf"`
	LeafSpread  float64 `json:"leafSpread"`
	InOneClique int     `json:"gangsInsideOneClique,omitempty"`
	// DecisionP50 and DecisionP99 are per placed gang; Deciding is the time for
	// all decisions, refusals too, in seconds. 0 without a clock.
	DecisionP50 float64 `json:"decisionMicrosP50"`
	DecisionP99 float64 `json:"decisionMicrosP99"`
	Deciding    float64 `json:"decidingSeconds"`
	Fits        []Fits  `json:"laterGangFits,omitempty"`
}

// NewSummary computes the figures of a replay.
func NewSummary(cfg *Config, r *Result) Summary {
	s := Summary{Policy: cfg.Policy.Name, Gangs: len(r.Records), Partial: r.Partial, Stuck: r.Stuck, Makespan: r.End.Seconds(), Fits: r.Fits}
	stays := make([]Stay, len(r.Records))
	for i, x := range r.Records {
		stays[i] = Stay{
			Pods: x.Pods, Submitted: x.Arrival, Placed: x.Placed, Leaves: x.Leaves,
			Part: x.Pods == 1 && int64(x.GPUs) < r.WholeNode,
		}
		if x.Placed >= 0 {
			s.Placed++
		}
		if x.Placed >= 0 && x.Pods > 1 && x.Cliques == 1 && cfg.Nodes[0].Clique != "" {
			s.InOneClique++
		}
	}
	s.Waits = waitTotals(stays, r.End)
	near := MeasureLocality(stays, r.Leaf)
	s.FitLeaf, s.InOneLeaf, s.LeafSpread = near.Fitting, near.InOne, near.Spread
	s.Working, s.Idle = r.gpuUtilization()
	s.DecisionP50, s.DecisionP99 = decisionPercentiles(r.Decisions)
	s.Deciding = r.Deciding.Seconds()
	if len(r.Records) > 0 {
		s.Makespan -= r.Records[0].Arrival.Seconds()
	}
	return s
}

// waitTotals returns the waits by size class, with sums for single pods and for
// gangs where a sum says more than its classes.
func waitTotals(stays []Stay, end time.Duration) []Wait {
	rows := WaitsByClass(stays, end)
	last := len(rows) - 1
	all := rows[last]
	rows = rows[:last]
	classes := len(rows)
	ofSingles := 0
	for _, w := range rows {
		if w.Class == partClass || w.Class == className(0) {
			ofSingles++
		}
	}
	sum := func(name string, of func(Stay) bool) {
		members := slices.DeleteFunc(slices.Clone(stays), func(x Stay) bool { return !of(x) })
		rows = append(rows, summarizeWaits(name, members, end))
	}
	if ofSingles > 1 && ofSingles < classes {
		sum("all single pods", func(x Stay) bool { return x.Pods == 1 })
	}
	if classes-ofSingles > 1 && ofSingles > 0 {
		sum("all gangs", func(x Stay) bool { return x.Pods > 1 })
	}
	return append(rows, all)
}

// gpuUtilization returns the share of GPU time worked, and held without work,
// between the first and the last arrival.
func (r *Result) gpuUtilization() (working, idle float64) {
	if len(r.Records) == 0 {
		return 0, 0
	}
	from, to := r.usageAt(r.Records[0].Arrival), r.usageAt(r.Records[len(r.Records)-1].Arrival)
	capacity := float64(r.GPUs) * (to.At - from.At).Seconds()
	if capacity <= 0 {
		return 0, 0
	}
	worked, held := to.Worked-from.Worked, to.HeldTime-from.HeldTime
	return worked / capacity, (held - worked) / capacity
}

// usageAt returns the state at a moment, between events too.
func (r *Result) usageAt(moment time.Duration) Usage {
	i, found := slices.BinarySearchFunc(r.Usage, moment, func(u Usage, at time.Duration) int { return int(u.At - at) })
	if found {
		return r.Usage[i]
	}
	if i == 0 {
		return Usage{At: moment}
	}
	u := r.Usage[i-1]
	seconds := (moment - u.At).Seconds()
	u.At = moment
	u.HeldTime += float64(u.Held) * seconds
	u.Worked += float64(u.Working) * seconds
	return u
}

// UsageCurve returns the share of GPUs at work in each of n equal intervals
// between two moments.
func (r *Result) UsageCurve(from, to time.Duration, n int) []float64 {
	points := make([]float64, n)
	before := r.usageAt(from)
	for i := range points {
		now := r.usageAt(from + (to-from)*time.Duration(i+1)/time.Duration(n))
		if seconds := (now.At - before.At).Seconds(); seconds > 0 && r.GPUs > 0 {
			points[i] = (now.Worked - before.Worked) / seconds / float64(r.GPUs)
		}
		before = now
	}
	return points
}

// decisionPercentiles returns two percentiles in microseconds.
func decisionPercentiles(times []time.Duration) (p50, p99 float64) {
	micros := make([]float64, len(times))
	for i, d := range times {
		micros[i] = float64(d) / float64(time.Microsecond)
	}
	slices.Sort(micros)
	return Percentile(micros, 50), Percentile(micros, 99)
}
