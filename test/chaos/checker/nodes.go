// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
)

// DedicatedTaint keeps pods of other schedulers off a node. The bench's own pods tolerate
// it.
const DedicatedTaint = "chaos.example.com/dedicated"

// amounts are quantities by resource, processors in thousandths.
type amounts map[v1.ResourceName]int64

// requestsOf adds up what the containers of a pod request.
func requestsOf(p *v1.Pod) amounts {
	sum := amounts{v1.ResourcePods: 1}
	for _, container := range p.Spec.Containers {
		for name, quantity := range container.Resources.Requests {
			if name == v1.ResourceCPU {
				sum[name] += quantity.MilliValue()
			} else {
				sum[name] += quantity.Value()
			}
		}
	}
	return sum
}

// nodeVersion is a state of a node that was the newest until a time.
type nodeVersion struct {
	until       time.Time // zero for the newest
	allocatable amounts
	rack        string
	usable      bool
	dedicated   bool
}

// keptVersions is how long an old state of a node is kept.
const keptVersions = 3 * time.Minute

// nodeRecord is one node, with its pods added up.
type nodeRecord struct {
	gone       bool
	versions   []nodeVersion
	held       amounts
	rivalBound time.Time
}

// known reports whether the node is there.
func (n *nodeRecord) known() bool { return len(n.versions) > 0 && !n.gone }

// take adds the requests of a pod, or takes them off.
func (n *nodeRecord) take(held amounts, sign int64) {
	for name, amount := range held {
		n.held[name] += sign * amount
	}
}

// exceeded returns what of a pod's resources is exceeded in each state of the node
// since a time, or "".
func (n *nodeRecord) exceeded(asked amounts, since time.Time) string {
	for name := range asked {
		most := int64(0)
		for _, version := range n.versions {
			if version.until.IsZero() || version.until.After(since) {
				most = max(most, version.allocatable[name])
			}
		}
		if n.held[name] > most {
			return fmt.Sprintf("%d of %s are requested, %d are there", n.held[name], name, most)
		}
	}
	return ""
}

// racksSince are the racks that the node was in since a time.
func (n *nodeRecord) racksSince(since time.Time) map[string]bool {
	racks := map[string]bool{}
	for _, version := range n.versions {
		if version.until.IsZero() || version.until.After(since) {
			racks[version.rack] = true
		}
	}
	return racks
}

// recordOf is the record of a node, which may not have been seen yet; that of "" takes
// what has no node.
func (c *Checker) recordOf(name string) *nodeRecord {
	n, ok := c.nodes[name]
	if !ok {
		n = &nodeRecord{held: amounts{}}
		c.nodes[name] = n
	}
	return n
}

// SetNode records a node that was added or changed.
func (c *Checker) SetNode(now time.Time, node *v1.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Events++
	n := c.recordOf(node.Name)
	n.gone = false
	for len(n.versions) > 0 && !n.versions[0].until.IsZero() && now.Sub(n.versions[0].until) > keptVersions {
		n.versions = n.versions[1:]
	}
	if last := len(n.versions) - 1; last >= 0 && n.versions[last].until.IsZero() {
		n.versions[last].until = now
	}
	version := nodeVersion{allocatable: amounts{}, rack: node.Labels[rackLabel], usable: !node.Spec.Unschedulable}
	for _, taint := range node.Spec.Taints {
		if taint.Key == DedicatedTaint {
			version.dedicated = true
			continue
		}
		version.usable = version.usable && taint.Effect == v1.TaintEffectPreferNoSchedule
	}
	for name, quantity := range node.Status.Allocatable {
		if name == v1.ResourceCPU {
			version.allocatable[name] = quantity.MilliValue()
		} else {
			version.allocatable[name] = quantity.Value()
		}
	}
	n.versions = append(n.versions, version)
}

// DeleteNode records that a node is gone. Pods that are bound to it still count.
func (c *Checker) DeleteNode(now time.Time, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Events++
	n := c.recordOf(name)
	n.gone = true
	if last := len(n.versions) - 1; last >= 0 {
		n.versions[last].until = now
	}
}
