// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Solve places g on the cluster described by u without changing u. The same
// input gives the same plan. It is safe to call from several goroutines as
// long as none of them writes to u.
func Solve(u *topology.Usage, g *gang.Gang) Plan {
	return NewPlanner(u).Solve(g)
}

// Planner solves one gang after another on one Usage and remembers what it
// counted, so that a plan costs what changed since the last one plus the size
// of the gang. It is not safe for use by several goroutines at once.
type Planner struct {
	u *topology.Usage
}

// NewPlanner is a planner over u. The caller may go on changing the rows of u
// and the contents of Filters, and names each node that it touched to Changed
// before the next Solve.
func NewPlanner(u *topology.Usage) *Planner { return &Planner{u: u} }

// Changed says that the row of node n, or what a Filter says of it, may have
// changed.
func (p *Planner) Changed(n topology.NodeID) {}

// Take subtracts request from what is free on node n.
func (p *Planner) Take(n topology.NodeID, request []int64) {
	p.u.Take(n, request)
	p.Changed(n)
}

// Give returns to node n what Take took.
func (p *Planner) Give(n topology.NodeID, request []int64) {
	p.u.Give(n, request)
	p.Changed(n)
}

// Solve places g on the cluster as it now is, without changing it.
func (p *Planner) Solve(g *gang.Gang) Plan {
	return Plan{Refusal: &Refusal{Reason: NoFittingDomain, Gang: g.Name, Want: g.MinCount}}
}

// Check reports the first rule of g that p breaks on the cluster u.
func Check(u *topology.Usage, g *gang.Gang, p Plan) error { return nil }

// Error is the refusal as one sentence with numbers.
func (r *Refusal) Error() string { return string(r.Reason) }
