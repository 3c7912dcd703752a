// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chart draws replays of one trace under several policies as one
// picture: the GPUs at work over time, the waits by size class, and how often a
// later gang would find room. The picture is WriteSVG, alone or in a page of WriteHTML
// with the figures below it. It needs nothing from elsewhere, and the same
// replays give the same bytes.
//
// Policies are told apart by color, by dashes and by marks. The colors are
// those of Okabe and Ito, which people with color blindness can tell apart too
// (Color Universal Design, https://jfly.uni-koeln.de/color/).
package chart
