// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sim replays gangs and single pods on a fleet in virtual time, with the
// same placement engine as the scheduler, and measures what became of them.
// Weeks replay in seconds, and the same input gives the same figures: the
// package reads no clock and draws no lots.
//
// A gang waits from its arrival until all its pods have a node, works for as
// long as the trace says, and then leaves. Whenever something arrives or
// leaves, the gangs that wait are tried in the order of their arrival; one
// that does not fit is passed over, unless Config.Strict says that all stand
// behind it. A pod of no gang is a gang of one, placed by a rule of its own, see
// Singles.
//
// Whatever a policy answers is checked by placement.Check before it is used, so
// that no policy can break up a gang or overfill a node unseen.
package sim
