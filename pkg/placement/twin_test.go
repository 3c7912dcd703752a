// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// twin finds the plans of a small gang by trying every node for every member.
// It knows no rule but Check, and how a plan could look at all.
type twin struct {
	u    *topology.Usage
	g    *gang.Gang
	plan Plan
	free []int64
	seen func(Plan) bool // reports whether to go on
}

// each calls seen for every plan of g that keeps all rules, until it says no.
func each(u *topology.Usage, g *gang.Gang, seen func(Plan) bool) {
	w := &twin{u: u, g: g, free: append([]int64(nil), u.Free...)}
	on := true
	w.seen = func(p Plan) bool {
		on = on && (Check(u, g, p) != nil || seen(p))
		return on
	}
	models := []string{""}
	if len(g.Models) > 0 {
		models = append(models, u.Tree.Products...)
	}
	level := max(g.Required, topology.ClusterLevel)
	for _, model := range models {
		for _, d := range g.TreeOn(u.Tree).DomainsAt(level) {
			w.plan = Plan{Domain: d, Model: model, Nodes: make([][]topology.NodeID, len(g.Roles))}
			for r := range g.Roles {
				w.plan.Nodes[r] = make([]topology.NodeID, g.Roles[r].Count)
				for i := range w.plan.Nodes[r] {
					w.plan.Nodes[r][i] = NoNode
				}
			}
			w.place(0, 0)
		}
	}
}

// place tries every node for member i of role r, and leaving out the rest of
// the role.
func (w *twin) place(r, i int) bool {
	if r == len(w.g.Roles) {
		return w.seen(w.plan)
	}
	role := &w.g.Roles[r]
	if i == role.Count {
		return w.place(r+1, 0)
	}
	for n := range w.u.Tree.Nodes {
		free := w.free[n*len(role.Request) : (n+1)*len(role.Request)]
		fits := w.g.TreeOn(w.u.Tree).ContainsNode(w.plan.Domain, topology.NodeID(n)) && (role.Filter == nil || role.Filter.Exclusions[n] == gang.Eligible)
		for c, q := range role.Request {
			fits = fits && (q == 0 || free[c] >= q)
		}
		if !fits {
			continue
		}
		for c, q := range role.Request {
			free[c] -= q
		}
		w.plan.Nodes[r][i] = topology.NodeID(n)
		on := w.place(r, i+1)
		w.plan.Nodes[r][i] = NoNode
		for c, q := range role.Request {
			free[c] += q
		}
		if !on {
			return false
		}
	}
	return w.place(r+1, 0)
}

// placeable reports whether any plan exists.
func placeable(u *topology.Usage, g *gang.Gang) bool {
	found := false
	each(u, g, func(Plan) bool { found = true; return false })
	return found
}

// small draws a cluster of up to 6 nodes and a gang of up to 4 waiting members
// that uses every feature now and then.
func small(rng *rand.Rand) (*topology.Usage, *gang.Gang) {
	u := smallUsage(rng)
	return u, smallGang(rng, u)
}

func smallUsage(rng *rand.Rand) *topology.Usage {
	levels := []string{"block", "rack", "clique"}[:rng.IntN(4)]
	resources := []string{"nvidia.com/gpu", "cpu"}[:1+rng.IntN(2)]
	var nodes []topology.Node
	for i := range 1 + rng.IntN(6) {
		n := topology.Node{Name: fmt.Sprintf("n%d", i)}
		for range levels {
			domain := fmt.Sprintf("d%d", rng.IntN(2))
			if rng.IntN(8) == 0 {
				domain = ""
			}
			n.Domains = append(n.Domains, domain)
		}
		n.Model = []string{"", "NVIDIA-A100-SXM4-40GB", "NVIDIA-A10", "NVIDIA-H100-80GB-HBM3"}[rng.IntN(4)]
		nodes = append(nodes, n)
	}
	t, err := topology.NewTree(levels, nodes)
	if err != nil {
		panic(err)
	}
	if rng.IntN(4) == 0 {
		t = t.WithCrossing(smallChain(rng, len(nodes), "nvlink", "tray"))
	}
	u := topology.NewUsage(t, resources)
	for i := range u.Free {
		u.Capacity[i] = int64(rng.IntN(5))
		u.Free[i] = u.Capacity[i] - int64(rng.IntN(3))
	}
	if rng.IntN(4) == 0 {
		u.Cordoned = make([]bool, len(nodes))
		u.Cordoned[rng.IntN(len(nodes))] = true
	}
	return u
}

// smallChain draws domains of two or fewer levels that cross those of a tree.
func smallChain(rng *rand.Rand, nodes int, names ...string) topology.Chain {
	var chain topology.Chain
	for _, name := range names[:1+rng.IntN(len(names))] {
		level := topology.ChainLevel{Name: name}
		for range nodes {
			level.Domains = append(level.Domains, []string{"", "x1", "x1", "x2", "x2"}[rng.IntN(5)])
		}
		chain = append(chain, level)
	}
	return chain
}

