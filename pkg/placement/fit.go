// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"slices"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// maxSpreadSteps bounds in how many ways the minimum of a gang is spread over its
// roles in one domain before the domain is given up.
const maxSpreadSteps = 16

// maxInnerCandidates bounds the domains of one level that fitNarrowerDomain tries.
const maxInnerCandidates = 4

// fitDomain places the gang in domain d if it can: every member, or else as many as
// must be and then as many more as room allows. The ways to do so are tried in the
// order of their cost: all members at once, the minimum spread over the roles, and
// last the exact search for a minimum.
func (s *solver) fitDomain(d topology.DomainID) bool {
	least := 0
	for r := range s.roles {
		role := &s.roles[r]
		role.maxToPlace = s.placeableMembers(r, d)
		role.toPlace = role.maxToPlace
		least += role.minToPlace
	}
	if s.fitNarrowerDomain(d) || s.tryDomain(d) {
		return true
	}
	extra := max(0, s.minToPlace-least)
	s.spreadSteps = maxSpreadSteps
	if s.spreadMinimum(0, extra, func() bool { return s.tryDomain(d) }) {
		return s.growRoles(d)
	}
	s.spreadSteps = maxSpreadSteps
	return s.spreadMinimum(0, extra, func() bool { return s.searchDomain(d) })
}

// fitNarrowerDomain places a gang of several roles in the narrowest box inside d that
// holds all of it. One role finds that by itself, but two might go to two ends of d.
// Bound members have fixed where the gang is, so that it does nothing for those.
func (s *solver) fitNarrowerDomain(d topology.DomainID) bool {
	if s.activeRoles() < 2 || len(s.boundNodes) > 0 {
		return false
	}
	s.spend(int(s.tree.Domains[d].End - s.tree.Domains[d].First))
	if s.fitSingleNode(d) {
		return true
	}
	level := topology.Level(len(s.tree.Levels) - 1)
	for ; level > s.tree.Domains[d].Level && !s.isExhausted(); level-- {
		s.innerCandidates = s.innerCandidates[:0]
		for _, e := range s.tree.DomainsAt(level) {
			if s.isWithin(e, d) && s.domainHoldsAll(e) {
				s.innerCandidates = append(s.innerCandidates, candidate{domain: e})
			}
		}
		slices.SortFunc(s.innerCandidates, s.compareCandidates)
		for _, c := range s.innerCandidates[:min(len(s.innerCandidates), maxInnerCandidates)] {
			if s.tryDomain(c.domain) {
				return true
			}
		}
	}
	return false
}

// activeRoles returns the number of roles that have members to place.
func (s *solver) activeRoles() int {
	n := 0
	for r := range s.roles {
		if s.roles[r].toPlace > 0 {
			n++
		}
	}
	return n
}

// fitSingleNode places all the counted members on one node inside d, the one with the
// least room for the scarcest role, so that roomier nodes stay free.
func (s *solver) fitSingleNode(d topology.DomainID) bool {
	scarce := s.roles[s.roleOrder[0]].headroom
	best := NoNode
	for n := s.tree.Domains[d].First; n < s.tree.Domains[d].End; n++ {
		if (best == NoNode || scarce.perNode[n] < scarce.perNode[best]) && s.nodeHoldsAll(n) {
			best = n
		}
	}
	if best == NoNode {
		return false
	}
	for r := range s.roles {
		role := &s.roles[r]
		for m := range role.assigned {
			role.assigned[m] = NoNode
			if m < role.toPlace {
				role.assigned[m] = best
			}
		}
	}
	return true
}

// nodeHoldsAll reports whether node n has room for all the counted members at once.
// The headroom of each role alone is checked first: it rules out most nodes.
func (s *solver) nodeHoldsAll(n topology.NodeID) bool {
	leaf := s.tree.LeafDomain(n)
	s.spend(len(s.roles))
	for _, r := range s.roleOrder {
		role := &s.roles[r]
		if role.toPlace > 0 && (int(role.headroom.perNode[n]) < role.toPlace || int(role.headroom.layerDepth[leaf]) != len(role.headroom.layers)) {
			return false
		}
	}
	for c, free := range s.planner.usage.FreeRow(n) {
		for r := range s.roles {
			if asked := int64(s.roles[r].toPlace) * s.roles[r].Request[c]; asked > 0 {
				free -= asked
				if free < 0 {
					return false
				}
			}
		}
	}
	return s.holdDevices(n)
}

