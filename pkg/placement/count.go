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
	// memberLimit bounds the members of one gang on one node, so that sums over
	// nodes stay far from overflow where a member asks for nothing.
	memberLimit = 1 << 14
	// maxFactor bounds a quantity that is safely multiplied by a room.
	maxFactor = math.MaxInt64 / memberLimit
	// maxHeadrooms bounds how many shapes a Planner remembers.
	maxHeadrooms = 32
	// wholeRole is the size of a slice that is never full: the whole role.
	wholeRole = math.MaxInt32
	// offLayer marks a domain that misses the level of a layer of slices.
	offLayer = -1
)

// headroom is the number of members of one shape that fit on each node and under
// each domain, in short their room. The room of a domain is the length of the longest run of members, in
// rank order from the start of a slice, that the domain can hold.
//
// One number per domain is enough. Below the level of a layer of slices of
// size s, a domain of room x can take the q = x/s whole slices and one short
// slice of x%s more. A wider domain then holds the sum of the q and the longest
// of the rests, and that is again a room: a run of n members fits if and only
// if n is at most it. The same holds for nested layers, as each inner size
// divides the outer one.
type headroom struct {
	// The shape that is counted: resources of one member, nodes that it may use,
	// product, and layers of slices, widest first. A Size of wholeRole is the whole
	// role.
	request []int64
	claims  topology.Claims
	filter  *gang.Filter
	product int
	layers  []gang.Slice

	// widestLevel is the widest level of several domains, narrowestLevel the
	// narrowest one of domains of several nodes.
	widestLevel    topology.Level
	narrowestLevel topology.Level
	// largestChildNodes is the number of nodes of the largest domain below the
	// widest level.
	largestChildNodes int

	usage *topology.Usage
	// takenSeen is how many of the solver's touchedNodes are counted with what the try
	// at hand has taken there.
	takenSeen int
	// terms are the resources that the request names, GPUs first.
	terms []resourceTerm
	// deviceSteps is what the devices cost that were counted since it was last reset.
	deviceSteps int
	// changesSeen is the position in the planner's log up to which perNode is true.
	changesSeen int

	// perNode is the room of each node, before slices.
	perNode []int32
	// nodeHistogram is how many nodes have each room, nodeMax the largest room.
	nodeHistogram []int32
	nodeMax       int
	// perDomain is the room of each domain, levelMax that of the largest domain of
	// each level.
	perDomain []int64
	levelMax  []int64

	// layerDepth is how many layers lie at or above each domain, or offLayer.
	layerDepth []int8
	// directSum is the part of perDomain on nodes that hang right below a domain.
	directSum []int64
}

// hasShape reports whether h is counted for a shape. Filters are compared by
// pointer: equal ones are shared by whoever makes them.
func (h *headroom) hasShape(role *gang.Role, product int, layers []gang.Slice) bool {
	return h.filter == role.Filter && h.product == product && h.claims == role.Claims &&
		slices.Equal(h.request, role.Request) && slices.Equal(h.layers, layers)
}

// headroomFor returns the headroom of a shape: counted anew, which costs a pass over
// the nodes, or brought up to date, which costs the nodes that changed since.
func (p *Planner) headroomFor(role *gang.Role, product int, layers []gang.Slice) *headroom {
	// Whether it was counted before must not change the plan: it costs the same steps.
	p.solver.spend(len(p.usage.Tree.Nodes) + 2*len(p.usage.Tree.Domains) + 2*len(p.solver.roles))
	for i, r := range p.headrooms {
		if r.hasShape(role, product, layers) {
			p.headrooms = append(slices.Delete(p.headrooms, i, i+1), r)
			p.applyChanges(r)
			return r
		}
	}
	r := p.newHeadroom()
	r.usage, r.filter, r.product, r.claims = p.usage, role.Filter, product, role.Claims
	r.request = append(r.request[:0], role.Request...)
	r.layers = append(r.layers[:0], layers...)
	r.terms = appendTerms(r.terms[:0], p.usage.Resources, role.Request)
	r.countAll()
	r.changesSeen = p.changes.endPosition()
	p.headrooms = append(p.headrooms, r)
	return r
}

