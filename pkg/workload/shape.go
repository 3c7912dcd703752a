// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

// MaxPods is the largest number of pods that is taken for one that was meant.
const MaxPods = 100_000

// Shape is what a workload says of the pods that it wants at once.
type Shape struct {
	// Roles are its pods by what they do, in the order in which the workload
	// lists them.
	Roles []Role
	// MinCount is the number of pods that must start together as the workload
	// itself says it, or 0 when that follows from its roles.
	MinCount int
	// Started is the number of pods that it began with, 0 where it keeps as many now.
	Started int
	// Done is what a Job has counted of its pods that need no successor; nothing for
	// other kinds.
	Done Work
	// Problem is why its pods cannot start together, as what follows the name
	// of the workload in a sentence; "" if they can.
	Problem string
	// Notes are sentences on what is not honoured.
	Notes []string
}

// Role is the pods of one kind in a workload.
type Role struct {
	// Name is what the workload calls the role; "" for the only one.
	Name string
	// Label and Value are the label that its pods carry; "" for a role whose
	// pods are those that are of no other.
	Label, Value string
	// Replicas is the number of pods that the controller keeps at this moment,
	// without those that have done their work.
	Replicas int
	// MinCount is the number of those that must start together.
	MinCount int
	// Ended is the number of pods that Replicas leaves out since their work is done:
	// whole slices of a role that has slices, else single pods.
	Ended int
	// SliceSize is the number of pods that belong closer together than the others:
	// one Job of a JobSet, one sub-group of a LeaderWorkerSet; 0 for none.
	SliceSize int
	// NearRole is the role that this one stands with, such as the workers of a
	// launcher, or "".
	NearRole string
	// CreatedLater says that the controller creates these pods only when others run
	// or have ended, so that those must not wait for them.
	CreatedLater bool
	// PodsCounted says that Replicas follows each pod that does its work, so that
	// nothing else is to be counted.
	PodsCounted bool
	// Waves says that there is more work than pods: the controller replaces
	// pods that have ended, and the new ones need not start together.
	Waves bool
}

// StartCount returns the number of pods that the workload keeps before any has done
// its work.
func (s *Shape) StartCount() int {
	if s.Started > 0 {
		return s.Started
	}
	count := 0
	for i := range s.Roles {
		count += s.Roles[i].Replicas
	}
	return count
}

// LeastAfter returns the number of the role's pods that must start together after
// some have done their work: done counts them for each controller of such pods. Those
// that the workload itself leaves out are not left out twice.
func (r *Role) LeastAfter(done []int) int {
	all, told := 0, 0 // told are those that Ended may stand for
	for _, count := range done {
		all += count
		switch {
		case r.SliceSize == 0:
			told += count
		case count >= r.SliceSize:
			told += r.SliceSize
		}
	}
	switch {
	case all == 0 || r.PodsCounted:
		return r.MinCount
	case r.Waves:
		return min(r.MinCount, 1) // the first ones started together, else none would be done
	}
	return max(r.MinCount-(all-min(told, r.Ended)), 0)
}

// addRole appends a role all of whose pods start together.
func (s *Shape) addRole(r Role) {
	r.MinCount = r.Replicas
	s.Roles = append(s.Roles, r)
}