// domainHoldsAll reports whether d has room for each counted role alone, which is
// necessary for all of them and not enough.
func (s *solver) domainHoldsAll(d topology.DomainID) bool {
	s.spend(len(s.roles))
	for r := range s.roles {
		if role := &s.roles[r]; role.headroom.perDomain[d] < int64(role.toPlace) {
			return false
		}
	}
	return true
}

// spreadMinimum goes through the ways to spread extra members, on top of what each
// role needs, over the roles from r on, until placeAll succeeds for one of them.
// Earlier roles get as many as they can take first. The number of ways grows fast
// with the roles, so that spreadSteps bounds it.
func (s *solver) spreadMinimum(r, extra int, placeAll func() bool) bool {
	if r == len(s.roles) {
		s.spreadSteps--
		return placeAll()
	}
	s.spend(len(s.roles) - r)
	rest := 0
	for i := r + 1; i < len(s.roles); i++ {
		rest += s.roles[i].maxToPlace - s.roles[i].minToPlace
	}
	role := &s.roles[r]
	for x := min(extra, role.maxToPlace-role.minToPlace); x >= max(0, extra-rest) && s.spreadSteps > 0 && !s.isExhausted(); x-- {
		role.toPlace = role.minToPlace + x
		if s.spreadMinimum(r+1, extra-x, placeAll) {
			return true
		}
	}
	return false
}

// growRoles adds members to a gang that fits in d, role by role, up to the longest
// run that fits too. It bisects: whether a run fits is monotonous in its length, but
// for packing effects that may cost members beyond the minimum.
func (s *solver) growRoles(d topology.DomainID) bool {
	for r := range s.roles {
		role := &s.roles[r]
		fits, most := role.toPlace, role.maxToPlace
		for fits < most && !s.isExhausted() {
			role.toPlace = (fits + most + 1) / 2
			if s.tryWithHoles(d) {
				fits = role.toPlace
			} else {
				most = role.toPlace - 1
			}
		}
		role.toPlace = fits
	}
	return s.tryWithHoles(d)
}

// tryWithHoles tries as tryDomain does, and searches where slices miss members: these
// are items of different sizes, which pack in more ways than one.
func (s *solver) tryWithHoles(d topology.DomainID) bool {
	if s.tryDomain(d) {
		return true
	}
	return slices.ContainsFunc(s.roles, func(r roleState) bool { return r.hasRankHoles && len(r.sliceLayers) > 0 }) && s.searchDomain(d)
}

// countToPlace returns the number of members that this try places.
func (s *solver) countToPlace() int {
	n := 0
	for r := range s.roles {
		n += s.roles[r].toPlace
	}
	return n
}

// tryDomain places toPlace members of each role inside domain d, role by role, and
// leaves their nodes in the roles. It is greedy and may fail where another order of
// members fits; searchDomain finds that.
func (s *solver) tryDomain(d topology.DomainID) bool {
	if s.tryOrder(d, s.roleOrder) {
		return true
	}
	return len(s.sizeOrder) > 0 && s.tryOrder(d, s.sizeOrder)
}

// tryOrder places the roles in one order. In a relaxed pass whole preferred slices
// go first where they fit, and none where they are in the way of the rest.
func (s *solver) tryOrder(d topology.DomainID, order []int) bool {
	ok := s.placeRoles(d, order, true)
	s.restoreTaken(d)
	if !ok && s.isRelaxed() {
		ok = s.placeRoles(d, order, false)
		s.restoreTaken(d)
	}
	return ok
}

// isRelaxed reports whether the pass at hand may split preferred slices.
func (s *solver) isRelaxed() bool {
	return len(s.roles) > 0 && s.roles[0].preferredHeadroom != nil
}

