// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package packing replays single pods on a cluster the way the authors of FGD
// did (Weng et al., "Beware of Fragmentation", USENIX ATC 2023), so that
// figures can be held against the published ones to the digit.
//
// Pods arrive one after the other and never leave. Each is placed on the node
// with the best score, or dropped for good if it fits nowhere. What counts is
// how much of the cluster's GPUs is allocated by the time that pods worth all
// of them have arrived. The order of arrival comes from a seed:
//
//  1. Go's generator is seeded; one number is drawn and thrown away. The pods,
//     sorted by name, are shuffled.
//  2. Pods are drawn from the list sorted by name and put behind the others
//     until the demand is 130 % of the GPUs; a list that demands more loses
//     pods at random instead.
//  3. Each node draws a rank. Of nodes with equal scores the lowest rank wins.
//
// Typical pods, the workload that fgd and muster score by, are the most
// frequent requests of the list before step 1, as many as make up 95 % of it.
// The policy muster-learned does without the list and counts the pods that it
// has seen.
//
// The package also replays MIG instances on devices, see MIGReplay.
package packing
