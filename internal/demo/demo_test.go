// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/internal/audit"
	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/internal/sim"
	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/terminal"
)

func TestPlan_Default(t *testing.T) {
	var o Options
	o.setDefaults()
	p, load, err := o.preparePlan()
	require.NoError(t, err)
	assert.Equal(t, 160, load.Gangs)
	assert.Equal(t, 3776, load.Pods)
	assert.Equal(t, 2416, load.GPUs)
	assert.Len(t, p.hosts, 302)
	var work float64
	for _, g := range p.gangs {
		work += float64(g.TotalGPUs()) * g.Run.Seconds()
		assert.GreaterOrEqual(t, g.Run, 3*time.Second)
	}
	assert.InDelta(t, 1.0, work/float64(load.GPUs)/load.Span, 1e-6, "the offered load is what was asked for")
	assert.Less(t, load.Span, 100.0, "the demo ends within about three minutes")
}

func TestPlan_LeavesOutWhatTheFleetCannotHold(t *testing.T) {
	o := Options{Nodes: 32, Gangs: 20}
	o.setDefaults()
	p, load, err := o.preparePlan()
	require.NoError(t, err)
	assert.Equal(t, 20, load.Gangs)
	assert.Positive(t, load.TooLarge)
	for _, g := range p.gangs {
		assert.LessOrEqual(t, g.Pods, 32)
	}
}

func TestPlan_RefusesWhatItDoesNotKnow(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts Options
		want string
	}{
		{"an unknown scheduler", Options{Scheduler: "slurm"}, `scheduler "slurm" is not known`},
		{"an unknown topology", Options{Topology: "ring"}, `topology "ring" is not known`},
		{"too many nodes", Options{Nodes: 9000}, "9000 nodes is asked for; the fabric has places for 1 to 847"},
		{"a negative load", Options{Load: -1}, "load -1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.opts.setDefaults()
			_, _, err := tc.opts.preparePlan()
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestFleet(t *testing.T) {
	places, err := firstHosts(KalosNodes)
	require.NoError(t, err)
	nodes := fleetNodes(places)
	require.Len(t, nodes, KalosNodes)
	last := nodes[KalosNodes-1]
	assert.Equal(t, "P10", last.Labels["network.topology.nvidia.com/spine"])
	assert.Equal(t, "NVIDIA-A100-SXM4-80GB", last.Labels["nvidia.com/gpu.product"])
	assert.Equal(t, last.Name, last.Labels["kubernetes.io/hostname"])
	gpus := last.Status.Allocatable[sandbox.GPUResource]
	assert.Equal(t, int64(8), gpus.Value())
	assert.Equal(t, 8, largestLeaf(places))
}

func TestPodsOf(t *testing.T) {
	small := trace.Gang{Name: "g", Pods: 8, GPUs: 8, CPUMilli: 120_000, MemBytes: 1e12}
	large := trace.Gang{Name: "g", Pods: 9}
	const preferred, required = "muster.sh/topology-preferred", "muster.sh/topology-required"
	for _, tc := range []struct {
		name    string
		gang    trace.Gang
		wish    TopologyMode
		has, no string
	}{
		{"a wish is a wish", small, TopologyPreferred, preferred, required},
		{"a gang that fits a leaf may insist", small, TopologyRequired, required, preferred},
		{"a larger one cannot insist", large, TopologyRequired, preferred, required},
		{"nothing is said", small, TopologyNone, "muster.sh/min-count", preferred},
	} {
		t.Run(tc.name, func(t *testing.T) {
			pods := podsOf(tc.gang, "s", tc.wish, 8)
			require.Len(t, pods, tc.gang.Pods)
			assert.Contains(t, pods[0].Annotations, tc.has)
			assert.NotContains(t, pods[0].Annotations, tc.no)
		})
	}
	pod := podsOf(small, "s", TopologyNone, 8)[7]
	assert.Equal(t, "g-7", pod.Name)
	assert.Equal(t, "s", pod.Spec.SchedulerName)
	request := pod.Spec.Containers[0].Resources.Requests
	assert.Equal(t, "120", request.Cpu().String())
	assert.Equal(t, int64(1e12), request.Memory().Value())
}

func podAt(name, gang, node string, phase v1.PodPhase) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{kube.LabelGang: gang}}}
	p.Spec.NodeName, p.Status.Phase = node, phase
	return p
}

