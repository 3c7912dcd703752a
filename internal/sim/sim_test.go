// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/internal/sim"
	"github.com/muster-scheduler/muster/internal/trace"
)

// twoLeaves are eight nodes of 8 GPUs below two leaves.
func twoLeaves() []trace.Node {
	var nodes []trace.Node
	for i := range 8 {
		nodes = append(nodes, trace.Node{Name: fmt.Sprint("n", i), Core: "c", Spine: "s", Leaf: fmt.Sprint("l", i/4)})
	}
	return nodes
}

func job(name string, arrival, run time.Duration, pods int) trace.Gang {
	return trace.Gang{Name: name, Arrival: arrival * time.Second, Run: run * time.Second, Pods: pods, GPUs: 8}
}

func policy(t *testing.T, name string) sim.Policy {
	p, err := sim.PolicyNamed(name)
	require.NoError(t, err)
	return p
}

func run(t *testing.T, name string, gangs ...trace.Gang) *sim.Result {
	t.Helper()
	r, err := sim.Run(sim.Config{Nodes: twoLeaves(), Shape: sim.Shape{GPUs: 8}, Gangs: gangs, Policy: policy(t, name)})
	require.NoError(t, err)
	return r
}

func placed(r *sim.Result) []int {
	var seconds []int
	for _, x := range r.Records {
		seconds = append(seconds, int(x.Placed.Seconds()))
	}
	return seconds
}

func TestRun_WholeGangsWaitForRoom(t *testing.T) {
	for _, name := range []string{"muster", "first-fit", "best-fit", "spread"} {
		t.Run(name, func(t *testing.T) {
			r := run(t, name, job("a", 0, 10, 5), job("b", 1, 10, 5), job("c", 2, 10, 3))
			assert.Equal(t, []int{0, 10, 2}, placed(r), "c passes b, which waits for a")
			assert.Equal(t, 20*time.Second, r.End)
			assert.Zero(t, r.Stuck)
			assert.Zero(t, r.Partial)
			last := r.Usage[len(r.Usage)-1]
			assert.InDelta(t, 8*13*10, last.Worked, 1e-6)
			assert.InDelta(t, last.Worked, last.HeldTime, 1e-6, "nothing is held without work")
			assert.Zero(t, last.Held)
		})
	}
}

func TestRun_StrictKeepsTheOrder(t *testing.T) {
	r, err := sim.Run(sim.Config{
		Nodes: twoLeaves(), Shape: sim.Shape{GPUs: 8}, Policy: policy(t, "muster"), Strict: true,
		Gangs: []trace.Gang{job("a", 0, 10, 5), job("b", 1, 10, 5), job("c", 2, 10, 3)},
	})
	require.NoError(t, err)
	assert.Equal(t, []int{0, 10, 10}, placed(r))
}

func TestRun_LoosePodsDeadlock(t *testing.T) {
	r := run(t, "loose", job("a", 0, 10, 5), job("b", 0, 10, 5))
	assert.Equal(t, 2, r.Stuck)
	assert.Equal(t, 2, r.Partial)
	assert.Equal(t, []time.Duration{-1, -1}, []time.Duration{r.Records[0].Placed, r.Records[1].Placed})
}

func TestRun_MusterKeepsLeavesTogether(t *testing.T) {
	r := run(t, "muster", job("a", 0, 10, 1), job("b", 0, 10, 3), job("c", 0, 10, 4))
	for _, x := range r.Records {
		assert.Equal(t, 1, x.Leaves, x.Name)
	}
}

func TestRun_MeasuresDecisionsByTheClockItIsGiven(t *testing.T) {
	var now time.Duration
	r, err := sim.Run(sim.Config{
		Nodes: twoLeaves(), Shape: sim.Shape{GPUs: 8}, Policy: policy(t, "muster"), Gangs: []trace.Gang{job("a", 0, 1, 1)},
		Clock: func() time.Duration { now += time.Millisecond; return now },
	})
	require.NoError(t, err)
	assert.Equal(t, []time.Duration{time.Millisecond}, r.Decisions)
}

func TestRun_RefusesBadGangs(t *testing.T) {
	_, err := sim.Run(sim.Config{Nodes: twoLeaves(), Policy: policy(t, "muster"), Gangs: []trace.Gang{{Name: "a"}}})
	require.EqualError(t, err, "gang a has 0 pods and runs for 0s: want at least one pod and no negative time")
}

