// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"math"
	"slices"
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/preemption"
)

// The metrics of one scheduling step each. What can be counted at any moment is
// counted when it is asked for: see gangmetrics.go and gpumetrics.go. Every label
// has a closed set of values; docs/metrics.md lists them all.
var (
	attempts = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      "muster",
		Name:           "gang_attempts_total",
		Help:           "Scheduling attempts of gangs, by result: planned or refused.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"result"})
	planSeconds = metrics.NewHistogram(&metrics.HistogramOpts{
		Subsystem:      "muster",
		Name:           "plan_duration_seconds",
		Help:           "Time to bring the picture of the cluster up to date and plan one gang.",
		Buckets:        metrics.ExponentialBuckets(0.00005, 2, 16),
		StabilityLevel: metrics.ALPHA,
	})
	planDomains = metrics.NewHistogram(&metrics.HistogramOpts{
		Subsystem:      "muster",
		Name:           "plan_domains_evaluated",
		Help:           "Topology domains whose room was looked at to plan one gang.",
		Buckets:        metrics.ExponentialBuckets(1, 4, 10),
		StabilityLevel: metrics.ALPHA,
	})
	gangWait = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Subsystem:      "muster",
		Name:           "gang_wait_seconds",
		Help:           "Time from the creation of the youngest member until the whole gang is bound, by the number of its pods.",
		Buckets:        []float64{1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400},
		StabilityLevel: metrics.ALPHA,
	}, []string{"size"})
	planToBound = metrics.NewHistogram(&metrics.HistogramOpts{
		Subsystem:      "muster",
		Name:           "plan_to_bound_seconds",
		Help:           "Time from the plan of a gang until the last planned member is bound.",
		Buckets:        metrics.ExponentialBuckets(0.005, 2, 14),
		StabilityLevel: metrics.ALPHA,
	})
	barrierWait = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Subsystem:      "muster",
		Name:           "barrier_wait_seconds",
		Help:           "Time that the first reserved member of a gang waited for the others, by result: opened or released.",
		Buckets:        metrics.ExponentialBuckets(0.001, 2, 17),
		StabilityLevel: metrics.ALPHA,
	}, []string{"result"})
	verdicts = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      "muster",
		Name:           "gang_verdicts_total",
		Help:           "Changed verdicts on gangs, by reason.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"reason"})
	evictions = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem:      "muster",
		Name:           "partial_gang_evictions_total",
		Help:           "Members evicted because their gang stayed below its minimum.",
		StabilityLevel: metrics.ALPHA,
	})
	preemptions = metrics.NewCounterVec(&metrics.CounterOpts{
		Subsystem:      "muster",
		Name:           "preemption_victims_total",
		Help:           "What made way for gangs, by unit: a gang as a whole, a spare member of one, or a pod of no gang.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"unit"})
	preemptionLoss = metrics.NewCounter(&metrics.CounterOpts{
		Subsystem:      "muster",
		Name:           "preemption_gpu_seconds_lost_total",
		Help:           "Work that was lost with preempted pods: GPUs times the seconds since they started or saved their work.",
		StabilityLevel: metrics.ALPHA,
	})
	registerOnce sync.Once
)

func registerMetrics() {
	registerOnce.Do(func() {
		legacyregistry.MustRegister(attempts, planSeconds, planDomains, gangWait, planToBound, barrierWait, verdicts, evictions, preemptions, preemptionLoss)
		legacyregistry.CustomMustRegister(collector)
		// Results that have not come about yet are 0, not absent: what is
		// absent has no rate.
		for _, result := range []string{"planned", "refused"} {
			attempts.WithLabelValues(result)
		}
		for _, result := range []string{"opened", "released"} {
			barrierWait.WithLabelValues(result)
		}
		for _, unit := range []string{unitGang, unitMember, unitPod} {
			preemptions.WithLabelValues(unit)
		}
		for _, reason := range reasons {
			verdicts.WithLabelValues(string(reason))
		}
		for _, limit := range append([]int{math.MaxInt}, sizeLimits...) {
			gangWait.WithLabelValues(sizeLabel(limit))
		}
	})
}

// ReasonPlaced is the verdict on a gang that got its nodes, and the reason of its
// event.
const ReasonPlaced kube.Reason = "GangPlaced"

// reasonOther stands for a reason that Muster did not give itself: the groups of
// others may carry any text.
const reasonOther kube.Reason = "Other"

// waitReasons are the reasons for which gangs wait.
var waitReasons = []kube.Reason{
	kube.InvalidGangSpec, kube.GangConfigConflict, kube.InvalidMIGProfile, kube.GangIncomplete, kube.SchedulingGated, kube.GangNotFound,
	kube.GangAPIUnavailable, kube.PriorityMismatch, kube.TopologyUnknownLevel, kube.TopologyLevelUnused,
	kube.TopologyDrift, kube.NoFittingDomain, kube.RoomBeingMade, kube.GangTooLarge, kube.GangTooComplex, kube.PlansTooCostly, kube.PartialGang,
	kube.BindDenied, reasonOther,
}

var reasons = append(slices.Clone(waitReasons), ReasonPlaced)

// reasonLabel is a reason as a label: one of a closed set.
func reasonLabel(reason kube.Reason) string {
	if slices.Contains(reasons, reason) {
		return string(reason)
	}
	return string(reasonOther)
}

// sizeLimits are the largest gangs, in pods, of each class of size but the last.
var sizeLimits = []int{1, 4, 8, 16, 32, 64, 128, 256, 512}

// sizeLabel is the class of size of a gang, such as "5-8" or "513+".
func sizeLabel(pods int) string {
	at, _ := slices.BinarySearch(sizeLimits, pods)
	switch {
	case at == 0:
		return "1"
	case at == len(sizeLimits):
		return fmt.Sprintf("%d+", sizeLimits[at-1]+1)
	}
	return fmt.Sprintf("%d-%d", sizeLimits[at-1]+1, sizeLimits[at])
}

// The units of preemption, as a label.
const (
	unitGang   = "gang"
	unitMember = "member"
	unitPod    = "pod"
)

// countPreemption counts what makes way.
func countPreemption(candidates *kube.PreemptionCandidates, answer *preemption.Answer) {
	for _, v := range answer.Victims {
		switch {
		case !candidates.Workloads[v.Workload].Gang:
			preemptions.WithLabelValues(unitPod).Inc()
		case v.Whole:
			preemptions.WithLabelValues(unitGang).Inc()
		default:
			preemptions.WithLabelValues(unitMember).Add(float64(len(v.Pods)))
		}
	}
	preemptionLoss.Add(float64(answer.Price.Work))
}
