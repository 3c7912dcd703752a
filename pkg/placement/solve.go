// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"sync"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// SetDevices replaces the devices that the roles of the next gang claim. Those of claims
// that were counted before are to count as they did, but on nodes that were marked as
// changed.
func (p *Planner) SetDevices(d topology.Devices) { p.usage.Devices = d }

// Solve places g on the cluster described by u without changing u. The same
// input gives the same plan. It is safe to call from several goroutines as
// long as none of them writes to u.
func Solve(u *topology.Usage, g *gang.Gang) Plan {
	p := planners.Get().(*Planner)
	defer planners.Put(p)
	p.resetTo(u)
	plan := p.Solve(g)
	p.resetTo(nil)
	return plan
}

// planners keeps the buffers of one-off solves.
var planners = sync.Pool{New: func() any { return new(Planner) }}

// Planner solves one gang after another on one Usage and remembers what it
// counted, so that a plan costs what changed since the last one plus the size
// of the gang. Its plans are those of Solve. It is not safe for use by several
// goroutines at once.
type Planner struct {
	usage          *topology.Usage // with the main tree
	tree           *topology.Tree  // the tree that the caller gave, with levels that cross
	headrooms      []*headroom     // what was counted, the latest used last
	spareHeadrooms []*headroom     // buffers of forgotten shapes
	changes        changeLog
	taken          []int64 // nodes x resources: what the plan at hand has taken
	groupSteps     int     // what is left for a gang with groups of roles
	// takenDevices is the state of the devices of each node on which the plan at hand
	// has taken some, nil elsewhere; empty until a gang claims devices.
	takenDevices []topology.DeviceState
	solver       solver
}

// NewPlanner is a planner over u. The caller may go on changing the rows of u
// and the contents of Filters, and names each node that it touched to Changed
// before the next Solve. A new Tree needs a new Planner.
func NewPlanner(u *topology.Usage) *Planner {
	p := new(Planner)
	p.resetTo(u)
	return p
}

// resetTo forgets everything but the buffers.
func (p *Planner) resetTo(u *topology.Usage) {
	p.tree = nil
	if u != nil {
		p.tree, u = u.Tree, u.OnMain()
	}
	p.usage, p.solver.planner, p.solver.gang, p.solver.tree = u, nil, nil, nil
	for _, r := range p.headrooms {
		r.usage, r.filter, r.claims = nil, nil, nil
	}
	p.spareHeadrooms = append(p.spareHeadrooms, p.headrooms...)
	p.headrooms = p.headrooms[:0]
	p.changes = changeLog{nodes: p.changes.nodes[:0]}
	p.taken, p.takenDevices = p.taken[:0], nil
}

// MarkChanged says that the row of node n, or what a Filter says of it, may have
// changed.
func (p *Planner) MarkChanged(n topology.NodeID) {
	if n >= 0 && int(n) < len(p.usage.Tree.Nodes) {
		p.changes.appendNode(n, len(p.usage.Tree.Nodes))
	}
}

// AllocateOn subtracts request from what is free on node n.
func (p *Planner) AllocateOn(n topology.NodeID, request []int64) {
	p.usage.AllocateOn(n, request)
	p.MarkChanged(n)
}

// ReleaseOn returns to node n what Take took.
func (p *Planner) ReleaseOn(n topology.NodeID, request []int64) {
	p.usage.ReleaseOn(n, request)
	p.MarkChanged(n)
}

// Solve places g on the cluster as it now is, without changing it.
func (p *Planner) Solve(g *gang.Gang) Plan {
	if len(g.RoleGroups) > 0 {
		return p.solveGrouped(g)
	}
	if isUneven(g) {
		return p.solveUneven(g)
	}
	return p.solveEven(g)
}

// solveEven is Solve for a gang of which all members of a role ask for the same.
func (p *Planner) solveEven(g *gang.Gang) Plan {
	if t := g.TreeOn(p.tree); g.NamesCrossing(t) {
		return p.solveCrossing(t, g)
	}
	s := &p.solver
	if refusal := s.readGang(p, g); refusal != nil {
		return Plan{Refusal: refusal}
	}
	plan, ok := s.tryProducts()
	switch {
	case ok:
		return plan
	case s.isExhausted():
		return Plan{Refusal: s.complexRefusal()}
	}
	s.releaseReserve()
	return Plan{Refusal: s.explainRefusal()}
}

// SpentSteps returns the steps that the last Solve took of its budget. They are the
// same for the same cluster and gang, whatever was counted before.
func (p *Planner) SpentSteps() int {
	return p.solver.stepsGiven - p.solver.stepsLeft - p.solver.stepsKept
}

// EvaluatedDomains returns the number of domains whose headroom the last Solve
// compared. A domain counts again for each GPU product and each pass.
func (p *Planner) EvaluatedDomains() int { return p.solver.domainsEvaluated }

// tryProducts tries one GPU product after the other, and gives up the preferred
// slices only where no product can keep them.
func (s *solver) tryProducts() (Plan, bool) {
	for _, relaxed := range s.relaxations() {
		for _, product := range s.products {
			if s.isExhausted() {
				return Plan{}, false
			}
			s.countHeadroom(product, relaxed) // bottom up: members that fit under each domain
			if d, ok := s.chooseDomain(); ok {
				return s.buildPlan(d, product), true
			}
		}
	}
	return Plan{}, false
}

// buildPlan copies the answer out of the buffers.
func (s *solver) buildPlan(d topology.DomainID, product int) Plan {
	plan := Plan{Domain: d, Nodes: make([][]topology.NodeID, len(s.roles))}
	if product >= 0 {
		plan.Model = s.tree.Products[product]
	}
	flat := make([]topology.NodeID, 0, s.gang.WaitingCount())
	for r := range s.roles {
		from := len(flat)
		flat = append(flat, s.roles[r].assigned...)
		plan.Nodes[r] = flat[from:len(flat):len(flat)]
	}
	return plan
}
