// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dra counts the devices of nodes that drivers publish one by one (dynamic
// resource allocation): how many more members of a gang find what they claim on a
// node. It asks Kubernetes' own allocator, once for each distinct pair of a node's
// state and of claims, and remembers the answers.
//
//	source.go     what it reads: slices, claims, classes
//	inventory.go  the devices of all nodes, and what is taken of them
//	node.go       those of one node, and the fingerprint that equal nodes share
//	claims.go     what a pod claims, in its claims and by its extended resources
//	gang.go       the devices as the members of one gang see them
//	count.go      what fits, and what it takes
//
// What a count depends on. Nodes are alike whose slices are: names of nodes, pools and
// devices do not matter, nor attributes that neither a selector nor a constraint of the
// gang names. An expression that may read attributes by other than their names makes
// all of them matter. Members take their devices one after the other: the first that
// fit, in published order.
//
// What is not counted here is left to the scheduler: devices that are not of one node,
// claims that several members share, and claims whose count takes too many steps. A
// claim that is allocated already holds its pods to the nodes that can use it.
package dra
