// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package benchmarks

import (
	"fmt"
	"slices"
	"testing"
	"time"

	traces "github.com/muster-scheduler/muster/internal/demo/data"
	"github.com/muster-scheduler/muster/internal/sim"
	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// The levels of package sim that gangs of BenchmarkMixed ask for.
const (
	spine topology.Level = 1
	leaf  topology.Level = 2
)

// BenchmarkMixed replays the gangs of Kalos among single pods of Philly, 35
// times at loads from 0.3 to 0.6 for the gangs and 0.1 to 0.3 for the singles,
// with and without regard of the single pods for gangs. Where gangs prefer a
// leaf, nothing but whole nodes keeps them waiting; where they require one leaf
// (of 8 nodes at most) or one spine (the others), singles can be in the way. It
// reports how long gangs and singles wait, of the gangs of 2 to 8 nodes how many
// got one leaf, and in how many leaves a gang stands.
func BenchmarkMixed(b *testing.B) {
	for _, required := range []bool{false, true} {
		for _, name := range []string{"muster/scored", "muster"} {
			b.Run(fmt.Sprintf("required=%t/policy=%s", required, name), func(b *testing.B) {
				policy := must(sim.PolicyNamed(name))(b)
				if required {
					policy.Gang = requiring(policy.Gang)
				}
				for b.Loop() {
					var m mixed
					for gangs := 30; gangs <= 60; gangs += 5 {
						for singles := 10; singles <= 30; singles += 5 {
							m.replay(b, policy, float64(gangs)/100, float64(singles)/100)
						}
					}
					m.report(b)
				}
			})
		}
	}
}

// requiring makes gangs of up to 8 pods require one leaf, others one spine.
func requiring(plan func(*sim.Cluster, *gang.Gang) placement.Plan) func(*sim.Cluster, *gang.Gang) placement.Plan {
	return func(c *sim.Cluster, g *gang.Gang) placement.Plan {
		asks := *g
		asks.Required = spine
		if g.Roles[0].Count <= 8 {
			asks.Required = leaf
		}
		return plan(c, &asks)
	}
}

// mixed is what the replays showed.
type mixed struct {
	gangs, singles  []time.Duration // waits
	small, together int             // gangs of 2 to 8 nodes, and those in one leaf
	leaves          int
}

func (m *mixed) replay(b *testing.B, policy sim.Policy, gangLoad, singleLoad float64) {
	cfg := kalosReplay(b, gangLoad)
	cfg.Gangs = must(trace.MixSingles(cfg.Gangs, must(traces.PhillyGangs())(b), singleLoad, cfg.Shape.TotalGPUs(cfg.Nodes)))(b)
	cfg.Policy = policy
	for _, r := range must(sim.Run(cfg))(b).Records {
		if r.Pods == 1 {
			m.singles = append(m.singles, r.Placed-r.Arrival)
			continue
		}
		m.gangs = append(m.gangs, r.Placed-r.Arrival)
		m.leaves += r.Leaves
		if r.Pods <= 8 {
			m.small++
			if r.Leaves == 1 {
				m.together++
			}
		}
	}
}

func (m *mixed) report(b *testing.B) {
	for _, of := range []struct {
		name  string
		waits []time.Duration
	}{{"gang", m.gangs}, {"single", m.singles}} {
		slices.Sort(of.waits)
		var sum time.Duration
		for _, w := range of.waits {
			sum += w
		}
		at := func(percent int) float64 { return of.waits[len(of.waits)*percent/100].Seconds() }
		b.ReportMetric(sum.Seconds()/float64(len(of.waits)), of.name+"-wait-s")
		b.ReportMetric(at(50), of.name+"-p50-s")
		b.ReportMetric(at(95), of.name+"-p95-s")
	}
	b.ReportMetric(100*float64(m.together)/float64(m.small), "one-leaf%")
	b.ReportMetric(float64(m.leaves)/float64(len(m.gangs)), "leaves/gang")
}
