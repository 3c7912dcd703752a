// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin is Muster inside kube-scheduler: one framework plugin, a file
// for each extension point. In the order in which a gang meets them:
//
//	preenqueue.go   a gang enters the queue once it is valid and complete
//	queuesort.go    which gang goes first
//	placements.go   the whole gang is planned at once, or refused with numbers
//	prefilter.go    each member is pinned to its planned node
//	filter.go       single pods that ask for a GPU model
//	score.go        open plans are steered, single pods packed
//	postfilter.go   a plan that other plugins refused
//	reserve.go      a member that falls releases its siblings
//	permit.go       the barrier: no member binds before all are reserved
//	events.go       what can help a gang that was refused
//	look.go         a gang that is kept out of the queue, when it changes
//	sweep.go        what is forgotten of gangs that are gone
//	room.go         what was given back, and whom that can help
//	shortage.go     the least that a refused gang lacks
//	postbind.go     when the last member of a gang is bound
//	gauge.go        what metrics tell of gangs, fragmentation.go of nodes
//
// Each method reads its arguments, asks the core (package placement, through
// package kube) and maps the answer to a status. What a gang is, was translated
// before the scheduler saw it: see package dialect.
package plugin