func TestTracker(t *testing.T) {
	hosts := []trace.Node{{Name: "n1", Leaf: "l1"}, {Name: "n2", Leaf: "l2"}}
	tr := newTracker([]trace.Gang{{Name: "g", Pods: 2, GPUs: 8}, {Name: "late", Pods: 1, GPUs: 1}}, hosts)
	g := tr.jobs[0]
	tr.submitGang(1*time.Second, g)
	tr.setPod(1*time.Second, podAt("a", "g", "", v1.PodPending))
	tr.setPod(2*time.Second, podAt("a", "g", "n1", v1.PodPending))
	tr.setPod(3*time.Second, podAt("a", "g", "n1", v1.PodRunning))
	assert.Equal(t, 1, tr.takeSample(3*time.Second).partial)
	tr.setPod(4*time.Second, podAt("b", "g", "n2", v1.PodPending))
	tr.setPod(5*time.Second, podAt("b", "g", "n2", v1.PodRunning))
	<-g.whole
	s := tr.takeSample(7 * time.Second)
	assert.Equal(t, sample{
		at: 7 * time.Second, coming: 1, running: 1, held: 16, working: 16, binds: 2, quiet: 3 * time.Second,
		heldTime: 8*2 + 16*3, workTime: 16 * 2,
	}, s)

	tr.endGang(8*time.Second, g)
	tr.removePod(9*time.Second, podAt("a", "g", "n1", v1.PodRunning))
	tr.removePod(9*time.Second, podAt("b", "g", "n2", v1.PodRunning))
	tr.removePod(9*time.Second, podAt("b", "g", "n2", v1.PodRunning))
	s = tr.takeSample(10 * time.Second)
	assert.Equal(t, 1, s.done)
	assert.Zero(t, s.held)
	assert.InDelta(t, 16*3, s.workTime, 1e-9, "work ends when the gang does")
	assert.Equal(t, map[string]int{"l1": 1, "l2": 1}, g.leaves)
	assert.Equal(t, []time.Duration{1 * time.Second, 4 * time.Second, 4 * time.Second, 5 * time.Second, 8 * time.Second, 9 * time.Second},
		[]time.Duration{g.submitted, g.created, g.placed, g.started, g.ended, g.gone})
	assert.Equal(t, Lag{P50: 3, P95: 3}, measureLag(tr.jobs, func(j *job) (time.Duration, time.Duration) { return j.submitted, j.created }))
}

func TestTracker_IgnoresStrangers(t *testing.T) {
	tr := newTracker(nil, nil)
	tr.setPod(0, podAt("a", "nobody", "n1", v1.PodRunning))
	tr.removePod(0, podAt("a", "nobody", "n1", v1.PodRunning))
	assert.Zero(t, tr.takeSample(time.Second).binds)
}

func TestUtilisation(t *testing.T) {
	samples := []sample{
		{at: 0}, {at: time.Second, heldTime: 8, workTime: 4}, {at: 2 * time.Second, heldTime: 16, workTime: 12}, {at: 3 * time.Second, heldTime: 16, workTime: 12},
	}
	held, working := gpuUtilization(samples, 0, 2*time.Second, 8)
	assert.Equal(t, []float64{1, 0.75}, []float64{held, working})
	assert.Equal(t, []float64{0.5, 1, 0}, usageCurve(samples, 60, 8, func(s sample) float64 { return s.workTime }))
	_, working = gpuUtilization(nil, 0, time.Second, 8)
	assert.Zero(t, working)
}

