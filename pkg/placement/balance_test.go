// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// boxes draws one block with a clique for each number, of so many idle nodes
// with so many GPUs each.
func boxes(t *testing.T, gpus int, sizes ...int) *topology.Usage {
	var b strings.Builder
	fmt.Fprintln(&b, "levels: block clique\nblock-1")
	for c, size := range sizes {
		fmt.Fprintf(&b, "  clique-%d\n", c)
		for n := range size {
			fmt.Fprintf(&b, "    n%d-%d %d\n", c, n, gpus)
		}
	}
	return parse(t, b.String())
}

// perBox is the number of members in each clique, and of nodes in use there.
func perBox(u *topology.Usage, p Plan) string {
	var words []string
	for _, d := range u.Tree.DomainsAt(1) {
		members, nodes := 0, map[topology.NodeID]bool{}
		for _, n := range p.Nodes[0] {
			if u.Tree.ContainsNode(d, n) {
				members++
				nodes[n] = true
			}
		}
		words = append(words, fmt.Sprintf("%d on %d", members, len(nodes)))
	}
	return strings.Join(words, ", ")
}

func TestSolve_Balances(t *testing.T) {
	for _, tc := range []struct {
		name  string
		gpus  int
		sizes []int
		gang  *gang.Gang
		want  string
	}{
		{"16 of the 18 nodes of an NVL72", 4, []int{18, 18}, pods(16, 4), "16 on 16, 0 on 0"},
		{"24 nodes over two of 18 are 12 and 12, not 18 and 6", 4, []int{18, 18}, pods(24, 4), "12 on 12, 12 on 12"},
		{"slices of 16 leave each clique its spares", 4, []int{18, 18, 18}, pods(48, 4, sliced(slice(16, 1))), "16 on 16, 16 on 16, 16 on 16"},
		{"slices share evenly too", 4, []int{18, 18}, pods(24, 4, sliced(slice(4, 1))), "12 on 12, 12 on 12"},
		{"a small clique takes what it can", 4, []int{18, 18, 5}, pods(38, 4), "17 on 17, 16 on 16, 5 on 5"},
		{"a third clique stays whole", 4, []int{18, 18, 18}, pods(30, 4), "15 on 15, 15 on 15, 0 on 0"},
		{"balance does not break into more nodes", 8, []int{2, 2}, pods(20, 1), "16 on 2, 4 on 1"},
		{"whole nodes are balanced", 8, []int{4, 4}, pods(40, 1), "24 on 3, 16 on 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := boxes(t, tc.gpus, tc.sizes...)
			p := solved(t, u, tc.gang)
			require.Nil(t, p.Refusal)
			assert.Equal(t, tc.want, perBox(u, p))
		})
	}
}

// Members beyond the minimum come along as room allows, and later ones join.
func TestSolve_IsElastic(t *testing.T) {
	u := boxes(t, 8, 4, 3)
	n, ok := u.Tree.NodeByName("n0-0")
	require.True(t, ok)
	u.AllocateOn(n, []int64{8})

	g := pods(6, 8, required(1), minCount(2))
	p := solved(t, u, g)
	assert.Equal(t, "n0-1 n0-2 n0-3 3*-", names(u, p), "the clique with the most room, and no other")

	late := pods(3, 8, required(1), minCount(2))
	for i, n := range p.Nodes[0][:3] {
		u.AllocateOn(n, []int64{8})
		late.Bound = append(late.Bound, gang.Bound{Rank: i, Node: n})
	}
	assert.Equal(t, "gang train needs 4 pods in one clique; clique-0, where 3 of them run, has room for 3 (short of nvidia.com/gpu); 8 more nvidia.com/gpu must be free there", names(u, solved(t, u, late)))
	u.ReleaseOn(n, []int64{8})
	p = solved(t, u, late)
	assert.Equal(t, "n0-0 2*-", names(u, p), "a node came free in the gang's clique")
}
