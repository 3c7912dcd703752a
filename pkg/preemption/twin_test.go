// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package preemption_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/preemption"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// maxTwinUnits bounds the clusters of which every set of victims is tried.
const maxTwinUnits = 11

// randomProblem draws a small full cluster: racks of a few nodes with four GPUs
// each, gangs and single pods of three priorities on them, and a gang above them.
func randomProblem(r *rand.Rand) *preemption.Problem {
	racks, perRack := 1+r.IntN(3), 1+r.IntN(3)
	var nodes []topology.Node
	for i := range racks {
		for j := range perRack {
			nodes = append(nodes, topology.Node{Name: fmt.Sprintf("r%d-n%d", i, j), Domains: []string{fmt.Sprintf("rack-%d", i)}})
		}
	}
	tree, err := topology.NewTree([]string{"rack"}, nodes)
	if err != nil {
		panic(err)
	}
	u := topology.NewUsage(tree, []string{topology.GPU})
	for n := range nodes {
		u.CapacityRow(topology.NodeID(n))[0], u.FreeRow(topology.NodeID(n))[0] = 4, 4
	}
	p := &preemption.Problem{Usage: u, Priority: 10}
	p.Workloads = randomWorkloads(r, u)
	p.Gang = randomGang(r, racks*perRack)
	if r.IntN(3) == 0 {
		p.Strict = r.IntN(2) == 0
		addBudgets(r, p)
	}
	return p
}

// randomWorkloads fills the cluster with gangs and single pods.
func randomWorkloads(r *rand.Rand, u *topology.Usage) []preemption.Workload {
	var all []preemption.Workload
	for units := 0; units < maxTwinUnits-4; {
		w := preemption.Workload{Name: fmt.Sprintf("w-%d", len(all)), Priority: int32(r.IntN(3) * 5), Gang: r.IntN(2) == 0}
		if r.IntN(8) == 0 {
			w.Exempt = preemption.Protected
		}
		size := 1
		if w.Gang {
			size = 1 + r.IntN(4)
		}
		want := int64(1 + r.IntN(4))
		for range size {
			n := topology.NodeID(r.IntN(len(u.Tree.Nodes)))
			if u.FreeRow(n)[0] < want {
				continue
			}
			u.AllocateOn(n, []int64{want})
			w.Pods = append(w.Pods, preemption.Pod{Name: fmt.Sprint(len(w.Pods)), Node: n, Request: []int64{want}, Work: int64(r.IntN(20)) * want})
		}
		units++
		if w.Gang && len(w.Pods) > 1 && r.IntN(3) == 0 {
			w.Spare = 1 + r.IntN(len(w.Pods)-1)
			units += len(w.Pods)
		}
		if len(w.Pods) > 0 {
			all = append(all, w)
		}
	}
	return all
}

// randomGang is a gang that is likely to find no room.
func randomGang(r *rand.Rand, nodes int) *gang.Gang {
	count := 1 + r.IntN(max(1, nodes))
	g := &gang.Gang{Name: "high", MinCount: count, Required: topology.NoLevel, Preferred: topology.NoLevel}
	switch r.IntN(3) {
	case 0:
		g.Required = 0
	case 1:
		g.Preferred = 0
	}
	g.Roles = []gang.Role{{Count: count, Request: []int64{int64(1 + r.IntN(4))}, Required: topology.NoLevel, NearRole: -1}}
	if r.IntN(4) == 0 {
		g.Roles[0].Name = "worker"
		g.Roles = append(g.Roles, gang.Role{Name: "leader", Count: 1, Request: []int64{int64(1 + r.IntN(4))}, Required: topology.NoLevel, NearRole: -1})
		g.MinCount++
	}
	return g
}

// addBudgets draws one budget over some pods.
func addBudgets(r *rand.Rand, p *preemption.Problem) {
	p.Budgets = []preemption.Budget{{Name: "budget", Allowed: r.IntN(3)}}
	for i := range p.Workloads {
		for j := range p.Workloads[i].Pods {
			if r.IntN(3) == 0 {
				p.Workloads[i].Pods[j].Budgets = []int{0}
			}
		}
	}
}

