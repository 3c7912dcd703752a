// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dialect reads how gangs are declared. Pods and the objects behind their
// gangs go in, as users and other projects write them; typed declarations in the
// terms of package kube come out. Its functions are pure: they know no client, no
// clock and no other gang.
//
//   - registry.go lists the dialects, each with a file of its own (native.go,
//     crd.go, koordinator.go, volcano.go, kai.go, grove.go, label.go, workload.go,
//     kueue.go): where a pod names its gang, how group objects are read, and what
//     their status says of a gang's progress (kind.go, conditions.go);
//   - marker.go finds the one gang that a pod names;
//   - podterms.go reads what a pod says of its gang, object.go what an object says;
//   - grouptree.go makes one gang of PodGroups that are under a CompositePodGroup
//     (composite.go);
//   - ignored.go tells of what is written and not read, countfield.go where a
//     gang's number is changed.
//
// Two packages make PodGroups of this. Package store (dialect/store) keeps the
// gangs of a cluster and builds a PodGroup for each: Store.SetPod and
// Store.SetObject go in, gangState.build makes what comes out. Package shim
// (dialect/shim) stands between the API server and kube-scheduler, which sees
// those PodGroups only. All dialects but the native one need no PodGroups in the
// API: those exist in memory alone. shim uses store, and store uses dialect.
//
// A pod keeps for life the gang that it had when it was first seen without
// scheduling gates; one that names a PodGroup joins the gang of several once that is
// known to be under a CompositePodGroup. A gang never crosses a namespace.
package dialect
