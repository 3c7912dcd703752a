// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package benchmarks

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// policy places a gang on a cluster, or gives nil.
type policy struct {
	name  string
	place func(*placement.Planner, *topology.Usage, *gang.Gang) []topology.NodeID
}

// policies are Muster and three that choose a node for one pod after the other:
// the first with room, the one with the least room, the one with the most. The
// last is what kube-scheduler does by default, and like it breaks ties without
// regard to place; the other two profit from nodes being numbered along the
// fabric.
func policies() []policy {
	return []policy{
		{"muster", func(p *placement.Planner, _ *topology.Usage, g *gang.Gang) []topology.NodeID {
			if plan := p.Solve(g); plan.Refusal == nil {
				return plan.Nodes[0]
			}
			return nil
		}},
		{"first-fit", podByPod(func(topology.NodeID, int64) int64 { return 0 })},
		{"best-fit", podByPod(func(_ topology.NodeID, free int64) int64 { return free })},
		{"spread", podByPod(func(n topology.NodeID, free int64) int64 { return -free<<32 + int64(scramble(int(n))) })},
	}
}

// podByPod places each pod of a gang by itself.
func podByPod(score nodeScore) func(*placement.Planner, *topology.Usage, *gang.Gang) []topology.NodeID {
	return func(_ *placement.Planner, u *topology.Usage, g *gang.Gang) []topology.NodeID {
		return eachPod(u, g, u.Tree.Domains[0], score)
	}
}

// nodeScore ranks a node with so many free GPUs, the lowest first.
type nodeScore func(n topology.NodeID, free int64) int64

// eachPod places each pod on the node of a domain with the lowest score, the
// first of equals.
func eachPod(u *topology.Usage, g *gang.Gang, in topology.Domain, score nodeScore) []topology.NodeID {
	role := &g.Roles[0]
	var nodes []topology.NodeID
	for range role.Count {
		best := placement.NoNode
		for n := in.First; n < in.End; n++ {
			if free := u.FreeRow(n)[0]; free >= role.Request[0] &&
				(best == placement.NoNode || score(n, free) < score(best, u.FreeRow(best)[0])) {
				best = n
			}
		}
		if best == placement.NoNode {
			break
		}
		u.AllocateOn(best, role.Request)
		nodes = append(nodes, best)
	}
	for _, n := range nodes {
		u.ReleaseOn(n, role.Request)
	}
	if len(nodes) < role.Count {
		return nil
	}
	return nodes
}

// arrival is a gang and how many arrivals later it ends.
type arrival struct {
	gang *gang.Gang
	ends int
}

// arrivals draws gangs whose sizes are those of a training cluster, mostly
// parts of a node and single nodes, with most of the GPUs in few large ones.
func arrivals(seed uint64, count int) []arrival {
	rng := rand.New(rand.NewPCG(seed, 1))
	var all []arrival
	for range count {
		pods, gpus := 1, int64(1)<<rng.IntN(3)
		switch x := rng.IntN(100); {
		case x < 30: // part of a node
		case x < 60:
			gpus = 8
		default:
			pods, gpus = 2<<min(rng.IntN(6), rng.IntN(6)), 8
		}
		g := &gang.Gang{
			Name: "g", MinCount: pods, Required: topology.NoLevel, Preferred: 1,
			Roles: []gang.Role{{Count: pods, Request: []int64{gpus}, Required: topology.NoLevel, NearRole: -1}},
		}
		all = append(all, arrival{g, 1 + int(rng.ExpFloat64()*120)})
	}
	return all
}

// numbered names nodes along the fabric; hashed names them as clouds do, by an
// address or an instance that says nothing of the place.
func numbered(i int) string { return fmt.Sprintf("node-%d", i) }
func hashed(i int) string   { return fmt.Sprintf("node-%08x", scramble(i)) }

// scramble gives each number another one, in no visible order.
func scramble(i int) uint32 { return uint32(i+1) * 2654435761 }

// empty is a cluster of so many idle nodes of 8 GPUs, 16 to the rack, 8 racks
// to the block.
func empty(nodeCount int, name func(int) string) *topology.Usage {
	nodes := make([]topology.Node, nodeCount)
	for i := range nodes {
		nodes[i] = topology.Node{
			Name:    name(i),
			Domains: []string{fmt.Sprintf("block-%d", i/128), fmt.Sprintf("rack-%d", i/16)},
		}
	}
	tree, err := topology.NewTree([]string{"block", "rack"}, nodes)
	if err != nil {
		panic(err)
	}
	u := topology.NewUsage(tree, []string{"nvidia.com/gpu"})
	for i := range u.Free {
		u.Free[i], u.Capacity[i] = 8, 8
	}
	return u
}

// replays is how many drawn lists of arrivals are played. The moments of one
// list resemble one another, so that a few lists differ by luck.
const replays = 40

