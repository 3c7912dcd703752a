// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package audit watches a cluster from the outside and checks a scheduler
// against its rules. It shares no code with the scheduler: it sees nodes and pods
// as the API server shows them and adds up plain numbers, so that an error in the
// scheduler's own arithmetic cannot hide itself.
//
// The rules, checked at every event:
//
//   - NoOvercommit: a pod that gets a node leaves the sum of requests there, per
//     resource, within the node's allocatable, and no device is allocated to two
//     ResourceClaims;
//   - GangAtomic: a gang that has some but fewer than min-count members bound
//     becomes whole, or gives all of them up, within the commit window. A
//     gang that was whole once may shrink: jobs end and pods are deleted;
//   - RequiredTopology: the bound members of a gang that requires a topology
//     level share one domain of it;
//   - BindOnce: a pod keeps the node it got, and gets none while it is being
//     deleted or gated.
//
// Times are those at which the events reached the auditor.
package audit
