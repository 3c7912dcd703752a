// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

func sliced(s ...gang.Slice) func(*gang.Gang) { return func(g *gang.Gang) { g.Slices = s } }

func slice(size int, level topology.Level) gang.Slice { return gang.Slice{Size: size, Level: level} }

func wish(size int, level topology.Level) gang.Slice {
	return gang.Slice{Size: size, Level: level, Preferred: true}
}

func part(name string, count int, gpus, cpu int64, with int) gang.Role {
	return gang.Role{Name: name, Count: count, Request: []int64{gpus, cpu}, Required: none, NearRole: with}
}

func roles(r ...gang.Role) *gang.Gang {
	g := &gang.Gang{Name: "train", Required: none, Preferred: none, Roles: r}
	g.MinCount = g.WaitingCount()
	return g
}

func run(t *testing.T, drawing string, g *gang.Gang) string {
	t.Helper()
	u := parse(t, drawing)
	p := Solve(u, g)
	require.NoError(t, Check(u, g, p))
	return names(u, p)
}

// threeRacks has six nodes a rack in one block, one GPU each.
const threeRacks = `
levels: block rack
block-a
  rack-1
    a1 1
    a2 1
    a3 1
    a4 1
    a5 1
    a6 1
  rack-2
    b1 1
    b2 1
    b3 1
    b4 1
    b5 1
    b6 1
  rack-3
    c1 1
    c2 1
    c3 1
    c4 0/1
    c5 0/1
    c6 0/1`

func TestSolve_SpreadsOverDomains(t *testing.T) {
	for _, tc := range []struct {
		name string
		gang *gang.Gang
		want string
	}{
		{"two racks share evenly", pods(10, 1), "a1 a2 a3 a4 a5 b1 b2 b3 b4 b5"},
		{"the fewest racks with the least to spare", pods(9, 1), "a1 a2 a3 a4 a5 a6 c1 c2 c3"},
		{"every rack when it must be", pods(15, 1), "a1 a2 a3 a4 a5 a6 b1 b2 b3 b4 b5 b6 c1 c2 c3"},
		{"slices stay whole", pods(8, 1, sliced(slice(4, rack))), "a1 a2 a3 a4 b1 b2 b3 b4"},
		{"a short last slice goes where it wastes least", pods(7, 1, sliced(slice(4, rack))), "a1 a2 a3 a4 c1 c2 c3"},
		{
			"slices that do not fit are counted", pods(12, 1, sliced(slice(4, rack))),
			"gang train needs 12 pods, every 4 in one rack; the cluster has room for 11",
		},
		{"preferred slices are kept where they fit", pods(8, 1, sliced(wish(4, rack))), "a1 a2 a3 a4 b1 b2 b3 b4"},
		{
			"preferred slices give way one by one", pods(15, 1, sliced(wish(6, rack))),
			"a1 a2 a3 a4 a5 a6 b1 b2 b3 b4 b5 b6 c1 c2 c3",
		},
		{
			"preferred slices that cannot all be kept", pods(12, 1, sliced(wish(4, rack))),
			"a1 a2 a3 a4 b1 b2 b3 b4 a5 a6 b5 b6",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.want, run(t, threeRacks, tc.gang))
		})
	}
}

// cliques is a block of two racks, each of two NVLink cliques.
const cliques = `
levels: block rack clique
block-a
  rack-1
    clique-1
      n1 4
      n2 4
      n3 4
    clique-2
      n4 4
      n5 4
      n6 0/4
  rack-2
    clique-3
      n7 4
      n8 4
    clique-4
      n9 4
      n10 4
    n11 4`

const clique = topology.Level(2)

func TestSolve_NestsSlices(t *testing.T) {
	for _, tc := range []struct {
		name string
		gang *gang.Gang
		want string
	}{
		{"slices of two fill cliques", pods(4, 4, sliced(slice(2, clique))), "n7 n8 n9 n10"},
		{"slices in cliques in a rack", pods(4, 4, required(rack), sliced(slice(2, clique))), "n7 n8 n9 n10"},
		{"a node outside every clique holds no slice", pods(5, 4, required(rack), sliced(slice(1, clique))), "n1 n2 n3 n4 n5"},
		{
			"two layers", pods(8, 4, sliced(slice(4, rack), slice(2, clique))),
			"n1 n2 n4 n5 n7 n8 n9 n10",
		},
		{
			"three layers", pods(8, 4, sliced(slice(8, block), slice(4, rack), slice(2, clique))),
			"n1 n2 n4 n5 n7 n8 n9 n10",
		},
		{
			"layers that fit one by one but not nested", pods(6, 4, sliced(slice(6, rack), slice(3, clique))),
			"gang train needs 6 pods, every 6 in one rack, every 3 in one clique; the cluster has room for 5",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.want, run(t, cliques, tc.gang))
		})
	}
}

// mixed has two racks of GPUs, one of them with a plain machine.
const mixed = `
resources: nvidia.com/gpu cpu
block-a
  rack-1
    n1 8 cpu=96
    n2 8 cpu=96
  rack-2
    n3 8 cpu=96
    n4 8 cpu=96
    n5 cpu=32`

func TestSolve_PlacesRoles(t *testing.T) {
	own := func(l topology.Level, r gang.Role) gang.Role { r.Required = l; return r }
	atLeast := func(n int, r gang.Role) gang.Role { r.MinCount = n; return r }
	for _, tc := range []struct {
		name string
		gang *gang.Gang
		want string
	}{
		{"a launcher beside its first worker", roles(part("launcher", 1, 0, 4, 1), part("worker", 2, 8, 80, -1)), "n1 | n1 n2"},
		{"a launcher without a place beside it comes near", roles(part("launcher", 1, 0, 32, 1), part("worker", 2, 8, 80, -1)), "n5 | n3 n4"},
		{"a launcher with no wish uses what workers leave", roles(part("launcher", 1, 0, 4, -1), part("worker", 2, 8, 80, -1)), "n1 | n1 n2"},
		{"a role in a rack of its own", roles(own(rack, part("a", 2, 8, 1, -1)), own(rack, part("b", 2, 8, 1, -1))), "n1 n2 | n3 n4"},
		{"roles share what one rack has", roles(part("a", 2, 5, 1, -1), part("b", 2, 3, 1, -1)), "n1 n2 | n1 n2"},
		{
			"a role short of its minimum is named",
			func() *gang.Gang {
				g := roles(atLeast(1, part("launcher", 1, 0, 97, -1)), part("worker", 4, 8, 1, -1))
				g.MinCount = 4
				return g
			}(),
			"gang train needs 4 pods; the cluster would not hold 1 launcher pod at the same time if it were empty",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.want, run(t, mixed, tc.gang))
		})
	}
}

func TestSolve_SmallMembersLeaveWholeNodesToLargeOnes(t *testing.T) {
	got := run(t, `
resources: nvidia.com/gpu cpu
h1 4/8 cpu=96
h2 4/8 cpu=96
w1 8 cpu=96
w2 8 cpu=96
w3 8 cpu=96`, roles(part("small", 6, 4, 1, -1), part("large", 1, 8, 1, -1)))
	assert.Equal(t, "h1 h2 2*w2 2*w3 | w1", got)
}