// TestRun_Kalos replays the demo's gangs at the demo's load in virtual time.
func TestRun_Kalos(t *testing.T) {
	read := func(name string) *os.File {
		f, err := os.Open(filepath.Join("..", "demo", "data", name))
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	nodes, err := trace.ReadNodes("fabric", read("fabric_lingjun2023.csv"))
	require.NoError(t, err)
	gangs, err := trace.ReadGangs("kalos", read("gangs_kalos.csv"))
	require.NoError(t, err)
	gangs, _, err = trace.Compression{Speed: 1, Load: 1, GPUs: 2416}.Apply(gangs)
	require.NoError(t, err)
	for _, name := range []string{"muster", "first-fit", "best-fit", "spread"} {
		t.Run(name, func(t *testing.T) {
			replay := func() *sim.Result {
				r, err := sim.Run(sim.Config{
					Nodes: nodes[:302], Shape: sim.Shape{GPUs: 8, CPUMilli: 128_000, MemBytes: 2048e9}, Gangs: gangs, Policy: policy(t, name),
				})
				require.NoError(t, err)
				return r
			}
			r := replay()
			assert.Equal(t, r, replay(), "the same input gives the same figures")
			var stays []sim.Stay
			for _, x := range r.Records {
				require.GreaterOrEqual(t, x.Placed, x.Arrival)
				stays = append(stays, sim.Stay{Pods: x.Pods, Submitted: x.Arrival, Placed: x.Placed, Leaves: x.Leaves})
			}
			all := sim.WaitsByClass(stays, r.End)
			t.Logf("%s: %+v, %+v", name, all[len(all)-1], sim.MeasureLocality(stays, r.Leaf))
		})
	}
}

func TestRun_SinglesByRule(t *testing.T) {
	part := func(name string, arrival time.Duration, gpus int) trace.Gang {
		g := job(name, arrival, 200, 1)
		g.GPUs = gpus
		return g
	}
	for name, packs := range map[string]bool{
		"muster": true, "muster/scored": true, "muster/sparing": true, "muster/planned": true, "muster/most-allocated": true, "muster/least-allocated": false,
		"first-fit": true, "best-fit": true, "spread": false, "spread/most-allocated": true,
	} {
		t.Run(name, func(t *testing.T) {
			r, err := sim.Run(sim.Config{
				Nodes: twoLeaves()[:4], Shape: sim.Shape{GPUs: 8}, Policy: policy(t, name),
				Gangs: []trace.Gang{part("a", 0, 4), part("b", 1, 3), part("c", 2, 4), part("last", 100, 1)},
			})
			require.NoError(t, err)
			assert.Equal(t, packs, r.Fits[1].Cluster == 1, "b goes beside a, and two of four nodes stay whole: %+v", r.Fits)
		})
	}
}

// Pods of two GPUs are what this cluster usually runs. One node has five GPUs
// free, the other two: a pod of one GPU that goes where least is free takes the
// place of a usual pod.
func TestRun_ScoredSinglesLearnWhatIsUsual(t *testing.T) {
	pod := func(name string, arrival, run time.Duration, gpus int) trace.Gang {
		g := job(name, arrival, run, 1)
		g.GPUs = gpus
		return g
	}
	var pods []trace.Gang
	for i := range 40 {
		pods = append(pods, pod(fmt.Sprint("usual-", i), time.Duration(10*i), 5, 2))
	}
	pods = append(pods, pod("three", 1000, 100, 3), pod("six", 1001, 100, 6), pod("one", 1002, 100, 1))
	for i := range 3 {
		pods = append(pods, pod(fmt.Sprint("late-", i), 1003, 10, 2))
	}
	for name, waits := range map[string]time.Duration{"muster/scored": 0, "muster/most-allocated": 10 * time.Second} {
		r, err := sim.Run(sim.Config{Nodes: twoLeaves()[:2], Shape: sim.Shape{GPUs: 8}, Policy: policy(t, name), Gangs: pods})
		require.NoError(t, err)
		last := r.Records[len(r.Records)-1]
		assert.Equal(t, waits, last.Placed-last.Arrival, name)
	}
}

// A leaf of four idle nodes and one of three: the sparing rule breaks up a node
// of the smaller one, although it comes later.
func TestRun_SparingSinglesKeepTheEmptiestLeaf(t *testing.T) {
	var pods []trace.Gang
	for i := range 40 {
		pods = append(pods, job(fmt.Sprint("usual-", i), time.Duration(10*i), 0, 1))
	}
	part := job("part", 1001, 200, 1)
	part.GPUs = 1
	pods = append(pods, part, job("last", 1100, 1, 1))
	for name, rest := range map[string]float64{"muster/scored": 0, "muster/sparing": 1} {
		r, err := sim.Run(sim.Config{Nodes: twoLeaves()[:7], Shape: sim.Shape{GPUs: 8}, Policy: policy(t, name), Gangs: pods})
		require.NoError(t, err)
		broken := 99.0 / 1100 // the time of part until the last arrival
		assert.InDelta(t, 1-broken*(1-rest), r.Fits[2].Leaf, 1e-9, name)
	}
}

func TestPolicyNamed(t *testing.T) {
	const rules = "can stand how single pods are placed: scored, sparing, planned, most-allocated, least-allocated"
	for name, want := range map[string]string{
		"best":         `"best" is not known; want some of muster, first-fit, best-fit, spread, loose`,
		"muster/best":  `"muster/best" is not known; behind muster/, first-fit/, best-fit/, spread/ ` + rules,
		"loose/scored": `"loose/scored" is not known; behind muster/, first-fit/, best-fit/, spread/ ` + rules,
	} {
		_, err := sim.PolicyNamed(name)
		assert.EqualError(t, err, want)
	}
}
