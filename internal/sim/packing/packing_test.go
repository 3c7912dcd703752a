// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package packing

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/internal/trace"
)

func load(t *testing.T, workload string) *Experiment {
	t.Helper()
	e, err := LoadExperiment(workload)
	require.NoError(t, err)
	return e
}

func policy(t *testing.T, name string) Policy {
	t.Helper()
	p, ok := policyNamed(name)
	require.True(t, ok, name)
	return p
}

// The hashes are those of the pod names in order of arrival, joined by line
// feeds, as the published experiments draw them.
func TestArrivals_AreThePublishedOnes(t *testing.T) {
	for _, tc := range []struct {
		workload string
		seed     int64
		pods     int
		hash     string
	}{
		{"default", 42, 10866, "7ead2cfd1b6c2194"},
		{"default", 43, 10793, "06aeb623950ebf60"},
		{"gpuspec33", 42, 10866, "7ead2cfd1b6c2194"},
		{"gpushare40", 42, 11771, "3c01ce549bda65c8"},
		{"cpu200", 42, 11683, "ed94085df1b5b526"},
		{"multigpu20", 42, 9456, "7176f468f02d8b7c"},
		{"multigpu50", 42, 6361, "4f4b94baf57a5574"},
	} {
		t.Run(fmt.Sprint(tc.workload, " ", tc.seed), func(t *testing.T) {
			pods, rank := load(t, tc.workload).DrawArrivals(tc.seed)
			assert.Len(t, pods, tc.pods)
			assert.Len(t, rank, 1213)
			names := make([]string, len(pods))
			for i := range pods {
				names[i] = pods[i].Name
			}
			hash := sha256.Sum256([]byte(strings.Join(names, "\n")))
			assert.Equal(t, tc.hash, hex.EncodeToString(hash[:8]))
		})
	}
}

func TestTypical_IsThatOfThePublishedExperiments(t *testing.T) {
	assert.Len(t, load(t, "default").TypicalWorkload(), 35)
	assert.Len(t, load(t, "multigpu50").TypicalWorkload(), 43)
}

func TestCheckArrivals_AgreesWithThePublishedCurve(t *testing.T) {
	for _, name := range []string{"muster", "bestfit"} { // no policy drops a pod before 90 %
		got, err := CheckArrivals(policy(t, name))
		require.NoError(t, err)
		want := []Agreement{{Seed: 42, Loads: 91, Equal: 91}, {Seed: 43, Loads: 91, Equal: 91}, {Seed: 44, Loads: 91, Equal: 91}}
		for i := range got {
			assert.InDelta(t, 0, got[i].Furthest, 1e-9)
			got[i].Furthest = 0
		}
		assert.Equal(t, want, got, name)
	}
}

// The bar of the scheduler's scoring, and of the yardstick that it is measured
// with: the mean of the ten published seeds for each workload.
func TestReplay_AgainstThePublishedResults(t *testing.T) {
	published, err := publishedMeans("FGD", 100)
	require.NoError(t, err)
	require.Len(t, published, len(WorkloadNames()))
	bar := map[string]float64{"default": 0.3, "gpuspec33": 0.3} // elsewhere: not worse
	cells, err := ReplayCells(Options{
		Workloads: WorkloadNames(), Policies: []string{"muster", "fgd"}, Seeds: PublishedSeeds(), Load: 100, Workers: runtime.GOMAXPROCS(0),
	})
	require.NoError(t, err)
	for _, c := range cells {
		t.Run(c.Workload+" "+c.Policy, func(t *testing.T) {
			want := published[c.Workload]
			if c.Policy == "fgd" {
				assert.InDelta(t, want, c.Mean, 0.1)
				return
			}
			margin, ok := bar[c.Workload]
			if !ok {
				margin = -0.1
			}
			assert.GreaterOrEqual(t, c.Mean, want+margin)
		})
	}
}

func TestReplay_LearningIsAsGoodAsKnowing(t *testing.T) {
	e := load(t, "default")
	fgd, learned := e.ReplayPods(policy(t, "fgd"), 42), e.ReplayPods(policy(t, "muster-learned"), 42)
	assert.Greater(t, learned.Allocated[100], fgd.Allocated[100])
	assert.Less(t, learned.Fragmented[100], fgd.Fragmented[100])
}

func TestReplay_OtherPoliciesAreThePublishedOnes(t *testing.T) {
	for name, other := range map[string]string{"bestfit": "BestFit", "packing": "GpuPacking", "random": "Random"} {
		published, err := publishedMeans(other, 100)
		require.NoError(t, err)
		cells, err := ReplayCells(Options{Workloads: []string{"default"}, Policies: []string{name}, Seeds: PublishedSeeds(), Load: 100, Workers: 2})
		require.NoError(t, err)
		for _, c := range cells {
			assert.InDelta(t, published[c.Workload], c.Mean, 0.35, "%s on %s", other, c.Workload)
		}
	}
}

