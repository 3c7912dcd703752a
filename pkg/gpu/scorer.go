// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"math"
	"slices"
)

// Weights say how much each thing that a placement spoils counts, in hundredths
// of a device per device.
type Weights struct {
	// Fragmentation: free GPU that typical pods can no longer use, see
	// Workload.NodeFragmentation.
	Fragmentation int64
	// Packing: worth that a shared device loses beyond that of the pod, because
	// the hole left suits no usual combination of pods.
	Packing int64
	// Scarcity: devices of a model that choosy pods depend on, taken by a pod
	// that could go elsewhere.
	Scarcity int64
	// Stranding: free GPUs for which the free processors of the node no longer
	// suffice, at what typical pods use per GPU.
	Stranding int64
	// Links: the difference between NVLink among all GPUs of a pod and no
	// knowledge of links, see LinkQuality.Score. It counts for pods of several GPUs.
	Links int64
	// Gangs: an idle node broken up in the domain that has the most idle nodes,
	// in proportion in the others, and any node where a gang waits for room.
	Gangs int64
	// Quantum, in thousandths of a device, is the difference between scores
	// that counts as one. Within it nodes tie, and the fixed order decides.
	Quantum int64
}

// DefaultWeights were measured on the openb workloads of Alibaba; package
// packing has the replay, benchmarks/packing.md the figures.
func DefaultWeights() Weights {
	return Weights{Fragmentation: 100, Packing: 800, Scarcity: 100, Stranding: 40, Links: 100, Gangs: 50, Quantum: 40}
}

// Unfit is the score of a node that has no room for the pod.
const Unfit = math.MinInt64

// Scorer scores nodes for pods. It is safe for concurrent use. The answer
// depends on the arguments alone; equal shapes of nodes are worked out once.
type Scorer struct {
	workload    Workload
	weights     Weights
	deviceValue *[MilliPerGPU + 1]int64
	scarcity    []int64
	// cpuPerGPU is what typical pods use of the processor per device, in
	// milli-cores; 0 if no typical pod has GPUs.
	cpuPerGPU int64
	cache     *scoreCache
}

// NewScorer prepares a scorer for a workload and a cluster. Capacity is the
// number of devices of each model, in the order of the models' numbers; of
// models beyond it nothing is known and none is scarce.
func NewScorer(w Workload, capacity []int, weights Weights) *Scorer {
	s := &Scorer{workload: w, weights: weights, deviceValue: deviceValues(w), scarcity: modelScarcity(w, capacity), cache: newScoreCache()}
	var cpu, milli float64
	for _, t := range w {
		if t.GPUs > 0 {
			cpu += float64(t.Share) * float64(t.CPUMilli)
			milli += float64(t.Share) * float64(t.TotalMilli())
		}
	}
	if milli > 0 {
		s.cpuPerGPU = int64(cpu / milli * MilliPerGPU)
	}
	s.weights.Quantum = max(1, weights.Quantum)
	return s
}

// Workload is the workload that the scorer was made for.
func (s *Scorer) Workload() Workload { return s.workload }

// ScoreNode says how well a node suits a pod, the higher the better, and on which
// device a pod that shares one should go (-1 for others). Scores of one pod on
// different nodes compare; those of different pods do not. A node without room
// scores Unfit. Of nodes with equal scores take the first in an order that
// stays the same from pod to pod: chance spreads pods and costs several percent
// of the cluster.
func (s *Scorer) ScoreNode(node *NodeState, pod *Request) (score int64, device int) {
	if e := s.cache.getScore(node, pod); e != nil {
		return e.score, int(e.device)
	}
	score, device = s.computeScore(node, pod)
	s.cache.putScore(node, pod, score, device)
	return score, device
}

// computeScore is Score without the memo.
func (s *Scorer) computeScore(node *NodeState, pod *Request) (score int64, device int) {
	if !node.HasRoomFor(pod) {
		return Unfit, -1
	}
	before := s.residualValue(node)
	if !pod.sharesDevice() {
		return s.quantizeLoss(before - s.residualValue(stateAfter(node, pod, -1)) - s.expectedLoss(node, pod)), -1
	}
	least := int64(math.MaxInt64)
	device = -1
	for i, free := range node.Free[:node.GPUs] {
		if int(free) < pod.GPUMilli || repeatsEarlier(node, i) {
			continue
		}
		if lost := before - s.residualValue(stateAfter(node, pod, i)); lost < least {
			least, device = lost, i
		}
	}
	return s.quantizeLoss(least - s.expectedLoss(node, pod)), device
}

