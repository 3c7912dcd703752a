// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"slices"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// memberRun is a run of members of one role, from the start of a slice, that goes
// into one domain.
type memberRun struct {
	role       int
	headroom   *headroom
	domain     topology.DomainID
	members    []int32         // indexes of waiting members, in rank order
	near       topology.NodeID // stand beside this node, or NoNode
	beforeNear bool            // rather before near than after it
}

// childShare is what one domain or node below a domain can take of a run, and what
// it gets.
type childShare struct {
	domain   topology.DomainID // or -1: a node
	node     topology.NodeID
	headroom int64
	amount   int64
}

// assignRun gives every member of the job a node. The domain has room for them.
func (s *solver) assignRun(j *memberRun) {
	s.run, s.remaining = j, j.members
	n := int64(len(j.members))
	if j.near == NoNode || !s.tree.ContainsNode(j.domain, j.near) {
		s.fillDomain(j.domain, n)
		return
	}
	r := j.headroom
	d := s.tree.LeafDomain(j.near)
	inside := int(r.layerDepth[d]) == len(r.layers)
	if inside && int64(r.perNode[j.near]) >= n {
		s.assignNode(j.near, n)
		return
	}
	for d != j.domain && r.perDomain[d] < n {
		d = s.tree.Domains[d].Parent
	}
	if int(r.layerDepth[d]) == len(r.layers) && s.tree.Domains[d].Level >= r.narrowestLevel {
		s.fillAroundNode(d, j.near, n)
		return
	}
	s.fillDomain(d, n)
}

// fillDomain places the next n members in domain d, which has room for them: in the
// narrowest box inside d that holds them all, and else over the fewest boxes
// right below it. Boxes are filled in the order of the tree, so that neighbours
// in rank are neighbours in the fabric.
func (s *solver) fillDomain(d topology.DomainID, n int64) {
	r := s.run.headroom
	d, node := r.narrowestBox(d, n)
	if node != NoNode {
		s.assignNode(node, n)
		return
	}
	from := len(s.shareStack)
	s.listChildren(d)
	unit := int64(1)
	if k := int(r.layerDepth[d]); k < len(r.layers) {
		unit = int64(r.layers[k].Size)
	}
	s.splitRun(s.shareStack[from:], n, unit)
	for i := from; i < len(s.shareStack); i++ {
		switch child := s.shareStack[i]; {
		case child.amount == 0:
		case child.domain < 0:
			s.assignNode(child.node, child.amount)
		default:
			s.fillDomain(child.domain, child.amount)
		}
	}
	s.shareStack = s.shareStack[:from]
}

// assignNode places the next n members on a node.
func (s *solver) assignNode(node topology.NodeID, n int64) {
	out := s.roles[s.run.role].assigned
	for _, m := range s.remaining[:n] {
		if m != hole {
			out[m] = node
		}
	}
	s.remaining = s.remaining[n:]
}

// listChildren lists the boxes right below d that have room.
func (s *solver) listChildren(d topology.DomainID) {
	r, t := s.run.headroom, s.tree
	if int(r.layerDepth[d]) == len(r.layers) && r.directSum[d] > 0 {
		for n := t.Domains[d].First; n < t.Domains[d].End; n++ {
			if r.perNode[n] > 0 && t.LeafDomain(n) == d {
				s.shareStack = append(s.shareStack, childShare{domain: -1, node: n, headroom: int64(r.perNode[n])})
			}
		}
	}
	for c := d + 1; c < t.SubtreeEnd(d); c = t.SubtreeEnd(c) {
		if r.perDomain[c] > 0 {
			s.shareStack = append(s.shareStack, childShare{domain: c, headroom: r.perDomain[c]})
		}
	}
}

// narrowestBox finds the narrowest box inside d that holds a run of n members, the
// best one of its level; d itself if there is none. The node is NoNode if
// the box is a domain.
func (h *headroom) narrowestBox(d topology.DomainID, n int64) (topology.DomainID, topology.NodeID) {
	t := h.usage.Tree
	best, node := d, NoNode
	end := t.SubtreeEnd(d)
	for c := d; c < end; {
		if h.perDomain[c] < n { // no more inside it than it has itself
			c = t.SubtreeEnd(c)
			continue
		}
		if n <= int64(h.nodeMax) && h.directSum[c] >= n {
			node = h.tightestNode(c, n, node)
		}
		if c != d && node == NoNode && h.isBetterBox(c, best, n) {
			best = c
		}
		c++
	}
	if best != d && node == NoNode {
		return best, NoNode
	}
	return d, node
}

// isBetterBox reports whether domain c is a better box for a run of n than best.
func (h *headroom) isBetterBox(c, best topology.DomainID, n int64) bool {
	t := h.usage.Tree
	if l, b := t.Domains[c].Level, t.Domains[best].Level; l != b {
		return l > b
	}
	return h.compareDomains(c, best, n) < 0
}

// tightestNode finds the node right below d that holds n members and has the
// least room, unless best has less; the better domain wins a tie.
func (h *headroom) tightestNode(d topology.DomainID, n int64, best topology.NodeID) topology.NodeID {
	t := h.usage.Tree
	room, better := int32(memberLimit+1), true
	if best != NoNode {
		room, better = h.perNode[best], h.compareDomains(h.sharedDomain(d), h.sharedDomain(t.LeafDomain(best)), n) < 0
	}
	for i := t.Domains[d].First; i < t.Domains[d].End; i++ {
		x := h.perNode[i]
		if int64(x) < n || x > room || x == room && !better || t.LeafDomain(i) != d {
			continue
		}
		best, room, better = i, x, false
	}
	return best
}

// sharedDomain is the narrowest domain around d of a level whose nodes share domains.
func (h *headroom) sharedDomain(d topology.DomainID) topology.DomainID {
	for h.usage.Tree.Domains[d].Level > h.narrowestLevel {
		d = h.usage.Tree.Domains[d].Parent
	}
	return d
}

// fillAroundNode places the next n members on the nodes of d, a domain of no narrower
// ones but of single nodes, that are nearest in number to a node, on the side
// where they belong in rank order if both sides are as near.
func (s *solver) fillAroundNode(d topology.DomainID, near topology.NodeID, n int64) {
	from := len(s.shareStack)
	left, right := near, near+1
	for first, end := s.tree.Domains[d].First, s.tree.Domains[d].End; n > 0 && (left >= first || right < end); {
		var node topology.NodeID
		toLeft, toRight := near-left, right-near
		if right >= end || left >= first && (toLeft < toRight || toLeft == toRight && s.run.beforeNear) {
			node, left = left, left-1
		} else {
			node, right = right, right+1
		}
		if room := int64(s.run.headroom.perNode[node]); room > 0 {
			s.shareStack = append(s.shareStack, childShare{domain: -1, node: node, headroom: room, amount: min(n, room)})
			n -= min(n, room)
		}
	}
	shares := s.shareStack[from:]
	slices.SortFunc(shares, func(x, y childShare) int { return cmp.Compare(x.node, y.node) })
	for _, child := range shares {
		s.assignNode(child.node, child.amount)
	}
	s.shareStack = s.shareStack[:from]
}