func TestReplay_GivesTheSameTwice(t *testing.T) {
	e := load(t, "multigpu50")
	for _, name := range []string{"muster", "random"} {
		first := e.ReplayPods(policy(t, name), 7)
		assert.Equal(t, first, e.ReplayPods(policy(t, name), 7), name)
	}
}

// small is a cluster of two nodes and the pods of the test.
func small(t *testing.T, pods ...trace.OpenbPod) *Experiment {
	t.Helper()
	e, err := NewExperiment("small", []trace.OpenbNode{
		{Name: "b", Model: "T4", CPUMilli: 32000, MemoryMiB: 1000, GPUs: 2},
		{Name: "a", Model: "P100", CPUMilli: 32000, MemoryMiB: 1000, GPUs: 2},
	}, pods)
	require.NoError(t, err)
	return e
}

func TestReplay_PlacesOnlyWherePodsFit(t *testing.T) {
	for _, p := range AllPolicies() {
		t.Run(p.Name, func(t *testing.T) {
			e := small(t,
				trace.OpenbPod{Name: "typed", CPUMilli: 1000, MemoryMiB: 10, GPUs: 1, GPUMilli: 500, Models: []string{"T4", "K80"}},
				trace.OpenbPod{Name: "nowhere", CPUMilli: 1000, MemoryMiB: 10, GPUs: 1, GPUMilli: 1000, Models: []string{"K80"}},
				trace.OpenbPod{Name: "fat", CPUMilli: 1000, MemoryMiB: 2000, GPUs: 1, GPUMilli: 1000},
				trace.OpenbPod{Name: "cpu", CPUMilli: 1000, MemoryMiB: 10})
			pods, _ := e.DrawArrivals(1)
			got := e.ReplayPods(p, 1)
			require.Len(t, got.Nodes, len(pods))
			dropped := 0
			for i, pod := range pods {
				switch name, _, _ := strings.Cut(pod.Name, "-"); name {
				case "nowhere", "fat":
					assert.Equal(t, -1, got.Nodes[i], pod.Name)
				case "typed":
					assert.Equal(t, 1, got.Nodes[i], "%s goes on node b", pod.Name)
				}
				if got.Nodes[i] < 0 {
					dropped++
				}
			}
			assert.Equal(t, dropped, got.Dropped)
			assert.Equal(t, len(pods), got.Arrived)
		})
	}
}

func TestExperiment_SaysWhatIsWrong(t *testing.T) {
	pod := []trace.OpenbPod{{Name: "p", GPUs: 1, GPUMilli: 1000}}
	_, err := NewExperiment("x", nil, pod)
	require.EqualError(t, err, "experiment x: 0 GPUs and a demand of 1000 thousandths; both must be there")
	_, err = NewExperiment("x", []trace.OpenbNode{{Name: "n", Model: "T4", GPUs: 17}}, pod)
	require.EqualError(t, err, "experiment x: node n has 17 GPUs, at most 16 are simulated")
	_, err = LoadExperiment("cpu100")
	require.EqualError(t, err, `workload "cpu100": there are default, gpuspec10, gpuspec33, multigpu20, multigpu50, gpushare40, cpu200`)
}

func TestWriteTable(t *testing.T) {
	var out strings.Builder
	require.NoError(t, WriteTable(&out, Options{Workloads: []string{"multigpu50"}, Policies: []string{"muster", "fgd"}, Seeds: []int64{42, 43}, Load: 100, Workers: 2}))
	lines := strings.Split(out.String(), "\n")
	assert.Equal(t, "GPU allocation in % when 100 % of the GPUs have been asked for; mean ± standard deviation of seeds [42 43]", lines[0])
	assert.Equal(t, []string{"workload", "muster", "fgd", "published", "FGD"}, strings.Fields(lines[2]))
	assert.Regexp(t, `^multigpu50  97\.\d\d ± 0\.\d\d  97\.\d\d ± 0\.\d\d  97\.09$`, lines[3])
}

func TestCells_SaysWhatIsWrong(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		options    Options
	}{
		{"unknown policy", `policy "best": there are muster, muster-learned, fgd, bestfit, packing, random`, Options{Policies: []string{"best"}}},
		{"unknown workload", `workload "x": there are default`, Options{Workloads: []string{"x"}, Seeds: []int64{1}}},
		{"no seed", "no seeds: the published ones are [42 43", Options{}},
		{"load beyond the last arrival", "load 131: arrivals go from 0 to 130 percent", Options{Load: 131, Seeds: []int64{1}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ReplayCells(tc.options)
			require.ErrorContains(t, err, tc.want)
		})
	}
}
