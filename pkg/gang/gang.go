// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gang defines a gang: pods that start together or not at all, the
// resources that each role asks for, and where the members may be placed
// relative to one another. It knows nothing of Kubernetes objects; package kube turns a
// PodGroup and its pods into a Gang.
package gang

import (
	"slices"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// Gang is the unit that is placed all at once.
type Gang struct {
	// Name is what messages call the gang, such as "train".
	Name string
	// MinCount is the number of members, bound ones included, that must have a
	// node for any of them to start. Members beyond it are placed as room
	// allows, in the same domain and in rank order: those left out are the last
	// of their role. A gang that has its minimum still needs room for one more.
	MinCount int
	// Required is the level at which one domain must hold every member, or
	// topology.NoLevel.
	Required topology.Level
	// Preferred is the level at which one domain should hold every member;
	// where none can, the next wider level is tried, up to Required or the
	// cluster. topology.NoLevel asks for nothing.
	Preferred topology.Level
	// Slices are the nested sub-blocks of the gang, widest first. Empty: none.
	Slices []Slice
	// Models is the ordered choice of GPU models, as family names ("H100") or
	// products ("NVIDIA-H100-80GB-HBM3"). The whole gang goes on the first
	// one that holds it. Empty: any.
	Models []string
	// Roles are the members by shape, in a fixed order.
	Roles []Role
	// RoleGroups are roles that share a domain with one another. Two groups have no
	// role in common, or one has all roles of the other.
	RoleGroups []RoleGroup
	// Bound are the members that have a node already. They pin the domains of
	// Required, and count towards MinCount.
	Bound []Bound
	// Tree has the levels that the gang names, over the nodes of the usage's tree
	// and with its levels and domains under their numbers; nil for that tree.
	Tree *topology.Tree
}

// TreeOn returns the tree whose levels the gang names on a cluster of tree t.
func (g *Gang) TreeOn(t *topology.Tree) *topology.Tree {
	if g.Tree != nil {
		return g.Tree
	}
	return t
}

// NamesCrossing reports whether the gang, or a part of it, asks for something at a level
// that crosses those of tree t.
func (g *Gang) NamesCrossing(t *topology.Tree) bool {
	crosses := func(s Slice) bool { return t.IsCrossing(s.Level) }
	if slices.ContainsFunc(g.RoleGroups, func(group RoleGroup) bool { return t.IsCrossing(group.Required) }) {
		return true
	}
	return t.IsCrossing(g.Required) || t.IsCrossing(g.Preferred) || slices.ContainsFunc(g.Slices, crosses) ||
		slices.ContainsFunc(g.Roles, func(r Role) bool { return t.IsCrossing(r.Required) || slices.ContainsFunc(r.Slices, crosses) })
}

// Slice asks that each run of Size members, in rank order, shares one domain.
type Slice struct {
	// Size is the number of members in one slice, at least 1.
	Size int
	// Level is the level at which one domain holds the slice.
	Level topology.Level
	// Preferred slices may be split where no single domain of Level holds one.
	Preferred bool
}

// Role is the members of one shape, such as the workers of a training job.
type Role struct {
	// Name is what messages call the role; empty when the gang has one role.
	Name string
	// Count is the number of members that wait for a node. Member i of the
	// role is the i-th in rank order.
	Count int
	// Ranks are the ranks of the waiting members among all members of the role,
	// from 0 and rising: slices are runs of ranks. A rank that no member has
	// belongs to one that has ended or is still to come. nil gives the waiting
	// members the lowest ranks that no bound one has.
	Ranks []int
	// MinCount is the number of members of this role, bound ones included,
	// that must have a node. Zero leaves it to Gang.MinCount.
	MinCount int
	// Request is what one member asks for, aligned with Usage.Resources.
	Request []int64
	// MemberRequests is what each waiting member asks for where they differ: no
	// more of anything than Request, which is then the most of each resource. nil:
	// all of them ask for Request.
	MemberRequests [][]int64
	// Claims is what one member asks for of Usage.Devices; nil: nothing.
	Claims topology.Claims
	// Filter is the nodes that this role may use; nil allows all of them.
	Filter *Filter
	// Required is the level at which one domain must hold this role, or
	// topology.NoLevel. It is at or below Gang.Required.
	Required topology.Level
	// Slices are the nested sub-blocks of this role, widest first; they take
	// the place of Gang.Slices.
	Slices []Slice
	// NearRole is the index of the role near whose first member this role's
	// members should be placed (a launcher near rank 0), or -1.
	NearRole int
}

// RoleGroup is roles of which one domain of a level must hold all members.
type RoleGroup struct {
	// Name is what messages call the group.
	Name string
	// Roles are indices into Gang.Roles, rising.
	Roles []int
	// Required is the level. It is at or below Gang.Required.
	Required topology.Level
}

// Holds reports whether all roles of another group are of this one too.
func (g *RoleGroup) Holds(other *RoleGroup) bool {
	return !slices.ContainsFunc(other.Roles, func(r int) bool { return !slices.Contains(g.Roles, r) })
}

// Bound is a member that has a node.
type Bound struct {
	// Role is the index into Gang.Roles.
	Role int
	// Rank is the member's index within its role, or -1 when unknown.
	Rank int
	// Node is the node that the member is bound to.
	Node topology.NodeID
}

// Filter holds, for every node, whether a role may use it and else why not.
// Roles with equal constraints share one Filter; a planner compares the pointers
// to know that it has counted for them already.
type Filter struct {
	// Exclusions is indexed by NodeID.
	Exclusions []Exclusion
}

// Exclusion is the reason for which a role may not use a node.
type Exclusion uint8

// The reasons for which a node is excluded, in the order in which a refusal
// names them. Eligible is the absence of one.
const (
	Eligible Exclusion = iota
	// Cordoned: the node is marked unschedulable.
	Cordoned
	// NotReady: the node is not ready or unreachable.
	NotReady
	// Tainted: the pod does not tolerate a taint.
	Tainted
	// Unselected: a node selector or node affinity excludes the node.
	Unselected
	// WrongModel: the node has another GPU model.
	WrongModel
	// Shared: the node's GPUs are slices or time-shared, and whole ones are
	// asked for, or the other way round.
	Shared
	// SmallMemory: the node's GPUs have less memory than is asked for.
	SmallMemory
	// UnknownModel: no label tells the model of the node's GPUs.
	UnknownModel
	// UnknownMemory: no label tells the memory of the node's GPUs.
	UnknownMemory
	// Refused: other plugins refused the gang in the node's domain.
	Refused
	// Other: another constraint of the pod excludes the node.
	Other
	// NumExclusions is the number of reasons.
	NumExclusions
)

// String returns the reason as a refusal words it after "node" or "nodes". An
// unknown value reads as Other.
func (w Exclusion) String() string {
	if w >= NumExclusions {
		w = Other
	}
	return exclusionText[w]
}

// exclusionText is part of messages that users may match: its words are stable.
var exclusionText = [NumExclusions]string{
	Eligible:      "usable",
	Cordoned:      "cordoned",
	NotReady:      "not ready",
	Tainted:       "tainted",
	Unselected:    "not selected",
	WrongModel:    "of another GPU model",
	Shared:        "with GPUs shared another way",
	SmallMemory:   "with too little GPU memory",
	UnknownModel:  "without a label of their GPU model",
	UnknownMemory: "without a label of their GPU memory",
	Refused:       "refused by other plugins",
	Other:         "ruled out by the pods",
}

// IsPermanent reports whether an empty cluster would have the reason too, such as
// a node selector, and not one that passes, such as a cordon.
func (w Exclusion) IsPermanent() bool {
	return w >= Unselected && w <= UnknownMemory
}
