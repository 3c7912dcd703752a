// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package demo replays gangs of a real cluster, compressed in time, on a real
// control plane with simulated kubelets, and reports waits, utilization and
// locality under a scheduler.
//
// The load driver plays the users' side and is the same for every scheduler. A
// gang's pods are created when it arrives. The gang works from the moment that
// its last pod runs, for as long as the trace says, and then its pods are
// deleted; until that moment the pods that run hold their GPUs and do
// nothing, as workers that wait for their peers do. An auditor watches beside
// it (package audit), and what the report says about promises comes from there.
//
// Run (demo.go) starts everything: the control plane with the fleet (fleet.go)
// and the scheduler as a process (scheduler.go). A replay (replay.go) is one
// driver (driver.go) that writes pods (pods.go), and one tracker (tracker.go)
// that reads them back; figures.go and report.go compute, text.go prints.
package demo
