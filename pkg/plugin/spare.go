// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
	"k8s.io/apimachinery/pkg/types"
)

// follow tells the engine, and those who spare gangs, which nodes the last
// update of the cluster changed.
func (p *planner) follow() {
	usage := p.cluster.Usage()
	touched, rebuilt := p.cluster.Touched()
	if rebuilt || p.engine == nil {
		p.engine, p.idle = placement.NewPlanner(usage), placement.NewIdleIndex(usage.Tree)
		p.rows = make([]row, len(usage.Tree.Nodes))
		for n := range usage.Tree.Nodes {
			p.idle.SetIdle(topology.NodeID(n), usage.IsIdle(topology.NodeID(n)))
		}
	}
	for _, n := range touched {
		p.engine.MarkChanged(n)
		p.idle.SetIdle(n, usage.IsIdle(n))
	}
}

// known tells whether the gang is in the registry and may be tried.
func (r *registry) known(uid types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, ok := r.gangs[uid]
	return ok && !g.barred
}
