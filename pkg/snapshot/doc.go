// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package snapshot reads what of a cluster decides where gangs go, from a live
// API server or from a folder, and writes it to a folder.
//
// A folder holds Kubernetes objects as YAML or JSON, in files of any name: the
// output of "kubectl get nodes,pods -A -o yaml" is one. Nodes, pods and pod
// groups are read and everything else in it is passed over. Write adds the file
// snapshot.yaml, which says when the snapshot was taken and how the scheduler is
// configured. What does not matter to scheduling and may be secret never gets
// into a Snapshot: see StripPod.
package snapshot
