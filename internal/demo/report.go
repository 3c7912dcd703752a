// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/muster-scheduler/muster/internal/audit"
	"github.com/muster-scheduler/muster/internal/sim"
)

// Report is the result of a replay. Times are in seconds, shares from 0 to 1.
type Report struct {
	// Scheduler is "muster" or "default".
	Scheduler string    `json:"scheduler"`
	End       EndReason `json:"end"`
	// Elapsed is from the start of the replay to its end.
	Elapsed float64 `json:"elapsed"`
	Load    Load    `json:"load"`

	// Placed gangs had all their pods bound at some time; Worked ones did all
	// their work. Stuck gangs were partly bound at the end, for longer than the
	// commit window.
	Placed int      `json:"placed"`
	Worked int      `json:"worked"`
	Stuck  []string `json:"stuck,omitempty"`
	// Reasons are what the scheduler says of each gang that was not placed.
	Reasons map[string]string `json:"reasons,omitempty"`

	Audit audit.Report `json:"audit"`
	Waits []sim.Wait   `json:"waits"`

	// Working is the share of the fleet's GPU time in which gangs worked, and
	// Idle the share that pods held without work, between the first and the
	// last arrival; the curves run over the whole replay.
	Working      float64   `json:"working"`
	Idle         float64   `json:"heldWithoutWork"`
	WorkingCurve []float64 `json:"workingCurve"`
	IdleCurve    []float64 `json:"heldWithoutWorkCurve"`

	// FitLeaf gangs of more than one pod are no larger than the largest leaf;
	// InOneLeaf of them stood in one. LeafSpread is, for larger gangs, the leaves
	// used over the fewest possible, 1 at best.
	FitLeaf    int     `json:"gangsThatFitOneLeaf"`
	InOneLeaf  int     `json:"gangsInsideOneLeaf"`
	LeafSpread float64 `json:"leafSpread"`

	// Binds is the number of pods bound; the rates are per second, in the
	// busiest second and in the mean of those that had binds. CommitP50 and
	// CommitP95 are from the first to the last bind of a gang.
	Binds        int     `json:"binds"`
	BindRatePeak int     `json:"bindsPerSecondPeak"`
	BindRateMean float64 `json:"bindsPerSecondMean"`
	CommitP50    float64 `json:"commitP50"`
	CommitP95    float64 `json:"commitP95"`
	// Creating, Starting and Removing are what the API server and the kubelets
	// took: from a gang's first pod created to the last, from its last bind to
	// its last pod running, from its end to its last pod gone.
	Creating Lag `json:"creating"`
	Starting Lag `json:"starting"`
	Removing Lag `json:"removing"`
	// SchedulerCPU is the processor time of the scheduler's process.
	SchedulerCPU float64 `json:"schedulerCPU"`
}

// Load describes the gangs that were replayed.
type Load struct {
	Nodes int `json:"nodes"`
	GPUs  int `json:"gpus"`
	Gangs int `json:"gangs"`
	Pods  int `json:"pods"`
	// TooLarge gangs of the trace were left out: the fleet could not hold them.
	TooLarge int `json:"leftOutTooLarge"`
	// Run times were divided by Speed and held at MinRun or more, arrivals
	// divided by ArrivalSpeed, so that the offered load is Offered.
	Speed        float64      `json:"speed"`
	MinRun       float64      `json:"minRun"`
	ArrivalSpeed float64      `json:"arrivalSpeed"`
	Offered      float64      `json:"offered"`
	Span         float64      `json:"arrivalSpan"`
	Topology     TopologyMode `json:"topology"`
}

// curvePoints is the number of points of the utilization curves.
const curvePoints = 60

// newReport computes the report from what the tracker and the auditor saw.
func newReport(p *plan, load Load, out *outcome) *Report {
	t := out.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	last := out.samples[len(out.samples)-1].at
	stays := make([]sim.Stay, len(t.jobs))
	for i, j := range t.jobs {
		stays[i] = sim.Stay{Pods: j.Pods, Submitted: j.submitted, Placed: j.placed, Leaves: len(j.leaves)}
	}
	r := &Report{
		End: out.end, Elapsed: last.Seconds(), Load: load, Audit: out.audit, Reasons: out.reasons,
		Waits: sim.WaitsByClass(stays, last), Binds: t.binds,
	}
	// After the last arrival the fleet only empties, whatever the scheduler does.
	arrivals := p.gangs[len(p.gangs)-1].Arrival
	held, working := gpuUtilization(out.samples, 0, max(arrivals, sampleEvery*2), load.GPUs)
	r.Working, r.Idle = working, held-working
	r.WorkingCurve = usageCurve(out.samples, curvePoints, load.GPUs, func(s sample) float64 { return s.workTime })
	r.IdleCurve = usageCurve(out.samples, curvePoints, load.GPUs, func(s sample) float64 { return s.heldTime - s.workTime })
	for _, j := range t.jobs {
		switch {
		case j.ended >= 0:
			r.Worked++
			r.Placed++
		case j.placed >= 0:
			r.Placed++
		}
	}
	for _, name := range out.audit.Open {
		r.Stuck = append(r.Stuck, strings.TrimPrefix(name, namespace+"/"))
	}
	near := sim.MeasureLocality(stays, largestLeaf(p.hosts))
	r.FitLeaf, r.InOneLeaf, r.LeafSpread = near.Fitting, near.InOne, near.Spread
	r.BindRatePeak, r.BindRateMean = peakBindRate(t.bindsBySecond)
	r.Creating = measureLag(t.jobs, func(j *job) (time.Duration, time.Duration) { return j.submitted, j.created })
	r.Starting = measureLag(t.jobs, func(j *job) (time.Duration, time.Duration) { return j.placed, j.started })
	r.Removing = measureLag(t.jobs, func(j *job) (time.Duration, time.Duration) { return j.ended, j.gone })
	commits := make([]float64, len(out.audit.Windows))
	for i, w := range out.audit.Windows {
		commits[i] = w.Seconds()
	}
	r.CommitP50, r.CommitP95 = sim.Percentile(commits, 50), sim.Percentile(commits, 95)
	return r
}

// BrokenPromises returns the rules of gang scheduling that the replay saw
// broken, each as a sentence.
func (r *Report) BrokenPromises() []string {
	var broken []string
	for _, rule := range slices.Sorted(maps.Keys(r.Audit.Violations)) {
		if n := r.Audit.Violations[rule]; n > 0 {
			broken = append(broken, fmt.Sprintf("%s: broken %d times%s", rule, n, r.firstViolation(rule)))
		}
	}
	if r.Audit.Rejected > 0 {
		broken = append(broken, fmt.Sprintf("kubelets refused %d pods for want of room", r.Audit.Rejected))
	}
	if r.Audit.Unchecked > 0 {
		broken = append(broken, fmt.Sprintf("%d binds were to nodes that the auditor did not know", r.Audit.Unchecked))
	}
	if r.End == EndStalled {
		broken = append(broken, fmt.Sprintf("%d gangs were never placed although nothing else worked", r.Load.Gangs-r.Placed))
	}
	return broken
}

// firstViolation returns the text of the first violation of a rule, for the end
// of a sentence.
func (r *Report) firstViolation(rule audit.Rule) string {
	for _, v := range r.Audit.First {
		if v.Rule == rule {
			return ", first: " + v.What
		}
	}
	return ""
}
