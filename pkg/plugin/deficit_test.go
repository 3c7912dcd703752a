// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/queue"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// racked is a cluster of four nodes with 8 GPUs and 110 slots each, two to a
// rack, on which so many GPUs are free.
func racked(t *testing.T, free ...int64) *topology.Usage {
	t.Helper()
	tree, err := topology.NewTree([]string{"rack"}, []topology.Node{
		{Name: "a", Domains: []string{"r1"}}, {Name: "b", Domains: []string{"r1"}},
		{Name: "c", Domains: []string{"r2"}}, {Name: "d", Domains: []string{"r2"}},
	})
	require.NoError(t, err)
	u := topology.NewUsage(tree, []string{"pods", "gpu"})
	for n := range tree.Nodes {
		copy(u.CapacityRow(topology.NodeID(n)), []int64{110, 8})
		copy(u.FreeRow(topology.NodeID(n)), []int64{100, free[n]})
	}
	return u
}

func ofGPUs(count int, gpus int64) gang.Role {
	return gang.Role{Count: count, Request: []int64{1, gpus}, Required: topology.NoLevel, NearRole: -1}
}

func TestMinDeficit(t *testing.T) {
	rack := topology.Level(0)
	for _, test := range []struct {
		name string
		free []int64
		gang gang.Gang
		want queue.Quantities
	}{
		{"what is missing in the whole cluster", []int64{1, 2, 3, 0}, gang.Gang{
			MinCount: 2, Required: topology.NoLevel, Roles: []gang.Role{ofGPUs(2, 8)},
		}, queue.Quantities{"gpu": 10}},
		{"in the best rack", []int64{1, 2, 4, 0}, gang.Gang{
			MinCount: 2, Required: rack, Roles: []gang.Role{ofGPUs(2, 8)},
		}, queue.Quantities{"gpu": 12}},
		{"enough, but spread badly", []int64{4, 4, 4, 4}, gang.Gang{
			MinCount: 1, Required: topology.NoLevel, Roles: []gang.Role{ofGPUs(1, 8)},
		}, queue.Quantities{"gpu": -8}},
		{"only what must start", []int64{0, 0, 0, 0}, gang.Gang{
			MinCount: 2, Required: topology.NoLevel, Roles: []gang.Role{ofGPUs(4, 8), ofGPUs(1, 0)},
		}, queue.Quantities{"gpu": 8}},
		{"one more than those that run", []int64{0, 0, 0, 0}, gang.Gang{
			MinCount: 2, Required: topology.NoLevel, Roles: []gang.Role{ofGPUs(4, 8)}, Bound: make([]gang.Bound, 3),
		}, queue.Quantities{"gpu": 8}},
		{"without nodes that no member may use", []int64{8, 0, 0, 0}, gang.Gang{
			MinCount: 1, Required: topology.NoLevel, Roles: []gang.Role{{
				Count: 1, Request: []int64{1, 8}, Required: topology.NoLevel, NearRole: -1,
				Filter: &gang.Filter{Exclusions: []gang.Exclusion{gang.Cordoned, gang.Eligible, gang.Eligible, gang.Eligible}},
			}},
		}, queue.Quantities{"gpu": 8}},
	} {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, minDeficit(racked(t, test.free...), &test.gang))
		})
	}
}

func TestMinDeficit_CountsSlotsWhereTheyRunOut(t *testing.T) {
	u := racked(t, 8, 8, 8, 8)
	u.FreeRow(0)[0] = 3
	g := gang.Gang{MinCount: 4, Required: topology.NoLevel, Roles: []gang.Role{ofGPUs(4, 2)}}
	assert.Contains(t, minDeficit(u, &g), "pods")
	g.Roles[0].Request[1], g.MinCount, g.Roles[0].Count = 8, 1, 1
	assert.NotContains(t, minDeficit(u, &g), "pods", "a node holds one of them, and has three slots")
}

// fits tells whether the gang has a plan, which keeps every rule.
func fits(t *testing.T, u *topology.Usage, g *gang.Gang) bool {
	t.Helper()
	plan := placement.Solve(u, g)
	require.NoError(t, placement.Check(u, g, plan))
	return plan.Refusal == nil
}

// TestMinDeficit_NeverMoreThanIsNeeded gives back GPUs at random until a refused
// gang fits: it must not have lacked more.
func TestMinDeficit_NeverMoreThanIsNeeded(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for range 2000 {
		u := racked(t, random.Int64N(9), random.Int64N(9), random.Int64N(9), random.Int64N(9))
		g := gang.Gang{Name: "g", Required: topology.Level(random.IntN(2) - 1), Preferred: topology.NoLevel}
		members := 0
		for range 1 + random.IntN(2) {
			g.Roles = append(g.Roles, ofGPUs(1+random.IntN(3), 1+random.Int64N(8)))
			members += g.Roles[len(g.Roles)-1].Count
		}
		g.MinCount = 1 + random.IntN(members)
		if fits(t, u, &g) {
			continue
		}
		lacks, back := minDeficit(u, &g), int64(0)
		for !fits(t, u, &g) && back < 32 {
			node := topology.NodeID(random.IntN(4))
			if row := u.FreeRow(node); row[1] < 8 {
				row[1]++
				back++
			}
			if u.FreeRow(0)[1]+u.FreeRow(1)[1]+u.FreeRow(2)[1]+u.FreeRow(3)[1] == 32 {
				break
			}
		}
		if fits(t, u, &g) {
			refused++
			require.LessOrEqual(t, lacks["gpu"], back)
		}
	}
	assert.Greater(t, refused, 300)
}
