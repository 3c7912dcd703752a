// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

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
	registerOnce sync.Once
)

func registerMetrics() {
	registerOnce.Do(func() {
		legacyregistry.MustRegister(attempts, planSeconds, verdicts, evictions)
	})
}
