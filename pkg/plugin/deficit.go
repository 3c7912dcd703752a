// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"slices"

	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/queue"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// minDeficit is the least that must be given back, of each resource that a
// refused gang asks for, before it can fit: what its members need for a start
// less what is free in the domain with the most of it. Zero or less where it
// is only spread badly. Nodes that no member may use do not count; should that
// change, the gang is tried whatever it lacks.
//
// The slots for pods are left out unless a node is about to run out of them:
// every pod gives one back, and they are hardly ever what a gang lacks.
func minDeficit(u *topology.Usage, g *gang.Gang) queue.Quantities {
	free := mostFree(u, g)
	lacks := queue.Quantities{}
	for column, name := range u.Resources {
		need := minRequest(g, column)
		if need == 0 || name == string(v1.ResourcePods) && !slotsMayRunOut(u, g, column) {
			continue
		}
		lacks[name] = need - free[column]
	}
	return lacks
}

// minRequest is the least of a resource with which enough members can start.
func minRequest(g *gang.Gang, column int) int64 {
	roles := slices.Clone(g.Roles)
	slices.SortStableFunc(roles, func(a, b gang.Role) int { return cmp.Compare(a.Request[column], b.Request[column]) })
	missing, sum := max(g.MinCount-len(g.Bound), 1), int64(0)
	for _, role := range roles {
		take := min(role.Count, missing)
		sum += int64(take) * role.Request[column]
		missing -= take
	}
	return sum
}

// mostFree is what is free of each resource in the domain that has the most of
// it, among those that could hold the gang.
func mostFree(u *topology.Usage, g *gang.Gang) []int64 {
	most := make([]int64, len(u.Resources))
	sum := make([]int64, len(u.Resources))
	tree := g.TreeOn(u.Tree)
	for _, id := range tree.DomainsAt(g.Required) {
		clear(sum)
		for node := range tree.NodesOf(id) {
			if !usableByAny(g, node) {
				continue
			}
			for column, amount := range u.FreeRow(node) {
				sum[column] += max(amount, 0)
			}
		}
		for column := range most {
			most[column] = max(most[column], sum[column])
		}
	}
	return most
}

// usableByAny reports whether any member may use a node.
func usableByAny(g *gang.Gang, node topology.NodeID) bool {
	return slices.ContainsFunc(g.Roles, func(role gang.Role) bool {
		return role.Filter == nil || role.Filter.Exclusions[node] == gang.Eligible
	})
}

// slotsMayRunOut reports whether slots for pods may keep a member off a node that has
// the other resources for it.
func slotsMayRunOut(u *topology.Usage, g *gang.Gang, column int) bool {
	for n := range u.Tree.Nodes {
		node := topology.NodeID(n)
		for _, role := range g.Roles {
			if role.Filter != nil && role.Filter.Exclusions[node] != gang.Eligible {
				continue
			}
			could := int64(role.Count)
			for other, capacity := range u.CapacityRow(node) {
				if request := role.Request[other]; request > 0 && other != column {
					could = min(could, capacity/request)
				}
			}
			if u.FreeRow(node)[column] < could {
				return true
			}
		}
	}
	return false
}
