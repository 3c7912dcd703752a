// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// bind makes members of role 0 stand on nodes: "0:n1 1:n2", a rank and a node
// each; "?" for a rank or a node that is not known.
func bind(text string) func(*gang.Gang) {
	return func(g *gang.Gang) {
		_, u, err := topology.ParseUsage(repairRacks)
		if err != nil {
			panic(err)
		}
		for f := range strings.FieldsSeq(text) {
			rank, node, _ := strings.Cut(f, ":")
			b := gang.Bound{Rank: -1, Node: NoNode}
			if rank != "?" {
				b.Rank = int(rank[0] - '0')
			}
			if n, ok := u.Tree.NodeByName(node); ok {
				b.Node = n
			}
			g.Bound = append(g.Bound, b)
		}
	}
}

// ranked gives the waiting members of role 0 their ranks.
func ranked(ranks ...int) func(*gang.Gang) {
	return func(g *gang.Gang) { g.Roles[0].Ranks = ranks }
}

// repairRacks are two racks; of n2, n6 and n9 nothing is free.
const repairRacks = `
levels: block rack
block-a
  rack-1
    n1 1
    n2 0/1
    n3 1
    n4 1
    n5 1
  rack-2
    n6 0/1
    n7 0/1
    n8 0/1
    n9 0/1 cordoned
    n10 1`

func TestSolve_Repairs(t *testing.T) {
	u := parse(t, repairRacks)
	for _, tc := range []struct {
		name string
		gang *gang.Gang
		want string
	}{
		{
			"the bound members' rack is the gang's rack",
			pods(2, 1, required(rack), minCount(3), bind("0:n2")), "n1 n3",
		},
		{
			"a full rack is no reason to leave it",
			pods(2, 1, required(rack), minCount(5), bind("0:n6 1:n7 2:n8")),
			"gang train needs 5 pods in one rack; rack-2, where 3 of them run, has room for 4 (1 node cordoned; short of nvidia.com/gpu); 1 more nvidia.com/gpu must be free there",
		},
		{
			"what would help is named",
			pods(2, 1, required(rack), minCount(3), bind("0:n2"), left(u, gang.NotReady, "n1", "n3", "n4")),
			"gang train needs 3 pods in one rack; rack-1, where 1 of them runs, has room for 2 (3 nodes not ready); it would fit if it could use n1 (not ready)",
		},
		{"a preferred rack draws the rest of the gang to it", pods(1, 1, prefersRack, minCount(4), bind("0:n6 1:n7 2:n8")), "n10"},
		{"a full preferred rack gives way", pods(2, 1, prefersRack, minCount(5), bind("0:n6 1:n7 2:n8")), "n1 n3"},
		{"a lost rank returns to its place in the order", pods(1, 1, minCount(3), bind("0:n2 2:n5")), "n3"},
		{"the first rank comes before the second", pods(1, 1, minCount(2), bind("1:n2")), "n1"},
		{"later arrivals stand beside the last one", pods(2, 1, required(block), minCount(2), bind("0:n8 1:n2")), "n1 n3"},
		{"a lost member of a slice returns to its rack", pods(1, 1, sliced(slice(2, rack)), minCount(4), bind("0:n2 1:n1 3:n8")), "n10"},
		{
			"a slice that has no room says where",
			pods(2, 1, sliced(slice(3, rack)), minCount(6), bind("0:n2 1:n1 2:n3 3:n8")),
			"gang train needs 6 pods, every 3 in one rack; rack-2, where 1 of them runs, has room for 2 (1 node cordoned; short of nvidia.com/gpu); 1 more nvidia.com/gpu must be free there",
		},
		{"a whole new slice goes where it fits", pods(3, 1, sliced(slice(2, rack)), minCount(4), bind("1:n9")), "n10 n1 n3"},
		{
			"a gang in two racks has drifted",
			pods(1, 1, required(rack), minCount(3), bind("0:n1 1:n6")),
			"gang train needs 3 pods in one rack, but its running pods stand in both block-a/rack-1 and block-a/rack-2",
		},
		{
			"a slice in two racks has drifted",
			pods(1, 1, sliced(slice(2, rack)), minCount(3), bind("0:n1 1:n6")),
			"gang train needs 3 pods, but the running pods of slice 0 stand in both block-a/rack-1 and block-a/rack-2",
		},
		{
			"a gang whose nodes are gone has drifted",
			pods(1, 1, required(rack), minCount(2), bind("0:?")),
			"gang train needs 2 pods in one rack, but its running pods stand on nodes that are gone, so that their rack is not known",
		},
		{"a gone node does not matter where no level is asked", pods(1, 1, minCount(2), bind("0:?")), "n10"},
		{
			"a member keeps its slice where another has ended",
			pods(1, 1, sliced(slice(2, rack)), minCount(3), bind("0:n2 2:n8"), ranked(3)), "n10",
		},
		{
			"slices that miss members are placed apart",
			pods(3, 1, sliced(slice(3, rack)), minCount(3), ranked(1, 3, 4)), "n10 n1 n3",
		},
		{
			"slices inside slices that miss members",
			pods(4, 1, sliced(slice(4, block), slice(2, rack)), minCount(4), ranked(1, 3, 4, 5)), "n3 n5 n1 n4",
		},
		{"unknown ranks still pin the rack", pods(1, 1, required(rack), minCount(2), bind("?:n8")), "n10"},
		{"all are there", pods(0, 1, required(rack), minCount(1), bind("0:n8")), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := Solve(u, tc.gang)
			require.NoError(t, Check(u, tc.gang, p))
			assert.Equal(t, tc.want, names(u, p))
		})
	}
}
