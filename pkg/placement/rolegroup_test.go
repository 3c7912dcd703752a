// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// parts is a gang of roles of so many members that ask for 8 GPUs each.
func parts(counts []int, groups ...gang.RoleGroup) *gang.Gang {
	g := &gang.Gang{Name: "train", Required: none, Preferred: none, RoleGroups: groups}
	for i, count := range counts {
		g.MinCount += count
		g.Roles = append(g.Roles, gang.Role{Name: string(rune('a' + i)), Count: count, MinCount: count, Request: []int64{8}, Required: none, NearRole: -1})
	}
	return g
}

func together(level topology.Level, roles ...int) gang.RoleGroup {
	return gang.RoleGroup{Name: fmt.Sprint("x", roles[0]), Roles: roles, Required: level}
}

// In the cluster of twoBlocks rack-1 has 4 free nodes, rack-2 one, rack-3 two.
func TestSolve_HoldsGroupsOfRolesTogether(t *testing.T) {
	for _, test := range []struct {
		name string
		gang *gang.Gang
		// racks are those of the roles, in order; nil for a refusal.
		racks  [][]string
		reason Reason
		text   string
	}{
		{"one group", parts([]int{1, 1}, together(rack, 0, 1)), [][]string{{"rack-3"}, {"rack-3"}}, "", ""},
		{"two groups, a rack for each", parts([]int{1, 1, 2, 2}, together(rack, 0, 1), together(rack, 2, 3)),
			[][]string{{"rack-3"}, {"rack-3"}, {"rack-1"}, {"rack-1"}}, "", ""},
		{"a group and a role in none", parts([]int{1, 1, 5}, together(rack, 0, 1)), [][]string{{"rack-3"}, {"rack-3"}, {"rack-1", "rack-2"}}, "", ""},
		{"groups inside a group", parts([]int{3, 1, 1, 2}, together(block, 0, 1, 2), together(rack, 1, 2)),
			[][]string{{"rack-1", "rack-2"}, {"rack-1"}, {"rack-1"}, {"rack-3"}}, "", ""},
		{"a group that fits nowhere", parts([]int{2, 3}, together(rack, 0, 1)), nil, GangTooLarge,
			"gang train, group x0, needs 5 pods in one rack; the largest, rack-1, would hold 4 if it were empty"},
		{"groups that do not fit at once", parts([]int{2, 1, 1, 2}, together(rack, 0, 1), together(rack, 2, 3)), nil, NoFittingDomain,
			"gang train needs 6 pods, x0 pods in one rack, x2 pods in one rack"},
		{"groups that cross", parts([]int{1, 1, 1}, together(rack, 0, 1), together(rack, 1, 2)), nil, InvalidGangSpec,
			"gang train: groups x0 and x1 have some roles in common, and neither has all of the other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := parse(t, twoBlocks)
			plan := solved(t, u, test.gang)
			if test.racks == nil {
				require.NotNil(t, plan.Refusal, "%v", plan.Nodes)
				assert.Equal(t, test.reason, plan.Refusal.Reason)
				assert.Contains(t, plan.Refusal.Error(), test.text)
				return
			}
			require.Nil(t, plan.Refusal)
			for r, want := range test.racks {
				for _, n := range plan.Nodes[r] {
					d, ok := u.Tree.DomainAt(n, rack)
					require.True(t, ok)
					assert.Contains(t, want, u.Tree.Domains[d].Name, "role %d", r)
				}
			}
		})
	}
}

// A member that runs ties its group to its domain, and members in two domains are a
// drift.
func TestSolve_GroupsOfRolesFollowTheirBoundMembers(t *testing.T) {
	u := parse(t, twoBlocks)
	node := func(name string) topology.NodeID {
		n, ok := u.Tree.NodeByName(name)
		require.True(t, ok)
		return n
	}
	g := parts([]int{1, 2}, together(rack, 0, 1))
	g.Roles[0].Count = 0
	g.Bound = []gang.Bound{{Role: 0, Rank: 0, Node: node("n7")}}
	require.NotNil(t, solved(t, u, g).Refusal, "rack-2 has room for one")
	g.Bound[0].Node = node("n10")
	plan := solved(t, u, g)
	require.Nil(t, plan.Refusal)
	assert.ElementsMatch(t, []topology.NodeID{node("n8"), node("n9")}, plan.Nodes[1])
	g.Roles[1].Count = 1
	g.Bound = append(g.Bound, gang.Bound{Role: 1, Rank: 0, Node: node("n1")})
	refusal := solved(t, u, g).Refusal
	require.NotNil(t, refusal)
	assert.Equal(t, TopologyDrift, refusal.Reason)
	assert.Contains(t, refusal.Error(), "the running pods of group x0 stand in both block-b/rack-3 and block-a/rack-1")
}

// TestSolve_GroupsOfRolesFindWhatTryingAllFinds compares with every choice of a rack for
// each of two groups.
func TestSolve_GroupsOfRolesFindWhatTryingAllFinds(t *testing.T) {
	placed, missed := 0, 0
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 11))
		u := largeUsage(rng)
		g := parts([]int{1 + rng.IntN(2), 1 + rng.IntN(2), 1 + rng.IntN(2), 1 + rng.IntN(3)}, together(rack, 0, 1), together(rack, 2, 3))
		for r := range g.Roles {
			g.Roles[r].Request = []int64{[]int64{4, 8}[rng.IntN(2)], int64(rng.IntN(60))}
		}
		g.Required = topology.Level(rng.IntN(2)) - 1
		before := u.Clone()
		plan := solved(t, u, g)
		require.Equal(t, before.Free, u.Free, "seed %d: Solve changed the usage", seed)
		switch possible := fitsInTwoRacks(u, g); {
		case plan.Refusal == nil:
			require.True(t, possible, "seed %d", seed)
			placed++
		case possible:
			missed++
		}
	}
	require.Greater(t, placed, 30)
	require.Less(t, placed, 140)
	require.LessOrEqual(t, missed, 1, "of %d", placed)
}

// fitsInTwoRacks tries every two racks for the two groups of a gang.
func fitsInTwoRacks(u *topology.Usage, g *gang.Gang) bool {
	racks := u.Tree.DomainsAt(rack)
	filters := make([]*gang.Filter, len(racks))
	for i, d := range racks {
		filters[i] = &gang.Filter{Exclusions: slices.Repeat([]gang.Exclusion{gang.Other}, len(u.Tree.Nodes))}
		for n := u.Tree.Domains[d].First; n < u.Tree.Domains[d].End; n++ {
			if at, ok := u.Tree.DomainAt(n, rack); ok && at == d {
				filters[i].Exclusions[n] = gang.Eligible
			}
		}
	}
	loose := withoutGroups(g)
	loose.Roles = slices.Clone(g.Roles)
	p := NewPlanner(u)
	for _, first := range filters {
		for _, second := range filters {
			for r := range loose.Roles {
				loose.Roles[r].Filter = first
				if r > 1 {
					loose.Roles[r].Filter = second
				}
			}
			if p.Solve(loose).Refusal == nil {
				return true
			}
		}
	}
	return false
}
