// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// isUneven reports whether some members of one role ask for less than others.
func isUneven(g *gang.Gang) bool {
	return slices.ContainsFunc(g.Roles, func(r gang.Role) bool { return r.MemberRequests != nil })
}

// solveUneven places a gang of which some members ask for less than others of their
// role. Headroom counts members of one size, so that there are two tries: every
// member asks for the most, which is never too little, and every member asks for the
// least, which holds where the nodes turn out to have what the others ask for on
// top. A gang is refused for certain if the second try refuses it; if that one places
// members where the larger ones do not fit, another plan may exist that is not found.
func (p *Planner) solveUneven(g *gang.Gang) Plan {
	most := p.solveEven(g)
	if most.Refusal == nil && placedCount(most) == g.WaitingCount() {
		return most
	}
	least := p.solveEven(leastRequests(g))
	switch {
	case least.Refusal != nil && most.Refusal != nil:
		return least
	case least.Refusal != nil || !p.fitsUneven(g, least):
		return most
	case most.Refusal == nil && placedCount(most) >= placedCount(least):
		return most
	}
	return least
}

// placedCount returns the number of members that a plan gives a node.
func placedCount(plan Plan) int {
	n := 0
	for _, nodes := range plan.Nodes {
		for _, node := range nodes {
			if node != NoNode {
				n++
			}
		}
	}
	return n
}

// leastRequests returns a copy of g in which every member asks for the least that a
// member of its role asks for.
func leastRequests(g *gang.Gang) *gang.Gang {
	even := *g
	even.Roles = slices.Clone(g.Roles)
	for r := range even.Roles {
		role := &even.Roles[r]
		role.Request = slices.Clone(role.Request)
		for _, request := range role.MemberRequests {
			for c, q := range request {
				role.Request[c] = min(role.Request[c], q)
			}
		}
		role.MemberRequests = nil
	}
	return &even
}

// fitsUneven reports whether every node has what the members that a plan puts there
// ask for.
func (p *Planner) fitsUneven(g *gang.Gang, plan Plan) bool {
	taken := map[topology.NodeID][]int64{}
	for r, nodes := range plan.Nodes {
		for i, n := range nodes {
			if n == NoNode {
				continue
			}
			if taken[n] == nil {
				taken[n] = make([]int64, len(p.usage.Resources))
			}
			for c, q := range g.Roles[r].RequestOf(i) {
				taken[n][c] += q
				if q > 0 && taken[n][c] > p.usage.FreeRow(n)[c] {
					return false
				}
			}
		}
	}
	return true
}
