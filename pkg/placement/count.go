// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"math"
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

const (
	// anyProduct is the index of a product where any GPU model will do.
	anyProduct = -1
	// noProduct is the index of a product that no node has.
	noProduct = -2
	// maxPerNode bounds the members of one gang on one node, so that sums over
	// nodes stay far from overflow where a member asks for nothing.
	maxPerNode = 1 << 14
	// maxFactor bounds a quantity that is safely multiplied by a room.
	maxFactor = math.MaxInt64 / maxPerNode
	// maxShapes bounds how many shapes a Planner remembers.
	maxShapes = 32
	// wholeRole is the size of a slice that is never full: the whole role.
	wholeRole = math.MaxInt32
	// offLayer marks a domain that misses the level of a layer of slices.
	offLayer = -1
)

// rooms is how many members of one shape fit on each node and under each
// domain. The room of a domain is the length of the longest run of members, in
// rank order from the start of a slice, that the domain can hold.
//
// One number per domain is enough. Below the level of a layer of slices of
// size s, a domain of room x can take the q = x/s whole slices and one short
// slice of x%s more. A wider domain then holds the sum of the q and the longest
// of the rests, and that is again a room: a run of n members fits if and only
// if n is at most it. The same holds for nested layers, as each inner size
// divides the outer one.
type rooms struct {
	request []int64
	filter  *gang.Filter
	product int
	layers  []gang.Slice // widest first; a Size of wholeRole is the whole role

	widest topology.Level // the widest level of several domains
	lowest topology.Level // the narrowest level of domains of several nodes
	boxed  int            // the nodes of the largest domain below the widest level

	u      *topology.Usage
	asks   []ask   // what the request names, GPUs first
	seen   int     // how far the changes have been followed
	most   int     // the room of the node with the most
	having []int32 // how many nodes have each room
	node   []int32 // room of each node
	dom    []int64 // room of each domain
	direct []int64 // the part of dom on nodes that hang right below the domain
	full   []int64 // whole slices of the next layer below each domain
	rest   []int64 // the longest short slice besides those
	layer  []int8  // how many layers lie at or above each domain, or offLayer
	top    []int64 // the room of the largest domain of each level
}

// matches tells whether r was counted for that shape.
func (r *rooms) matches(request []int64, filter *gang.Filter, product int, layers []gang.Slice) bool {
	return r.filter == filter && r.product == product &&
		slices.Equal(r.request, request) && slices.Equal(r.layers, layers)
}

// rooms counts the room for a shape, or brings an earlier count up to date.
func (p *Planner) rooms(request []int64, filter *gang.Filter, product int, layers []gang.Slice) *rooms {
	for i, r := range p.shapes {
		if r.matches(request, filter, product, layers) {
			p.shapes = append(slices.Delete(p.shapes, i, i+1), r)
			p.follow(r)
			return r
		}
	}
	r := p.newRooms()
	r.u, r.filter, r.product = p.u, filter, product
	r.request = append(r.request[:0], request...)
	r.layers = append(r.layers[:0], layers...)
	r.asks = appendAsks(r.asks[:0], p.u.Resources, request)
	r.count()
	r.seen = p.changes.end()
	p.shapes = append(p.shapes, r)
	return r
}

// ask is one resource that a member asks for.
type ask struct {
	column   int
	quantity int64
}

// appendAsks lists what a request names. GPUs come first: they are what most
// nodes are short of, and a node is given up at the first shortage.
func appendAsks(asks []ask, resources []string, request []int64) []ask {
	for _, gpus := range []bool{true, false} {
		for c, q := range request {
			if q > 0 && topology.IsGPU(resources[c]) == gpus {
				asks = append(asks, ask{c, q})
			}
		}
	}
	return asks
}

