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

// judged is a cluster, a gang and a sound plan, to be spoiled in one way each.
func judged(t *testing.T) (*topology.Usage, *gang.Gang, Plan) {
	u := parse(t, `
levels: block rack
resources: nvidia.com/gpu cpu
block-a
  n0 8 cpu=8 model=NVIDIA-A100-SXM4-40GB
  rack-1
    n1 8 cpu=8 model=NVIDIA-A100-SXM4-40GB
    n2 8 cpu=8 model=NVIDIA-A100-SXM4-40GB
    n3 8 cpu=8 model=NVIDIA-H100-80GB-HBM3
  rack-2
    n4 8 cpu=8 model=NVIDIA-A100-SXM4-40GB
    n5 8 cpu=8 model=NVIDIA-A100-SXM4-40GB cordoned
block-b
  rack-3
    n6 8 cpu=8 model=NVIDIA-A100-SXM4-40GB
    n7 8 cpu=8 model=NVIDIA-A100-SXM4-40GB`)
	g := roles(part("launcher", 1, 0, 1, 1), part("worker", 4, 4, 1, -1))
	g.Required, g.Models = block, []string{"A100"}
	g.Roles[1].MinCount = 2
	g.Roles[1].Slices = []gang.Slice{slice(2, rack)}
	p := Plan{Domain: 1, Model: "NVIDIA-A100-SXM4-40GB", Nodes: [][]topology.NodeID{{1}, {1, 1, 2, 2}}}
	require.NoError(t, Check(u, g, p))
	require.Equal(t, "n1 | 2*n1 2*n2", names(u, p))
	return u, g, p
}

func TestCheck_FindsWhatIsBroken(t *testing.T) {
	at := func(u *topology.Usage, name string) topology.NodeID {
		n, ok := u.Tree.NodeByName(name)
		require.True(t, ok)
		return n
	}
	for _, tc := range []struct {
		name  string
		spoil func(*topology.Usage, *gang.Gang, *Plan)
		want  string
	}{
		{"a refusal with nodes", func(_ *topology.Usage, _ *gang.Gang, p *Plan) { p.Refusal = &Refusal{} }, "gang train is refused, yet has nodes"},
		{"a role is missing", func(_ *topology.Usage, _ *gang.Gang, p *Plan) { p.Nodes = p.Nodes[:1] }, "the plan has 1 roles, the gang 2"},
		{"a member is missing", func(_ *topology.Usage, _ *gang.Gang, p *Plan) { p.Nodes[1] = p.Nodes[1][:3] }, "role 1 worker: the plan has 3 members, the gang 4"},
		{"a node that is not there", func(_ *topology.Usage, _ *gang.Gang, p *Plan) { p.Nodes[1][0] = 8 }, "role 1 worker: member 0 is on node number 8 of 8"},
		{"a gap in the ranks", func(_ *topology.Usage, g *gang.Gang, p *Plan) { p.Nodes[1][2] = NoNode; g.MinCount = 1 }, "member 3 has a node, but member 2 before it has none"},
		{"the minimum is missed", func(_ *topology.Usage, _ *gang.Gang, p *Plan) { p.Nodes[1][3] = NoNode }, "4 members have a node, the minimum is 5"},
		{"a role's minimum is missed", func(_ *topology.Usage, g *gang.Gang, p *Plan) {
			g.MinCount = 1
			p.Nodes[1] = []topology.NodeID{1, NoNode, NoNode, NoNode}
		}, "role 1 worker: 1 members have a node, the minimum is 2"},
		{"nobody is placed", func(_ *topology.Usage, g *gang.Gang, p *Plan) {
			g.MinCount, g.Roles[1].MinCount = 0, 0
			p.Nodes = [][]topology.NodeID{{NoNode}, {NoNode, NoNode, NoNode, NoNode}}
		}, "no member is placed and none refused"},
		{"a cordoned node", func(u *topology.Usage, _ *gang.Gang, p *Plan) { p.Nodes[0][0] = at(u, "n5") }, "member 0 of role 0 is on node n5, which is cordoned"},
		{"a node that the role may not use", func(u *topology.Usage, g *gang.Gang, _ *Plan) {
			g.Roles[0].Filter = &gang.Filter{Exclusions: make([]gang.Exclusion, 8)}
			g.Roles[0].Filter.Exclusions[at(u, "n1")] = gang.Tainted
		}, "member 0 of role 0 is on node n1, which it may not use: tainted"},
		{"a node that gives too much", func(_ *topology.Usage, _ *gang.Gang, p *Plan) { p.Nodes[1][2] = p.Nodes[1][0] }, "node n1 gives 12 of nvidia.com/gpu, but has 8 free"},
		{"two roles on a node that gives too much", func(u *topology.Usage, _ *gang.Gang, _ *Plan) { u.AllocateOn(at(u, "n1"), []int64{0, 6}) }, "node n1 gives 3 of cpu, but has 2 free"},
		{"a domain that is not there", func(_ *topology.Usage, _ *gang.Gang, p *Plan) { p.Domain = 99 }, "domain number 99 of 6"},
		{"a domain that is too wide", func(_ *topology.Usage, _ *gang.Gang, p *Plan) { p.Domain = 0 }, "the domain cluster is a cluster, wider than the required block"},
		{"a member outside the domain", func(u *topology.Usage, _ *gang.Gang, p *Plan) { p.Nodes[0][0] = at(u, "n6") }, "member 0 of role 0 is on node n6, outside the domain block-a"},
		{"a bound member outside the domain", func(u *topology.Usage, g *gang.Gang, _ *Plan) {
			g.Bound = []gang.Bound{{Role: 0, Rank: -1, Node: at(u, "n7")}}
		}, "a member runs on node n7, outside the domain block-a"},
		{"a role outside its own level", func(_ *topology.Usage, g *gang.Gang, p *Plan) {
			g.Roles[1].Required = rack
			p.Nodes[1][2], p.Nodes[1][3] = 4, 4
		}, "role 1 worker: nodes n1 and n4 are not in one rack"},
		{"a role on a node without its level", func(u *topology.Usage, g *gang.Gang, p *Plan) {
			g.Roles[0].Required = rack
			p.Nodes[0][0] = at(u, "n0")
		}, "role 0 launcher: node n0 is in no rack"},
		{"another model", func(u *topology.Usage, _ *gang.Gang, p *Plan) {
			p.Nodes[1][2], p.Nodes[1][3] = at(u, "n3"), at(u, "n3")
		}, `member 2 of role 1 is on node n3 with model "NVIDIA-H100-80GB-HBM3", the gang is on "NVIDIA-A100-SXM4-40GB"`},
		{"a model that nobody asked for", func(_ *topology.Usage, g *gang.Gang, _ *Plan) { g.Models = []string{"H100"} }, `the model "NVIDIA-A100-SXM4-40GB" is none of [H100]`},
		{"bound members on another model", func(u *topology.Usage, g *gang.Gang, _ *Plan) {
			g.Bound = []gang.Bound{{Role: 1, Rank: -1, Node: at(u, "n3")}}
		}, `a member runs on "NVIDIA-H100-80GB-HBM3", the plan is for "NVIDIA-A100-SXM4-40GB"`},
		{"a slice in two racks", func(u *topology.Usage, _ *gang.Gang, p *Plan) { p.Nodes[1][3] = at(u, "n4") }, "role 1 worker, slice 1 of 2: nodes n2 and n4 are not in one rack"},
		{"a slice apart from its bound member", func(u *topology.Usage, g *gang.Gang, p *Plan) {
			g.Bound = []gang.Bound{{Role: 1, Rank: 1, Node: at(u, "n4")}}
		}, "role 1 worker, slice 0 of 2: nodes n4 and n1 are not in one rack"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u, g, p := judged(t)
			tc.spoil(u, g, &p)
			assert.ErrorContains(t, Check(u, g, p), tc.want)
		})
	}
}