// cheapestByForce tries every set of victims. It returns the price of the cheapest,
// and whether there is one.
func cheapestByForce(p *preemption.Problem) (preemption.Price, bool) {
	type choice struct{ victims []preemption.Victim }
	options := make([][]preemption.Victim, 0, len(p.Workloads))
	for i, w := range p.Workloads {
		if w.Exempt != preemption.Preemptible || w.Priority >= p.Priority {
			continue
		}
		all := make([]int, len(w.Pods))
		for j := range all {
			all[j] = j
		}
		mine := []preemption.Victim{{Workload: i, Pods: all, Whole: true}}
		for set := 1; w.Gang && set < 1<<len(w.Pods); set++ {
			var pods []int
			for j := range w.Pods {
				if set&(1<<j) != 0 {
					pods = append(pods, j)
				}
			}
			if len(pods) <= w.Spare {
				mine = append(mine, preemption.Victim{Workload: i, Pods: pods})
			}
		}
		options = append(options, mine)
	}
	var best preemption.Price
	found := false
	var try func(i int, c choice)
	try = func(i int, c choice) {
		if i == len(options) {
			price := priceByForce(p, c.victims)
			if p.Strict && price.Budgets > 0 || found && price.Compare(best, p.Ignored) >= 0 {
				return
			}
			if placement.Solve(without(p, c.victims), p.Gang).Refusal == nil {
				best, found = price, true
			}
			return
		}
		try(i+1, c)
		for _, v := range options[i] {
			try(i+1, choice{append(c.victims[:len(c.victims):len(c.victims)], v)})
		}
	}
	try(0, choice{})
	return best, found
}

func without(p *preemption.Problem, victims []preemption.Victim) *topology.Usage {
	u := p.Usage.Clone()
	for _, v := range victims {
		for _, pod := range v.Pods {
			u.ReleaseOn(p.Workloads[v.Workload].Pods[pod].Node, p.Workloads[v.Workload].Pods[pod].Request)
		}
	}
	return u
}

func priceByForce(p *preemption.Problem, victims []preemption.Victim) preemption.Price {
	price := preemption.Price{Priority: -1 << 31}
	going := make([]int, len(p.Budgets))
	for _, v := range victims {
		w := &p.Workloads[v.Workload]
		price.Priority = max(price.Priority, w.Priority)
		price.Pods += len(v.Pods)
		if v.Whole && w.Gang {
			price.Gangs++
		}
		for _, pod := range v.Pods {
			price.Work += w.Pods[pod].Work
			for _, b := range w.Pods[pod].Budgets {
				if going[b]++; going[b] > p.Budgets[b].Allowed {
					price.Budgets++
				}
			}
		}
	}
	return price
}

// The search agrees with trying everything on whether there is a set of victims,
// and is hardly ever dearer.
func TestChooseVictims_AgreesWithTryingEverything(t *testing.T) {
	const draws = 3000
	r := rand.New(rand.NewPCG(1, 2))
	asked, dearer := 0, 0
	for i := range draws {
		p := randomProblem(r)
		before := p.Usage.Clone()
		a := preemption.ChooseVictims(placement.NewPlanner(p.Usage), p)
		require.Equal(t, before.Free, p.Usage.Free, "draw %d: the cluster is as before", i)
		require.NoError(t, preemption.Check(p, a), "draw %d: %s", i, describe(p, a))
		want, exists := cheapestByForce(p)
		require.Equal(t, exists, a.Plan.Refusal == nil, "draw %d: %s", i, describe(p, a))
		if !exists || len(a.Victims) == 0 {
			continue
		}
		asked++
		require.Equal(t, priceByForce(p, a.Victims), a.Price, "draw %d", i)
		c := a.Price.Compare(want, p.Ignored)
		require.GreaterOrEqual(t, c, 0, "draw %d", i)
		require.False(t, a.Proven && c != 0, "draw %d: called the cheapest, %+v is cheaper: %s", i, want, describe(p, a))
		if c > 0 {
			dearer++
			if testing.Verbose() && dearer <= 8 {
				t.Logf("draw %d: want %+v got %s", i, want, describe(p, a))
			}
		}
	}
	t.Logf("%d of %d with victims are not the cheapest", dearer, asked)
	assert.Greater(t, asked, draws/4)
	assert.LessOrEqual(t, dearer*50, asked, "at most 2 %% are not the cheapest")
}

func describe(p *preemption.Problem, a preemption.Answer) string {
	text := fmt.Sprintf("gang %+v\n%s", *p.Gang, topology.FormatUsage(p.Usage))
	for i, w := range p.Workloads {
		text += fmt.Sprintf("%d: %+v\n", i, w)
	}
	return text + fmt.Sprintf("budgets %+v strict %v\nvictims %+v price %+v", p.Budgets, p.Strict, a.Victims, a.Price)
}