func smallGang(rng *rand.Rand, u *topology.Usage) *gang.Gang {
	tree := u.Tree
	if rng.IntN(8) == 0 {
		tree = tree.WithCrossing(smallChain(rng, len(tree.Nodes), "key"))
	}
	level := func() topology.Level {
		return topology.Level(rng.IntN(len(tree.Levels)+2)) - 2
	}
	g := &gang.Gang{Name: "g", Required: level(), Preferred: level(), Slices: smallSlices(rng, tree)}
	if tree != u.Tree {
		g.Tree = tree
	}
	left := 1 + rng.IntN(4)
	for range 1 + rng.IntN(3) {
		role := gang.Role{Count: min(left, rng.IntN(4)), Required: topology.NoLevel, NearRole: rng.IntN(5) - 4}
		left -= role.Count
		for range u.Resources {
			role.Request = append(role.Request, int64(rng.IntN(3)))
		}
		if rng.IntN(4) == 0 {
			role.Required = level()
		}
		if rng.IntN(4) == 0 {
			role.Slices = smallSlices(rng, tree)
		}
		if rng.IntN(4) == 0 {
			role.MinCount = rng.IntN(role.Count + 1)
		}
		if rng.IntN(3) == 0 {
			role.Filter = &gang.Filter{Exclusions: make([]gang.Exclusion, len(u.Tree.Nodes))}
			for n := range role.Filter.Exclusions {
				role.Filter.Exclusions[n] = gang.Exclusion(max(0, rng.IntN(20)-19+int(gang.Other)))
			}
		}
		g.Roles = append(g.Roles, role)
	}
	for r := range g.Roles {
		g.Roles[r].NearRole = min(g.Roles[r].NearRole, len(g.Roles)-1)
	}
	if rng.IntN(3) == 0 {
		for range 1 + rng.IntN(3) {
			g.Bound = append(g.Bound, gang.Bound{
				Role: rng.IntN(len(g.Roles)), Rank: rng.IntN(5) - 1,
				Node: topology.NodeID(rng.IntN(len(u.Tree.Nodes)+1) - 1),
			})
		}
	}
	if rng.IntN(3) == 0 {
		g.Models = []string{"A10", "H100", "A100"}[rng.IntN(3):]
	}
	g.MinCount = rng.IntN(g.MemberCount() + 1)
	if rng.IntN(3) > 0 {
		g.MinCount = g.MemberCount()
	}
	for r := range g.Roles {
		if rng.IntN(4) == 0 {
			g.Roles[r].Ranks = smallRanks(rng, g, r)
		}
	}
	return g
}

// smallRanks gives the waiting members of role r ranks with gaps between them,
// which no bound member has.
func smallRanks(rng *rand.Rand, g *gang.Gang, r int) []int {
	ranks := make([]int, 0, g.Roles[r].Count)
	for rank := 0; len(ranks) < g.Roles[r].Count; rank++ {
		bound := slices.ContainsFunc(g.Bound, func(b gang.Bound) bool { return b.Role == r && b.Rank == rank })
		if !bound && rng.IntN(3) > 0 {
			ranks = append(ranks, rank)
		}
	}
	return ranks
}

func smallSlices(rng *rand.Rand, tree *topology.Tree) []gang.Slice {
	var layers []gang.Slice
	size := []int{4, 2, 3, 1}[rng.IntN(4)]
	levels := make([]int, len(tree.Levels))
	for l := range levels {
		levels[l] = l
	}
	if tree.Main() != tree && rng.IntN(2) == 0 { // those that cross around the others
		main := len(tree.Main().Levels)
		levels = slices.Concat(levels[main:], levels[:main])
	}
	for _, l := range levels {
		if rng.IntN(4) > 0 || len(layers) == gang.MaxSlices {
			continue
		}
		layers = append(layers, gang.Slice{Size: size, Level: topology.Level(l), Preferred: rng.IntN(3) == 0})
		if size%2 == 0 {
			size /= 2
		}
	}
	return layers
}

// compareWithTwin solves one small case and lets the twin judge.
func compareWithTwin(t *testing.T, u *topology.Usage, g *gang.Gang) Plan {
	t.Helper()
	plan := Solve(u, g)
	drawn := func() string {
		var crossing []string
		tree := g.TreeOn(u.Tree)
		for d := len(tree.Main().Domains); d < len(tree.Domains); d++ {
			for n := range tree.NodesOf(topology.DomainID(d)) {
				crossing = append(crossing, fmt.Sprintf("%s in %s %s", tree.Nodes[n].Name, tree.Levels[tree.Domains[d].Level], tree.DomainPath(topology.DomainID(d))))
			}
		}
		return fmt.Sprintf("%s%s\n%+v\nplan %+v", topology.FormatUsage(u), strings.Join(crossing, "\n"), *g, plan)
	}
	require.NoError(t, Check(u, g, plan), "a plan breaks a rule\n%s", drawn())
	if g.WaitingCount() == 0 {
		return plan
	}
	if plan.Refusal != nil {
		require.NotEmpty(t, plan.Refusal.Error())
		if plan.Refusal.Reason == TopologyDrift && slices.ContainsFunc(g.Bound, func(b gang.Bound) bool { return b.Node < 0 }) {
			return plan // Check lets a member on an unknown node be anywhere
		}
	}
	require.Equal(t, placeable(u, g), plan.Refusal == nil, "the twin disagrees\n%s\nrefusal %v", drawn(), plan.Refusal)
	return plan
}

func TestSolve_AgreesWithTwin(t *testing.T) {
	placed := 0
	const cases = 4000
	for seed := range uint64(cases) {
		u, g := small(rand.New(rand.NewPCG(seed, 1)))
		if plan := compareWithTwin(t, u, g); plan.Refusal == nil {
			placed++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	require.Greater(t, placed, cases/5, "too few of the cases can be placed")
	require.Less(t, placed, cases*4/5, "too few of the cases are refused")
}
