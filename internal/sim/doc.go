// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sim replays gangs and single pods on a fleet in virtual time, with the
// same placement engine as the scheduler, and measures waits, use and
// locality. Weeks replay in seconds, and the same input gives the same figures:
// the package reads no clock and draws no random numbers.
//
// A gang waits from its arrival until all its pods have a node, works for as
// long as the trace says, and then leaves. Whenever something arrives or
// leaves, the gangs that wait are tried in the order of their arrival; one
// that does not fit is passed over, unless Config.Strict says that the others
// wait behind it. A pod of no gang is a gang of one, placed by a rule of its own, see
// Singles.
//
// Every plan of a policy is checked by placement.Check before it is used, so that
// no policy can split a gang or overcommit a node unnoticed.
package sim
