// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin is Muster inside kube-scheduler: one framework plugin, whose
// extension points stand in plugin.go in the order in which a gang meets them.
// Each reads its arguments, asks the part that knows, and maps the answer to a
// status. A type and all of its methods stand in one file:
//
//	gangqueue.go     package queue beside kube-scheduler's queue: events in, effects out
//	clusterwatch.go  informers of pods, nodes and groups, as events of the queue
//	order.go         the place of an entity in the queue
//	attempt.go       one try to place a gang, or a what-if of preemption
//	planner.go       the gang and the cluster in the core's terms, and the plan
//	plan.go          the answer that travels through a scheduling cycle
//	deficit.go       the least that a refused gang lacks
//	barrier.go       no member binds before all are reserved
//	evictor.go       gangs that lost members and find no room for others
//	scorer.go        single pods: filter and score; scoretable.go is what it reads
//	gpuinventory.go  the GPUs of nodes, and what pods ask for
//	allocations.go   devices that are allocated one by one (DRA)
//	report.go        verdicts, as events, conditions and group statuses
//	verdict.go       verdicts, as answers to the framework
//	background.go    what goes on beside the scheduling loop
//	gangmetrics.go   gangs by phase, counted at each scrape; gpumetrics.go nodes
//	metrics.go       metrics of single steps
//
// What a gang is, was translated before the scheduler saw it: see package dialect.
// docs/architecture.md has the goroutines and the locks.
package plugin
