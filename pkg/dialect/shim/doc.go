// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package shim stands between the API server and a kube-scheduler: behind it,
// every gang is a PodGroup, on API servers too that serve no such PodGroups and
// drop the field of pods that names them.
//
//   - translator.go is what a scheduler is given, and what it is started with;
//   - podsource.go is where the informer of pods reads them: some are handed on
//     once more, as members of another gang;
//   - transform.go gives each pod of the informer its group, and podinformer.go
//     takes updates apart that a scheduler cannot follow;
//   - sources.go finds out, at any time, which kinds of group object the API
//     server has, and reads them into the store;
//   - feed.go serves the store's PodGroups to the scheduler's informer, and keeps
//     the declaration that belongs to each version of them;
//   - client.go is the scheduler's client. It takes status writes from the
//     scheduling loop, which are made in the background (podstatus.go,
//     groupstatus.go), and lets bindings have the API server to themselves
//     (bindings.go, outcome.go);
//   - recorder.go keeps events about single members from drowning those of gangs.
package shim
