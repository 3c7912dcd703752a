// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	"github.com/muster-scheduler/muster/pkg/gang"
)

// maxFilters bounds the filter cache; a cluster sees few distinct pod
// templates at a time.
const maxFilters = 256

// filterCache keeps the gang.Filter of each set of constraints seen.
type filterCache struct {
	byKey map[filterKey]*cachedFilter
	clock uint64
}

// filterKey is what a filter depends on, but for the nodes.
type filterKey struct {
	constraints  digest
	requirements string
	pins         string
}

type cachedFilter struct {
	filter gang.Filter
	// excluded is the number of nodes that do not fit; 0 lets the planner
	// skip the filter altogether.
	excluded int
	epoch    uint64
	used     uint64
}

func (f *filterCache) clearFilters() { f.byKey = map[filterKey]*cachedFilter{} }

// NodeFilter returns which nodes the pod may use by its tolerations, selector, node
// affinity and the GPUs that it wishes for, or nil when it may use all of them.
func (c *Cluster) NodeFilter(pod *v1.Pod, requirements GPURequirements) *gang.Filter {
	return c.nodeFilter(pod, constraintsOf(pod).digest(), requirements, nil)
}

// nodeFilter is NodeFilter for a pod whose constraints are digested already, and that
// may use the nodes alone that all of some selectors select.
func (c *Cluster) nodeFilter(pod *v1.Pod, constraints digest, requirements GPURequirements, pins []*v1.NodeSelector) *gang.Filter {
	key := filterKey{constraints: constraints, pins: pinsText(pins)}
	if !requirements.AcceptsAny() {
		key.requirements = fmt.Sprintf("%+v", requirements)
	}
	cached, ok := c.filters.byKey[key]
	if !ok {
		c.filters.evictOldest()
		cached = &cachedFilter{filter: gang.Filter{Exclusions: make([]gang.Exclusion, len(c.nodes))}}
		c.filters.byKey[key] = cached
	}
	c.filters.clock++
	cached.used = c.filters.clock
	if cached.epoch != c.epoch {
		c.refreshFilter(cached, pod, &requirements, pins)
	}
	if cached.excluded == 0 {
		return nil
	}
	return &cached.filter
}

// evictOldest makes room for one filter by dropping the one not used for longest.
func (f *filterCache) evictOldest() {
	if len(f.byKey) < maxFilters {
		return
	}
	oldest, at := filterKey{}, f.clock+1
	for key, cached := range f.byKey {
		if cached.used < at {
			oldest, at = key, cached.used
		}
	}
	delete(f.byKey, oldest)
}

func (c *Cluster) refreshFilter(cached *cachedFilter, pod *v1.Pod, requirements *GPURequirements, pins []*v1.NodeSelector) {
	isPinned := pinnedNodes(pins)
	affinity := nodeaffinity.GetRequiredNodeAffinity(pod)
	for id := range c.nodes {
		if c.nodes[id].changed <= cached.epoch {
			continue
		}
		was := cached.filter.Exclusions[id]
		now := exclusionOf(pod, affinity, c.nodes[id].node)
		if now == gang.Eligible {
			now = requirements.exclusionOf(c.nodes[id].node)
		}
		if now == gang.Eligible && !isPinned(c.nodes[id].node) {
			now = gang.Other
		}
		cached.filter.Exclusions[id] = now
		if was == gang.Eligible && now != gang.Eligible {
			cached.excluded++
		} else if was != gang.Eligible && now == gang.Eligible {
			cached.excluded--
		}
	}
	cached.epoch = c.epoch
}

func exclusionOf(pod *v1.Pod, affinity nodeaffinity.RequiredNodeAffinity, node *v1.Node) gang.Exclusion {
	if node.Spec.Unschedulable && !toleratesTaint(pod, &v1.Taint{Key: v1.TaintNodeUnschedulable, Effect: v1.TaintEffectNoSchedule}) {
		return gang.Cordoned
	}
	for i := range node.Spec.Taints {
		taint := &node.Spec.Taints[i]
		if taint.Effect == v1.TaintEffectPreferNoSchedule || toleratesTaint(pod, taint) {
			continue
		}
		switch taint.Key {
		case v1.TaintNodeUnschedulable:
			return gang.Cordoned
		case v1.TaintNodeNotReady, v1.TaintNodeUnreachable:
			return gang.NotReady
		}
		return gang.Tainted
	}
	if ok, err := affinity.Match(node); err != nil || !ok {
		return gang.Unselected
	}
	return gang.Eligible
}

func toleratesTaint(pod *v1.Pod, taint *v1.Taint) bool {
	return corev1helpers.TolerationsTolerateTaint(klog.Background(), pod.Spec.Tolerations, taint, false)
}
