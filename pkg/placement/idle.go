// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import "github.com/muster-scheduler/muster/pkg/topology"

// IdleIndex follows which nodes are idle and where gangs wait for room, so that pods
// of no gang can keep off what gangs need. A change costs a few steps, and so
// does a question. It is not safe for concurrent use, but for questions alone.
//
// A single pod on an idle node takes that node from every gang of whole nodes.
// The loss is the greater the more idle nodes the domain has: the largest gangs
// find their place there, while a domain with few idle nodes holds small ones
// only, and of those there are many domains. Which sizes gangs usually have was
// measured to add nothing to that (benchmarks, section Gangs and singles). Where
// a gang waits for room in a domain, any of its nodes is a loss.
type IdleIndex struct {
	tree *topology.Tree
	// idle and homeDomain are of each node: whether it is idle, and the narrowest
	// domain of several nodes around it, 0 for none.
	idle       []bool
	homeDomain []topology.DomainID
	// idleCount is the number of idle nodes at home in each domain, countHistogram
	// the number of domains with each count, maxIdle the largest count.
	idleCount      []int32
	countHistogram []int32
	maxIdle        int

	// waitingIn is the domain that each refused gang waits for, by the gang's name,
	// waitingGangs the number of gangs that wait for each domain.
	waitingIn    map[string]topology.DomainID
	waitingGangs []int32
}

// NewIdleIndex returns an index of the nodes of t. None is idle yet.
func NewIdleIndex(t *topology.Tree) *IdleIndex {
	t = t.Main()
	i := &IdleIndex{
		tree: t, idle: make([]bool, len(t.Nodes)), homeDomain: make([]topology.DomainID, len(t.Nodes)),
		idleCount: make([]int32, len(t.Domains)), countHistogram: make([]int32, len(t.Nodes)+1),
		waitingIn: map[string]topology.DomainID{}, waitingGangs: make([]int32, len(t.Domains)),
	}
	i.countHistogram[0] = int32(len(t.Domains))
	lowest := narrowestSharedLevel(t)
	for n := range t.Nodes {
		i.homeDomain[n] = t.LeafDomain(topology.NodeID(n))
		for t.Domains[i.homeDomain[n]].Level > lowest {
			i.homeDomain[n] = t.Domains[i.homeDomain[n]].Parent
		}
	}
	return i
}

// SetIdle records whether node n is idle. It costs a few steps, and nothing if that
// is known already.
func (i *IdleIndex) SetIdle(n topology.NodeID, idle bool) {
	if i.idle[n] == idle {
		return
	}
	i.idle[n] = idle
	home := i.homeDomain[n]
	if home == 0 {
		return
	}
	i.countHistogram[i.idleCount[home]]--
	if idle {
		i.idleCount[home]++
	} else {
		i.idleCount[home]--
	}
	i.countHistogram[i.idleCount[home]]++
	for i.maxIdle = max(i.maxIdle, int(i.idleCount[home])); i.maxIdle > 0 && i.countHistogram[i.maxIdle] == 0; {
		i.maxIdle--
	}
}

// RecordPlan records what came of a gang's plan: a gang that found no room waits for
// the domain that came nearest, until it is planned again or forgotten. One that is
// refused for another reason waits for no domain: room would not help it. Domains of
// levels that cross the tree are none of the index.
func (i *IdleIndex) RecordPlan(gang string, p Plan) {
	i.ForgetGang(gang)
	if p.Refusal == nil || p.Refusal.Reason != NoFittingDomain || p.Refusal.Domain == 0 || int(p.Refusal.Domain) >= len(i.waitingGangs) {
		return
	}
	i.waitingIn[gang] = p.Refusal.Domain
	i.waitingGangs[p.Refusal.Domain]++
}

// ForgetGang ends the wait of a gang.
func (i *IdleIndex) ForgetGang(gang string) {
	if d, ok := i.waitingIn[gang]; ok {
		i.waitingGangs[d]--
		delete(i.waitingIn, gang)
	}
}

// RetainGangs forgets the waiting gangs for which keep returns false.
func (i *IdleIndex) RetainGangs(keep func(gang string) bool) {
	for gang := range i.waitingIn {
		if !keep(gang) {
			i.ForgetGang(gang)
		}
	}
}

// BreakupCost returns what gangs lose when a single pod takes node n, as a part of the
// whole that they can lose: everything where a gang waits, nothing on a node that is
// in use or in no domain, and else the idle nodes of the domain, of one more
// than the domain with the most of them has.
func (i *IdleIndex) BreakupCost(n topology.NodeID) (part, whole int) {
	if len(i.waitingIn) > 0 {
		for d := i.tree.LeafDomain(n); d != 0; d = i.tree.Domains[d].Parent {
			if i.waitingGangs[d] > 0 {
				return i.maxIdle + 1, i.maxIdle + 1
			}
		}
	}
	if !i.idle[n] || i.homeDomain[n] == 0 {
		return 0, i.maxIdle + 1
	}
	return int(i.idleCount[i.homeDomain[n]]), i.maxIdle + 1
}