// newRooms finds buffers: those of the shape that was not used for longest
// once there are many. The roles of one gang come first in the row of the
// lately used, so that none of them is lost.
func (p *Planner) newRooms() *rooms {
	if n := len(p.spare); n > 0 {
		r := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return r
	}
	if len(p.shapes) < max(maxShapes, 3*len(p.attempt.roles)) {
		return new(rooms)
	}
	r := p.shapes[0]
	p.shapes = slices.Delete(p.shapes, 0, 1)
	return r
}

// follow applies the changes since r was last brought up to date.
func (p *Planner) follow(r *rooms) {
	nodes, ok := p.changes.since(r.seen)
	r.seen = p.changes.end()
	if !ok || len(nodes) > len(r.node)/2 {
		r.count()
		return
	}
	for _, n := range nodes {
		r.update(n, nil)
	}
	if len(nodes) > 0 {
		r.sum(0)
		r.peaks()
	}
}

// count counts from scratch.
func (r *rooms) count() {
	t := r.u.Tree
	r.node = resize(r.node, len(t.Nodes))
	r.dom = resize(r.dom, len(t.Domains))
	r.direct = resize(r.direct, len(t.Domains))
	r.full = resize(r.full, len(t.Domains))
	r.rest = resize(r.rest, len(t.Domains))
	r.layer = resize(r.layer, len(t.Domains))
	r.descend(t)
	r.widest, r.lowest = widestLevel(t), lowestLevel(t)
	r.boxed = nodesBelow(t, r.widest)
	clear(r.direct)
	r.having = resize(r.having, maxPerNode+1)
	clear(r.having[:r.most+1])
	r.most = 0
	inside := int8(len(r.layers))
	for n := range r.node {
		x := r.roomOn(topology.NodeID(n), nil)
		r.node[n] = x
		if x == 0 {
			continue
		}
		r.having[x]++
		r.most = max(r.most, int(x))
		if d := t.LeafDomain(topology.NodeID(n)); r.layer[d] == inside {
			r.direct[d] += int64(x)
		}
	}
	r.sumAll(0)
	r.peaks()
}

// descend notes how many layers of slices each domain is inside of.
func (r *rooms) descend(t *topology.Tree) {
	r.layer[0] = 0
	for d := 1; d < len(t.Domains); d++ {
		k := r.layer[t.Domains[d].Parent]
		if k != offLayer && int(k) < len(r.layers) {
			switch level := r.layers[k].Level; {
			case t.Domains[d].Level == level:
				k++
			case t.Domains[d].Level > level:
				k = offLayer
			}
		}
		r.layer[d] = k
	}
}

// roomOn is the room of node n, of whose free resources taken is gone.
func (r *rooms) roomOn(n topology.NodeID, taken []int64) int32 {
	u := r.u
	if r.filter != nil && r.filter.Exclusions[n] != gang.Eligible || u.Cordoned != nil && u.Cordoned[n] {
		return 0
	}
	if r.product != anyProduct && u.Tree.ProductIndex(n) != r.product {
		return 0
	}
	free := u.FreeRow(n)
	room := int64(maxPerNode)
	for _, ask := range r.asks {
		f := free[ask.column]
		if taken != nil {
			f -= taken[ask.column]
		}
		switch q := ask.quantity; { // a division costs more than all the rest
		case q <= maxFactor && f >= q*room:
		case f < q:
			return 0
		case f-q < q:
			room = 1
		default:
			room = min(room, f/q)
		}
	}
	return int32(room)
}

// update counts node n again. Where there are layers, sum must follow.
func (r *rooms) update(n topology.NodeID, taken []int64) {
	x := r.roomOn(n, taken)
	delta := int64(x) - int64(r.node[n])
	if delta == 0 {
		return
	}
	r.have(r.node[n], -1)
	r.have(x, 1)
	r.node[n] = x
	t := r.u.Tree
	d := t.LeafDomain(n)
	if r.layer[d] != int8(len(r.layers)) {
		return
	}
	r.direct[d] += delta
	if len(r.layers) > 0 {
		return
	}
	for ; d != 0; d = t.Domains[d].Parent {
		r.dom[d] += delta
	}
	r.dom[0] += delta
}