// placeRoles places the runs of every role in order. Runs after the first see what
// the ones before them have taken; restoreTaken must follow, whatever came of it.
func (s *solver) placeRoles(d topology.DomainID, order []int, preferWhole bool) bool {
	s.runs, s.memberBuffer = s.runs[:0], s.memberBuffer[:0]
	s.spend(len(s.roles) + s.countToPlace())
	for r := range s.roles { // a role may ask where another one is that comes later
		for m := range s.roles[r].assigned {
			s.roles[r].assigned[m] = NoNode
		}
	}
	for i, r := range order {
		role := &s.roles[r]
		s.syncHeadroom(role.headroom, d)
		s.syncHeadroom(role.preferredHeadroom, d)
		first := len(s.runs)
		if !s.planRuns(r, d, preferWhole) {
			return false
		}
		for j := first; j < len(s.runs); j++ {
			run := &s.runs[j]
			s.syncHeadroom(run.headroom, d)
			if run.headroom.perDomain[run.domain] < int64(len(run.members)) {
				s.failedDomain = run.domain
				return false
			}
			s.spend(int(s.tree.SubtreeEnd(run.domain) - run.domain))
			s.assignRun(run)
			if j+1 < len(s.runs) || i+1 < len(order) { // no later run reads what the last one takes
				s.deductRun(run)
			}
		}
	}
	return true
}

// deductRun takes the resources of a placed run. The headroom of each role follows
// when it is read: see syncHeadroom.
func (s *solver) deductRun(run *memberRun) {
	role := &s.roles[run.role]
	s.sizeTaken()
	width := len(role.Request)
	first := len(s.touchedNodes)
	for _, m := range run.members {
		if m == hole {
			continue
		}
		n := role.assigned[m]
		cells := s.planner.taken[int(n)*width:]
		for c, q := range role.Request {
			cells[c] += q
		}
		s.takeDevices(role, n)
		if last := len(s.touchedNodes) - 1; last < first || s.touchedNodes[last] != n {
			s.touchedNodes = append(s.touchedNodes, n)
		}
	}
}

// sizeTaken makes the planner's table of taken resources fit its usage. Between
// plans the table is all zero, so that it is cleared only when it grows.
func (s *solver) sizeTaken() {
	if cells := len(s.tree.Nodes) * len(s.planner.usage.Resources); len(s.planner.taken) != cells {
		s.planner.taken = resize(s.planner.taken, cells)
		clear(s.planner.taken)
	}
}

// takenOn returns the resources that the plan at hand has taken on node n, as a
// row of the planner's table.
func (s *solver) takenOn(n topology.NodeID) []int64 {
	width := len(s.planner.usage.Resources)
	return s.planner.taken[int(n)*width : (int(n)+1)*width]
}

// restoreTaken undoes every deductRun since the last call, inside d.
func (s *solver) restoreTaken(d topology.DomainID) {
	if len(s.touchedNodes) == 0 {
		return
	}
	for _, n := range s.touchedNodes {
		clear(s.takenOn(n))
		s.giveBackDevices(n, nil)
	}
	for r := range s.roles {
		s.restoreHeadroom(s.roles[r].headroom, d)
		s.restoreHeadroom(s.roles[r].preferredHeadroom, d)
	}
	s.touchedNodes = s.touchedNodes[:0]
}

// syncHeadroom brings h up to date, inside d, with what the try at hand has taken.
// Roles of one shape share their headroom, so that it costs each shape the nodes
// that were touched since it was last read.
func (s *solver) syncHeadroom(h *headroom, d topology.DomainID) {
	if h != nil && h.takenSeen < len(s.touchedNodes) {
		s.recountNodes(h, s.touchedNodes[h.takenSeen:], d)
		h.takenSeen = len(s.touchedNodes)
	}
}

// restoreHeadroom takes back what syncHeadroom did, once nothing is taken any more.
func (s *solver) restoreHeadroom(h *headroom, d topology.DomainID) {
	if h != nil && h.takenSeen > 0 {
		s.recountNodes(h, s.touchedNodes[:h.takenSeen], d)
		h.takenSeen = 0
	}
}

// recountNodes counts nodes inside d again, and the domains around them inside d.
func (s *solver) recountNodes(h *headroom, nodes []topology.NodeID, d topology.DomainID) {
	for _, n := range nodes {
		h.updateNode(n, s.takenOn(n), s.devicesOn(n))
	}
	s.spend(len(nodes)*(1+len(h.terms)) + h.deviceSteps)
	h.deviceSteps = 0
	if len(h.layers) == 0 {
		return
	}
	inside := int(s.tree.SubtreeEnd(d) - d)
	if len(nodes)*len(s.tree.Levels) >= inside {
		s.spend(inside)
		h.sumDomains(d)
		return
	}
	s.aroundBuffer = h.refreshAround(nodes, d, s.aroundBuffer)
	s.spend(4 * len(s.aroundBuffer))
}
