// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package explain answers why a gang is where it is: the verdict on it now,
// how near it comes to fit at each topology level, what stands in the way, and
// the smallest changes that would let it in.
//
// It works on a Picture, the scheduler's view of a cluster at one moment. Every
// verdict and every proposed change is an answer of placement.Solve: a change
// is proposed only after Solve has placed the gang on a copy of the picture
// with that change made. A change does not look at what else waits: another
// gang may take the room first.
package explain