// have notes that more nodes have room x.
func (r *rooms) have(x int32, more int32) {
	r.having[x] += more
	for r.most = max(r.most, int(x)); r.most > 0 && r.having[r.most] == 0; {
		r.most--
	}
}

// sum brings the rooms of root and the domains inside it up to date after
// updates of nodes inside it.
func (r *rooms) sum(root topology.DomainID) {
	if len(r.layers) > 0 {
		r.sumAll(root)
	}
}

func (r *rooms) sumAll(root topology.DomainID) {
	t := r.u.Tree
	end := t.SubtreeEnd(root)
	clear(r.full[root:end])
	clear(r.rest[root:end])
	copy(r.dom[root:end], r.direct[root:end])
	for d := end - 1; d > root; d-- {
		r.close(d)
		parent := t.Domains[d].Parent
		k := int(r.layer[parent])
		switch {
		case r.layer[d] == offLayer:
		case k == len(r.layers):
			r.dom[parent] += r.dom[d]
		default:
			size := int64(r.layers[k].Size)
			r.full[parent] += r.dom[d] / size
			r.rest[parent] = max(r.rest[parent], r.dom[d]%size)
		}
	}
	r.close(root)
}

// close turns what the children of d gave into the room of d.
func (r *rooms) close(d topology.DomainID) {
	if k := int(r.layer[d]); k != offLayer && k < len(r.layers) {
		r.dom[d] = r.full[d]*int64(r.layers[k].Size) + r.rest[d]
	}
}

// peaks finds the room of the largest domain of each level.
func (r *rooms) peaks() {
	t := r.u.Tree
	r.top = resize(r.top, len(t.Levels))
	for l := range r.top {
		r.top[l] = 0
		for _, d := range t.DomainsAt(topology.Level(l)) {
			r.top[l] = max(r.top[l], r.dom[d])
		}
	}
}

// widestLevel is the widest level of several domains; below all of them if there
// is none.
func widestLevel(t *topology.Tree) topology.Level {
	for l := range t.Levels {
		if len(t.DomainsAt(topology.Level(l))) > 1 {
			return topology.Level(l)
		}
	}
	return topology.Level(len(t.Levels))
}

// nodesBelow is the number of nodes in the largest domain narrower than a level,
// at least 1.
func nodesBelow(t *topology.Tree, level topology.Level) int {
	most := 1
	for l := level + 1; int(l) < len(t.Levels); l++ {
		for _, d := range t.DomainsAt(l) {
			most = max(most, int(t.Domains[d].End-t.Domains[d].First))
		}
	}
	return most
}

// lowestLevel is the narrowest level with a domain of several nodes. A level of
// single nodes, such as host, says nothing about their place.
func lowestLevel(t *topology.Tree) topology.Level {
	for l := topology.Level(len(t.Levels) - 1); l >= 0; l-- {
		for _, d := range t.DomainsAt(l) {
			if t.Domains[d].End-t.Domains[d].First > 1 {
				return l
			}
		}
	}
	return topology.ClusterLevel
}

// changes is the row of nodes that changed, oldest first.
type changes struct {
	nodes []topology.NodeID
	start int // how many older ones have been dropped
}

func (c *changes) add(n topology.NodeID, nodeCount int) {
	if len(c.nodes) > nodeCount { // whoever is that far behind counts afresh
		c.start += len(c.nodes)
		c.nodes = c.nodes[:0]
	}
	c.nodes = append(c.nodes, n)
}

func (c *changes) end() int { return c.start + len(c.nodes) }

// since lists the changes after position seen; false if some were dropped.
func (c *changes) since(seen int) ([]topology.NodeID, bool) {
	if seen < c.start {
		return nil, false
	}
	return c.nodes[seen-c.start:], true
}

// resize makes s n long. What it holds is undefined.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
