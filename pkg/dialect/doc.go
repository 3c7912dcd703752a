// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dialect lets gangs in, however they are declared, and translates
// them into the one form that the scheduler knows: pods with a
// spec.schedulingGroup and a scheduling.k8s.io/v1beta1 PodGroup for each.
// Everything behind it sees that form only, on API servers too that serve no
// such PodGroups and drop that field.
//
// The translation happens in memory, at the border between informers and
// scheduler:
//
//   - a transform on the pod informer gives each pod with a gang marker its
//     group (transform.go);
//   - the store (store.go) gathers members and group objects and computes the
//     PodGroup that stands for each gang (serve.go); a gang that does not
//     resolve gets one too, which carries the reason;
//   - the feed (feed.go) serves those PodGroups to the scheduler's informer;
//   - registry.go lists the dialects, each with a file of its own: where a pod
//     names its gang, and how group objects are read and their status made;
//   - sources.go finds out, at any time, which kinds of group object the API
//     server has, and reads them;
//   - the wrapped client (client.go) turns what the scheduler writes to a
//     PodGroup into writes to where the gang came from (groupstatus.go), and
//     keeps the scheduling loop from waiting for status writes (podstatus.go).
//
// A pod keeps for life the gang that it had when it was first seen without
// scheduling gates. A gang never crosses a namespace.
package dialect
