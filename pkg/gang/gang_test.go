// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gang

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/topology"
)

func valid() *Gang {
	return &Gang{
		Name: "train", MinCount: 3, Required: 0, Preferred: topology.NoLevel,
		Roles: []Role{
			{Name: "launcher", Count: 1, Request: []int64{0, 1}, Required: topology.NoLevel, NearRole: 1},
			{Name: "worker", Count: 2, Request: []int64{8, 1}, Required: 1, NearRole: -1, Slices: []Slice{{Size: 2, Level: 1}}},
		},
		Slices: []Slice{{Size: 4, Level: 0}, {Size: 2, Level: 1, Preferred: true}},
		Bound:  []Bound{{Role: 1, Rank: 0, Node: -1}},
	}
}

func TestValidate(t *testing.T) {
	tree, err := topology.NewTree([]string{"block", "rack"}, nil)
	require.NoError(t, err)
	for _, tc := range []struct {
		name   string
		change func(*Gang)
		want   string
	}{
		{"a sound gang", func(*Gang) {}, ""},
		{"a negative minimum", func(g *Gang) { g.MinCount = -1 }, "the minimum count is -1: it must be 0 or more"},
		{"a level that is not there", func(g *Gang) { g.Required = 2 }, "the required level is number 2, but there are 2 levels"},
		{"a preferred level that is not there", func(g *Gang) { g.Preferred = -3 }, "the preferred level is number -3, but there are 2 levels"},
		{"a negative count", func(g *Gang) { g.Roles[1].Count = -2 }, "role 1 worker: the count is -2: it must be from 0 to 1048576"},
		{"a count beyond reason", func(g *Gang) { g.Roles[1].Count = 1e9 }, "role 1 worker: the count is 1000000000: it must be from 0 to 1048576"},
		{"a slice beyond reason", func(g *Gang) { g.Slices[0].Size = 1 << 32 }, "slice layer 0 has size 4294967296 and level 0: the size must be from 1 to 1048576, the level one of 2"},
		{"a negative role minimum", func(g *Gang) { g.Roles[0].MinCount = -2 }, "role 0 launcher: the minimum count is -2: it must be 0 or more"},
		{"a request of another width", func(g *Gang) { g.Roles[0].Request = nil }, "role 0 launcher: the request names 0 resources, the cluster 2"},
		{"a negative request", func(g *Gang) { g.Roles[0].Request[1] = -1 }, "role 0 launcher: the request for resource 1 is -1: it must be 0 or more"},
		{"a role level that is not there", func(g *Gang) { g.Roles[0].Required = 9 }, "role 0 launcher: the required level is number 9, but there are 2 levels"},
		{"a role near none", func(g *Gang) { g.Roles[0].NearRole = 2 }, "role 0 launcher: it is near role 2, but there are 2 roles"},
		{"a bound member of no role", func(g *Gang) { g.Bound[0].Role = 2 }, "a bound member is of role 2, but there are 2 roles"},
		{"an empty slice", func(g *Gang) { g.Slices[0].Size = 0 }, "slice layer 0 has size 0 and level 0: the size must be from 1 to 1048576, the level one of 2"},
		{"a slice at no level", func(g *Gang) { g.Roles[1].Slices[0].Level = 2 }, "role 1 worker: slice layer 0 has size 2 and level 2: the size must be from 1 to 1048576, the level one of 2"},
		{"slices that do not nest", func(g *Gang) { g.Slices[1].Size = 3 }, "slice layer 1 (size 3) must be narrower than the layer around it and divide its size 4"},
		{"slices of one level", func(g *Gang) { g.Slices[1].Level = 0 }, "slice layer 1 (size 2) must be narrower than the layer around it and divide its size 4"},
		{"ranks of some members", func(g *Gang) { g.Roles[1].Ranks = []int{1} }, "role 1 worker: there are 1 ranks for 2 members"},
		{"a rank twice", func(g *Gang) { g.Roles[1].Ranks = []int{1, 1} }, "role 1 worker: member 1 has rank 1 after rank 1: ranks must rise, from 0 to 1073741823"},
		{"a negative rank", func(g *Gang) { g.Roles[1].Ranks = []int{-1, 1} }, "role 1 worker: member 0 has rank -1 after rank -1: ranks must rise, from 0 to 1073741823"},
		{"a rank beyond reason", func(g *Gang) { g.Roles[1].Ranks = []int{1, 1 << 30} }, "role 1 worker: member 1 has rank 1073741824 after rank 1: ranks must rise, from 0 to 1073741823"},
		{"too many groups", func(g *Gang) { g.Roles = manyRoles(MaxPodSets+1, 1) }, "its pods are in 513 groups: at most 512 are planned together"},
		{"too many shapes", func(g *Gang) { g.Roles = manyRoles(MaxPodSets, MaxShapes+1) }, "its pods have more than 64 shapes: requests, node selection and tolerations; give pods of one kind the same"},
		{"as many of both as there may be", func(g *Gang) { g.Roles = manyRoles(MaxPodSets, MaxShapes) }, ""},
		{"too many layers", func(g *Gang) { g.Slices = make([]Slice, 4) }, "there are 4 layers of slices: at most 3 may nest"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := valid()
			tc.change(g)
			err := g.Validate(tree, 2)
			if tc.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.EqualError(t, err, tc.want)
		})
	}
}

// Levels that cross have no order: slices of either may lie inside those of the other.
func TestValidate_TakesCrossingSlicesInBothOrders(t *testing.T) {
	tree, err := topology.NewTree([]string{"block", "rack"}, nil)
	require.NoError(t, err)
	tree = tree.WithCrossing(topology.Chain{{Name: "domain"}, {Name: "tray"}})
	for _, tc := range []struct {
		levels [2]topology.Level
		valid  bool
	}{{[2]topology.Level{1, 2}, true}, {[2]topology.Level{2, 1}, true}, {[2]topology.Level{2, 3}, true}, {[2]topology.Level{3, 2}, false}, {[2]topology.Level{1, 0}, false}} {
		g := valid()
		g.Slices = []Slice{{Size: 4, Level: tc.levels[0]}, {Size: 2, Level: tc.levels[1]}}
		assert.Equal(t, tc.valid, g.Validate(tree, 2) == nil, "%v", tc.levels)
	}
}

// manyRoles are so many roles, of so many shapes in turn.
func manyRoles(count, shapes int) []Role {
	roles := make([]Role, count)
	for r := range roles {
		roles[r] = Role{Count: 1, Request: []int64{0, int64(r % shapes)}, Required: topology.NoLevel, NearRole: -1}
	}
	return roles
}

func TestCounts(t *testing.T) {
	g := valid()
	assert.Equal(t, 3, g.WaitingCount())
	assert.Equal(t, 4, g.MemberCount())
	assert.Equal(t, 0, g.BoundCount(0))
	assert.Equal(t, 1, g.BoundCount(1))
	assert.Equal(t, g.Slices, g.SlicesOf(0))
	assert.Equal(t, g.Roles[1].Slices, g.SlicesOf(1))
}

func TestExclusion(t *testing.T) {
	for why := range NumExclusions {
		assert.NotEmpty(t, why.String(), "reason %d", why)
	}
	assert.Equal(t, Other.String(), Exclusion(200).String())
	assert.True(t, Unselected.IsPermanent())
	assert.False(t, Cordoned.IsPermanent())
}
