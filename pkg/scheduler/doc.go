// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scheduler is the scheduler command: kube-scheduler with all its
// flags, endpoints and leader election, and with Muster's plugin and the
// translation of gangs put in.
//
// The scheduler is built here rather than by kube-scheduler's own command,
// because its client and its informers go through package dialect/shim
// (setup.go). Two feature gates are on in this process whatever the API server
// has (gates.go), and what the API server lacks is found out before the first
// informer starts (served.go). Without --config a default profile is used
// (config.go).
package scheduler
