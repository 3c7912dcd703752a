// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package explain answers why a gang is where it is: the verdict on it now,
// how much of it fits at each topology level, which nodes are excluded, and the
// smallest changes that would let it in.
//
// It works on a ClusterView, the scheduler's view of a cluster at one moment.
// Every verdict and every proposed change is an answer of placement.Solve: a
// change is proposed only after Solve has placed the gang on a copy of the view
// with that change made. A change does not consider what else waits: another
// gang may get the room first.
package explain
