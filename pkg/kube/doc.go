// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kube turns Kubernetes objects into the core's terms: nodes into a
// topology.Tree and a topology.Usage; a PodGroup, what its user declared, and its
// pods into a gang.Gang. It holds every label and annotation key that Muster reads or
// writes. It has no client and no clock.
package kube
