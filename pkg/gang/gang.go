// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gang says what a gang is: pods that start together or not at all,
// the resources each role asks for, and where the members may stand relative
// to one another. It knows nothing of Kubernetes objects; package kube turns a
// PodGroup and its pods into a Gang.
package gang

import "github.com/muster-scheduler/muster/pkg/topology"

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
	// Bound are the members that have a node already. They pin the domains of
	// Required, and count towards MinCount.
	Bound []Bound
}

// Slice asks that each run of Size members, in rank order, shares one domain.
type Slice struct {
	// Size is the number of members in one slice, at least 1.
	Size int
	// Level is the level at which one domain holds the slice.
	Level topology.Level
	// Preferred makes it a wish: a slice that fits no single domain of Level
	// may be split.
	Preferred bool
}

// Role is the members of one shape, such as the workers of a training job.
type Role struct {
	// Name is what messages call the role; empty when the gang has one role.
	Name string
	// Count is the number of members that wait for a node. Member i of the
	// role is the i-th in rank order.
	Count int
	// Ranks are the places of the waiting members among all members of the role,
	// counted from 0 and rising: slices are counted in them. A place that nobody
	// has is that of a member that has ended or is still to come. nil gives the
	// waiting members the lowest places that no bound one has.
	Ranks []int
	// MinCount is the number of members of this role, bound ones included,
	// that must have a node. Zero leaves it to Gang.MinCount.
	MinCount int
	// Request is what one member asks for, aligned with Usage.Resources.
	Request []int64
	// Filter tells which nodes this role may use; nil allows all of them.
	Filter *Filter
	// Required is the level at which one domain must hold this role, or
	// topology.NoLevel. It is at or below Gang.Required.
	Required topology.Level
	// Slices are the nested sub-blocks of this role, widest first; they take
	// the place of Gang.Slices.
	Slices []Slice
	// NearRole is the index of the role beside whose first member this role's
	// members should stand (a launcher beside rank 0), or -1.
	NearRole int
}

// Bound is a member that has a node.
type Bound struct {
	// Role is the index into Gang.Roles.
	Role int
	// Rank is the member's index within its role, or -1 when unknown.
	Rank int
	// Node is where the member stands.
	Node topology.NodeID
}

// Filter holds, for every node, why a role may not use it.
type Filter struct {
	// Exclusions is indexed by NodeID.
	Exclusions []Exclusion
}

// Exclusion is the reason for which a node is not to be used.
type Exclusion uint8

// The reasons for which a node is left out, in the order in which a refusal
// names them. Fits is the absence of one.
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
	// Other: another constraint of the pod excludes the node.
	Other
	// NumExclusions is the number of reasons.
	NumExclusions
)

// String is the reason as a refusal words it after "node" or "nodes".
func (w Exclusion) String() string {
	if w >= NumExclusions {
		w = Other
	}
	return exclusionText[w]
}

var exclusionText = [NumExclusions]string{
	Eligible:    "usable",
	Cordoned:    "cordoned",
	NotReady:    "not ready",
	Tainted:     "tainted",
	Unselected:  "not selected",
	WrongModel:  "of another GPU model",
	Shared:      "with GPUs shared another way",
	SmallMemory: "with too little GPU memory",
	Other:       "ruled out by the pods",
}

// IsPermanent tells whether the reason is one that an empty cluster would have too,
// such as a node selector, and not one that passes, such as a cordon.
func (w Exclusion) IsPermanent() bool {
	return w == Unselected || w == WrongModel || w == Shared || w == SmallMemory
}
