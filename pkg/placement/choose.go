// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// candidate is a domain that may hold the gang.
type candidate struct {
	domain topology.DomainID
	placed int // members that may find room there, by each role alone
}

// chooseDomain returns the best domain that holds the gang, and leaves the nodes of
// the members in the roles. It goes from the preferred level to the required one, or
// to the cluster; false means that no level has a domain for the gang.
func (s *solver) chooseDomain() (topology.DomainID, bool) {
	for level := s.narrowestLevel(); level >= s.widestLevel() && !s.isExhausted(); level-- {
		if d, ok := s.chooseAtLevel(level); ok {
			return d, true
		}
	}
	return 0, false
}

// widestLevel returns the last level to try.
func (s *solver) widestLevel() topology.Level {
	return max(s.gang.Required, topology.ClusterLevel)
}

// narrowestLevel returns the first level to try.
func (s *solver) narrowestLevel() topology.Level {
	return max(s.gang.Preferred, s.widestLevel())
}

// chooseAtLevel tries the domains of one level, the best first. Nearly always the
// best one holds the gang, so that the others are sorted only when it does not.
func (s *solver) chooseAtLevel(level topology.Level) (topology.DomainID, bool) {
	s.listCandidates(level)
	if len(s.candidates) == 0 {
		return 0, false
	}
	best := slices.MinFunc(s.candidates, s.compareCandidates)
	if s.fitDomain(best.domain) {
		return best.domain, true
	}
	s.spend(16 * len(s.candidates)) // comparisons of each
	slices.SortFunc(s.candidates, s.compareCandidates)
	for _, c := range s.candidates[1:] {
		if s.isExhausted() {
			break
		}
		if s.lacksTotal(c.domain) {
			continue
		}
		if s.fitDomain(c.domain) {
			return c.domain, true
		}
	}
	return 0, false
}

// listCandidates finds the domains of a level that may hold the gang.
func (s *solver) listCandidates(level topology.Level) {
	s.candidates = s.candidates[:0]
	// Bound members leave one domain of each level, or none.
	if len(s.boundNodes) > 0 && level >= 0 {
		if d, ok := s.pinnedDomain(level); ok {
			s.addCandidate(d)
		}
		return
	}
	for _, d := range s.tree.DomainsAt(level) {
		s.addCandidate(d)
	}
}

// pinnedDomain returns the domain of a level that contains all bound members, and
// false if there is none.
func (s *solver) pinnedDomain(level topology.Level) (topology.DomainID, bool) {
	d, ok := s.tree.DomainAt(s.boundNodes[0], level)
	for _, n := range s.boundNodes[1:] {
		ok = ok && s.tree.ContainsNode(d, n)
	}
	return d, ok
}

// addCandidate adds d to the candidates unless a role alone has too little room there,
// or d is in no domain of the required level, or not where the gang has to be.
func (s *solver) addCandidate(d topology.DomainID) {
	s.domainsEvaluated++
	if !s.isWithin(d, s.within) {
		return
	}
	if _, ok := s.tree.DomainAt(s.tree.Domains[d].First, s.widestLevel()); !ok {
		return
	}
	c := candidate{domain: d}
	s.spend(len(s.roles))
	for r := range s.roles {
		room := s.placeableMembers(r, d)
		if room < s.roles[r].minToPlace {
			return
		}
		c.placed += room
	}
	if c.placed < s.minToPlace {
		return
	}
	s.candidates = append(s.candidates, c)
}

// lacksTotal reports whether domain d has less of some resource on all of its nodes
// together than the least that must be placed asks for: roles that fit one by one may
// be too much together.
func (s *solver) lacksTotal(d topology.DomainID) bool {
	if len(s.roles) < 2 {
		return false
	}
	u, domain := s.planner.usage, &s.tree.Domains[d]
	s.spend(int(domain.End-domain.First) + len(s.roles))
	s.totals = resize(s.totals, len(u.Resources))
	clear(s.totals)
	for r := range s.roles {
		role := &s.roles[r]
		for c, q := range role.Request {
			s.totals[c] += q * int64(role.minToPlace)
		}
	}
	for n := domain.First; n < domain.End; n++ {
		for c, free := range u.FreeRow(n) {
			s.totals[c] -= max(free, 0)
		}
	}
	return slices.ContainsFunc(s.totals, func(lack int64) bool { return lack > 0 })
}

// placeableMembers returns the most waiting members of role r that domain d may
// hold, were it not for the other roles. Slices that are partly bound fit where no
// whole one does, so that only nodes limit a role that repairs slices.
func (s *solver) placeableMembers(r int, d topology.DomainID) int {
	role := &s.roles[r]
	if role.unslicedHeadroom != nil {
		return int(min(int64(role.Count), role.unslicedHeadroom.perDomain[d]))
	}
	return int(min(int64(role.Count), role.headroom.perDomain[d]))
}

// compareCandidates orders candidates of one level by the objective of the package,
// with the room of the role that has the least to spare.
func (s *solver) compareCandidates(x, y candidate) int {
	if x.placed != y.placed {
		return cmp.Compare(y.placed, x.placed)
	}
	if len(s.roleOrder) == 0 {
		return cmp.Compare(x.domain, y.domain)
	}
	role := &s.roles[s.roleOrder[0]]
	return role.headroom.compareDomains(x.domain, y.domain, int64(role.Count))
}

// compareDomains orders two domains of one level that hold the same run of n members by
// rules 2 to 5 of the package.
func (h *headroom) compareDomains(x, y topology.DomainID, n int64) int {
	domains := h.usage.Tree.Domains
	xRoom, yRoom := h.perDomain[x], h.perDomain[y]
	if level := domains[x].Level; level >= 0 {
		top := h.levelMax[level]
		if largest := xRoom >= top; largest != (yRoom >= top) {
			if largest {
				return 1
			}
			return -1
		}
	}
	// Siblings compare by room. Others compare by the domains around them, up to the
	// children of the widest level of several domains, where its own rule holds.
	switch p, q := domains[x].Parent, domains[y].Parent; {
	case p == q:
		if xRoom != yRoom {
			return cmp.Compare(xRoom, yRoom)
		}
		return cmp.Compare(x, y)
	case domains[p].Level > h.widestLevel && domains[q].Level > h.widestLevel:
		return h.compareDomains(p, q, n)
	case p < q:
		return h.compareByLoss(p, q, n)
	default:
		return -h.compareByLoss(q, p, n)
	}
}

// compareByLoss is -1 where p, the first of two domains of the widest level in
// the order of the tree, loses no more than q, and else 1.
func (h *headroom) compareByLoss(p, q topology.DomainID, n int64) int {
	if v := h.largeGangLoss(p, n); v > 0 && h.largeGangLoss(q, n) < v {
		return 1
	}
	return -1
}

// largeGangLoss returns the loss of large gangs, as the package defines it, in a
// domain of the widest level where n members go. A gang of 2^k is lost if and only if the
// subtraction of n from the room borrows from bit k.
func (h *headroom) largeGangLoss(d topology.DomainID, n int64) int64 {
	room := h.perDomain[d]
	n = min(n, room)
	// The borrows of a subtraction, as in a full subtractor, for all bits at once.
	borrows := ^room&n | ^(room^n)&(room-n) // each from the next bit
	size := int64(1) << bits.Len64(uint64(borrows))
	if size <= int64(h.largestChildNodes)*int64(h.nodeMax) {
		return 0
	}
	return size
}
