// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package checker judges a scheduler from the outside. It shares no code with the
// product: it is given pods, nodes, groups and leases as a watch of its own shows
// them, reads labels and annotations itself, and adds up plain numbers. What the
// bench does is told to it as faults, so that it knows how much time a rule allows.
package checker
