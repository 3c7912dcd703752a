// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// loadedFleet has the levels block, rack and host, four GPU models, and every third
// node in part in use.
func loadedFleet(t *testing.T, count int) *topology.Usage {
	nodes := make([]topology.Node, count)
	for i := range nodes {
		nodes[i] = topology.Node{
			Name:    fmt.Sprintf("n%d", i),
			Domains: []string{fmt.Sprintf("b%d", i/512), fmt.Sprintf("r%d", i/18), fmt.Sprintf("n%d", i)},
			Model:   fmt.Sprintf("NVIDIA-H%d", 100*(1+i/128%4)),
		}
	}
	tree, err := topology.NewTree([]string{"block", "rack", "host"}, nodes)
	require.NoError(t, err)
	u := topology.NewUsage(tree, []string{"nvidia.com/gpu", "cpu"})
	for n := range nodes {
		id := topology.NodeID(n)
		copy(u.CapacityRow(id), []int64{8, 96_000})
		copy(u.FreeRow(id), []int64{8, 96_000})
		if n%3 == 1 {
			u.AllocateOn(id, []int64{int64(n % 8), int64(n%8) * 12_000})
		}
	}
	return u
}

// costlyGang is a valid gang of many roles, of many shapes, with all that may be asked
// of them.
func costlyGang(rng *rand.Rand) *gang.Gang {
	count, each, shapes := 1<<rng.IntN(10), 1+rng.IntN(8), 1+rng.IntN(gang.MaxShapes)
	g := &gang.Gang{Name: "costly", MinCount: count * each, Required: topology.Level(rng.IntN(3) - 1), Preferred: topology.Level(rng.IntN(4) - 1)}
	if rng.IntN(2) == 0 {
		g.Models = []string{"H100", "H200", "H300", "H400"}
	}
	elastic, holes := rng.IntN(3) > 0, rng.IntN(3) == 0
	layers := costlySlices(rng)
	for r := range count {
		role := gang.Role{
			Name: fmt.Sprint(r), Count: each, Request: []int64{int64(r % shapes % 9), int64(1000 * (1 + r%shapes))}, Slices: layers,
			Required: max(g.Required, topology.Level(rng.IntN(4)-1)), NearRole: rng.IntN(count+1) - 1,
		}
		if elastic {
			role.MinCount = rng.IntN(each + 1)
		}
		for i := 0; holes && i < each; i++ {
			role.Ranks = append(role.Ranks, 2*i+1)
		}
		g.Roles = append(g.Roles, role)
	}
	if elastic {
		g.MinCount = rng.IntN(count*each) + 1
	}
	if rng.IntN(3) == 0 {
		for range rng.IntN(50) {
			g.Bound = append(g.Bound, gang.Bound{Role: rng.IntN(count), Rank: rng.IntN(100), Node: topology.NodeID(rng.IntN(18))})
		}
	}
	return g
}

func costlySlices(rng *rand.Rand) []gang.Slice {
	switch rng.IntN(4) {
	case 0:
		return []gang.Slice{{Size: 4, Level: 0, Preferred: rng.IntN(2) == 0}, {Size: 2, Level: 1, Preferred: rng.IntN(2) == 0}, {Size: 1, Level: 2}}
	case 1:
		return []gang.Slice{{Size: 2, Level: 2, Preferred: rng.IntN(2) == 0}}
	}
	return nil
}

// Whatever a valid gang asks for, a plan costs no more steps than its budget, but for
// the try that is under way when it is spent; and what it says holds.
func TestSolve_EndsWithinItsBudget(t *testing.T) {
	complexGangs := 0
	for nodes, seeds := range map[int]uint64{200: 60, 5000: 6} {
		u := loadedFleet(t, nodes)
		for seed := range seeds {
			g := costlyGang(rand.New(rand.NewPCG(seed, 5)))
			p := NewPlanner(u)
			plan := p.Solve(g)
			spent := p.SpentSteps()
			require.LessOrEqual(t, spent, 2*stepBudget(nodes, g.MemberCount()), "seed %d on %d nodes", seed, nodes)
			require.Equal(t, plan, p.Solve(g), "seed %d on %d nodes: the same again", seed, nodes)
			require.Equal(t, spent, p.SpentSteps(), "seed %d on %d nodes: the same steps", seed, nodes)
			if plan.Refusal == nil {
				require.NoError(t, Check(u, g, plan), "seed %d on %d nodes", seed, nodes)
			} else if plan.Refusal.Reason == GangTooComplex {
				complexGangs++
			}
		}
	}
	assert.Positive(t, complexGangs)
}

// What people ask for is far from the budget.
func TestSolve_SpendsLittleOnUsualGangs(t *testing.T) {
	for name, g := range map[string]*gang.Gang{
		"a large gang":                 pods(2000, 8),
		"in slices":                    pods(1024, 8, sliced(slice(64, 0), slice(8, 1))),
		"a launcher and workers":       roles(one("launcher", 1, 0, 1), one("worker", 512, 8, -1)),
		"a hundred groups in one rack": groupsInRacks(100, 8),
	} {
		t.Run(name, func(t *testing.T) {
			p := NewPlanner(fleet(t, 5000))
			p.Solve(g)
			assert.Less(t, p.SpentSteps(), stepBudget(5000, g.MemberCount())/10)
		})
	}
}

func groupsInRacks(count, size int) *gang.Gang {
	g := &gang.Gang{Name: "groups", MinCount: count * size, Required: topology.NoLevel, Preferred: topology.NoLevel}
	for r := range count {
		g.Roles = append(g.Roles, gang.Role{Name: fmt.Sprint(r), Count: size, Request: []int64{8}, Required: 1, NearRole: -1})
	}
	return g
}

func TestSolve_SaysWhatIsComplex(t *testing.T) {
	u := loadedFleet(t, 200)
	p := NewPlanner(u)
	for seed := range uint64(200) {
		plan := p.Solve(costlyGang(rand.New(rand.NewPCG(seed, 5))))
		if plan.Refusal == nil || plan.Refusal.Reason != GangTooComplex {
			continue
		}
		assert.Regexp(t, `^gang costly needs \d+ pods.*, which is too complex to plan: no placement was found within \d+ steps for its \d+ groups of \d+ shapes; fewer roles, different requests, slices or models make it simpler$`,
			plan.Refusal.Error())
		return
	}
	t.Fatal("no gang was too complex")
}

// A waiting member whose rank a bound one claims too ends no plan.
func TestSolve_TwoMembersOfOneRank(t *testing.T) {
	u := fleet(t, 32)
	g := pods(3, 8, sliced(slice(2, rack)))
	g.Roles[0].Ranks = []int{1, 2, 3}
	g.Bound = []gang.Bound{{Rank: 1, Node: 3}, {Rank: 2, Node: 4}}
	assert.Nil(t, NewPlanner(u).Solve(g).Refusal)
}
