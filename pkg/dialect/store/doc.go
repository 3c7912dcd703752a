// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package store keeps the gangs of a cluster: their members and the objects that
// declare them come in, in any order, and the PodGroup that stands for each gang
// goes out, with the declaration that belongs to it. It knows no client and no
// clock.
//
//   - store.go takes in pods, objects and what is known of their kinds, and
//     publishes what has changed;
//   - gang.go is the state of one gang, member.go that of a member;
//   - podgroup.go builds the PodGroup and declaration.go what is declared of it:
//     what object and members say, merged; roles.go merges roles. A gang that
//     does not resolve gets a PodGroup too, whose declaration carries the reason
//     (problem.go);
//   - workload.go puts workloads behind the gangs of their pods, need.go works
//     out how many of those start together, and workloadgang.go says it in the
//     PodGroup;
//   - composite.go puts the gang of a CompositePodGroup in the place of those of the
//     PodGroups under it;
//   - assigner.go gives each pod its gang, for life;
//   - offline.go does all of it for a picture of a cluster.
package store
