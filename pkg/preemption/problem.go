// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package preemption

import (
	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Exemption is the reason for which a workload makes way for nobody.
type Exemption uint8

const (
	// Preemptible: it has no such reason.
	Preemptible Exemption = iota
	// Protected: its PriorityClass or an annotation says that it is not preempted.
	Protected
	// TooYoung: it has not run for its minimum run time yet.
	TooYoung
	// BudgetSpent: a disruption budget does not allow it, and budgets are respected.
	BudgetSpent
	// Starting: its pods are about to be bound.
	Starting
	// NumExemptions is the number of reasons.
	NumExemptions
)

// String returns the reason as a refusal words it after "N pods".
func (e Exemption) String() string {
	switch e {
	case Preemptible:
		return "can be preempted"
	case Protected:
		return "are not preemptible"
	case TooYoung:
		return "have not run for their minimum run time"
	case Starting:
		return "are about to start"
	default:
		return "are kept by a disruption budget"
	}
}

// Pod is a pod of a workload that has a node.
type Pod struct {
	// Name identifies the pod in its workload.
	Name string
	Node topology.NodeID
	// Request is what the pod gives back, aligned with Usage.Resources.
	Request []int64
	// Work is what is lost with the pod, in GPU seconds.
	Work int64
	// Role is an index into Workload.SpareOfRole.
	Role int
	// Budgets are the indexes of the disruption budgets that count the pod.
	Budgets []int
}

// Workload is what can make way: a gang, or a single pod.
type Workload struct {
	// Name is unique: namespace and name. Of equal prices the names decide.
	Name     string
	Priority int32
	// Gang says that the pods run together or not at all.
	Gang   bool
	Exempt Exemption
	Pods   []Pod
	// Spare is the number of pods of a gang that may go while the others run on,
	// and SpareOfRole the same for each role; nil where roles have no minimum.
	Spare       int
	SpareOfRole []int
}

// Budget is a disruption budget: the number of its pods that may go.
type Budget struct {
	Name    string
	Allowed int
}

// Problem is one question: who makes way for Gang.
type Problem struct {
	// Usage is the cluster, with the room of pods that end already given back and
	// with that taken which others hold.
	Usage *topology.Usage
	Gang  *gang.Gang
	// Priority is that of the gang: only workloads below it make way.
	Priority  int32
	Workloads []Workload
	Budgets   []Budget
	// Strict keeps every budget; else one is exceeded where nothing else helps.
	Strict bool
	// Ignored are the parts of the price that do not count.
	Ignored [NumParts]bool
}

// tree is the one that has the levels that the gang names.
func (p *Problem) tree() *topology.Tree { return p.Gang.TreeOn(p.Usage.Tree) }

// isCandidate reports whether a workload may make way at all.
func (p *Problem) isCandidate(w *Workload) bool {
	return w.Exempt == Preemptible && w.Priority < p.Priority && len(w.Pods) > 0
}
