// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import "time"

// GangID is the UID of a gang's group: a gang that is deleted and created again
// under its name is another one.
type GangID string

// Event is something that happened. Events may come late, twice, in another
// order than they happened in, or never: the queue may then act later, but loses
// nobody. Only what happens to one pod is to come in its order, as watches give
// it.
type Event interface{ isEvent() }

// What happens to pods. Gang is the namespace/name of the pod's group, "" for a
// single pod.
type (
	// PodAssigned says that a pod has a node, or is reserved for one.
	PodAssigned struct {
		Pod      string // UID
		Priority int32
	}
	// PodReleased says that a pod gave up its node but exists, as one that could not be
	// bound. Node is "" where it is not known.
	PodReleased struct {
		Pod, Node string
		Gave      Quantities
	}
	// PodDeleted says that a pod is gone. Gave is nil for one that never had a node, and
	// Node is "" where it had one that is not known.
	PodDeleted struct {
		Pod, Gang, Node string
		Gave            Quantities
		// Preempted is as in PodTerminating: a pod without a grace period is gone at
		// once.
		Preempted bool
	}
	// PodResized says that a pod gave back some of what it had.
	PodResized struct{ Gave Quantities }
	// PodTerminating says that a pod was told to end, and will give back what it has
	// until then, as far as is known. Node is "" for one that waits.
	PodTerminating struct {
		Pod, Gang, Node string
		Name            string // namespace/name of the pod
		GangName        string // what users call its gang
		Priority        int32
		Gives           Quantities
		Until           time.Time
		// Preempted says that a scheduler told it to end, for another pod.
		Preempted bool
	}
	// PodNominated says that a pod without a node is promised one by preemption; Node ""
	// says that it is not any more.
	PodNominated struct {
		Pod, Gang, Node string
		Priority        int32
		Needs           Quantities
	}
)

// What happens to nodes.
type (
	// NodeChanged says that a node is new or not what it was. Version tells its states
	// apart. Relevant says that plans look at what changed.
	NodeChanged struct {
		Node, Version string
		Relevant      bool
	}
	// NodeDeleted says that a node is no more.
	NodeDeleted struct{ Node string }
)

// DevicesChanged says that devices of nodes came, changed or were given back by their
// claims.
type DevicesChanged struct{}

// VolumesChanged says that volumes, claims for them or their classes came or changed.
type VolumesChanged struct{}

// What happens to gangs. One that was never seen, or whose group is gone, is not
// known: what is answered of it is of no interest.
type (
	// GangChanged says that a member or the group came, went or changed. The gang is read
	// again soon.
	GangChanged struct{ Gang string } // namespace/name
	// GangSeen is the answer to a Recheck, or a member that asks to be queued.
	GangSeen struct {
		Gang      GangID
		Key       Key // Interrupted and Arrival are the queue's own
		Readiness Readiness
		// Asking says that a member asks to be queued: the answer is a Gate, or
		// none if the gang may be tried.
		Asking bool
		// Fingerprint tells the states of a gang apart; 0 where it was not taken.
		Fingerprint uint64
	}
	// GangIdle says that no member of the gang waits.
	GangIdle struct {
		Gang      GangID
		Key       Key
		Readiness Readiness
	}
	// GangDeleted says that the group is gone.
	GangDeleted struct{ Gang GangID }
	// Attempted says that the scheduling loop took the gang from its queue.
	Attempted struct{ Gang GangID }
	// Planned says what it cost to plan the gang, whatever the answer.
	Planned struct {
		Gang GangID
		Cost time.Duration
	}
	// Refused says that the gang was tried and has no place.
	Refused struct {
		Gang GangID
		// Class names what the gang asks for.
		Class   string
		Verdict *Verdict
		// Fingerprint is that of the gang as it was tried, and Snapshot the
		// cluster that it was tried on.
		Fingerprint uint64
		Snapshot    Snapshot
		// ByPlugins says that the gang has a plan that other plugins refuse, for
		// something that others of its class need not share.
		ByPlugins bool
		// TryElsewhere says that the gang has room in a domain that other plugins were
		// not asked about.
		TryElsewhere bool
		// Promise is where the gang would fit once the pods that terminate have
		// ended; empty where it would not, or nobody asked.
		Promise []NodeAmount
		// RetryAfter is when to try again without a reason; 0 for seldom.
		RetryAfter time.Duration
	}
	// Placed says that all members of a plan are reserved and about to be bound.
	Placed struct {
		Gang    GangID
		Message string
	}
	// BindFailed says that a member could not be bound. Verdict is told for the pause
	// that follows.
	BindFailed struct {
		Gang    GangID
		Verdict func(pause time.Duration) *Verdict
	}
	// EvictionFailed says that the gang could not be evicted as a whole now.
	EvictionFailed struct{ Gang GangID }
	// Evicted says that the gang was evicted as a whole, or need not be.
	Evicted struct {
		Gang   GangID
		Reason string // "" if it need not be
	}
)

// Leading says that this replica schedules from now on. What is partly bound at this
// moment was interrupted.
type Leading struct{}

// Tick says that time passed. It carries out what has become due, and is to come about
// every TickInterval.
type Tick struct{}

// TickInterval is the time between two ticks.
const TickInterval = firstPace

// Snapshot is the cluster as an attempt saw it. It may be behind the events that
// the queue has seen, or before them.
type Snapshot interface {
	// HasPod reports whether the snapshot counts a pod on a node.
	HasPod(node, pod string) bool
	// NodeVersion is the version of a node, "" if it is not there.
	NodeVersion(node string) string
}

// NodeAmount is an amount on one node.
type NodeAmount struct {
	Node    string
	Amounts Quantities
}

func (PodAssigned) isEvent()    {}
func (PodReleased) isEvent()    {}
func (PodDeleted) isEvent()     {}
func (PodResized) isEvent()     {}
func (PodTerminating) isEvent() {}
func (PodNominated) isEvent()   {}
func (NodeChanged) isEvent()    {}
func (NodeDeleted) isEvent()    {}
func (DevicesChanged) isEvent() {}
func (VolumesChanged) isEvent() {}
func (GangChanged) isEvent()    {}
func (GangSeen) isEvent()       {}
func (GangIdle) isEvent()       {}
func (GangDeleted) isEvent()    {}
func (Attempted) isEvent()      {}
func (Planned) isEvent()        {}
func (Refused) isEvent()        {}
func (Placed) isEvent()         {}
func (BindFailed) isEvent()     {}
func (EvictionFailed) isEvent() {}
func (Evicted) isEvent()        {}
func (Leading) isEvent()        {}
func (Tick) isEvent()           {}