// resourceTerm is one resource that a member asks for, in the unit of its column.
type resourceTerm struct {
	column   int
	quantity int64
}

// appendTerms lists what a request names. GPUs come first: they are what most
// nodes are short of, and a node is given up at the first shortage.
func appendTerms(asks []resourceTerm, resources []string, request []int64) []resourceTerm {
	for _, gpus := range []bool{true, false} {
		for c, q := range request {
			if q > 0 && topology.IsGPU(resources[c]) == gpus {
				asks = append(asks, resourceTerm{c, q})
			}
		}
	}
	return asks
}

// newHeadroom returns buffers to count in: new ones, or those of the shape that was
// not used for longest once there are many. The limit is at least what the roles of
// the gang at hand use, so that none of theirs is taken away.
func (p *Planner) newHeadroom() *headroom {
	if n := len(p.spareHeadrooms); n > 0 {
		r := p.spareHeadrooms[n-1]
		p.spareHeadrooms = p.spareHeadrooms[:n-1]
		return r
	}
	if len(p.headrooms) < max(maxHeadrooms, 3*len(p.solver.roles)) {
		return new(headroom)
	}
	r := p.headrooms[0]
	p.headrooms = slices.Delete(p.headrooms, 0, 1)
	return r
}

// applyChanges brings h up to date with the changes since it last was. Where many
// nodes changed, or the log is cut, counting afresh costs less.
func (p *Planner) applyChanges(r *headroom) {
	nodes, ok := p.changes.nodesSince(r.changesSeen)
	r.changesSeen = p.changes.endPosition()
	if !ok || len(nodes) > len(r.perNode)/2 {
		r.countAll()
		return
	}
	if len(nodes) == 0 {
		return
	}
	for _, n := range nodes {
		r.updateNode(n, nil, nil)
	}
	r.refreshDomains(0)
	r.computeLevelMax()
	r.deviceSteps = 0
}

// countAll counts from scratch, in one pass over the nodes and one over the domains.
func (h *headroom) countAll() {
	t := h.usage.Tree
	h.perNode = resize(h.perNode, len(t.Nodes))
	h.perDomain = resize(h.perDomain, len(t.Domains))
	h.directSum = resize(h.directSum, len(t.Domains))
	h.layerDepth = resize(h.layerDepth, len(t.Domains))
	h.computeLayerDepth(t)
	h.widestLevel, h.narrowestLevel = widestSplitLevel(t), narrowestSharedLevel(t)
	h.largestChildNodes = largestDomainBelow(t, h.widestLevel)
	clear(h.directSum)
	h.nodeHistogram = resize(h.nodeHistogram, memberLimit+1)
	clear(h.nodeHistogram[:h.nodeMax+1])
	h.nodeMax, h.takenSeen = 0, 0
	inside := int8(len(h.layers))
	for n := range h.perNode {
		x := h.nodeHeadroom(topology.NodeID(n), nil, nil)
		h.perNode[n] = x
		if x == 0 {
			continue
		}
		h.nodeHistogram[x]++
		h.nodeMax = max(h.nodeMax, int(x))
		if d := t.LeafDomain(topology.NodeID(n)); h.layerDepth[d] == inside {
			h.directSum[d] += int64(x)
		}
	}
	h.sumDomains(0)
	h.computeLevelMax()
	h.deviceSteps = 0 // whether it was counted before must not change the steps of a plan
}

