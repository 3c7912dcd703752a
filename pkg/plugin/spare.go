// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// spare is what single pods spare for gangs, as it is in one scheduling cycle.
type spare struct {
	tree   *topology.Tree
	idle   *placement.Idle
	scorer *gpu.Scorer
}

// charge takes off the score of a node what gangs lose there.
func (s *spare) charge(node fwk.NodeInfo, score int64) int64 {
	if s == nil || score == gpu.Unfit {
		return score
	}
	n, ok := s.tree.NodeID(node.Node().Name)
	if !ok {
		return score
	}
	return score - s.scorer.GangMalus(s.idle.Loss(n))
}

// spare looks at the cluster for a single pod. What changed since the last plan
// or the last look is read again.
func (pl *Plugin) spare() (*spare, error) {
	p := pl.planner
	if p == nil {
		return nil, nil // no gangs are planned
	}
	nodes, err := pl.handle.SnapshotSharedLister().NodeInfos().List()
	if err != nil {
		return nil, err
	}
	if err := p.cluster.Update(nodes); err != nil {
		return nil, err
	}
	p.follow()
	p.idle.Retain(func(uid string) bool { return pl.gangs.known(types.UID(uid)) })
	return &spare{tree: p.cluster.Usage().Tree, idle: p.idle, scorer: pl.gpus.scorer()}, nil
}

// follow tells the engine, and those who spare gangs, which nodes the last
// update of the cluster changed.
func (p *planner) follow() {
	usage := p.cluster.Usage()
	touched, rebuilt := p.cluster.Touched()
	if rebuilt || p.engine == nil {
		p.engine, p.idle = placement.NewPlanner(usage), placement.NewIdle(usage.Tree)
		for n := range usage.Tree.Nodes {
			p.idle.Set(topology.NodeID(n), usage.Idle(topology.NodeID(n)))
		}
	}
	for _, n := range touched {
		p.engine.Changed(n)
		p.idle.Set(n, usage.Idle(n))
	}
}

// known tells whether the gang is in the registry and may be tried.
func (r *registry) known(uid types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, ok := r.gangs[uid]
	return ok && !g.barred
}
