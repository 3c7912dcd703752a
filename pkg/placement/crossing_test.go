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

// fabricAndNVLink is two leaf switches, and two NVLink domains that both of them are
// under.
func fabricAndNVLink(t *testing.T) *topology.Usage {
	t.Helper()
	_, u, err := topology.ParseUsage(`
leaf-1
  n1 8
  n2 8
  n3 8
  n4 8
leaf-2
  n5 8
  n6 8
  n7 8
  n8 8`)
	require.NoError(t, err)
	domains := []string{"nvl-1", "nvl-1", "nvl-2", "nvl-2", "nvl-1", "nvl-1", "nvl-2", "nvl-2"}
	trays := []string{"1", "1", "1", "2", "2", "2", "2", "1"}
	u.Tree = u.Tree.WithCrossing(topology.Chain{{Name: "nvlink", Domains: domains}, {Name: "tray", Domains: trays}})
	return u
}

func TestSolve_AcrossHierarchies(t *testing.T) {
	const leaf, nvlink, tray = topology.Level(0), topology.Level(1), topology.Level(2)
	full := func(names ...string) func(*topology.Usage, *gang.Gang) {
		return func(u *topology.Usage, _ *gang.Gang) {
			for _, name := range names {
				n, _ := u.Tree.NodeByName(name)
				u.FreeRow(n)[0] = 0
			}
		}
	}
	asks := func(change func(*gang.Gang)) func(*topology.Usage, *gang.Gang) {
		return func(_ *topology.Usage, g *gang.Gang) { change(g) }
	}
	needs := func(l topology.Level) func(*topology.Usage, *gang.Gang) {
		return asks(func(g *gang.Gang) { g.Required = l })
	}
	prefer := func(l topology.Level) func(*topology.Usage, *gang.Gang) {
		return asks(func(g *gang.Gang) { g.Preferred = l })
	}
	slice := func(size int, l topology.Level) func(*topology.Usage, *gang.Gang) {
		return asks(func(g *gang.Gang) { g.Slices = append(g.Slices, gang.Slice{Size: size, Level: l}) })
	}
	roles := func(first, second topology.Level) func(*topology.Usage, *gang.Gang) {
		return asks(func(g *gang.Gang) {
			g.Roles = append(g.Roles, g.Roles[0])
			g.Roles[0].Name, g.Roles[0].Required = "prefill", first
			g.Roles[1].Name, g.Roles[1].Required = "decode", second
			g.MinCount = 2 * g.Roles[0].Count
		})
	}
	for name, tc := range map[string]struct {
		pods   int
		change []func(*topology.Usage, *gang.Gang)
		domain string
		want   string
	}{
		"one NVLink domain under two leaves":                  {4, []func(*topology.Usage, *gang.Gang){needs(nvlink)}, "nvl-1", "n1 n2 n5 n6"},
		"the tightest one":                                    {3, []func(*topology.Usage, *gang.Gang){needs(nvlink), full("n3")}, "nvl-2", "n4 n7 n8"},
		"more than one has":                                   {5, []func(*topology.Usage, *gang.Gang){needs(nvlink)}, "", "gang train needs 5 pods in one nvlink; the largest, nvl-1, would hold 4 if it were empty"},
		"more than is free":                                   {4, []func(*topology.Usage, *gang.Gang){needs(nvlink), full("n2", "n7", "n8")}, "", "gang train needs 4 pods in one nvlink; the best, nvl-1, has room for 3 (short of nvidia.com/gpu)"},
		"a narrower level of the other hierarchy":             {2, []func(*topology.Usage, *gang.Gang){needs(tray), full("n1")}, "nvl-1/2", "n5 n6"},
		"one leaf, if possible one NVLink domain":             {2, []func(*topology.Usage, *gang.Gang){needs(leaf), prefer(nvlink), full("n1", "n3")}, "nvl-1", "n5 n6"},
		"one leaf, as no NVLink domain there has room":        {3, []func(*topology.Usage, *gang.Gang){needs(leaf), prefer(nvlink), full("n1")}, "leaf-1", "n2 n3 n4"},
		"one NVLink domain, if possible one leaf":             {2, []func(*topology.Usage, *gang.Gang){needs(nvlink), prefer(leaf), full("n1", "n3")}, "leaf-2", "n5 n6"},
		"one NVLink domain, as no leaf has so many of it":     {3, []func(*topology.Usage, *gang.Gang){needs(nvlink), prefer(leaf), full("n1")}, "nvl-1", "n2 n5 n6"},
		"preferred alone falls back to the cluster":           {6, []func(*topology.Usage, *gang.Gang){prefer(tray)}, "cluster", ""},
		"slices in NVLink domains, over leaves":               {8, []func(*topology.Usage, *gang.Gang){slice(4, nvlink)}, "cluster", "n1 n2 n5 n6 n3 n4 n7 n8"},
		"slices of NVLink domains inside one leaf":            {4, []func(*topology.Usage, *gang.Gang){needs(leaf), slice(2, nvlink)}, "leaf-1", "n1 n2 n3 n4"},
		"slices of leaves inside one NVLink domain":           {4, []func(*topology.Usage, *gang.Gang){needs(nvlink), slice(2, leaf)}, "nvl-1", "n1 n2 n5 n6"},
		"slices of a leaf around slices of an NVLink domain":  {8, []func(*topology.Usage, *gang.Gang){slice(4, leaf), slice(2, nvlink)}, "cluster", "n1 n2 n3 n4 n5 n6 n7 n8"},
		"slices of an NVLink domain around slices of a leaf":  {8, []func(*topology.Usage, *gang.Gang){slice(4, nvlink), slice(2, leaf)}, "cluster", "n1 n2 n5 n6 n3 n4 n7 n8"},
		"a part in one leaf and one in one NVLink domain":     {3, []func(*topology.Usage, *gang.Gang){roles(leaf, nvlink), full("n4")}, "cluster", ""},
		"parts that fit one by one and not together":          {4, []func(*topology.Usage, *gang.Gang){roles(leaf, nvlink)}, "", "gang train needs 8 pods, prefill pods in one leaf, decode pods in one nvlink; each part would fit, but not all of them at the same time, even if the cluster were empty"},
		"parts of which one fits nowhere, and says which one": {5, []func(*topology.Usage, *gang.Gang){roles(nvlink, leaf)}, "", "gang train needs 5 pods, prefill pods in one nvlink; the cluster would hold 4 if it were empty"},
	} {
		t.Run(name, func(t *testing.T) {
			u, g := fabricAndNVLink(t), pods(tc.pods, 8)
			for _, change := range tc.change {
				change(u, g)
			}
			plan := solved(t, u, g)
			require.Equal(t, tc.domain == "", plan.Refusal != nil, names(u, plan))
			if tc.domain != "" {
				assert.Equal(t, tc.domain, u.Tree.DomainPath(plan.Domain))
			}
			if tc.want != "" {
				assert.Equal(t, tc.want, names(u, plan))
			}
		})
	}
}