// computeLayerDepth finds how many layers of slices each domain is inside of.
// Parents come first, so that each domain adds to its parent's depth. A domain below
// the level of a layer that is in no domain of that level can hold no slice.
func (h *headroom) computeLayerDepth(t *topology.Tree) {
	h.layerDepth[0] = 0
	for d := 1; d < len(t.Domains); d++ {
		k := h.layerDepth[t.Domains[d].Parent]
		if k != offLayer && int(k) < len(h.layers) {
			switch level := h.layers[k].Level; {
			case t.Domains[d].Level == level:
				k++
			case t.Domains[d].Level > level:
				k = offLayer
			}
		}
		h.layerDepth[d] = k
	}
}

// nodeHeadroom returns the room of node n after taken, aligned with the resources,
// is subtracted from what is free; nil takes nothing. devices is the state of its
// devices, nil for that of the usage. It is the hot path of every count: a shortage
// returns at once, and small rooms need no division.
func (h *headroom) nodeHeadroom(n topology.NodeID, taken []int64, devices topology.DeviceState) int32 {
	u := h.usage
	if h.filter != nil && h.filter.Exclusions[n] != gang.Eligible || u.Cordoned != nil && u.Cordoned[n] {
		return 0
	}
	if h.product != anyProduct && u.Tree.ProductIndex(n) != h.product {
		return 0
	}
	free := u.FreeRow(n)
	room := int64(memberLimit)
	for _, ask := range h.terms {
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
	if h.claims != nil {
		room = min(room, h.deviceHeadroom(n, devices))
	}
	return int32(room)
}

// updateNode counts node n again. Without layers the sums of the domains around it
// follow at once; with layers they are not sums, and refreshDomains must follow.
func (h *headroom) updateNode(n topology.NodeID, taken []int64, devices topology.DeviceState) {
	x := h.nodeHeadroom(n, taken, devices)
	delta := int64(x) - int64(h.perNode[n])
	if delta == 0 {
		return
	}
	h.adjustHistogram(h.perNode[n], -1)
	h.adjustHistogram(x, 1)
	h.perNode[n] = x
	t := h.usage.Tree
	d := t.LeafDomain(n)
	if h.layerDepth[d] != int8(len(h.layers)) {
		return
	}
	h.directSum[d] += delta
	if len(h.layers) > 0 {
		return
	}
	for ; d != 0; d = t.Domains[d].Parent {
		h.perDomain[d] += delta
	}
	h.perDomain[0] += delta
}

// adjustHistogram adds more nodes of room x, fewer if negative, and keeps nodeMax.
func (h *headroom) adjustHistogram(x int32, more int32) {
	h.nodeHistogram[x] += more
	for h.nodeMax = max(h.nodeMax, int(x)); h.nodeMax > 0 && h.nodeHistogram[h.nodeMax] == 0; {
		h.nodeMax--
	}
}

// refreshDomains brings the room of root and of the domains inside it up to date
// after updateNode of nodes inside it. Domains around root stay as they were: a plan
// inside root does not read them, and restoreTaken makes them true again.
func (h *headroom) refreshDomains(root topology.DomainID) {
	if len(h.layers) > 0 {
		h.sumDomains(root)
	}
}

// refreshAround does the same for the domains around the given nodes alone. around is
// a buffer, which it returns.
func (h *headroom) refreshAround(nodes []topology.NodeID, root topology.DomainID, around []topology.DomainID) []topology.DomainID {
	t := h.usage.Tree
	around = around[:0]
	for i, n := range nodes {
		if i > 0 && t.LeafDomain(n) == t.LeafDomain(nodes[i-1]) {
			continue
		}
		for d := t.LeafDomain(n); d != root; d = t.Domains[d].Parent {
			around = append(around, d)
		}
	}
	slices.Sort(around)
	around = slices.Compact(around)
	for _, d := range slices.Backward(around) {
		h.sumDomain(d)
	}
	h.sumDomain(root)
	return around
}

// sumDomains computes the room of root and the domains inside it from their nodes,
// bottom up: children come behind their parents, so that one pass from the back
// finds each of them complete.
func (h *headroom) sumDomains(root topology.DomainID) {
	for d := h.usage.Tree.SubtreeEnd(root) - 1; d >= root; d-- {
		h.sumDomain(d)
	}
}

// sumDomain computes the room of d from its nodes and the domains right below it.
// Where the next layer of slices lies below d, those hold whole slices, and the
// longest part of one more.
func (h *headroom) sumDomain(d topology.DomainID) {
	t, depth := h.usage.Tree, int(h.layerDepth[d])
	sum := h.directSum[d]
	if depth == offLayer {
		h.perDomain[d] = sum
		return
	}
	if depth == len(h.layers) {
		for c, end := d+1, t.SubtreeEnd(d); c < end; c = t.SubtreeEnd(c) {
			sum += h.perDomain[c]
		}
		h.perDomain[d] = sum
		return
	}
	whole, part, size := int64(0), int64(0), int64(h.layers[depth].Size)
	for c, end := d+1, t.SubtreeEnd(d); c < end; c = t.SubtreeEnd(c) {
		if h.layerDepth[c] != offLayer {
			whole += h.perDomain[c] / size
			part = max(part, h.perDomain[c]%size)
		}
	}
	h.perDomain[d] = whole*size + part
}

// computeLevelMax finds the room of the largest domain of each level, which is tried
// last so that it stays whole.
func (h *headroom) computeLevelMax() {
	t := h.usage.Tree
	h.levelMax = resize(h.levelMax, len(t.Levels))
	for l := range h.levelMax {
		h.levelMax[l] = 0
		for _, d := range t.DomainsAt(topology.Level(l)) {
			h.levelMax[l] = max(h.levelMax[l], h.perDomain[d])
		}
	}
}

// widestSplitLevel returns the widest level of several domains; below all of them if there
// is none.
func widestSplitLevel(t *topology.Tree) topology.Level {
	for l := range t.Levels {
		if len(t.DomainsAt(topology.Level(l))) > 1 {
			return topology.Level(l)
		}
	}
	return topology.Level(len(t.Levels))
}

// largestDomainBelow returns the number of nodes in the largest domain narrower than a level,
// at least 1.
func largestDomainBelow(t *topology.Tree, level topology.Level) int {
	most := 1
	for l := level + 1; int(l) < len(t.Levels); l++ {
		for _, d := range t.DomainsAt(l) {
			most = max(most, int(t.Domains[d].End-t.Domains[d].First))
		}
	}
	return most
}

// narrowestSharedLevel returns the narrowest level with a domain of several nodes. A
// level of single nodes, such as host, tells nothing about distance.
func narrowestSharedLevel(t *topology.Tree) topology.Level {
	for l := topology.Level(len(t.Levels) - 1); l >= 0; l-- {
		for _, d := range t.DomainsAt(l) {
			if t.Domains[d].End-t.Domains[d].First > 1 {
				return l
			}
		}
	}
	return topology.ClusterLevel
}

// changeLog lists the nodes that changed, oldest first. Each headroom follows it at
// its own pace by a position, so that a change costs nothing until a shape is used.
type changeLog struct {
	nodes   []topology.NodeID
	dropped int // how many older ones have been dropped
}

// appendNode adds a change of node n. A log longer than the cluster is dropped:
// whoever is that far behind counts afresh anyway.
func (l *changeLog) appendNode(n topology.NodeID, nodeCount int) {
	if len(l.nodes) > nodeCount {
		l.dropped += len(l.nodes)
		l.nodes = l.nodes[:0]
	}
	l.nodes = append(l.nodes, n)
}

// endPosition returns the position behind the last change.
func (l *changeLog) endPosition() int { return l.dropped + len(l.nodes) }

// nodesSince returns the changes after position seen, and false if some of them have
// been dropped.
func (l *changeLog) nodesSince(seen int) ([]topology.NodeID, bool) {
	if seen < l.dropped {
		return nil, false
	}
	return l.nodes[seen-l.dropped:], true
}

// resize makes s n long. What it holds is undefined.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