func TestSolve_RefusesWhatNeedsNoLook(t *testing.T) {
	u := parse(t, twoModels)
	wide := func(g *gang.Gang) *gang.Gang {
		g.Roles[0].Request = []int64{g.Roles[0].Request[0], 0, 0}
		return g
	}
	shortRole := wide(pods(2, 1, minCount(1)))
	shortRole.Roles[0].Name, shortRole.Roles[0].MinCount = "worker", 3
	badFilter := wide(pods(1, 1))
	badFilter.Roles[0].Filter = &gang.Filter{}
	twoKinds := wide(pods(1, 1, models("A100")))
	for _, name := range []string{"a1", "h1"} {
		n, _ := u.Tree.NodeByName(name)
		twoKinds.Bound = append(twoKinds.Bound, gang.Bound{Rank: -1, Node: n})
	}
	for _, tc := range []struct {
		name   string
		gang   *gang.Gang
		reason Reason
		want   string
	}{
		{"what makes no sense", pods(1, 1), InvalidGangSpec, "gang train: role 0 : the request names 1 resources, the cluster 3"},
		{"a filter of another cluster", badFilter, InvalidGangSpec, "gang train: role 0 : the filter is for 0 nodes, the cluster has 7"},
		{"fewer members than the minimum", wide(pods(2, 1, minCount(1e9))), GangIncomplete, "gang train needs 1000000000 pods, but has 2"},
		{"fewer members than a role's minimum", shortRole, GangIncomplete, "gang train needs 3 worker pods, but has 2"},
		{"bound members on two models", twoKinds, TopologyDrift, "gang train needs 3 pods, but its running pods use both NVIDIA-A100-SXM4-40GB and NVIDIA-H100-80GB-HBM3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := solved(t, u, tc.gang)
			require.NotNil(t, p.Refusal)
			assert.Equal(t, tc.reason, p.Refusal.Reason)
			assert.Equal(t, tc.want, p.Refusal.Error())
		})
	}
}

// No tree is too bare to be asked.
func TestSolve_OnNothing(t *testing.T) {
	tree, err := topology.NewTree([]string{"rack"}, nil)
	require.NoError(t, err)
	u := topology.NewUsage(tree, []string{"nvidia.com/gpu"})
	assert.Equal(t, "gang train needs 1 pod; the cluster would hold none even if it were empty", solved(t, u, pods(1, 1)).Refusal.Error())
	assert.Equal(t, "gang train needs 1 pod in one rack; no node that it may use is in a rack", solved(t, u, pods(1, 1, required(0))).Refusal.Error())
	assert.Nil(t, solved(t, u, &gang.Gang{Required: none, Preferred: none}).Refusal)
	assert.Equal(t, NoFittingDomain, solved(t, u, &gang.Gang{Preferred: none}).Refusal.Reason)
}
