// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
)

// scoreTable is the per-node data that Score reads, one row per NodeID, as it is
// in one scheduling cycle. A node costs one look-up: at 5,000 nodes what counts is
// how much memory is touched.
type scoreTable struct {
	cluster *kube.Cluster
	idle    *placement.IdleIndex
	gpus    *gpuInventory
	scorer  *gpu.Scorer
	rows    []nodeRow
}

// nodeRow is what was read of a node in the state of one generation. The framework
// scores a node once in a cycle, and cycles follow one another, so a row is written
// by one worker at a time and needs no lock.
type nodeRow struct {
	generation int64
	node       *nodeGPUs
	counted    freeGPUs
	state      gpu.NodeState
	// slices is the score for pods that ask for MIG instances.
	slices int64
}

// scoreNode is how well a node suits a pod with devices, less what gangs lose there.
func (t *scoreTable) scoreNode(w *scoreState, info fwk.NodeInfo) int64 {
	n, ok := t.cluster.NodeID(info)
	if !ok {
		return gpu.Unfit // it came after the table was made
	}
	r := &t.rows[n]
	if generation := info.GetGeneration(); r.generation != generation || r.node == nil {
		*r = t.gpus.rowOf(info)
	}
	score := int64(0)
	switch w.kind {
	case gpuCount:
		score = r.gpuScore(w, info)
	case migInstance:
		score = r.slices
	case otherDevice, gangMember, noDevice:
		score = packedShare(w, info)
	}
	if score == gpu.Unfit {
		return score
	}
	return score - t.scorer.GangPenalty(t.idle.BreakupCost(n))
}

// gpuScore is the score for a pod that asks for GPUs. Before anything has been
// learned, that is the node in use the most.
func (r *nodeRow) gpuScore(w *scoreState, info fwk.NodeInfo) int64 {
	gpus, state := r.counted, &r.state
	if len(w.devices.nodes) > 0 {
		gpus = w.devices.freeOn(info)
		published := gpu.CountedNode(r.node.model, r.state.CPUMilli, gpus.free, gpus.total)
		state = &published
	}
	if len(w.scorer.Workload()) == 0 {
		return percentOf(int64(gpus.total-gpus.free+w.request.GPUs), int64(gpus.total))
	}
	score, _ := w.scorer.ScoreNode(state, &w.request)
	if score == gpu.Unfit || w.request.GPUs < 2 {
		return score
	}
	return score + w.scorer.LinkBonus(r.node.linkScoreOf(gpus, w.request.GPUs))
}

// packedShare is the share of the node's devices that are in use once the pod is
// there, in percent.
func packedShare(w *scoreState, node fwk.NodeInfo) int64 {
	return percentOf(node.GetRequested().GetScalarResources()[w.device]+w.amount, node.GetAllocatable().GetScalarResources()[w.device])
}

func percentOf(used, total int64) int64 {
	if total <= 0 {
		return 0
	}
	return min(fwk.MaxScore*used/total, fwk.MaxScore)
}

func hasDevices(node fwk.NodeInfo) bool {
	for name, amount := range node.GetAllocatable().GetScalarResources() {
		if amount > 0 && gpu.TakesDevice(string(name)) {
			return true
		}
	}
	return false
}
