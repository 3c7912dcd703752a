// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package memory measures the scheduler's memory on clusters that are too large for an API
// server beside it: a server of its own makes up nodes and pods as they are watched,
// and keeps none.
package memory
