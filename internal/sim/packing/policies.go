// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package packing

import (
	"math"
	"math/rand"

	"github.com/muster-scheduler/muster/pkg/gpu"
)

// Policy is a way to place pods.
type Policy struct {
	// Name is what tables call it.
	Name string
	// About says in a few words what it does.
	About string
	// New makes a chooser for one replay.
	New func(e *Experiment, seed int64) Chooser
}

// Chooser scores a node on which the pod fits; the highest score wins, of equal
// ones the node of the lowest rank. A pod that shares goes on the device.
type Chooser interface {
	ScoreNode(node *gpu.NodeState, pod *gpu.Request) (score int64, device int)
}

// Learner is a Chooser that watches what arrives. It is told of every pod
// before the pod is placed, and answers whether earlier scores are void.
type Learner interface {
	Observe(pod *gpu.Request) bool
}

// Policies are those that the replay knows.
func Policies() []Policy {
	return []Policy{
		{"muster", "the scheduler's scoring, typical pods from the list", newMuster},
		{"muster-learned", "the same, typical pods from what has arrived", newLearner},
		{"fgd", "fragmentation gradient descent, as published", newFGD},
		{"bestfit", "least left over of processors and GPUs", func(*Experiment, int64) Chooser { return bestFit{} }},
		{"packing", "used devices first, then used nodes", func(*Experiment, int64) Chooser { return packed{} }},
		{"random", "any node and device with room", newRandom},
	}
}

func newMuster(e *Experiment, _ int64) Chooser {
	return gpu.NewScorer(e.Typical(), e.capacity, gpu.DefaultWeights())
}

type learner struct{ *gpu.Learner }

func newLearner(e *Experiment, _ int64) Chooser {
	return learner{gpu.NewLearner(e.capacity, gpu.DefaultWeights())}
}

// ScoreNode implements Chooser.
func (l learner) ScoreNode(node *gpu.NodeState, pod *gpu.Request) (int64, int) {
	return l.CurrentScorer().ScoreNode(node, pod)
}

// Observe implements Learner.
func (l learner) Observe(pod *gpu.Request) bool { return l.Learner.ObservePod(*pod) }

type fgd struct{ typical gpu.Workload }

func newFGD(e *Experiment, _ int64) Chooser { return fgd{e.Typical()} }

// ScoreNode is the fall of fragmentation, squeezed into whole numbers from 0 to 99
// by a sigmoid, as the published code does.
func (f fgd) ScoreNode(node *gpu.NodeState, pod *gpu.Request) (int64, int) {
	before := f.typical.NodeFragmentation(node)
	return eachDevice(node, pod, func(after *gpu.NodeState) int64 {
		return int64(100 / (1 + math.Exp((f.typical.NodeFragmentation(after)-before)/1000)))
	})
}

// eachDevice tries the devices on which a sharing pod fits and returns the best
// score, the first one of equals.
func eachDevice(node *gpu.NodeState, pod *gpu.Request, score func(after *gpu.NodeState) int64) (int64, int) {
	if pod.GPUs != 1 || pod.GPUMilli == gpu.MilliPerGPU {
		after := *node
		after.AllocatePod(pod, -1)
		return score(&after), -1
	}
	best, device := int64(math.MinInt64), -1
	for i, free := range node.Free[:node.GPUs] {
		if int(free) < pod.GPUMilli {
			continue
		}
		after := *node
		after.AllocatePod(pod, i)
		if s := score(&after); s > best {
			best, device = s, i
		}
	}
	return best, device
}

// tightest is the device with the least room that suffices.
func tightest(node *gpu.NodeState, pod *gpu.Request) int {
	device := -1
	for i, free := range node.Free[:node.GPUs] {
		if int(free) >= pod.GPUMilli && (device < 0 || free < node.Free[device]) {
			device = i
		}
	}
	return device
}

type bestFit struct{}

// ScoreNode weighs what is left of both resources against the largest node of
// openb: 128 cores, 8 GPUs.
func (bestFit) ScoreNode(node *gpu.NodeState, pod *gpu.Request) (int64, int) {
	const mostCPU, mostGPU = 128_000, 8 * gpu.MilliPerGPU
	cpu := float64(node.CPUMilli-pod.CPUMilli) / mostCPU
	left := float64(node.FreeMilli()-pod.TotalMilli()) / mostGPU
	return int64(100 * (1 - cpu/2 - left/2)), tightest(node, pod)
}

type packed struct{}

// ScoreNode prefers devices in use over free devices on a node in use, and those
// over a node without pods on its GPUs, as the published GpuPacking does: three
// bands of the whole numbers from 0 to 100. In the first the devices with the
// least room win, to the nearest tenth; in the second the pods take whole
// devices alike wherever they go, so that nodes tie; in the third small nodes
// come first.
func (packed) ScoreNode(node *gpu.NodeState, pod *gpu.Request) (int64, int) {
	const usedDevice, usedNode, freeNode = 100, 50, 33
	if pod.GPUs == 0 {
		return 0, -1
	}
	idle, fullest := 0, int64(gpu.MilliPerGPU)
	for _, free := range node.Free[:node.GPUs] {
		if free == gpu.MilliPerGPU {
			idle++
		} else if int(free) >= pod.GPUMilli {
			fullest = min(fullest, int64(free))
		}
	}
	device := tightest(node, pod)
	switch {
	case idle == node.GPUs:
		return max(freeNode-int64(idle), int64(idle)), device
	case fullest == gpu.MilliPerGPU || pod.GPUs > 1:
		return max(usedNode-int64(pod.GPUs), freeNode), device
	default:
		return usedDevice - fullest*100/gpu.MilliPerGPU/10, device
	}
}

type random struct{ draw *rand.Rand }

func newRandom(_ *Experiment, seed int64) Chooser { return random{rand.New(rand.NewSource(seed))} }

// ScoreNode draws a score and, for a pod that shares, a device with room.
func (r random) ScoreNode(node *gpu.NodeState, pod *gpu.Request) (int64, int) {
	device, seen := -1, 0
	for i, free := range node.Free[:node.GPUs] {
		if int(free) >= pod.GPUMilli {
			if seen++; r.draw.Intn(seen) == 0 {
				device = i
			}
		}
	}
	return r.draw.Int63(), device
}

// Observe voids the scores of the pod before: each pod draws anew.
func (random) Observe(*gpu.Request) bool { return true }
