// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// unevenCluster is two racks of two nodes, each with 8 GPUs and so many CPUs.
func unevenCluster(t *testing.T, cpu int64) *topology.Usage {
	t.Helper()
	var nodes []topology.Node
	for _, name := range []string{"a1", "a2", "b1", "b2"} {
		nodes = append(nodes, topology.Node{Name: name, Domains: []string{name[:1]}})
	}
	tree, err := topology.NewTree([]string{"rack"}, nodes)
	require.NoError(t, err)
	u := topology.NewUsage(tree, []string{"nvidia.com/gpu", "cpu"})
	for n := range tree.Nodes {
		copy(u.CapacityRow(topology.NodeID(n)), []int64{8, cpu})
		copy(u.FreeRow(topology.NodeID(n)), []int64{8, cpu})
	}
	return u
}

// leadGang is a leader of 4 GPUs that asks for more CPUs than its three workers, in
// slices of so many members in one rack.
func leadGang(size int, leader, worker int64) *gang.Gang {
	g := pods(4, 4, sliced(slice(size, 0)))
	g.Required, g.Preferred = topology.NoLevel, topology.NoLevel
	g.Roles[0].Request = []int64{4, leader}
	g.Roles[0].MemberRequests = [][]int64{{4, leader}, {4, worker}, {4, worker}, {4, worker}}
	return g
}

func TestSolve_MembersOfOneSliceMayAskForDifferentAmounts(t *testing.T) {
	for _, test := range []struct {
		name        string
		cpu         int64
		gang        *gang.Gang
		want        []int // the members on each rack
		wantRefusal bool
	}{
		{"room for four leaders is room for one", 64, leadGang(4, 32, 8), []int{4, 0}, false},
		{"room for one leader and its workers, not for four leaders", 40, leadGang(4, 32, 8), []int{4, 0}, false},
		{"a slice of the leader and a worker, and one of workers", 40, leadGang(2, 32, 8), []int{2, 2}, false},
		{"no node has what the leader asks for", 30, leadGang(4, 32, 8), nil, true},
		{"no node has what a worker asks for", 7, leadGang(4, 32, 8), nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := unevenCluster(t, test.cpu)
			plan := solved(t, u, test.gang)
			if test.wantRefusal {
				assert.NotNil(t, plan.Refusal)
				return
			}
			require.Nil(t, plan.Refusal)
			racks := []int{0, 0}
			for _, n := range plan.Nodes[0] {
				racks[n/2]++
			}
			assert.Equal(t, test.want, racks)
		})
	}
}

func TestSolve_KeepsEveryRuleWhereMembersDiffer(t *testing.T) {
	placed := 0
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 11))
		u, g := large(rng)
		if seed%3 == 0 {
			g = withLauncher(rng, g)
		}
		for r := range g.Roles {
			role := &g.Roles[r]
			for range role.Count {
				request := slices.Clone(role.Request)
				request[1] = rng.Int64N(request[1] + 1)
				role.MemberRequests = append(role.MemberRequests, request)
			}
		}
		plan := solved(t, u, g)
		if plan.Refusal == nil {
			placed++
		}
		even := *g
		even.Roles = slices.Clone(g.Roles)
		for r := range even.Roles {
			even.Roles[r].MemberRequests = nil
		}
		if solved(t, u, &even).Refusal == nil {
			require.Nil(t, plan.Refusal, "seed %d: a gang that asks for less is refused", seed)
		}
	}
	require.Greater(t, placed, 600, "too few of the cases can be placed")
}
