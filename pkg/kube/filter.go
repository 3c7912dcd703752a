// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/json"
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
	byKey map[string]*cachedFilter
	clock uint64
}

type cachedFilter struct {
	filter gang.Filter
	// excluded is the number of nodes that do not fit; 0 lets the planner
	// skip the filter altogether.
	excluded int
	epoch    uint64
	used     uint64
}

func (f *filterCache) reset() { f.byKey = map[string]*cachedFilter{} }

// constraints are the fields of a pod that decide which nodes it may use,
// apart from resources.
type constraints struct {
	Selector    map[string]string
	Affinity    *v1.NodeSelector
	Tolerations []v1.Toleration
}

func constraintsOf(pod *v1.Pod) constraints {
	c := constraints{Selector: pod.Spec.NodeSelector, Tolerations: pod.Spec.Tolerations}
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		c.Affinity = a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	}
	return c
}

// key tells constraints apart. Selectors and tolerations hold nothing that JSON
// cannot.
func (c constraints) key() string {
	text, _ := json.Marshal(c)
	return string(text)
}

// Filter returns which nodes the pod may use by its tolerations, selector, node
// affinity and the GPUs that it wishes for, or nil when it may use all of them.
func (c *Cluster) Filter(pod *v1.Pod, wish GPUWish) *gang.Filter {
	key := constraintsOf(pod).key()
	if !wish.Any() {
		key += fmt.Sprintf("%+v", wish)
	}
	cached, ok := c.filters.byKey[key]
	if !ok {
		c.filters.evict()
		cached = &cachedFilter{filter: gang.Filter{Exclusions: make([]gang.Exclusion, len(c.nodes))}}
		c.filters.byKey[key] = cached
	}
	c.filters.clock++
	cached.used = c.filters.clock
	if cached.epoch != c.epoch {
		c.refresh(cached, pod, &wish)
	}
	if cached.excluded == 0 {
		return nil
	}
	return &cached.filter
}

// evict makes room for one filter by dropping the one not used for longest.
func (f *filterCache) evict() {
	if len(f.byKey) < maxFilters {
		return
	}
	oldest, at := "", f.clock+1
	for key, cached := range f.byKey {
		if cached.used < at {
			oldest, at = key, cached.used
		}
	}
	delete(f.byKey, oldest)
}

func (c *Cluster) refresh(cached *cachedFilter, pod *v1.Pod, wish *GPUWish) {
	affinity := nodeaffinity.GetRequiredNodeAffinity(pod)
	for id := range c.nodes {
		if c.nodes[id].changed <= cached.epoch {
			continue
		}
		was := cached.filter.Exclusions[id]
		now := whyNot(pod, affinity, c.nodes[id].node)
		if now == gang.Eligible {
			now = wish.why(c.nodes[id].node)
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

func whyNot(pod *v1.Pod, affinity nodeaffinity.RequiredNodeAffinity, node *v1.Node) gang.Exclusion {
	if node.Spec.Unschedulable && !tolerates(pod, &v1.Taint{Key: v1.TaintNodeUnschedulable, Effect: v1.TaintEffectNoSchedule}) {
		return gang.Cordoned
	}
	for i := range node.Spec.Taints {
		taint := &node.Spec.Taints[i]
		if taint.Effect == v1.TaintEffectPreferNoSchedule || tolerates(pod, taint) {
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

func tolerates(pod *v1.Pod, taint *v1.Taint) bool {
	return corev1helpers.TolerationsTolerateTaint(klog.Background(), pod.Spec.Tolerations, taint, false)
}
