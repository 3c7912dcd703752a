// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package benchmarks

import (
	"fmt"
	"testing"

	traces "github.com/muster-scheduler/muster/internal/demo/data"
	"github.com/muster-scheduler/muster/internal/sim"
	"github.com/muster-scheduler/muster/internal/trace"
)

// loads are the traces under a range of loads: at one load alone a few gangs
// decide which policy looks best.
var loads = []struct {
	name  string
	steps int
	// config is the replay of a step.
	config func(b *testing.B, step int) sim.Config
}{
	{"kalos", 16, func(b *testing.B, step int) sim.Config {
		return kalosReplay(b, 0.5+0.1*float64(step))
	}},
	{"philly", 9, func(b *testing.B, step int) sim.Config {
		jobs := must(traces.PhillyGangs())(b)
		return sim.Config{Nodes: lingjun(b, 72+4*step), Shape: sim.Shape{GPUs: trace.GPUsPerNode}, Gangs: jobs}
	}},
	{"mixed", 9, func(b *testing.B, step int) sim.Config {
		cfg := kalosReplay(b, 0.4+0.05*float64(step))
		jobs := must(traces.PhillyGangs())(b)
		cfg.Gangs = must(trace.MixSingles(cfg.Gangs, jobs, 0.3, cfg.Shape.TotalGPUs(cfg.Nodes)))(b)
		return cfg
	}},
}

func kalosReplay(b *testing.B, load float64) sim.Config {
	cfg := sim.Config{
		Nodes: lingjun(b, 302), Gangs: must(traces.KalosGangs())(b),
		Shape: sim.Shape{GPUs: trace.GPUsPerNode, CPUMilli: 128_000, MemBytes: 2048e9},
	}
	var err error
	cfg.Gangs, _, err = trace.Compression{Speed: 1, Load: load, GPUs: cfg.Shape.TotalGPUs(cfg.Nodes)}.Apply(cfg.Gangs)
	if err != nil {
		b.Fatal(err)
	}
	return cfg
}

func lingjun(b *testing.B, nodes int) []trace.Node {
	return must(traces.LingjunNodes())(b)[:nodes]
}

func must[T any](value T, err error) func(*testing.B) T {
	return func(b *testing.B) T {
		if err != nil {
			b.Fatal(err)
		}
		return value
	}
}

// BenchmarkReplay replays each trace under each policy at a range of loads and
// reports the means: hours that a gang and a single pod waited, GPUs at work, of
// the gangs that fit one leaf how many got one, gangs that were partly started,
// and how much of the time a later gang of 8 nodes would fit one leaf and one of
// 64 one spine.
func BenchmarkReplay(b *testing.B) {
	for _, replay := range loads {
		for _, name := range []string{
			"muster", "muster/scored", "muster/planned", "muster/most-allocated", "muster/least-allocated",
			"first-fit", "best-fit", "spread", "loose",
		} {
			b.Run(fmt.Sprintf("trace=%s/policy=%s", replay.name, name), func(b *testing.B) {
				policy := must(sim.PolicyNamed(name))(b)
				for b.Loop() {
					var m means
					for step := range replay.steps {
						cfg := replay.config(b, step)
						cfg.Policy = policy
						result := must(sim.Run(cfg))(b)
						m.add(sim.NewSummary(&cfg, result))
					}
					m.report(b)
				}
			})
		}
	}
}

// means adds up summaries.
type means struct {
	runs, fit, inOne, partial     int
	gangs, singles, working       float64
	leaf, spine                   float64
	gangCount, singleCount, stuck int
}

func (m *means) add(s sim.Summary) {
	m.runs++
	m.fit, m.inOne, m.partial, m.stuck = m.fit+s.FitLeaf, m.inOne+s.InOneLeaf, m.partial+s.Partial, m.stuck+s.Gangs-s.Placed
	for _, w := range s.Waits {
		switch w.Class {
		case "part of a node", "1 pod":
			m.singles += w.Mean * float64(w.Gangs)
			m.singleCount += w.Gangs
		case "all", "all gangs", "all single pods":
		default:
			m.gangs += w.Mean * float64(w.Gangs)
			m.gangCount += w.Gangs
		}
	}
	m.working += s.Working
	for _, f := range s.Fits {
		switch f.Nodes {
		case 8:
			m.leaf += f.Leaf
		case 64:
			m.spine += f.Spine
		}
	}
}

func (m *means) report(b *testing.B) {
	percent := func(sum float64) float64 { return 100 * sum / float64(m.runs) }
	b.ReportMetric(m.gangs/float64(m.gangCount)/3600, "gang-wait-h")
	b.ReportMetric(m.singles/float64(m.singleCount)/3600, "single-wait-h")
	b.ReportMetric(percent(m.working), "working%")
	b.ReportMetric(100*float64(m.inOne)/float64(m.fit), "one-leaf%")
	b.ReportMetric(float64(m.partial), "partial")
	b.ReportMetric(float64(m.stuck), "unplaced")
	b.ReportMetric(percent(m.leaf), "8-in-leaf%")
	b.ReportMetric(percent(m.spine), "64-in-spine%")
}