func TestBusiest(t *testing.T) {
	most, mean := peakBindRate([]int{0, 10, 0, 20})
	assert.Equal(t, 20, most)
	assert.InDelta(t, 15.0, mean, 1e-9)
}

func TestReport_Broken(t *testing.T) {
	r := &Report{Audit: audit.Report{
		Violations: map[audit.Rule]int{audit.NoOvercommit: 2, audit.BindOnce: 0},
		First:      []audit.Violation{{Rule: audit.NoOvercommit, What: "node n is full"}},
		Rejected:   1, Unchecked: 3,
	}}
	assert.Equal(t, []string{
		"NoOvercommit: broken 2 times, first: node n is full",
		"kubelets refused 1 pods for want of room",
		"3 binds were to nodes that the auditor did not know",
	}, r.BrokenPromises())
}

func TestReport_Text(t *testing.T) {
	r := &Report{
		Scheduler: Default, End: EndStalled, Elapsed: 61.4, Worked: 1, Placed: 2, Stuck: []string{"kalos-001"},
		Load: Load{Gangs: 3, Pods: 1234, Nodes: 302, GPUs: 2416}, FitLeaf: 4, InOneLeaf: 3, LeafSpread: 1.25,
		Audit:   audit.Report{Partial: 1, CommitWindow: 2 * time.Second, Longest: 40 * time.Second, LongestGang: "kalos/kalos-001", Violations: map[audit.Rule]int{}},
		Waits:   []sim.Wait{{Class: "all", Gangs: 3, P50: 1, P95: 2, Max: 3, Waiting: 1}},
		Reasons: map[string]string{"kalos-001": "0/302 nodes are available"},
	}
	var text strings.Builder
	r.WriteText(&text)
	for _, want := range []string{
		"Stock kube-scheduler: DEADLOCK after 61 s: 1 of 3 gangs did their work, nothing moves any more",
		"gangs placed whole       2 of 3 (1,234 pods)",
		"1 (for over 2s; the longest was 40s, kalos-001)",
		"1 never placed",
		"3 of 4 gangs that fit one (75 %)",
		"1 gangs hold GPUs for some of their pods",
		"kalos-001: 0/302 nodes are available",
	} {
		assert.Contains(t, text.String(), want)
	}
}

func TestProgress(t *testing.T) {
	var out strings.Builder
	p := &progress{out: &out, gpus: 100}
	p.showSample(sample{at: 0, working: 50, held: 60}, audit.Report{})
	p.showSample(sample{at: time.Second}, audit.Report{})
	p.showSample(sample{at: 10 * time.Second}, audit.Report{Partial: 7})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 2, "a line every ten seconds where there is no terminal")
	assert.Contains(t, lines[0], "50 % at work, 10 % idle")
	assert.Contains(t, lines[1], "partly started 7")
	assert.NotContains(t, out.String(), "\033")
}

func TestProgress_FitsTheTerminal(t *testing.T) {
	var out strings.Builder
	p := &progress{out: &out, line: &terminal.Line{Out: &out, Columns: func() int { return 40 }}, gpus: 100}
	p.showSample(sample{at: time.Second, working: 50, held: 60}, audit.Report{})
	assert.Equal(t, "\r\033[K  1 s [█████▒    ]  50 % at work, 10 % ", out.String())
}

func TestBar(t *testing.T) {
	assert.Equal(t, "[          ]", usageBar(0, 0))
	assert.Equal(t, "[███▒▒▒▒▒▒▒]", usageBar(0.34, 0.66))
	assert.Equal(t, "[██████████]", usageBar(1, 0))
	assert.Equal(t, "[█████     ]", usageBar(0.5, -0.1), "pods can go before their gang ends")
}

func TestShorten(t *testing.T) {
	assert.Equal(t, "short", shortenText("short", 5))
	assert.Equal(t, "gän…", shortenText("gänge", 4))
}
