// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
)

// board is what Score looks at, as it is in one scheduling cycle. A node costs
// one look in a table: at 5,000 nodes what counts is how much memory is touched.
type board struct {
	cluster *kube.Cluster
	idle    *placement.Idle
	gpus    *appraiser
	scorer  *gpu.Scorer
	rows    []row
}

// row is what was read of a node in the state of one generation. The framework
// scores a node once in a cycle, and cycles follow one another, so a row needs
// no lock.
type row struct {
	generation int64
	node       *appraised
	counted    freeGPUs
	state      gpu.NodeState
	// slices is the score for pods that ask for MIG instances.
	slices int64
}

// board looks at the cluster for a single pod. What changed since the last plan
// or the last look is read again.
func (pl *Plugin) board() (*board, error) {
	p := pl.planner
	nodes, err := pl.handle.SnapshotSharedLister().NodeInfos().List()
	if err != nil {
		return nil, err
	}
	if err := p.cluster.Update(nodes); err != nil {
		return nil, err
	}
	p.follow()
	p.idle.Retain(func(uid string) bool { return pl.gangs.known(types.UID(uid)) })
	return &board{cluster: p.cluster, idle: p.idle, gpus: pl.gpus, scorer: pl.gpus.scorer(), rows: p.rows}, nil
}

// score is how well a node suits a pod with devices, less what gangs lose there.
func (b *board) score(w *wish, info fwk.NodeInfo) int64 {
	n, ok := b.cluster.NodeID(info)
	if !ok {
		return gpu.Unfit // it came after the picture was taken
	}
	r := &b.rows[n]
	if generation := info.GetGeneration(); r.generation != generation || r.node == nil {
		*r = b.gpus.row(info)
	}
	score := int64(0)
	switch w.kind {
	case fractional:
		score = r.fraction(w, info)
	case sliced:
		score = r.slices
	case counted, member, plain:
		score = packed(w, info)
	}
	if score == gpu.Unfit {
		return score
	}
	return score - b.scorer.GangMalus(b.idle.Loss(n))
}

// fraction is the score for a pod that asks for GPUs. Before anything has been
// learned, that is the node in use the most.
func (r *row) fraction(w *wish, info fwk.NodeInfo) int64 {
	gpus, state := r.counted, &r.state
	if len(w.devices.nodes) > 0 {
		gpus = w.devices.freeOn(info)
		published := gpu.CountedNode(r.node.model, r.state.CPUMilli, gpus.free, gpus.total)
		state = &published
	}
	if len(w.scorer.Workload()) == 0 {
		return percent(int64(gpus.total-gpus.free+w.request.GPUs), int64(gpus.total))
	}
	score, _ := w.scorer.ScoreNode(state, &w.request)
	if score == gpu.Unfit || w.request.GPUs < 2 {
		return score
	}
	return score + w.scorer.LinkBonus(r.node.links(gpus, w.request.GPUs))
}
