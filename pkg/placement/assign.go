// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"slices"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// job is a run of members of one role, from the start of a slice, that goes
// into one domain.
type job struct {
	role    int
	rooms   *rooms
	domain  topology.DomainID
	members []int32         // indexes of waiting members, in rank order
	near    topology.NodeID // stand beside this node, or NoNode
	before  bool            // rather before near than after it
}

// share is what one domain or node below a domain can take of a run, and what
// it gets.
type share struct {
	domain topology.DomainID // or -1: a node
	node   topology.NodeID
	room   int64
	amount int64
}

// assign gives every member of the job a node. The domain has room for them.
func (a *attempt) assign(j *job) {
	a.job, a.next = j, j.members
	n := int64(len(j.members))
	if j.near == NoNode || !a.t.ContainsNode(j.domain, j.near) {
		a.fill(j.domain, n)
		return
	}
	r := j.rooms
	d := a.t.LeafDomain(j.near)
	inside := int(r.layer[d]) == len(r.layers)
	if inside && int64(r.node[j.near]) >= n {
		a.put(j.near, n)
		return
	}
	for d != j.domain && r.dom[d] < n {
		d = a.t.Domains[d].Parent
	}
	if int(r.layer[d]) == len(r.layers) && a.t.Domains[d].Level >= r.lowest {
		a.fillNear(d, j.near, n)
		return
	}
	a.fill(d, n)
}

// fill places the next n members in domain d, which has room for them: in the
// narrowest box inside d that holds them all, and else over the fewest boxes
// right below it. Boxes are filled in the order of the tree, so that neighbours
// in rank are neighbours in the fabric.
func (a *attempt) fill(d topology.DomainID, n int64) {
	r := a.job.rooms
	d, node := r.narrowest(d, n)
	if node != NoNode {
		a.put(node, n)
		return
	}
	from := len(a.shares)
	a.children(d)
	unit := int64(1)
	if k := int(r.layer[d]); k < len(r.layers) {
		unit = int64(r.layers[k].Size)
	}
	a.split(a.shares[from:], n, unit)
	for i := from; i < len(a.shares); i++ {
		switch s := a.shares[i]; {
		case s.amount == 0:
		case s.domain < 0:
			a.put(s.node, s.amount)
		default:
			a.fill(s.domain, s.amount)
		}
	}
	a.shares = a.shares[:from]
}

// put places the next n members on a node.
func (a *attempt) put(node topology.NodeID, n int64) {
	out := a.roles[a.job.role].out
	for _, m := range a.next[:n] {
		if m != nobody {
			out[m] = node
		}
	}
	a.next = a.next[n:]
}

// children lists the boxes right below d that have room.
func (a *attempt) children(d topology.DomainID) {
	r, t := a.job.rooms, a.t
	if int(r.layer[d]) == len(r.layers) && r.direct[d] > 0 {
		for n := t.Domains[d].First; n < t.Domains[d].End; n++ {
			if r.node[n] > 0 && t.LeafDomain(n) == d {
				a.shares = append(a.shares, share{domain: -1, node: n, room: int64(r.node[n])})
			}
		}
	}
	for c := d + 1; c < t.SubtreeEnd(d); c = t.SubtreeEnd(c) {
		if r.dom[c] > 0 {
			a.shares = append(a.shares, share{domain: c, room: r.dom[c]})
		}
	}
}

// narrowest finds the narrowest box inside d that holds a run of n members, the
// best one of its level; d itself if there is none. The node is NoNode if
// the box is a domain.
func (r *rooms) narrowest(d topology.DomainID, n int64) (topology.DomainID, topology.NodeID) {
	t := r.u.Tree
	best, node := d, NoNode
	end := t.SubtreeEnd(d)
	for c := d; c < end; {
		if r.dom[c] < n { // no more inside it than it has itself
			c = t.SubtreeEnd(c)
			continue
		}
		if n <= int64(r.most) && r.direct[c] >= n {
			node = r.tightestNode(c, n, node)
		}
		if c != d && node == NoNode && r.narrower(c, best, n) {
			best = c
		}
		c++
	}
	if best != d && node == NoNode {
		return best, NoNode
	}
	return d, node
}

// narrower tells whether domain c is a better box for a run of n than best.
func (r *rooms) narrower(c, best topology.DomainID, n int64) bool {
	t := r.u.Tree
	if l, b := t.Domains[c].Level, t.Domains[best].Level; l != b {
		return l > b
	}
	return r.compare(c, best, n) < 0
}

// tightestNode finds the node right below d that holds n members and has the
// least room, unless best has less; the better domain wins a tie.
func (r *rooms) tightestNode(d topology.DomainID, n int64, best topology.NodeID) topology.NodeID {
	t := r.u.Tree
	room, better := int32(maxPerNode+1), true
	if best != NoNode {
		room, better = r.node[best], r.compare(r.shared(d), r.shared(t.LeafDomain(best)), n) < 0
	}
	for i := t.Domains[d].First; i < t.Domains[d].End; i++ {
		x := r.node[i]
		if int64(x) < n || x > room || x == room && !better || t.LeafDomain(i) != d {
			continue
		}
		best, room, better = i, x, false
	}
	return best
}

// shared is the narrowest domain around d of a level whose nodes share domains.
func (r *rooms) shared(d topology.DomainID) topology.DomainID {
	for r.u.Tree.Domains[d].Level > r.lowest {
		d = r.u.Tree.Domains[d].Parent
	}
	return d
}

// fillNear places the next n members on the nodes of d, a domain of no narrower
// ones but of single nodes, that are nearest in number to a node, on the side
// where they belong in rank order if both sides are as near.
func (a *attempt) fillNear(d topology.DomainID, near topology.NodeID, n int64) {
	from := len(a.shares)
	left, right := near, near+1
	for first, end := a.t.Domains[d].First, a.t.Domains[d].End; n > 0 && (left >= first || right < end); {
		var node topology.NodeID
		toLeft, toRight := near-left, right-near
		if right >= end || left >= first && (toLeft < toRight || toLeft == toRight && a.job.before) {
			node, left = left, left-1
		} else {
			node, right = right, right+1
		}
		if room := int64(a.job.rooms.node[node]); room > 0 {
			a.shares = append(a.shares, share{domain: -1, node: node, room: room, amount: min(n, room)})
			n -= min(n, room)
		}
	}
	shares := a.shares[from:]
	slices.SortFunc(shares, func(x, y share) int { return cmp.Compare(x.node, y.node) })
	for _, s := range shares {
		a.put(s.node, s.amount)
	}
	a.shares = a.shares[:from]
}
