// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package benchmarks

import (
	"bytes"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// kalosFleet is 302 nodes of 8 GPUs on the first hosts of the Lingjun fabric:
// two spines, leaves of up to 8 nodes.
func kalosFleet(b *testing.B) *topology.Usage {
	hosts, err := trace.Nodes("fabric", data(b, "fabric_lingjun2023.csv"))
	if err != nil {
		b.Fatal(err)
	}
	var nodes []topology.Node
	for _, h := range hosts[:302] {
		nodes = append(nodes, topology.Node{Name: h.Name, Domains: []string{h.Spine, h.Leaf}})
	}
	tree, err := topology.NewTree([]string{"spine", "leaf"}, nodes)
	if err != nil {
		b.Fatal(err)
	}
	u := topology.NewUsage(tree, []string{"nvidia.com/gpu"})
	for i := range u.Free {
		u.Free[i], u.Capacity[i] = 8, 8
	}
	return u
}

// data is a file of the demo.
func data(b *testing.B, name string) io.Reader {
	text, err := os.ReadFile("../internal/demo/data/" + name)
	if err != nil {
		b.Fatal(err)
	}
	return bytes.NewReader(text)
}

// kalosGangs are the gangs of the trace.
func kalosGangs(b *testing.B) []trace.Gang {
	gangs, err := trace.Gangs("kalos", data(b, "gangs_kalos.csv"))
	if err != nil {
		b.Fatal(err)
	}
	return gangs
}

// The arrivals of the trace keep the fleet 7% busy. They are brought closer
// together, by a factor from loosest to tightest in turn; the gangs run as long
// as they did. One factor alone is a matter of luck: the trace has 160 gangs.
const loosest, tightest = 6, 25

// BenchmarkKalos replays the Kalos gangs first come first served under each
// policy. It reports the hours that gangs waited in all, and after each start or
// end, in percent of the moments, how often a later gang of 8 nodes would find
// one leaf and one of 64 nodes one spine; of the gangs of 2 to 8 nodes how many
// got one leaf; and the rank cost of all gangs. Hours and cost are means of the
// replays.
func BenchmarkKalos(b *testing.B) {
	for _, pol := range policies() {
		b.Run("policy="+pol.name, func(b *testing.B) {
			var q queue
			for b.Loop() {
				q = queue{policy: pol}
				for squeeze := time.Duration(loosest); squeeze <= tightest; squeeze++ {
					q.u, q.running = kalosFleet(b), nil
					q.planner = placement.NewPlanner(q.u)
					q.run(kalosGangs(b), squeeze)
				}
			}
			const replays = tightest - loosest + 1
			b.ReportMetric(q.waited.Hours()/replays, "waited-h")
			b.ReportMetric(100*float64(q.leaf)/float64(q.moments), "8-in-leaf%")
			b.ReportMetric(100*float64(q.spine)/float64(q.moments), "64-in-spine%")
			b.ReportMetric(100*float64(q.together)/float64(q.fitting), "one-leaf%")
			b.ReportMetric(float64(q.cost)/replays, "rank-cost")
		})
	}
}

// queue plays gangs in virtual time.
type queue struct {
	policy  policy
	u       *topology.Usage
	planner *placement.Planner
	running []running // by end
	waited  time.Duration

	moments, leaf, spine int
	fitting, together    int // gangs of 2 to 8 nodes, and those in one leaf
	cost                 int // rank cost of all gangs
}

type running struct {
	end     time.Duration
	nodes   []topology.NodeID
	request []int64
}

func (q *queue) run(gangs []trace.Gang, squeeze time.Duration) {
	now := time.Duration(0)
	for _, job := range gangs {
		arrival := job.Arrival / squeeze
		now = max(now, arrival)
		q.endUntil(now)
		g := nodesOf(job.Pods, int64(job.GPUs), topology.NoLevel, 1)
		nodes := q.policy.place(q.planner, q.u, g)
		for nodes == nil && len(q.running) > 0 {
			now = q.running[0].end
			q.endUntil(now)
			nodes = q.policy.place(q.planner, q.u, g)
		}
		q.waited += now - arrival
		q.start(running{end: now + job.Run, nodes: nodes, request: g.Roles[0].Request})
	}
}

func (q *queue) start(r running) {
	for _, n := range r.nodes {
		q.planner.AllocateOn(n, r.request)
	}
	q.cost += placement.RankCost(q.u.Tree, r.nodes)
	if len(r.nodes) > 1 && len(r.nodes) <= 8 {
		q.fitting++
		if inOne(q.u.Tree, 1, r.nodes) {
			q.together++
		}
	}
	at, _ := slices.BinarySearchFunc(q.running, r.end, func(r running, end time.Duration) int { return int(r.end - end) })
	q.running = slices.Insert(q.running, at, r)
	q.probe()
}

func (q *queue) endUntil(now time.Duration) {
	for len(q.running) > 0 && q.running[0].end <= now {
		for _, n := range q.running[0].nodes {
			q.planner.ReleaseOn(n, q.running[0].request)
		}
		q.running = q.running[1:]
		q.probe()
	}
}

// kalosProbes are asked after on the Lingjun fabric.
var kalosProbes = []probe{{"8-in-leaf", 8, 1}, {"64-in-spine", 64, 0}}

func (q *queue) probe() {
	q.moments++
	if kalosProbes[0].fits(q.planner) {
		q.leaf++
	}
	if kalosProbes[1].fits(q.planner) {
		q.spine++
	}
}

// nodesOf is a gang of so many pods.
func nodesOf(pods int, gpus int64, required, preferred topology.Level) *gang.Gang {
	return &gang.Gang{
		Name: "g", MinCount: pods, Required: required, Preferred: preferred,
		Roles: []gang.Role{{Count: pods, Request: []int64{gpus}, Required: topology.NoLevel, NearRole: -1}},
	}
}