// repeatsEarlier reports whether a device before this one is just as free.
func repeatsEarlier(node *NodeState, device int) bool {
	return slices.Contains(node.Free[:device], node.Free[device])
}

func stateAfter(node *NodeState, pod *Request, device int) *NodeState {
	n := *node
	n.AllocatePod(pod, device)
	return &n
}

// residualValue is the worth of what is free on a node, less what is of no use, in
// parts of a million devices times hundredths of weight.
func (s *Scorer) residualValue(node *NodeState) int64 {
	const perMilli = valueUnit / MilliPerGPU
	worth := int64(0)
	for _, free := range node.Free[:node.GPUs] {
		worth += s.deviceValue[free]
	}
	useless := s.workload.scaledFragmentation(node) / (shareUnit / perMilli)
	stranded := int64(0)
	if s.cpuPerGPU > 0 {
		stranded = max(0, int64(node.FreeMilli())*perMilli-node.CPUMilli*valueUnit/s.cpuPerGPU)
	}
	return s.weights.Packing*worth - s.weights.Fragmentation*useless - s.weights.Stranding*stranded
}

// expectedLoss is what the pod may take off the worth of a node without doing harm, less
// what its devices are missed by choosy pods.
func (s *Scorer) expectedLoss(node *NodeState, pod *Request) int64 {
	worth := int64(pod.GPUs) * valueUnit
	if pod.sharesDevice() {
		worth = s.deviceValue[pod.GPUMilli]
	}
	missed := int64(0)
	if node.Model >= 0 && node.Model < len(s.scarcity) {
		missed = s.scarcity[node.Model] * int64(pod.TotalMilli()) / MilliPerGPU
	}
	return s.weights.Packing*worth - s.weights.Scarcity*missed
}

// LinkBonus is what the links of a pod's GPUs add to the score of a node, from
// the score of their LinkQuality.
func (s *Scorer) LinkBonus(reach int) int64 {
	return s.weightedPoints(s.weights.Links, int64(reach), 100)
}

// GangPenalty is what a single pod's use of a node takes off the node's score
// because gangs need the node's domain: idle is the number of idle nodes there,
// this one among them, most that of the domain that has the most of them. A
// single pod then breaks up a node where only small gangs would fit anyway.
func (s *Scorer) GangPenalty(idle, most int) int64 {
	return s.weightedPoints(s.weights.Gangs, int64(min(idle, most)), int64(max(1, most)))
}

// weightedPoints turns a part of a weight into a difference of scores.
func (s *Scorer) weightedPoints(weight, part, whole int64) int64 {
	return weight * part * (MilliPerGPU / 100) / (whole * s.weights.Quantum)
}

// quantizeLoss turns a loss into a score.
func (s *Scorer) quantizeLoss(lost int64) int64 {
	unit := s.weights.Quantum * 100 * (valueUnit / MilliPerGPU)
	score := -lost / unit
	if -lost < 0 && -lost%unit != 0 {
		score-- // round down, not towards zero
	}
	return score
}

// NormalizeScores turns the scores of one pod on all nodes into 0 to most, in place,
// for a framework that knows no other range and picks among the best by chance.
// The best score alone becomes most: of equal ones the first, so the caller
// puts the nodes in its fixed order. The others keep their distance from the
// best, at least 1, down to 0. Unfit becomes 0.
func NormalizeScores(scores []int64, most int64) {
	best := -1
	for i, s := range scores {
		if s != Unfit && (best < 0 || s > scores[best]) {
			best = i
		}
	}
	if best < 0 {
		clear(scores)
		return
	}
	top := scores[best]
	for i, s := range scores {
		switch {
		case i == best:
			scores[i] = most
		case s == Unfit:
			scores[i] = 0
		default:
			scores[i] = max(0, most-max(1, top-s))
		}
	}
}
