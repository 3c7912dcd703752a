// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import "github.com/muster-scheduler/muster/pkg/topology"

// Idle follows which nodes are idle and where gangs wait for room, so that pods
// of no gang can keep off what gangs need. A change costs a few steps, and so
// does a question. It is not safe for concurrent use, but for questions alone.
//
// A single pod on an idle node takes that node from every gang of whole nodes.
// The loss is the greater the more idle nodes the domain has: the largest gangs
// find their place there, while a domain with few idle nodes holds small ones
// only, and of those there are many domains. Which sizes gangs usually have was
// measured to add nothing to that (benchmarks, section Gangs and singles). Where
// a gang waits for room in a domain, any of its nodes is a loss.
type Idle struct {
	t      *topology.Tree
	idle   []bool              // of each node
	home   []topology.DomainID // of each node: the narrowest domain of a level of several nodes, 0 for none
	count  []int32             // idle nodes whose home is each domain
	having []int32             // how many domains have each count
	most   int                 // the largest count

	waits  map[string]topology.DomainID // where each gang waits
	waited []int32                      // gangs that wait in each domain
}

// NewIdle follows the nodes of t. None is idle yet.
func NewIdle(t *topology.Tree) *Idle {
	i := &Idle{
		t: t, idle: make([]bool, len(t.Nodes)), home: make([]topology.DomainID, len(t.Nodes)),
		count: make([]int32, len(t.Domains)), having: make([]int32, len(t.Nodes)+1),
		waits: map[string]topology.DomainID{}, waited: make([]int32, len(t.Domains)),
	}
	i.having[0] = int32(len(t.Domains))
	lowest := lowestLevel(t)
	for n := range t.Nodes {
		i.home[n] = t.LeafDomain(topology.NodeID(n))
		for t.Domains[i.home[n]].Level > lowest {
			i.home[n] = t.Domains[i.home[n]].Parent
		}
	}
	return i
}

// Set says whether node n is idle.
func (i *Idle) Set(n topology.NodeID, idle bool) {
	if i.idle[n] == idle {
		return
	}
	i.idle[n] = idle
	home := i.home[n]
	if home == 0 {
		return
	}
	i.having[i.count[home]]--
	if idle {
		i.count[home]++
	} else {
		i.count[home]--
	}
	i.having[i.count[home]]++
	for i.most = max(i.most, int(i.count[home])); i.most > 0 && i.having[i.most] == 0; {
		i.most--
	}
}

// Planned notes what came of a gang's plan: a gang that found no room waits in
// the domain that came nearest, until it is planned or forgotten.
func (i *Idle) Planned(gang string, p Plan) {
	i.Forget(gang)
	if p.Refusal == nil || p.Refusal.Reason != NoFittingDomain || p.Refusal.Domain == 0 {
		return
	}
	i.waits[gang] = p.Refusal.Domain
	i.waited[p.Refusal.Domain]++
}

// Forget ends the wait of a gang.
func (i *Idle) Forget(gang string) {
	if d, ok := i.waits[gang]; ok {
		i.waited[d]--
		delete(i.waits, gang)
	}
}

// Retain forgets the gangs that wait but for those that keep wants kept.
func (i *Idle) Retain(keep func(gang string) bool) {
	for gang := range i.waits {
		if !keep(gang) {
			i.Forget(gang)
		}
	}
}

// Loss is what gangs lose when a single pod takes node n, as a part of the whole
// that they can lose: everything where a gang waits, nothing on a node that is
// in use or in no domain, and else the idle nodes of the domain, of one more
// than the domain with the most of them has.
func (i *Idle) Loss(n topology.NodeID) (part, whole int) {
	if len(i.waits) > 0 {
		for d := i.t.LeafDomain(n); d != 0; d = i.t.Domains[d].Parent {
			if i.waited[d] > 0 {
				return i.most + 1, i.most + 1
			}
		}
	}
	if !i.idle[n] || i.home[n] == 0 {
		return 0, i.most + 1
	}
	return int(i.count[i.home[n]]), i.most + 1
}
