// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// resizable are the resources in which the members of one slice may differ: a leader
// may ask for more than its workers, and a member may be resized in place.
var resizable = []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory, v1.ResourceEphemeralStorage}

// joinSlicedSets joins the sets of pods that share slices: slices are runs of ranks
// over all members, whatever each of them asks for. Sets stay apart where they could
// not stand in for one another, such as a launcher without GPUs, and where the
// indexes of their pods do not number them together.
func joinSlicedSets(spec *Spec, sets []*podSet) []*podSet {
	var joined []*podSet
	for _, set := range sets {
		if !spec.isSliced(set.key) {
			joined = append(joined, set)
			continue
		}
		at := slices.IndexFunc(joined, func(s *podSet) bool { return s.sharesSlicesWith(set) })
		if at < 0 {
			joined = append(joined, set)
			continue
		}
		joined[at] = joinSets(joined[at], set)
	}
	return joined
}

// isSliced reports whether pods of a part have to keep together in runs of ranks, or
// all of them.
func (s *Spec) isSliced(part roleKey) bool {
	if part.role < 0 {
		return len(s.Slices) > 0
	}
	required, _, layers := s.Roles[part.role].narrowerThan(s.Required)
	return required != topology.NoLevel || len(layers) > 0 || len(s.Slices) > 0
}

// sharesSlicesWith reports whether two sets are one but for what resizing changes, and
// are numbered together.
func (r *podSet) sharesSlicesWith(o *podSet) bool {
	if r.key != o.key || !r.constraints.equalTo(o.constraints) || !sameRequests(withoutResizable(r.requests), withoutResizable(o.requests)) {
		return false
	}
	both := joinSets(r, o)
	return both.positions(both.lowestIndex()) != nil
}

func withoutResizable(requests v1.ResourceList) v1.ResourceList {
	rest := v1.ResourceList{}
	for name, quantity := range requests {
		if !slices.Contains(resizable, name) {
			rest[name] = quantity
		}
	}
	return rest
}

// joinSets returns the pods of two sets as one, in rank order. It asks for the most
// that a waiting member of either asks for: what bound ones hold is counted on
// their nodes.
func joinSets(a, b *podSet) *podSet {
	both := &podSet{key: a.key, template: a.template, constraints: a.constraints, requests: a.requests, joined: true}
	both.waiting = slices.Concat(a.waiting, b.waiting)
	both.bound = slices.Concat(a.bound, b.bound)
	slices.SortFunc(both.waiting, compareMembers)
	slices.SortFunc(both.bound, compareMembers)
	switch {
	case len(b.waiting) == 0:
	case len(a.waiting) == 0:
		both.template, both.requests = b.template, b.requests
	default:
		both.requests = mostOf(a.requests, b.requests)
	}
	return both
}

func mostOf(a, b v1.ResourceList) v1.ResourceList {
	most := a.DeepCopy()
	for name, quantity := range b {
		if have, ok := most[name]; !ok || quantity.Cmp(have) > 0 {
			most[name] = quantity
		}
	}
	return most
}

// memberRequests is what each waiting member of a set asks for, nil where all of them
// ask for the same.
func (c *Cluster) memberRequests(r *podSet) [][]int64 {
	if !r.joined {
		return nil
	}
	whole := c.requestRow(r.requests)
	rows := make([][]int64, len(r.waiting))
	differ := false
	for i, w := range r.waiting {
		rows[i] = c.requestRow(PodRequests(w.pod))
		differ = differ || !slices.Equal(rows[i], whole)
	}
	if !differ {
		return nil
	}
	return rows
}