// A member that comes back joins the others in their NVLink domain, whatever the leaf.
func TestSolve_RepairsInACrossingDomain(t *testing.T) {
	u := fabricAndNVLink(t)
	g := pods(1, 8, required(1))
	g.MinCount = 3
	node := func(name string) topology.NodeID { n, _ := u.Tree.NodeByName(name); return n }
	g.Bound = []gang.Bound{{Rank: 0, Node: node("n3")}, {Rank: 1, Node: node("n7")}}
	for _, n := range []string{"n3", "n7", "n4"} {
		u.FreeRow(node(n))[0] = 0
	}
	assert.Equal(t, "n8", names(u, solved(t, u, g)))
	g.Bound[1].Node = node("n1")
	plan := solved(t, u, g)
	require.NotNil(t, plan.Refusal)
	assert.Equal(t, TopologyDrift, plan.Refusal.Reason)
}

// Groups of roles share domains of either hierarchy: a group may lie across those of
// another. Check knows what a plan has to keep.
func TestSolve_GroupsAcrossHierarchies(t *testing.T) {
	for name, tc := range map[string]struct {
		groups []gang.RoleGroup
		fits   bool
	}{
		"two groups, one of each hierarchy":  {[]gang.RoleGroup{{Name: "a", Roles: []int{0, 1}, Required: 0}, {Name: "b", Roles: []int{2, 3}, Required: 1}}, true},
		"one inside one of the other":        {[]gang.RoleGroup{{Name: "a", Roles: []int{0, 1, 2, 3}, Required: 1}, {Name: "b", Roles: []int{0, 1}, Required: 0}}, true},
		"the same roles in both hierarchies": {[]gang.RoleGroup{{Name: "a", Roles: []int{0, 1}, Required: 1}, {Name: "b", Roles: []int{0, 1}, Required: 0}}, true},
		"more than both have in common":      {[]gang.RoleGroup{{Name: "a", Roles: []int{0, 1, 2}, Required: 1}, {Name: "b", Roles: []int{0, 1, 2}, Required: 0}}, false},
		"more than a tray has":               {[]gang.RoleGroup{{Name: "a", Roles: []int{0, 1, 2}, Required: 2}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			u, g := fabricAndNVLink(t), pods(1, 8)
			g.MinCount, g.RoleGroups = 4, tc.groups
			for range 3 {
				g.Roles = append(g.Roles, g.Roles[0])
			}
			plan := solved(t, u, g)
			assert.Equal(t, tc.fits, plan.Refusal == nil, names(u, plan))
		})
	}
}

// Check refuses what breaks a rule of either hierarchy.
func TestCheck_AcrossHierarchies(t *testing.T) {
	u, g := fabricAndNVLink(t), pods(2, 8, required(1))
	nvl1, _ := u.Tree.DomainAt(0, 1)
	leaf1, _ := u.Tree.DomainAt(0, 0)
	assert.NoError(t, Check(u, g, Plan{Domain: nvl1, Nodes: [][]topology.NodeID{{0, 4}}}))
	assert.EqualError(t, Check(u, g, Plan{Domain: nvl1, Nodes: [][]topology.NodeID{{0, 2}}}), "gang train: member 1 of role 0 is on node n3, outside the domain nvl-1")
	assert.NoError(t, Check(u, g, Plan{Domain: leaf1, Nodes: [][]topology.NodeID{{0, 1}}}))
	assert.EqualError(t, Check(u, g, Plan{Domain: leaf1, Nodes: [][]topology.NodeID{{0, 2}}}), "gang train: nodes n1 and n3 are not in one nvlink")
}

// A gang that names levels of its own, and none that crosses, is planned as any other.
func TestSolve_TakesLevelsOfAGang(t *testing.T) {
	u := fabricAndNVLink(t)
	u.Tree = u.Tree.Main()
	g := pods(4, 8)
	g.Tree = u.Tree.WithCrossing(topology.Chain{{Name: "example.com/room", Domains: []string{"", "a", "b", "b", "b", "b", "", ""}}})
	g.Required = 1
	plan := solved(t, u, g)
	assert.Equal(t, "n3 n4 n5 n6", names(u, plan))
	assert.Equal(t, "b", g.Tree.DomainPath(plan.Domain))
	g.Required = none
	g.Tree, g.Preferred = nil, 0
	assert.Equal(t, "n1 n2 n3 n4", names(u, solved(t, u, g)))
}
