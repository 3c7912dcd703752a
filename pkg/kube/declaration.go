// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Declaration is what the user declared of a gang, wherever and in whatever
// dialect it was written. The PodGroup that stands for the gang says what
// kube-scheduler itself reads; this says the rest. It is an immutable value:
// another version of the PodGroup comes with a declaration of its own.
type Declaration struct {
	// Dialect is how the gang was declared.
	Dialect Dialect
	// Resource is the resource of the group object behind the gang, such as
	// "podgroups.scheduling.x-k8s.io"; there is none behind pods alone, nor
	// behind the gang of a workload.
	Resource string
	// Invalid is why the gang cannot be scheduled as it is declared, or nil.
	Invalid *Invalid
	// Terms are what the gang asks for as a whole, by Muster's annotation. The
	// number of members and the roles are not among them.
	Terms map[string]Term
	// Roles are the parts of the gang, and RolesOrigin where they are written.
	Roles       []Role
	RolesOrigin Origin
	// MinCount is the number of members that start together, those that have finished
	// among them; 0 for no gang.
	MinCount int
	// RunningMinimum is the number of members below which a gang that has
	// started is broken, nil for its minimum: members that come later have still
	// to start together.
	RunningMinimum *int
	// LaterRoles are the roles of a workload that the number of members does not
	// count yet: its controller creates their pods when others run. The first of
	// these changes the number.
	LaterRoles []string
	// Runs is set where several runs have pods in the gang, nil elsewhere.
	Runs *Runs
	// ScheduleTimeout is how long members may wait for one another once they
	// have nodes; 0 for the scheduler's own time.
	ScheduleTimeout time.Duration
	// Ignored are sentences on what the gang asks for in its dialect and Muster
	// does not read.
	Ignored []string
}

// Runs are workloads that come to their end and have pods in one gang. Two of a kind
// each of which has as many pods as start together are not one gang, though they name
// one: the earliest is the gang, and the pods of the others wait until it has ended.
type Runs struct {
	// Known are the controllers of the pods of all runs, in order.
	Known []types.UID
	// Later are the controllers of the pods that wait, in order.
	Later []types.UID
	// Message says whose pods wait for whose, "" where none do.
	Message string
}

// Know reports whether these are among the controllers that the declaration was made
// with. It may be asked of nil.
func (r *Runs) Know(controllers []types.UID) bool {
	return !slices.ContainsFunc(controllers, func(uid types.UID) bool { return r == nil || !slices.Contains(r.Known, uid) })
}

// IsLater reports whether a pod waits for another run of its gang. It may be asked of
// nil.
func (r *Runs) IsLater(pod *v1.Pod) bool {
	if r == nil || pod.Spec.NodeName != "" {
		return false
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	return owner != nil && slices.Contains(r.Later, owner.UID)
}

// WithoutLater returns the pods that do not wait for another run of their gang. It may
// be asked of nil.
func (r *Runs) WithoutLater(pods []*v1.Pod) []*v1.Pod {
	if r == nil {
		return pods
	}
	return slices.DeleteFunc(slices.Clone(pods), r.IsLater)
}

// Term is one thing that a gang asks for, in its user's words.
type Term struct {
	Value  string
	Origin Origin
}

// Origin is where what a gang asks for stands in what its user wrote.
type Origin struct {
	// Word is the key of an annotation, or the path of a field of the group
	// object, such as "spec.networkTopology".
	Word string
	// OnPods reports whether it stands on the pods of a gang that has a group
	// object.
	OnPods bool
}

// IsField reports whether it is a field of the group object.
func (o Origin) IsField() bool { return strings.HasPrefix(o.Word, "spec.") }

// OriginOf returns where the user wrote what the gang has in an annotation: that
// annotation itself, unless the declaration knows better.
func (d *Declaration) OriginOf(annotation string) Origin {
	origin := d.Terms[annotation].Origin
	if annotation == AnnotationRoles {
		origin = d.RolesOrigin
	}
	if origin.Word == "" {
		origin.Word = annotation
	}
	return origin
}

// TimeoutOr returns how long the members may wait for one another: the gang's
// own time, else the given one. It may be asked of nil.
func (d *Declaration) TimeoutOr(otherwise time.Duration) time.Duration {
	if d == nil || d.ScheduleTimeout <= 0 {
		return otherwise
	}
	return d.ScheduleTimeout
}

// RunningMinimum returns the number of members with a node below which a gang
// that has started is broken.
func RunningMinimum(pg *schedulingapi.PodGroup, d *Declaration) int {
	if d != nil && d.RunningMinimum != nil {
		return *d.RunningMinimum
	}
	if policy := pg.Spec.SchedulingPolicy.Gang; policy != nil {
		return int(policy.MinCount)
	}
	return 1
}
