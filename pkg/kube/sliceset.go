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

// slicedKey tells pods apart that cannot be of one slice.
type slicedKey struct {
	part                       roleKey
	constraints, fixedRequests digest
	claims                     string
}

// joinSlicedSets joins the sets of pods that share a domain or slices: slices are runs
// of ranks over all members, whatever each of them asks for. Sets stay apart where they
// could not stand in for one another, such as a launcher without GPUs, and where there
// are slices and the indexes of their pods do not number them together.
func joinSlicedSets(spec *Spec, sets []*podSet) []*podSet {
	keyOf := func(set *podSet) slicedKey {
		return slicedKey{set.key, set.shape.constraints, set.shape.fixedRequests, set.claims.Key()}
	}
	alike := map[slicedKey][]*podSet{}
	for _, set := range sets {
		if spec.isSliced(set.key) {
			alike[keyOf(set)] = append(alike[keyOf(set)], set)
		}
	}
	var joined []*podSet
	for _, set := range sets {
		same := alike[keyOf(set)]
		if len(same) < 2 || !spec.isSliced(set.key) {
			joined = append(joined, set)
			continue
		}
		both := joinSets(same)
		switch {
		case spec.hasSlices(set.key) && both.positions(both.lowestIndex()) == nil:
			joined = append(joined, set)
		case same[0] == set:
			joined = append(joined, both)
		}
	}
	return joined
}

// joinBoundSets joins the sets of one part that wait for nothing: what their pods ask
// for is counted on their nodes, so that a gang whose running members were resized
// one by one is not of many shapes.
func joinBoundSets(spec *Spec, sets []*podSet) []*podSet {
	first := map[roleKey]*podSet{}
	joined := sets[:0]
	for _, set := range sets {
		if len(set.waiting) > 0 || spec.isSliced(set.key) {
			joined = append(joined, set)
			continue
		}
		if one := first[set.key]; one != nil {
			one.bound = append(one.bound, set.bound...)
			slices.SortFunc(one.bound, compareMembers)
			continue
		}
		first[set.key] = set
		joined = append(joined, set)
	}
	return joined
}

// isSliced reports whether pods of a part have to keep together in runs of ranks, or
// all of them.
func (s *Spec) isSliced(part roleKey) bool {
	if part.role < 0 {
		return s.hasSlices(part)
	}
	required, _, _ := s.Roles[part.role].beyondGang(s)
	return required != topology.NoLevel || s.hasSlices(part)
}

// hasSlices reports whether pods of a part have to keep together in runs of ranks.
func (s *Spec) hasSlices(part roleKey) bool {
	if part.role < 0 || len(s.Slices) > 0 {
		return len(s.Slices) > 0
	}
	_, _, layers := s.Roles[part.role].beyondGang(s)
	return len(layers) > 0
}

// joinSets returns the pods of several sets as one, in rank order. It asks for the most
// that a waiting member of any asks for: what bound ones hold is counted on
// their nodes.
func joinSets(sets []*podSet) *podSet {
	first := sets[0]
	if i := slices.IndexFunc(sets, func(set *podSet) bool { return len(set.waiting) > 0 }); i > 0 {
		first = sets[i]
	}
	all := &podSet{key: first.key, shape: first.shape, template: first.template, requests: first.requests, claims: first.claims, joined: true}
	for _, set := range sets {
		all.waiting = append(all.waiting, set.waiting...)
		all.bound = append(all.bound, set.bound...)
		if set != first && len(set.waiting) > 0 {
			all.requests = mostOf(all.requests, set.requests)
		}
	}
	slices.SortFunc(all.waiting, compareMembers)
	slices.SortFunc(all.bound, compareMembers)
	return all
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