// BenchmarkFutureGangs replays arrivals and departures under each policy and
// reports, in percent of the moments, how often a later gang of each size would
// still fit (pods of 8 GPUs: 8 in one rack, 16 in one rack, 64 in one block),
// how many gangs were placed, and how many got what they prefer: one rack for
// 2 to 16 pods, one block for 64.
func BenchmarkFutureGangs(b *testing.B) {
	for _, pol := range policies() {
		b.Run("policy="+pol.name, func(b *testing.B) {
			var f figures
			for b.Loop() {
				f = figures{}
				for seed := range uint64(replays) {
					f.replay(pol, empty(512, numbered), arrivals(seed, 2000))
				}
			}
			f.report(b)
		})
	}
}

// probe is a later gang that is asked after, of pods of 8 GPUs in one domain.
type probe struct {
	name  string
	pods  int
	level topology.Level
}

// fits reports whether the gang would find room.
func (a probe) fits(p *placement.Planner) bool {
	return p.Solve(nodesOf(a.pods, 8, a.level, topology.NoLevel)).Refusal == nil
}

var probes = []probe{{"8-in-rack", 8, 1}, {"16-in-rack", 16, 1}, {"64-in-block", 64, 0}}

// figures are what a replay counts.
type figures struct {
	moments, gangs, placed int
	small, oneRack         int // of 2 to 16 pods
	large, oneBlock        int // of 64 pods
	fit                    [3]int
	used                   int64
}

func (f *figures) replay(pol policy, u *topology.Usage, all []arrival) {
	p := placement.NewPlanner(u)
	ending := map[int][]func(){}
	for now, a := range all {
		for _, end := range ending[now] {
			end()
		}
		delete(ending, now)
		f.gangs++
		request := a.gang.Roles[0].Request
		nodes := pol.place(p, u, a.gang)
		for _, n := range nodes {
			p.AllocateOn(n, request)
		}
		if nodes != nil {
			f.placed++
			f.locality(u.Tree, nodes)
			ending[now+a.ends] = append(ending[now+a.ends], func() {
				for _, n := range nodes {
					p.ReleaseOn(n, request)
				}
			})
		}
		if now >= 300 && now%5 == 0 { // once the cluster has filled up
			f.probe(p, u)
		}
	}
}

func (f *figures) locality(t *topology.Tree, nodes []topology.NodeID) {
	switch count := len(nodes); {
	case count >= 2 && count <= 16:
		f.small++
		if inOne(t, 1, nodes) {
			f.oneRack++
		}
	case count == 64:
		f.large++
		if inOne(t, 0, nodes) {
			f.oneBlock++
		}
	}
}

// inOne reports whether all nodes stand in one domain of a level.
func inOne(t *topology.Tree, level topology.Level, nodes []topology.NodeID) bool {
	first, _ := t.DomainAt(nodes[0], level)
	return !slices.ContainsFunc(nodes, func(n topology.NodeID) bool { return !t.ContainsNode(first, n) })
}

func (f *figures) probe(p *placement.Planner, u *topology.Usage) {
	f.moments++
	for i, probe := range probes {
		if probe.fits(p) {
			f.fit[i]++
		}
	}
	for _, free := range u.Free {
		f.used += 8 - free
	}
}

func (f *figures) report(b *testing.B) {
	percent := func(n, of int) float64 { return 100 * float64(n) / float64(of) }
	for i, probe := range probes {
		b.ReportMetric(percent(f.fit[i], f.moments), probe.name+"%")
	}
	b.ReportMetric(percent(f.placed, f.gangs), "placed%")
	b.ReportMetric(percent(f.oneRack, f.small), "one-rack%")
	b.ReportMetric(percent(f.oneBlock, f.large), "64-one-block%")
	b.ReportMetric(float64(f.used)/float64(f.moments)/(512*8)*100, "used%")
}

// BenchmarkRankCost reports the sum over rank neighbours of the tree distance
// for a gang of 256 on a cluster three quarters busy: as planned, with the same
// nodes given out in the order of their names as text, and at random.
func BenchmarkRankCost(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	u := empty(1024, hashed)
	for n := range u.Tree.Nodes {
		if rng.IntN(4) > 0 && n%32 < 24 {
			u.AllocateOn(topology.NodeID(n), []int64{8})
		}
	}
	g := &gang.Gang{
		Name: "train", MinCount: 256, Required: topology.NoLevel, Preferred: 1,
		Roles: []gang.Role{{Count: 256, Request: []int64{8}, Required: topology.NoLevel, NearRole: -1}},
	}
	var plan placement.Plan
	for b.Loop() {
		plan = placement.Solve(u, g)
	}
	if plan.Refusal != nil {
		b.Fatal(plan.Refusal)
	}
	nodes := plan.Nodes[0]
	b.ReportMetric(float64(placement.RankCost(u.Tree, nodes)), "plan")
	b.ReportMetric(float64(placement.RankCost(u.Tree, byName(u.Tree, nodes))), "name-order")
	rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	b.ReportMetric(float64(placement.RankCost(u.Tree, nodes)), "random")
}

// byName sorts nodes by name as text, as a scheduler does that gives ranks out
// in the order of kubectl.
func byName(t *topology.Tree, nodes []topology.NodeID) []topology.NodeID {
	sorted := slices.Clone(nodes)
	slices.SortFunc(sorted, func(x, y topology.NodeID) int { return cmp.Compare(t.Nodes[x].Name, t.Nodes[y].Name) })
	return sorted
}
