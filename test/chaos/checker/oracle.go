// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"fmt"
	"maps"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
)

// Fitting lists the gangs and single pods that wait although there is room for them
// now. It counts, node by node, how many more pods of a gang's kind each one takes;
// the members of a gang ask for the same.
func (c *Checker) Fitting() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name, g := range c.gangs {
		if need, rack, member := c.missing(name, g); need > 0 && c.fits(member, need, rack) {
			names = append(names, name)
		}
	}
	for _, p := range c.pods {
		if p.scheduler == c.own && p.gang == "" && p.waits() && c.fits(p, 1, "") {
			names = append(names, p.name)
		}
	}
	slices.Sort(names)
	return names
}

// waits reports whether a pod waits for a node.
func (p *podRecord) waits() bool {
	return p.node == "" && !p.terminating && !p.gated && p.phase != v1.PodFailed
}

// missing is how many members of a gang are needed, the rack that it is bound to, and
// one of those that wait. It is 0 for a gang that cannot start for a reason of its
// own.
func (c *Checker) missing(name string, g *gangRecord) (need int, rack string, member *podRecord) {
	racks := map[string]bool{}
	live := 0
	for _, p := range g.members {
		switch {
		case p.isBound():
			racks[c.recordOf(p.node).rack()] = true
			live++
		case p.waits():
			member = p
			live++
		case p.phase != v1.PodFailed:
			return 0, "", nil
		}
	}
	minimum := c.minimum(name, g)
	bound := g.boundCount()
	if member == nil || live < minimum || bound >= minimum || len(racks) > 1 && member.required != "" {
		return 0, "", nil
	}
	for only := range racks {
		if member.required != "" {
			rack = only
		}
	}
	return minimum - bound, rack, member
}

// fits reports whether so many pods like one have room, in one rack where that is
// required.
func (c *Checker) fits(like *podRecord, count int, rack string) bool {
	room := map[string]int{}
	for _, n := range c.nodes {
		if !n.known() || !n.versions[len(n.versions)-1].usable {
			continue
		}
		in := "any"
		if like.required != "" {
			in = n.rack()
		}
		if rack != "" && in != rack {
			continue
		}
		room[in] += n.roomFor(like.held)
	}
	delete(room, "")
	for _, most := range room {
		if most >= count {
			return true
		}
	}
	return false
}

// roomFor is how many more pods that ask for something a node takes.
func (n *nodeRecord) roomFor(asked amounts) int {
	most := int64(1 << 20)
	for name, amount := range asked {
		if amount > 0 {
			most = min(most, (n.versions[len(n.versions)-1].allocatable[name]-n.held[name])/amount)
		}
	}
	return int(max(most, 0))
}

// CheckStatus checks, at a time without faults, that each pod says what is: a bound
// one that it is scheduled, one that waits why.
func (c *Checker) CheckStatus(now time.Time) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var wrong []string
	for _, p := range c.pods {
		c.counts.Checks++
		if p.scheduler != c.own {
			continue
		}
		switch {
		case p.isBound() && p.scheduled != v1.ConditionTrue:
			wrong = append(wrong, fmt.Sprintf("pod %s is bound to %s, and its PodScheduled is %q: %s", p.name, p.node, p.scheduled, p.reason))
		case p.waits() && (p.scheduled != v1.ConditionFalse || p.reason == ""):
			wrong = append(wrong, fmt.Sprintf("pod %s of gang %q waits, created %s ago, and does not say why", p.name, p.gang, now.Sub(p.created).Round(time.Second)))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// Waiting counts the pods that wait, and Left those that are there at all.
func (c *Checker) Waiting() (waiting, left int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pods {
		if p.scheduler == c.own {
			left++
			if p.waits() {
				waiting++
			}
		}
	}
	return waiting, left
}

// BoundIn counts the bound members of a gang, by namespace/name.
func (c *Checker) BoundIn(gang string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.gangs[gang]; g != nil {
		return g.boundCount()
	}
	return 0
}

// NodeWithRoom returns a node that has room for a pod of another scheduler, "" for none. It begins at one that
// the caller draws.
func (c *Checker) NodeWithRoom(first int, p *v1.Pod) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := slices.Sorted(maps.Keys(c.nodes))
	for i := range names {
		name := names[(first+i)%len(names)]
		if n := c.nodes[name]; name != "" && n.known() && !n.versions[len(n.versions)-1].dedicated && n.roomFor(requestsOf(p)) > 0 {
			return name
		}
	}
	return ""
}

// Compare returns how what the checker has seen differs from a list of all pods, "" for
// not at all.
func (c *Checker) Compare(listed []v1.Pod) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Checks++
	for i := range listed {
		p := &listed[i]
		if known := c.pods[p.UID]; known == nil || known.node != p.Spec.NodeName {
			return fmt.Sprintf("pod %s is on node %q, and the checker knows otherwise", p.Name, p.Spec.NodeName)
		}
	}
	if len(listed) != len(c.pods) {
		return fmt.Sprintf("%d pods are listed, and the checker knows of %d", len(listed), len(c.pods))
	}
	return ""
}
