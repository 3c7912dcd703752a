// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// shapes draws 6 to 15 nodes and a gang of two to four roles that share them:
// a packing problem in two resources.
func shapes(t *testing.T, rng *rand.Rand) (*topology.Usage, *gang.Gang) {
	var nodes []topology.Node
	for i := range 6 + rng.IntN(10) {
		nodes = append(nodes, topology.Node{Name: fmt.Sprint("n", i), Domains: []string{fmt.Sprint("r", i/4)}})
	}
	tree, err := topology.NewTree([]string{"rack"}, nodes)
	require.NoError(t, err)
	u := topology.NewUsage(tree, []string{"nvidia.com/gpu", "cpu"})
	for n := range tree.Nodes {
		copy(u.FreeRow(topology.NodeID(n)), []int64{int64(rng.IntN(9)), int64(rng.IntN(33))})
	}
	g := &gang.Gang{Name: "g", Required: topology.NoLevel, Preferred: topology.NoLevel}
	for range 2 + rng.IntN(3) {
		g.Roles = append(g.Roles, gang.Role{
			Count: 1 + rng.IntN(8), Request: []int64{int64(rng.IntN(6)), int64(rng.IntN(12))},
			Required: topology.NoLevel, NearRole: -1,
		})
	}
	g.MinCount = g.WaitingCount()
	return u, g
}

// Within its budget the search finds nearly every packing that a search of 150
// times the budget finds, and much that placing role by role misses.
func TestSolve_PacksRoles(t *testing.T) {
	var feasible, missed, missedByRole int
	for seed := range uint64(4000) {
		u, g := shapes(t, rand.New(rand.NewPCG(seed, 17)))
		a := &NewPlanner(u).solver
		fits := func(budget int) bool {
			require.Nil(t, a.readGang(NewPlanner(u), g))
			a.stepsLeft = math.MaxInt // only the search is limited
			a.countHeadroom(anyProduct, false)
			a.searchSteps = budget
			_, ok := a.chooseDomain()
			return ok
		}
		if !fits(150 * maxSearchSteps) {
			continue
		}
		feasible++
		if !fits(maxSearchSteps) {
			missed++
		}
		if !fits(0) {
			missedByRole++
		}
	}
	t.Logf("%d gangs fit: role by role misses %d, the search %d", feasible, missedByRole, missed)
	assert.Greater(t, feasible, 1500)
	assert.LessOrEqual(t, missed, feasible/200)
	assert.Less(t, missedByRole, feasible/10)
}
