// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package page draws a cluster for a browser: racks, nodes and GPUs, colored
// by the gang that holds them, and beside them the gangs that wait and why.
//
// Build turns an explain.ClusterView into Data (data.go, build.go). File writes one
// HTML file that holds the data and needs nothing else (html.go). Server serves
// the same page with data that it renews while there are readers (server.go).
//
// The page is assets: HTML, CSS and plain JavaScript without dependencies. The
// GPUs are painted on a canvas, only those in view, so that 5,000 nodes scroll
// as easily as 50; what is written in words is ordinary HTML. Names come from
// users and are treated as hostile: scripts set text, never markup, and the
// page's Content-Security-Policy runs only the scripts of this package.
//
// Which device of a node a pod has is the kubelet's secret: cells say how many
// GPUs of a node each pod holds, in the order of the pods' names.
package page
