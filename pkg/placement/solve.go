// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"sync"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Solve places g on the cluster described by u without changing u. The same
// input gives the same plan. It is safe to call from several goroutines as
// long as none of them writes to u.
func Solve(u *topology.Usage, g *gang.Gang) Plan {
	p := planners.Get().(*Planner)
	defer planners.Put(p)
	p.reset(u)
	plan := p.Solve(g)
	p.reset(nil)
	return plan
}

// planners keeps the buffers of one-off solves.
var planners = sync.Pool{New: func() any { return new(Planner) }}

// Planner solves one gang after another on one Usage and remembers what it
// counted, so that a plan costs what changed since the last one plus the size
// of the gang. Its plans are those of Solve. It is not safe for use by several
// goroutines at once.
type Planner struct {
	u       *topology.Usage
	shapes  []*rooms // what was counted, the latest used last
	spare   []*rooms // buffers of forgotten shapes
	changes changes
	taken   []int64 // nodes x resources: what the plan at hand has taken
	attempt attempt
}

// NewPlanner is a planner over u. The caller may go on changing the rows of u
// and the contents of Filters, and names each node that it touched to Changed
// before the next Solve. A new Tree needs a new Planner.
func NewPlanner(u *topology.Usage) *Planner {
	p := new(Planner)
	p.reset(u)
	return p
}

// reset forgets everything but the buffers.
func (p *Planner) reset(u *topology.Usage) {
	p.u, p.attempt.p, p.attempt.g, p.attempt.t = u, nil, nil, nil
	for _, r := range p.shapes {
		r.u, r.filter = nil, nil
	}
	p.spare = append(p.spare, p.shapes...)
	p.shapes = p.shapes[:0]
	p.changes = changes{nodes: p.changes.nodes[:0]}
	p.taken = p.taken[:0]
}

// Changed says that the row of node n, or what a Filter says of it, may have
// changed.
func (p *Planner) Changed(n topology.NodeID) {
	if n >= 0 && int(n) < len(p.u.Tree.Nodes) {
		p.changes.add(n, len(p.u.Tree.Nodes))
	}
}

// Take subtracts request from what is free on node n.
func (p *Planner) Take(n topology.NodeID, request []int64) {
	p.u.AllocateOn(n, request)
	p.Changed(n)
}

// Give returns to node n what Take took.
func (p *Planner) Give(n topology.NodeID, request []int64) {
	p.u.ReleaseOn(n, request)
	p.Changed(n)
}

// Solve places g on the cluster as it now is, without changing it.
func (p *Planner) Solve(g *gang.Gang) Plan {
	a := &p.attempt
	if refusal := a.begin(p, g); refusal != nil {
		return Plan{Refusal: refusal}
	}
	if plan, ok := a.solve(); ok {
		return plan
	}
	return Plan{Refusal: a.explain()}
}

// Evaluated is the number of domains whose room the last Solve looked at; one
// counts again for each level, GPU product and wish that it was looked at for.
func (p *Planner) Evaluated() int { return p.attempt.looked }

// solve tries one GPU product after the other, and gives up the preferred
// slices only where no product can keep them.
func (a *attempt) solve() (Plan, bool) {
	for _, soft := range a.wishes() {
		for _, product := range a.products {
			a.count(product, soft) // bottom up: members that fit under each domain
			if d, ok := a.choose(); ok {
				return a.plan(d, product), true
			}
		}
	}
	return Plan{}, false
}

// plan copies the answer out of the buffers.
func (a *attempt) plan(d topology.DomainID, product int) Plan {
	plan := Plan{Domain: d, Nodes: make([][]topology.NodeID, len(a.roles))}
	if product >= 0 {
		plan.Model = a.t.Products[product]
	}
	flat := make([]topology.NodeID, 0, a.g.WaitingCount())
	for r := range a.roles {
		from := len(flat)
		flat = append(flat, a.roles[r].out...)
		plan.Nodes[r] = flat[from:len(flat):len(flat)]
	}
	return plan
}
