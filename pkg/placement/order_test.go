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

// The order among domains of one level, rule by rule.
func TestSolve_ChoosesAmongDomains(t *testing.T) {
	for _, tc := range []struct {
		name, drawing string
		pods          int
		level         topology.Level
		want          string
	}{
		{
			"the tightest of one block", "levels: block rack\nb\n r1\n  n1 8\n  n2 8\n  n3 8\n r2\n  n4 8\n  n5 8\n r3\n  n6 8\n  n7 8\n  n8 8\n  n9 8",
			2, rack, "n4 n5",
		},
		{
			"the first of equals", "levels: block rack\nb\n r1\n  n1 8\n  n2 8\n r2\n  n3 8\n  n4 8\n r3\n  n5 8\n  n6 8\n  n7 8",
			1, rack, "n1",
		},
		{
			"the first block, although the second has a tighter rack",
			"levels: block rack\nb1\n r1\n  n1 8\n  n2 8\n  n3 8\nb2\n r2\n  n4 8\n  n5 8\n r3\n  n6 8\n  n7 8\n  n8 8\n  n9 8",
			2, rack, "n1 n2",
		},
		{
			"not the largest rack, although its block is the first",
			"levels: block rack\nb1\n r1\n  n1 8\n  n2 8\n  n3 8\nb2\n r2\n  n4 8\n  n5 8",
			2, rack, "n4 n5",
		},
		{
			"not the first block where a gang of four is lost",
			"levels: block rack\nb1\n r1\n  n1 8\n  n2 8\n r2\n  n3 8\n  n4 8\nb2\n r3\n  n5 8\n r4\n  n6 8\n  n7 8\nb3\n r5\n  n8 8\n  n9 8\n  n10 8",
			1, rack, "n5",
		},
		{
			"the first block where only gangs are lost that a rack could hold",
			"levels: block rack\nb1\n r1\n  n1 8\n r2\n  n2 8\nb2\n r3\n  n3 8\nb3\n r4\n  n4 8\n  n5 8",
			1, rack, "n1",
		},
		{
			"the largest where no other will do", "levels: block rack\nb1\n r1\n  n1 8\n  n2 8\n  n3 8\nb2\n r2\n  n4 8\n  n5 8",
			3, rack, "n1 n2 n3",
		},
		{
			"the tightest block", "levels: block rack\nb1\n r1\n  n1 8\n  n2 8\n r2\n  n3 8\nb2\n r3\n  n4 8\n r4\n  n5 8",
			2, block, "n4 n5",
		},
		{
			"not the largest rack around the cliques",
			"levels: block rack clique\nb1\n r1\n  c1\n   n1 8\n   n2 8\n  c2\n   n3 8\n  c3\n   n4 8\n r2\n  c4\n   n5 8\n  c5\n   n6 8\nb2\n r3\n  c6\n   n7 8",
			1, 2, "n5",
		},
		{
			"a level of single nodes and one with a single domain change nothing",
			"levels: zone rack host\nz\n r1\n  h1\n   n1 8\n  h2\n   n2 8\n  h3\n   n3 8\n r2\n  h4\n   n4 8\n  h5\n   n5 8\n r3\n  h6\n   n6 8",
			1, none, "n6",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := parse(t, tc.drawing)
			g := pods(tc.pods, 8)
			g.Preferred = tc.level
			p := Solve(u, g)
			require.NoError(t, Check(u, g, p))
			assert.Equal(t, tc.want, names(u, p))
		})
	}
}

// The loss by borrows against its definition in the package comment.
func TestRooms_Loss(t *testing.T) {
	u := parse(t, "levels: block rack\nb1\n r1\n  n1 8\n  n2 8\n  n3 8\n r2\n  n4 8\nb2\n r3\n  n5 8")
	r := NewPlanner(u).headroomFor(&gang.Role{Request: []int64{8}}, anyProduct, nil)
	d, ok := u.Tree.DomainAt(0, block)
	require.True(t, ok)
	for room := range int64(200) {
		for n := range room + 1 {
			want := int64(0)
			for s := int64(4); s <= room; s *= 2 { // a rack of 3 nodes holds 2, not 4
				if room/s-(room-n)/s > n/s {
					want = s
				}
			}
			r.perDomain[d] = room
			require.Equal(t, want, r.largeGangLoss(d, n), "room %d, %d members", room, n)
		}
	}
}
