// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOpenbNodes(t *testing.T) {
	got, err := ReadOpenbNodes("nodes.csv", strings.NewReader("sn,cpu_milli,memory_mib,gpu,model\nn1,64000,262144,2,P100\nn2,32000,131072,0,\n"))
	require.NoError(t, err)
	assert.Equal(t, []OpenbNode{
		{Name: "n1", Model: "P100", CPUMilli: 64000, MemoryMiB: 262144, GPUs: 2},
		{Name: "n2", CPUMilli: 32000, MemoryMiB: 131072},
	}, got)
}

func TestOpenbPods(t *testing.T) {
	got, err := ReadOpenbPods("pods.csv", strings.NewReader(`name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec
whole,88000,327680,8,1000,
share,6000,12288,1,460,V100M32|V100M32|T4
cpu,4000,1024,0,0,T4
`))
	require.NoError(t, err)
	assert.Equal(t, []OpenbPod{
		{Name: "whole", CPUMilli: 88000, MemoryMiB: 327680, GPUs: 8, GPUMilli: 1000},
		{Name: "share", CPUMilli: 6000, MemoryMiB: 12288, GPUs: 1, GPUMilli: 460, Models: []string{"V100M32", "T4"}},
		{Name: "cpu", CPUMilli: 4000, MemoryMiB: 1024},
	}, got)
	assert.Equal(t, 8000, got[0].RequestedMilli())

	got, err = ReadOpenbPods("multigpu.csv", strings.NewReader("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,1,1,1000\n"))
	require.NoError(t, err, "the column gpu_spec may be missing")
	assert.Len(t, got, 1)
}

func TestOpenb_SaysWhatIsWrong(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"another table", "a,b\n", `pods.csv: a pod list of openb has the columns name,cpu_milli,memory_mib,num_gpu,gpu_milli; the header row is "a,b"`},
		{"half a device of each of two", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,1,1,2,500\n",
			`pods.csv:2: column gpu_milli: found "500", want 1 to 1000, and 1000 with several GPUs`},
		{"no number", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\np,x,1,2,1000\n", `pods.csv:2: column cpu_milli: found "x", want a whole number from 0 up`},
		{"nothing", "", "pods.csv: reading the header row: EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ReadOpenbPods("pods.csv", strings.NewReader(tc.text))
			require.EqualError(t, err, tc.want)
		})
	}
	_, err := ReadOpenbNodes("nodes.csv", strings.NewReader("sn,cpu_milli,memory_mib,gpu,model\nn1,1,1,2,\n"))
	require.EqualError(t, err, `nodes.csv:2: column model: found "", want a GPU model on a node with GPUs`)
	_, err = ReadOpenbNodes("nodes.csv", strings.NewReader("sn\n"))
	require.ErrorContains(t, err, "a node list of openb has the columns sn,cpu_milli")
}

func FuzzOpenb(f *testing.F) {
	f.Add("name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\np,1,1,1,500,T4|T4\n")
	f.Add("sn,cpu_milli,memory_mib,gpu,model\nn1,1,1,2,T4\n")
	f.Fuzz(func(t *testing.T, text string) {
		pods, err := ReadOpenbPods("pods.csv", strings.NewReader(text))
		for _, p := range pods {
			if err == nil && (p.RequestedMilli() < 0 || p.GPUs > 1 && p.GPUMilli != 1000) {
				t.Fatalf("%+v", p)
			}
		}
		_, _ = ReadOpenbNodes("nodes.csv", strings.NewReader(text))
	})
}
