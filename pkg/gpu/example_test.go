// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu_test

import (
	"fmt"

	"github.com/muster-scheduler/muster/pkg/gpu"
)

// A cluster of T4 (model 0) and A100 (model 1) runs pods with half a GPU, pods
// with a whole one, and a few that need an A100. Where should a pod with half a
// GPU go?
func ExampleScorer() {
	half := gpu.Request{CPUMilli: 4000, GPUs: 1, GPUMilli: 500}
	whole := gpu.Request{CPUMilli: 8000, GPUs: 1, GPUMilli: gpu.MilliPerGPU}
	big := gpu.Request{CPUMilli: 12000, GPUs: 1, GPUMilli: gpu.MilliPerGPU, Models: 1 << 1}
	var seen gpu.RequestHistogram
	for _, pod := range []gpu.Request{half, half, half, whole, whole, big} {
		seen.AddPod(pod)
	}
	scorer := gpu.NewScorer(seen.TypicalWorkload(0.95), []int{40, 8}, gpu.DefaultWeights())

	for _, n := range []struct {
		name string
		gpu.NodeState
	}{
		{"T4, one half taken", gpu.NodeState{Model: 0, CPUMilli: 20_000, GPUs: 2, Free: [gpu.MaxNodeGPUs]int16{1000, 500}}},
		{"T4, both free", gpu.CountedNode(0, 24_000, 2, 2)},
		{"A100, one half taken", gpu.NodeState{Model: 1, CPUMilli: 20_000, GPUs: 2, Free: [gpu.MaxNodeGPUs]int16{1000, 500}}},
		{"T4, no processors", gpu.CountedNode(0, 2_000, 2, 2)},
	} {
		score, device := scorer.ScoreNode(&n.NodeState, &half)
		if score == gpu.Unfit {
			fmt.Printf("%-22s does not fit\n", n.name)
			continue
		}
		fmt.Printf("%-22s score %d, device %d\n", n.name, score, device)
	}
	// Output:
	// T4, one half taken     score 6, device 1
	// T4, both free          score -3, device 0
	// A100, one half taken   score -11, device 1
	// T4, no processors      does not fit
}

func ExampleParseTopo() {
	links, err := gpu.ParseTopo(`        GPU0    GPU1    GPU2    GPU3
GPU0     X      NV12    SYS     SYS
GPU1    NV12     X      SYS     SYS
GPU2    SYS     SYS      X      NV12
GPU3    SYS     SYS     NV12     X
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("muster.sh/gpu-links:", links)
	reach, _ := links.EstimateQuality(3, 2)
	fmt.Println("two of three free GPUs:", reach.Link, reach.Score)
	// Output:
	// muster.sh/gpu-links: NV12;SYS,SYS;SYS,SYS,NV12
	// two of three free GPUs: NV12 100
}
