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
	// role is the index of the role in the solver.
	role int
	// headroom is that of the role for the slices that the run keeps whole.
	headroom *headroom
	// domain has to hold the run.
	domain topology.DomainID
	// members are indexes of waiting members, or hole, in rank order.
	members []int32
	// near is a node that the run should be near, or NoNode. Of two nodes as near
	// the run takes the one before it if beforeNear is set, else the one after.
	near       topology.NodeID
	beforeNear bool
}

// childShare is the part of a run that one child of a domain, or one node right
// below it, can hold and receives.
type childShare struct {
	// domain is the child domain, or -1 where node is the child.
	domain topology.DomainID
	node   topology.NodeID
	// headroom is the number of members that fit, amount of those that it receives.
	headroom, amount int64
}

// runPlacer gives the members of one run their nodes, in rank order. Its buffers
// are the solver's: a placer lives on the stack and costs no allocation.
type runPlacer struct {
	tree     *topology.Tree
	headroom *headroom
	run      *memberRun
	// assigned is the node of each member of the run's role.
	assigned []topology.NodeID
	// remaining are the members of the run that have no node yet.
	remaining []int32
	// shares is a stack with one frame for each fillDomain that is under way.
	shares []childShare
	sorter *boxSorter
}

// assignRun gives every member of the run a node. The domain has room for them.
func (s *solver) assignRun(run *memberRun) {
	p := runPlacer{
		tree: s.tree, headroom: run.headroom, run: run,
		assigned: s.roles[run.role].assigned, remaining: run.members,
		shares: s.shareStack[:0], sorter: &s.sorter,
	}
	p.placeRun()
	s.shareStack = p.shares
}

// placeRun chooses the part of the run's domain to fill: as much as is needed
// around the node that the run should be near, if there is one inside the domain.
func (p *runPlacer) placeRun() {
	h, domain, near := p.headroom, p.run.domain, p.run.near
	n := int64(len(p.run.members))
	if near == NoNode || !p.tree.ContainsNode(domain, near) {
		p.fillDomain(domain, n)
		return
	}
	d := p.tree.LeafDomain(near)
	inside := int(h.layerDepth[d]) == len(h.layers)
	if inside && int64(h.perNode[near]) >= n {
		p.assignNode(near, n)
		return
	}
	for d != domain && h.perDomain[d] < n {
		d = p.tree.Domains[d].Parent
	}
	if int(h.layerDepth[d]) == len(h.layers) && p.tree.Domains[d].Level >= h.narrowestLevel {
		p.fillAroundNode(d, n)
		return
	}
	p.fillDomain(d, n)
}

// fillDomain places the next n members in domain d, which has room for them: in
// the narrowest box inside d that holds them all, and else over the fewest boxes
// right below it. Boxes are filled in the order of the tree, so that neighbours
// in rank are neighbours in the fabric.
func (p *runPlacer) fillDomain(d topology.DomainID, n int64) {
	h := p.headroom
	d, node := h.narrowestBox(d, n)
	if node != NoNode {
		p.assignNode(node, n)
		return
	}
	from := len(p.shares)
	p.listChildren(d)
	unit := int64(1)
	if k := int(h.layerDepth[d]); k < len(h.layers) {
		unit = int64(h.layers[k].Size)
	}
	p.splitRun(p.shares[from:], n, unit)
	// The recursion pushes and pops frames above this one, and may move the
	// stack: shares are read by index.
	for i := from; i < len(p.shares); i++ {
		switch child := p.shares[i]; {
		case child.amount == 0:
		case child.domain < 0:
			p.assignNode(child.node, child.amount)
		default:
			p.fillDomain(child.domain, child.amount)
		}
	}
	p.shares = p.shares[:from]
}

// assignNode places the next n members on a node.
func (p *runPlacer) assignNode(node topology.NodeID, n int64) {
	for _, m := range p.remaining[:n] {
		if m != hole {
			p.assigned[m] = node
		}
	}
	p.remaining = p.remaining[n:]
}

// listChildren pushes the boxes right below d that have room: nodes that hang
// there first, then domains, each in the order of the tree.
func (p *runPlacer) listChildren(d topology.DomainID) {
	h, t := p.headroom, p.tree
	if int(h.layerDepth[d]) == len(h.layers) && h.directSum[d] > 0 {
		for n := t.Domains[d].First; n < t.Domains[d].End; n++ {
			if h.perNode[n] > 0 && t.LeafDomain(n) == d {
				p.shares = append(p.shares, childShare{domain: -1, node: n, headroom: int64(h.perNode[n])})
			}
		}
	}
	for c := d + 1; c < t.SubtreeEnd(d); c = t.SubtreeEnd(c) {
		if h.perDomain[c] > 0 {
			p.shares = append(p.shares, childShare{domain: c, headroom: h.perDomain[c]})
		}
	}
}

// narrowestBox returns the narrowest box inside d that holds a run of n members, the
// best one of its level; d itself if there is none. The node is NoNode if the box
// is a domain. It skips the subtrees that are too small, and reads the nodes of a
// domain only where one of them could hold the run.
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

// tightestNode returns the node right below d that holds n members and has the
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

// sharedDomain returns the narrowest domain around d that may have several nodes: a
// domain of one node, such as a host, does not tell neighbours from strangers.
func (h *headroom) sharedDomain(d topology.DomainID) topology.DomainID {
	for h.usage.Tree.Domains[d].Level > h.narrowestLevel {
		d = h.usage.Tree.Domains[d].Parent
	}
	return d
}

// fillAroundNode places the next n members on the nodes of d that are nearest in
// number to the node that the run should be near; of two as near, on the side
// where the run belongs in rank order. d has no narrower domains but those of
// single nodes, so that numbers are distances.
func (p *runPlacer) fillAroundNode(d topology.DomainID, n int64) {
	from := len(p.shares)
	near := p.run.near
	left, right := near, near+1
	for first, end := p.tree.Domains[d].First, p.tree.Domains[d].End; n > 0 && (left >= first || right < end); {
		var node topology.NodeID
		toLeft, toRight := near-left, right-near
		if right >= end || left >= first && (toLeft < toRight || toLeft == toRight && p.run.beforeNear) {
			node, left = left, left-1
		} else {
			node, right = right, right+1
		}
		if room := int64(p.headroom.perNode[node]); room > 0 {
			p.shares = append(p.shares, childShare{domain: -1, node: node, headroom: room, amount: min(n, room)})
			n -= min(n, room)
		}
	}
	shares := p.shares[from:]
	slices.SortFunc(shares, func(x, y childShare) int { return cmp.Compare(x.node, y.node) })
	for _, child := range shares {
		p.assignNode(child.node, child.amount)
	}
	p.shares = p.shares[:from]
}
