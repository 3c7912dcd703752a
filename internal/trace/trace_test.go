// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package trace_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/internal/trace"
)

const (
	kalosHeader  = "job_id,arrival_s,workers,gpus_per_worker,cpu_per_worker,mem_gb_per_worker,duration_s,type\n"
	phillyHeader = "submit_s,duration_s,num_gpus,vc\n"
	openbHeader  = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
)

func open(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "demo", "data", name))
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func TestGangs_ReadsKalos(t *testing.T) {
	gangs, err := trace.ReadGangs("kalos", open(t, "gangs_kalos.csv"))
	require.NoError(t, err)
	require.Len(t, gangs, 160)
	assert.Equal(t, trace.Gang{
		Name: "kalos-000", Run: 104 * time.Second, Pods: 8, GPUs: 8, CPUMilli: 120_000, MemBytes: 1e12, Kind: "Other_or_SFT",
	}, gangs[0])
	var pods, gpuSeconds int
	for i, g := range gangs {
		pods += g.Pods
		gpuSeconds += g.TotalGPUs() * int(g.Run.Seconds())
		assert.False(t, i > 0 && g.Arrival < gangs[i-1].Arrival, "arrivals are in order")
	}
	assert.Equal(t, 3776, pods)
	assert.Equal(t, 614_734_893, gpuSeconds)
}

func TestGangs_SplitsPhillyJobsOverEqualPods(t *testing.T) {
	gangs, err := trace.ReadGangs("philly", strings.NewReader(phillyHeader+"45,30,1,a\n50,30,8,a\n60,30,12,a\n61,30,24,b\n62,30,9,b\n"))
	require.NoError(t, err)
	var shapes [][2]int
	for _, g := range gangs {
		shapes = append(shapes, [2]int{g.Pods, g.GPUs})
	}
	assert.Equal(t, [][2]int{{1, 1}, {1, 8}, {2, 6}, {3, 8}, {3, 3}}, shapes)
}

func TestGangs_TakesOpenbPodsOfWholeGPUs(t *testing.T) {
	gangs, err := trace.ReadGangs("openb", strings.NewReader(openbHeader+
		"p0,12000,16,2,1000,A10,LS,Running,5,60,7\n"+
		"shares,1,1,1,460,,LS,Running,6,60,8\n"+
		"no-gpu,1,1,0,0,,LS,Running,6,60,8\n"+
		"never,1,1,1,1000,,BE,Pending,6,60,\n"))
	require.NoError(t, err)
	assert.Equal(t, []trace.Gang{{
		Name: "p0", Arrival: 5 * time.Second, Run: 53 * time.Second, Pods: 1, GPUs: 2, CPUMilli: 12_000, MemBytes: 16 << 20,
	}}, gangs)
}

func TestGangs_SortsByArrival(t *testing.T) {
	gangs, err := trace.ReadGangs("x", strings.NewReader(phillyHeader+"50,1,1,a\n45,1,2,a\n50,1,3,a\n"))
	require.NoError(t, err)
	assert.Equal(t, []int{2, 1, 3}, []int{gangs[0].GPUs, gangs[1].GPUs, gangs[2].GPUs})
}

func TestGangs_RefusesWithFileAndLine(t *testing.T) {
	for _, tc := range []struct{ name, input, want string }{
		{"an empty file", "", "x: reading the header row: EOF"},
		{"an unknown header", "a,b\n1,2\n", `x: a trace in Kalos, Philly or openb format is wanted; the header row is "a,b"`},
		{"no workers", kalosHeader + "0,0,0,8,120,1000,104,SFT\n", `x:2: column workers: found "0", want a whole number from 1 up`},
		{"a negative time", kalosHeader + "0,-3,8,8,120,1000,104,SFT\n", `x:2: column arrival_s: found "-3", want a whole number from 0 up`},
		{"a number too large", phillyHeader + "1,1,99999999999,a\n", `x:2: column num_gpus: found "99999999999", want a whole number from 1 up`},
		{"no number", phillyHeader + "1,1,1,a\n1,soon,1,a\n", `x:3: column duration_s: found "soon", want a whole number from 0 up`},
		{"a short row", phillyHeader + "1,1\n", "x: record on line 2: wrong number of fields"},
		{"a job twice", kalosHeader + "7,0,8,8,120,1000,104,SFT\n7,0,8,8,120,1000,104,SFT\n", "x:3: job kalos-007 stands there twice"},
		{"a pod that ends before it starts", openbHeader + "a,1,1,1,1000,,LS,Running,5,6,7\n", `x:2: column deletion_time: found "6", want a time after scheduled_time`},
		{"an empty name", phillyHeader + "1,1,1,\n", `x:2: column vc: found "", want a name`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := trace.ReadGangs("x", strings.NewReader(tc.input))
			require.EqualError(t, err, tc.want)
		})
	}
}

