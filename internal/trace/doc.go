// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package trace reads the published workload traces, fabrics and node
// inventories that Muster is measured on, and squeezes a trace in time so that
// weeks of arrivals replay in minutes.
//
// Every reader is strict: a column that is missing, a field that is no number
// and a row of the wrong width are errors that name the file and the line.
// Times count from the start of the trace; CPU is in milli-cores, memory in
// bytes. Where each file comes from and under which license stands in the
// README beside it.
package trace
