// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package topology models a cluster as a tree of domains whose leaves are
// nodes, and the free and total resources of each node.
//
// Levels run from the widest (0, for example "block") to the narrowest; the
// nodes are below the last level. A Tree is the fixed shape: it is built once
// and shared. A Usage is the state of one Tree at one moment: flat slices
// addressed by NodeID, so that a copy is one memmove and a what-if is cheap.
//
// Nodes are numbered depth first, domains and nodes by name (numbers inside a
// name by value, so that n2 precedes n10). Every domain is therefore a
// contiguous range of NodeIDs, and neighbours in number are neighbours in the
// fabric. The package knows nothing of Kubernetes; package kube builds a Tree.
package topology

// NodeID is the position of a node in Tree.Nodes.
type NodeID int32

// DomainID is the position of a domain in Tree.Domains. Parents precede their
// children, so that a loop from the back is bottom up. Domain 0 is the whole
// cluster.
type DomainID int32

// Level is the position of a level in Tree.Levels, 0 the widest.
type Level int

const (
	// ClusterLevel is the level of the root domain: wider than Levels[0].
	ClusterLevel Level = -1
	// NoLevel stands for a level that is not asked for.
	NoLevel Level = -2
)

// Node is one node as the caller describes it to NewTree.
type Node struct {
	// Name is unique in the cluster.
	Name string
	// Domains is the domain's name at each level, aligned with Tree.Levels. An
	// empty name means that the node is in no domain of that level; it then
	// hangs below its nearest wider domain.
	Domains []string
	// Model is the GPU product of the node, as its label spells it; empty for
	// a node without GPUs.
	Model string
}

// Domain is an inner vertex of the tree: a rack, a block, the cluster. A domain
// is identified by its whole path: two racks of one name below two blocks are
// two domains.
type Domain struct {
	// Level is the domain's level, ClusterLevel for the root.
	Level Level
	// Name is the label value, such as "rack-7"; "cluster" for the root.
	Name string
	// Parent is the next wider domain; the root is its own parent.
	Parent DomainID
	// First and End bound the nodes of the domain: First <= id < End.
	First, End NodeID
}