func TestNodes_ReadsTheLingjunFabric(t *testing.T) {
	nodes, err := trace.ReadNodes("lingjun", open(t, "fabric_lingjun2023.csv"))
	require.NoError(t, err)
	require.Len(t, nodes, 847)
	assert.Equal(t, map[string]string{
		"network.topology.nvidia.com/core":  "G6",
		"network.topology.nvidia.com/spine": "P8",
		"network.topology.nvidia.com/leaf":  "P8-S1",
	}, nodes[0].TopologyLabels())
	leaves := map[string]int{}
	for _, n := range nodes {
		leaves[n.Leaf]++
	}
	assert.Len(t, leaves, 119)
}

func TestNodes_ReadsEachFormat(t *testing.T) {
	for _, tc := range []struct {
		name, input string
		want        trace.Node
	}{
		{
			"a topograph model", "node,gpu_model,gpus,tier0_leaf,tier1_spine,tier2_core,nvl_domain\nn1,NVIDIA-GB200,4,l,s,c,d\n",
			trace.Node{Name: "n1", Model: "NVIDIA-GB200", GPUs: 4, Core: "c", Spine: "s", Leaf: "l", Clique: "d"},
		},
		{
			"an InfiniBand dump", "node,rack,tray,leaf_rail_1\nn1,r1,1,\n",
			trace.Node{Name: "n1", Model: "NVIDIA-GB200", GPUs: 4, Leaf: "r1", Clique: "r1"},
		},
		{
			"an inventory", "node,gpu_model,gpus,cpus\n0,A10,1,192\n",
			trace.Node{Name: "node-0", Model: "A10", GPUs: 1, CPUMilli: 192_000},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nodes, err := trace.ReadNodes("x", strings.NewReader(tc.input))
			require.NoError(t, err)
			assert.Equal(t, []trace.Node{tc.want}, nodes)
		})
	}
	_, err := trace.ReadNodes("x", strings.NewReader("node,colour\n1,red\n"))
	require.EqualError(t, err, `x: a fabric or an inventory in a known format is wanted; the header row is "node,colour"`)
	_, err = trace.ReadNodes("x", strings.NewReader("node,gpu_model,gpus,cpus\n0,A10,1,192\n0,A10,1,192\n"))
	require.EqualError(t, err, "x:3: node node-0 stands there twice")
}

func TestCompression(t *testing.T) {
	gangs := []trace.Gang{
		{Name: "a", Arrival: 100 * time.Second, Run: 50 * time.Second, Pods: 2, GPUs: 4},
		{Name: "b", Arrival: 100 * time.Second, Run: 1 * time.Second, Pods: 1, GPUs: 1},
		{Name: "c", Arrival: 1100 * time.Second, Run: 100 * time.Second, Pods: 1, GPUs: 8},
	}
	c := trace.Compression{Speed: 10, MinRun: 2 * time.Second, Load: 0.5, GPUs: 10}
	out, factor, err := c.Apply(gangs)
	require.NoError(t, err)

	runs := []time.Duration{out[0].Run, out[1].Run, out[2].Run}
	assert.Equal(t, []time.Duration{5 * time.Second, 2 * time.Second, 10 * time.Second}, runs, "divided by 10, never under 2 s")
	work := 8*5.0 + 1*2 + 8*10
	span := work / (0.5 * 10)
	assert.Equal(t, time.Duration(0), out[0].Arrival)
	assert.Equal(t, out[0].Arrival, out[1].Arrival, "what came together comes together")
	assert.InDelta(t, span, out[2].Arrival.Seconds(), 1e-6, "work / (load x GPUs) is the time between first and last arrival")
	assert.InDelta(t, 1000/span, factor, 1e-6)
	assert.Equal(t, 50*time.Second, gangs[0].Run, "the input is left alone")
}

func TestCompression_GangsThatArriveTogetherStayTogether(t *testing.T) {
	gangs := []trace.Gang{{Run: time.Minute, Pods: 1, GPUs: 1, Arrival: time.Hour}, {Run: time.Minute, Pods: 1, GPUs: 1, Arrival: time.Hour}}
	out, factor, err := trace.Compression{Speed: 1, Load: 1, GPUs: 1}.Apply(gangs)
	require.NoError(t, err)
	assert.Equal(t, 1.0, factor)
	assert.Zero(t, out[1].Arrival)
}

func TestCompression_RefusesWhatMakesNoSense(t *testing.T) {
	_, _, err := trace.Compression{Speed: 1, Load: 0, GPUs: 8}.Apply([]trace.Gang{{}})
	require.ErrorContains(t, err, "load 0")
	_, _, err = trace.Compression{Speed: 1, Load: 1, GPUs: 8}.Apply(nil)
	require.ErrorContains(t, err, "it has no gangs")
}

func FuzzGangs(f *testing.F) {
	f.Add(kalosHeader + "0,0,8,8,120,1000,104,SFT\n")
	f.Add(phillyHeader + "45,30,17,a\n")
	f.Add(openbHeader + "p0,12000,16,2,1000,A10,LS,Running,5,60,7\n")
	f.Fuzz(func(t *testing.T, input string) {
		gangs, err := trace.ReadGangs("x", strings.NewReader(input))
		for _, g := range gangs {
			if err == nil && (g.Pods < 1 || g.GPUs < 0 || g.Arrival < 0 || g.Run < 0) {
				t.Fatalf("accepted %+v", g)
			}
		}
	})
}
