// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package benchmarks

import (
	"slices"
	"testing"
	"time"

	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// BenchmarkSameGangs compares policies on equal terms: each has a cluster of its
// own, every gang must stand in one domain, a narrow one if its size allows and
// else a wide one, and it starts only when each of the policies has found it one.
// So at every moment the clusters hold the same gangs, and only the choice of the
// domain and of the nodes in it differs. It reports, in percent of the moments,
// how often a later gang would fit, and in percent of the gangs that ask for a
// narrow or a wide domain, how often the policy had none when they arrived. The
// arrivals are those of BenchmarkFutureGangs, where a gang that does not start is
// gone, and those of BenchmarkKalos, where it waits and keeps the others waiting.
func BenchmarkSameGangs(b *testing.B) {
	for i, pol := range domainPolicies() {
		b.Run("arrivals=drawn/policy="+pol.name, func(b *testing.B) {
			var s *abreast
			for b.Loop() {
				s = newAbreast(16, probes)
				for seed := range uint64(replays) {
					s.reset(func() *topology.Usage { return empty(512, numbered) })
					s.draw(arrivals(seed, 2000))
				}
			}
			s.lanes[i].report(b, probes)
		})
		b.Run("arrivals=kalos/policy="+pol.name, func(b *testing.B) {
			var s *abreast
			for b.Loop() {
				s = newAbreast(8, kalosProbes)
				for squeeze := time.Duration(loosest); squeeze <= tightest; squeeze++ {
					s.reset(func() *topology.Usage { return kalosFleet(b) })
					s.queue(kalosGangs(b), squeeze)
				}
			}
			s.lanes[i].report(b, kalosProbes)
		})
	}
}

// domainPolicies are Muster and two that take the first or the tightest domain
// with room, and in it the first or the fullest nodes.
func domainPolicies() []policy {
	return []policy{
		policies()[0],
		{"first-fit", inDomain(func(int64) int64 { return 0 }, func(topology.NodeID, int64) int64 { return 0 })},
		{"best-fit", inDomain(func(room int64) int64 { return room }, func(_ topology.NodeID, free int64) int64 { return free })},
	}
}

// inDomain places a gang in the domain of its required level with the lowest
// score of its room, the first of equals.
func inDomain(score func(room int64) int64, node nodeScore) func(*placement.Planner, *topology.Usage, *gang.Gang) []topology.NodeID {
	return func(_ *placement.Planner, u *topology.Usage, g *gang.Gang) []topology.NodeID {
		role := &g.Roles[0]
		best, least := topology.DomainID(-1), int64(0)
		for _, d := range u.Tree.DomainsAt(g.Required) {
			room := int64(0)
			for n := u.Tree.Domains[d].First; n < u.Tree.Domains[d].End; n++ {
				room += u.FreeRow(n)[0] / role.Request[0]
			}
			if s := score(room); room >= int64(role.Count) && (best < 0 || s < least) {
				best, least = d, s
			}
		}
		if best < 0 {
			return nil
		}
		return eachPod(u, g, u.Tree.Domains[best], node)
	}
}

// abreast is one cluster for each policy, all with the same gangs.
type abreast struct {
	narrow int // gangs of up to so many pods must stand in one narrow domain
	probes []probe
	lanes  []*lane
}

// lane is the cluster of one policy and what it counts.
type lane struct {
	policy  policy
	u       *topology.Usage
	planner *placement.Planner
	nodes   []topology.NodeID // for the gang at hand

	moments        int
	fit            []int  // of the moments, those at which each probe fits
	asked, refused [2]int // gangs that need a wide domain, a narrow one
}

func newAbreast(narrow int, probes []probe) *abreast {
	s := &abreast{narrow: narrow, probes: probes}
	for _, pol := range domainPolicies() {
		s.lanes = append(s.lanes, &lane{policy: pol, fit: make([]int, len(probes))})
	}
	return s
}

// reset begins a replay on idle clusters.
func (s *abreast) reset(idle func() *topology.Usage) {
	for _, l := range s.lanes {
		l.u = idle()
		l.planner = placement.NewPlanner(l.u)
	}
}

// arrive asks every policy for a place for g, and takes it if all have one. The
// function it returns gives it back.
func (s *abreast) arrive(g *gang.Gang, first bool) (end func(), ok bool) {
	g.Required = 0
	if g.MinCount <= s.narrow {
		g.Required = 1
	}
	ok = true
	for _, l := range s.lanes {
		l.nodes = l.policy.place(l.planner, l.u, g)
		if first {
			l.asked[g.Required]++
			if l.nodes == nil {
				l.refused[g.Required]++
			}
		}
		ok = ok && l.nodes != nil
	}
	if !ok {
		return nil, false
	}
	request := g.Roles[0].Request
	var held [][]topology.NodeID
	for _, l := range s.lanes {
		held = append(held, l.nodes)
		for _, n := range l.nodes {
			l.planner.AllocateOn(n, request)
		}
	}
	return func() {
		for i, l := range s.lanes {
			for _, n := range held[i] {
				l.planner.ReleaseOn(n, request)
			}
		}
	}, true
}

func (s *abreast) probe() {
	for _, l := range s.lanes {
		l.moments++
		for i, probe := range s.probes {
			if probe.fits(l.planner) {
				l.fit[i]++
			}
		}
	}
}

// draw plays drawn arrivals.
func (s *abreast) draw(all []arrival) {
	ending := map[int][]func(){}
	for now, a := range all {
		for _, end := range ending[now] {
			end()
		}
		delete(ending, now)
		if end, ok := s.arrive(a.gang, true); ok {
			ending[now+a.ends] = append(ending[now+a.ends], end)
		}
		if now >= 300 && now%5 == 0 { // once the clusters have filled up
			s.probe()
		}
	}
}

// queue plays gangs of a trace first come first served.
func (s *abreast) queue(gangs []trace.Gang, squeeze time.Duration) {
	type ending struct {
		at  time.Duration
		end func()
	}
	var running []ending
	next := func() time.Duration {
		e := running[0]
		running = running[1:]
		e.end()
		s.probe()
		return e.at
	}
	now := time.Duration(0)
	for _, job := range gangs {
		now = max(now, job.Arrival/squeeze)
		for len(running) > 0 && running[0].at <= now {
			next()
		}
		g := nodesOf(job.Pods, int64(job.GPUs), 0, 1)
		end, ok := s.arrive(g, true)
		for !ok && len(running) > 0 {
			now = next()
			end, ok = s.arrive(g, false)
		}
		if !ok {
			panic("a gang does not fit idle clusters")
		}
		e := ending{now + job.Run, end}
		at, _ := slices.BinarySearchFunc(running, e.at, func(r ending, at time.Duration) int { return int(r.at - at) })
		running = slices.Insert(running, at, e)
		s.probe()
	}
}

func (l *lane) report(b *testing.B, probes []probe) {
	percent := func(n, of int) float64 { return 100 * float64(n) / float64(of) }
	for i, probe := range probes {
		b.ReportMetric(percent(l.fit[i], l.moments), probe.name+"%")
	}
	b.ReportMetric(percent(l.refused[0], l.asked[0]), "wide-refused%")
	b.ReportMetric(percent(l.refused[1], l.asked[1]), "narrow-refused%")
}
