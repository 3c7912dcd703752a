// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

// Remedy is what can change a refusal.
type Remedy int

const (
	// ByUser says that the gang has to change, in its declaration or its members.
	ByUser Remedy = iota
	// ByNodes says that nodes have to come or change; what pods give back is no help.
	ByNodes
	// ByRoom says that what pods give back can help, and so can nodes.
	ByRoom
	// ByTime says that nothing can be seen to help; the gang is tried again after a while.
	ByTime
)

// Verdict is why a gang does not run: a stable reason, a sentence for its user,
// and what can change it. It is never modified.
type Verdict struct {
	Reason  string
	Message string
	Remedy  Remedy
	// Deficit is the least that must be given back of each resource that the
	// gang asks for before it can fit, zero or less where a resource is only
	// spread badly; empty when that is not known.
	Deficit Quantities
	// Devices says that the gang asks for devices that come and go apart from pods and
	// nodes: DevicesChanged can help.
	Devices bool
	// Volumes says that other plugins refuse the volumes of the gang: VolumesChanged can
	// help.
	Volumes bool
}

// podSlots is the resource that every pod takes one of. A gang of which nothing
// better is known may be helped by any pod that leaves.
const podSlots = "pods"

// helpedByNodes reports whether nodes that come or change can help.
func (v *Verdict) helpedByNodes() bool { return v.Remedy == ByRoom || v.Remedy == ByNodes }

// deficit returns what the gang lacks, or one pod's slot where that is not known.
func (v *Verdict) deficit() Quantities {
	if len(v.Deficit) == 0 {
		return Quantities{podSlots: 1}
	}
	return v.Deficit
}
