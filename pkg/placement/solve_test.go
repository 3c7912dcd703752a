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

// twoBlocks is the cluster of most cases.
const twoBlocks = `
block-a
  rack-1
    n1 8
    n2 8
    n3 8
    n4 8
  rack-2
    n5 8
    n6 4/8
    n7 0/8
block-b
  rack-3
    n8 8
    n9 8
    n10 2/8`

const (
	block = topology.Level(0)
	rack  = topology.Level(1)
	none  = topology.NoLevel
)

// pods is a gang of one role whose members ask for some GPUs each.
func pods(count int, gpus int64, change ...func(*gang.Gang)) *gang.Gang {
	g := &gang.Gang{
		Name: "train", MinCount: count, Required: none, Preferred: none,
		Roles: []gang.Role{{Count: count, Request: []int64{gpus}, Required: none, NearRole: -1}},
	}
	for _, c := range change {
		c(g)
	}
	return g
}

func required(l topology.Level) func(*gang.Gang) { return func(g *gang.Gang) { g.Required = l } }
func prefersRack(g *gang.Gang)                   { g.Preferred = rack }
func minCount(n int) func(*gang.Gang)            { return func(g *gang.Gang) { g.MinCount = n } }
func models(m ...string) func(*gang.Gang)        { return func(g *gang.Gang) { g.Models = m } }

// left leaves nodes out for one reason.
func left(u *topology.Usage, why gang.Exclusion, nodes ...string) func(*gang.Gang) {
	return func(g *gang.Gang) {
		f := g.Roles[0].Filter
		if f == nil {
			f = &gang.Filter{Exclusions: make([]gang.Exclusion, len(u.Tree.Nodes))}
			g.Roles[0].Filter = f
		}
		for _, name := range nodes {
			n, _ := u.Tree.NodeByName(name)
			f.Exclusions[n] = why
		}
	}
}

// names spells a plan, roles apart by a bar and members on one node counted:
// "2*n1 n2 | n3".
func names(u *topology.Usage, p Plan) string {
	if p.Refusal != nil {
		return p.Refusal.Error()
	}
	roles := make([]string, len(p.Nodes))
	for r, nodes := range p.Nodes {
		var words []string
		for i := 0; i < len(nodes); {
			n, count := nodes[i], 0
			for ; i < len(nodes) && nodes[i] == n; i++ {
				count++
			}
			word := "-"
			if n != NoNode {
				word = u.Tree.Nodes[n].Name
			}
			if count > 1 {
				word = fmt.Sprintf("%d*%s", count, word)
			}
			words = append(words, word)
		}
		roles[r] = strings.Join(words, " ")
	}
	return strings.Join(roles, " | ")
}

// solved is the plan of Solve, held against the rules.
func solved(t testing.TB, u *topology.Usage, g *gang.Gang) Plan {
	t.Helper()
	p := Solve(u, g)
	require.NoError(t, Check(u, g, p), "%+v", *g)
	return p
}

func parse(t *testing.T, drawing string) *topology.Usage {
	t.Helper()
	_, u, err := topology.ParseUsage(drawing)
	require.NoError(t, err)
	return u
}

func TestSolve(t *testing.T) {
	u := parse(t, twoBlocks)
	for _, tc := range []struct {
		name string
		gang *gang.Gang
		want string
	}{
		{"a pod goes where it fits most tightly", pods(1, 2), "n10"},
		{"small pods share a node", pods(4, 1), "4*n6"},
		{"the tightest rack wins", pods(2, 8, required(rack)), "n8 n9"},
		{"a whole node stays whole where a broken one will do", pods(2, 2, required(rack)), "2*n6"},
		{"the preferred rack is met where it can", pods(3, 8, prefersRack), "n1 n2 n3"},
		{"the preferred rack gives way to the block", pods(5, 8, prefersRack), "n1 n2 n3 n4 n5"},
		{"the preferred rack gives way to the cluster", pods(7, 8, prefersRack), "n1 n2 n3 n4 n5 n8 n9"},
		{"no level asked is still close together", pods(4, 8), "n1 n2 n3 n4"},
		{"extras come along as room allows", pods(5, 8, required(rack), minCount(3)), "n1 n2 n3 n4 -"},
		{"no rack holds five", pods(5, 8, required(rack)), "gang train needs 5 pods in one rack; the largest, rack-1, would hold 4 if it were empty"},
		{"the block is too full", pods(7, 8, required(block)), "gang train needs 7 pods in one block; the best, block-a, has room for 5 (short of nvidia.com/gpu)"},
		{"the cluster is too full", pods(8, 8), "gang train needs 8 pods; the cluster has room for 7 (short of nvidia.com/gpu)"},
		{"the cluster is too small", pods(11, 8), "gang train needs 11 pods; the cluster would hold 10 if it were empty"},
		{
			"no rack has any room", pods(2, 8, required(rack), left(u, gang.NotReady, "n1", "n2", "n3", "n4", "n5", "n8"), left(u, gang.Cordoned, "n9")),
			"gang train needs 2 pods in one rack; no rack has room for any (1 node cordoned, 6 not ready)",
		},
		{
			"no node is selected", pods(2, 8, required(rack), left(u, gang.Unselected, "n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9", "n10")),
			"gang train needs 2 pods in one rack; no node that it may use is in a rack",
		},
		{
			"a cordon is named", pods(3, 8, required(rack), left(u, gang.Cordoned, "n1", "n2")),
			"gang train needs 3 pods in one rack; the best, rack-1, has room for 2 (2 nodes cordoned)",
		},
		{
			"reasons are counted one by one",
			pods(9, 3, required(rack), minCount(8), left(u, gang.Cordoned, "n1"), left(u, gang.Tainted, "n2"), left(u, gang.NotReady, "n5")),
			"gang train needs 8 pods in one rack; the best, rack-1, has room for 4 (1 node cordoned, 1 tainted)",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := Solve(u, tc.gang)
			require.NoError(t, Check(u, tc.gang, p))
			assert.Equal(t, tc.want, names(u, p))
		})
	}
}
