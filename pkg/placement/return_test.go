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

// hosted draws one block of racks of so many nodes, each a host of its own as the
// label kubernetes.io/hostname makes it.
func hosted(t *testing.T, racks ...int) *topology.Usage {
	var b strings.Builder
	fmt.Fprintln(&b, "levels: block rack host\nb")
	for r, size := range racks {
		fmt.Fprintf(&b, " r%d\n", r)
		for n := range size {
			fmt.Fprintf(&b, "  h%d-%d\n   n%d-%d 8\n", r, n, r, n)
		}
	}
	return parse(t, b.String())
}

// Whichever member is lost, the one that comes in its place gets its node, also
// where its rack and the next one have nodes to spare.
func TestSolve_AMemberReturnsToItsNode(t *testing.T) {
	for _, tc := range []struct {
		name  string
		racks []int
		gang  *gang.Gang
	}{
		{"one rack with spares", []int{18}, pods(16, 8)},
		{"two racks, evenly", []int{18, 18}, pods(24, 8)},
		{"two racks of which one is full", []int{18, 4}, pods(20, 8)},
		{"slices with spares", []int{18, 18, 18}, pods(48, 8, sliced(slice(16, rack)))},
		{"two to a node", []int{10, 10}, pods(32, 4)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := hosted(t, tc.racks...)
			p := Solve(u, tc.gang)
			require.Nil(t, p.Refusal)
			nodes := p.Nodes[0]
			for _, n := range nodes {
				u.AllocateOn(n, tc.gang.Roles[0].Request)
			}
			for lost, home := range nodes {
				g := pods(1, tc.gang.Roles[0].Request[0], minCount(len(nodes)), sliced(tc.gang.Slices...), ranked(lost))
				for rank, n := range nodes {
					if rank != lost {
						g.Bound = append(g.Bound, gang.Bound{Rank: rank, Node: n})
					}
				}
				u.ReleaseOn(home, g.Roles[0].Request)
				again := Solve(u, g)
				require.NoError(t, Check(u, g, again))
				assert.Equal(t, u.Tree.Nodes[home].Name, names(u, again), "member %d", lost)
				u.AllocateOn(home, g.Roles[0].Request)
			}
		})
	}
}
