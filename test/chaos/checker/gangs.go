// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"slices"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// gangRecord is one gang: the pods that carry its name in one namespace, from the
// first one until none is left.
type gangRecord struct {
	members map[types.UID]*podRecord
	// whole says that it had its minimum bound since it last had nothing;
	// disturbed that members went since, or that the minimum changed.
	whole, disturbed, raised bool
	// ending says that the bench ends it, pod by pod.
	ending bool
	// pods are created one by one: partial counts from when enough were there.
	partial time.Time // since when it is partly bound; zero when it is not
	flagged bool      // that its window is too long was recorded
}

// SetGroup records the minimum of a group, which may have changed.
func (c *Checker) SetGroup(now time.Time, name string, minimum int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Events++
	before, known := c.minimums[name]
	c.minimums[name] = minimum
	if g := c.gangs[name]; g != nil && known && before != minimum {
		g.raised = g.raised || minimum > before
		g.disturbed = true
		c.followWindow(now, name, g)
	}
}

// DeleteGroup records that a group is gone: what is left of its gang waits.
func (c *Checker) DeleteGroup(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Events++
	if g := c.gangs[name]; g != nil {
		g.disturbed = true
	}
}

// ExpectEnd records that the bench ends a gang: it may be partly there until it is gone.
func (c *Checker) ExpectEnd(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.gangs[name]; g != nil {
		g.ending, g.partial = true, time.Time{}
	}
}

// minimum is the number of pods that a gang needs, 0 if that is not known.
func (c *Checker) minimum(name string, g *gangRecord) int {
	if minimum, ok := c.minimums[name]; ok {
		return minimum
	}
	for _, p := range g.members {
		return p.min
	}
	return 0
}

// updateGang follows a member, and checks its rack if it has got its node.
func (c *Checker) updateGang(now time.Time, uid types.UID, entry *podRecord) {
	if entry.gang == "" || entry.scheduler != c.own {
		return
	}
	g, ok := c.gangs[entry.gang]
	if !ok {
		g = &gangRecord{members: map[types.UID]*podRecord{}}
		c.gangs[entry.gang] = g
		c.counts.Gangs++
	}
	before := g.members[uid]
	g.members[uid] = entry
	if before != nil && before.isBound() && !entry.isBound() {
		g.disturbed = true
	}
	if entry.isBound() && (before == nil || before.node == "") {
		c.checkRack(now, g, entry)
	}
	c.followWindow(now, entry.gang, g)
}

// isBound reports whether a member has its node and did not end.
func (p *podRecord) isBound() bool {
	return p.node != "" && p.phase != v1.PodFailed && !p.terminating
}

// removeMember takes a pod that is gone out of its gang.
func (c *Checker) removeMember(now time.Time, uid types.UID, entry *podRecord) {
	g := c.gangs[entry.gang]
	if g == nil {
		return
	}
	delete(g.members, uid)
	g.disturbed = true
	c.followWindow(now, entry.gang, g)
	if len(g.members) == 0 {
		delete(c.gangs, entry.gang)
	}
}

// boundCount is the number of members that have a node.
func (g *gangRecord) boundCount() int {
	count := 0
	for _, p := range g.members {
		if p.isBound() {
			count++
		}
	}
	return count
}

// followWindow opens or closes the window in which a gang is partly bound.
func (c *Checker) followWindow(now time.Time, name string, g *gangRecord) {
	if g.ending {
		return
	}
	bound, minimum := g.boundCount(), c.minimum(name, g)
	if bound > 0 && bound < minimum {
		if g.partial.IsZero() {
			g.partial = now
		}
		return
	}
	if !g.partial.IsZero() {
		c.checkWindow(now, name, g, true)
	}
	g.partial, g.flagged = time.Time{}, false
	g.whole = bound > 0
	g.disturbed, g.raised = false, false
}

// checkWindow checks how long a gang has been partly bound. A minimum that was raised
// while the gang runs gives it no right to more.
func (c *Checker) checkWindow(now time.Time, name string, g *gangRecord, over bool) {
	if g.partial.IsZero() {
		return
	}
	c.counts.Checks++
	length := now.Sub(g.partial)
	class, kind := c.log.worstBetween(g.partial, now)
	limit := c.limits.Partial[class]
	if g.whole || g.disturbed {
		kind, limit = "repair", c.limits.Repair+limit
	}
	if over {
		if all := c.windows[kind]; len(all) == 0 || length > slices.Max(all) {
			c.longest[kind] = name
		}
		c.windows[kind] = append(c.windows[kind], length)
	}
	counted := length
	if crash := c.log.lastCrash(now); crash.After(g.partial) && length < c.limits.PartialInAll {
		counted = now.Sub(crash)
	}
	if counted > limit && !g.flagged && !g.raised {
		g.flagged = true
		c.addViolation(now, GangAtomic, "gang %s has been partly bound for %s (%d of %d; %s); allowed are %s",
			name, length.Round(time.Millisecond), g.boundCount(), c.minimum(name, g), kind, limit)
	}
}

// checkRack checks that a member is in the rack of the others, as the racks may have
// been when they were bound.
func (c *Checker) checkRack(now time.Time, g *gangRecord, entry *podRecord) {
	if entry.required == "" {
		return
	}
	c.counts.Checks++
	stale := c.staleness(now)
	racks := c.recordOf(entry.node).racksSince(now.Add(-stale))
	for _, other := range g.members {
		if other == entry || !other.isBound() {
			continue
		}
		theirs := c.recordOf(other.node).racksSince(other.bound.Add(-stale))
		for rack := range racks {
			if !theirs[rack] {
				delete(racks, rack)
			}
		}
	}
	delete(racks, "")
	if len(racks) == 0 && c.recordOf(entry.node).known() {
		c.addViolation(now, RequiredTopology, "pod %s on node %s of rack %q is in no rack with the other members of %s",
			entry.name, entry.node, c.recordOf(entry.node).rack(), entry.gang)
	}
}

// rack is the rack of a node now.
func (n *nodeRecord) rack() string {
	if len(n.versions) == 0 {
		return ""
	}
	return n.versions[len(n.versions)-1].rack
}

// parseMinimum reads a minimum; 0 for none.
func parseMinimum(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}
