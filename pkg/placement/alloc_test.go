// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// fleet is so many idle nodes of 8 GPUs, 16 to a rack and 32 racks to a block.
func fleet(t *testing.T, count int) *topology.Usage {
	nodes := make([]topology.Node, count)
	for i := range nodes {
		nodes[i] = topology.Node{Name: fmt.Sprintf("n%d", i), Domains: []string{fmt.Sprintf("b%d", i/512), fmt.Sprintf("r%d", i/16)}}
	}
	tree, err := topology.NewTree([]string{"block", "rack"}, nodes)
	require.NoError(t, err)
	u := topology.NewUsage(tree, []string{"nvidia.com/gpu"})
	for i := range u.Free {
		u.Free[i], u.Capacity[i] = 8, 8
	}
	return u
}

// A plan allocates its answer, the nodes and the list of roles, and nothing for
// each node, domain or member, however large the fleet and the gang.
func TestPlanner_AllocatesTheAnswerOnly(t *testing.T) {
	const answer = 2
	for _, nodes := range []int{64, 4096} {
		u := fleet(t, nodes)
		for name, g := range map[string]*gang.Gang{
			"small":            pods(8, 8, prefersRack),
			"large":            pods(48, 8, prefersRack),
			"many to a node":   pods(300, 1),
			"nested slices":    pods(32, 8, sliced(slice(16, block), slice(4, rack))),
			"a wish":           pods(40, 8, sliced(wish(20, rack))),
			"roles":            roles(one("launcher", 1, 0, 1), one("worker", 16, 8, -1)),
			"a member is lost": pods(1, 8, minCount(2), sliced(slice(2, rack)), func(g *gang.Gang) { g.Bound = []gang.Bound{{Rank: 1, Node: 3}} }),
			"elastic":          pods(nodes+1, 8, minCount(1)),
		} {
			t.Run(fmt.Sprintf("%s on %d", name, nodes), func(t *testing.T) {
				p := NewPlanner(u)
				plan := p.Solve(g)
				require.Nil(t, plan.Refusal)
				require.NoError(t, Check(u, g, plan))
				allocs := testing.AllocsPerRun(20, func() {
					for n := range topology.NodeID(10) {
						p.MarkChanged(n)
					}
					p.Solve(g)
				})
				assert.LessOrEqual(t, allocs, float64(answer))
			})
		}
	}
}

func one(name string, count int, gpus int64, with int) gang.Role {
	return gang.Role{Name: name, Count: count, Request: []int64{gpus}, Required: none, NearRole: with}
}
