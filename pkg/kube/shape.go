// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// shape tells pods apart that cannot stand in for one another: by what they ask for,
// and by the nodes that they may use. It holds digests alone, so that it keeps no pod
// in memory and costs the same to compare whatever the pod says.
type shape struct {
	// constraints is of the node selector, the node affinity and the tolerations.
	constraints digest
	// requests is of all requests, fixedRequests of those that resizing cannot change.
	requests, fixedRequests digest
}

type digest [16]byte

// String is the digest in hexadecimal digits.
func (d digest) String() string { return hex.EncodeToString(d[:]) }

func digestOf(text []byte) digest {
	sum := sha256.Sum256(text)
	return digest(sum[:len(digest{})])
}

// newShape reads the shape of a pod: it costs what the pod says.
func newShape(pod *v1.Pod) shape {
	requests := PodRequests(pod)
	return shape{
		constraints:   constraintsOf(pod).digest(),
		requests:      digestRequests(requests, func(v1.ResourceName) bool { return true }),
		fixedRequests: digestRequests(requests, func(name v1.ResourceName) bool { return !slices.Contains(resizable, name) }),
	}
}

// digestRequests digests the requests for some resources, in the units of a plan.
func digestRequests(requests v1.ResourceList, counts func(v1.ResourceName) bool) digest {
	var text []byte
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		if counts(name) {
			text = append(append(text, name...), 0)
			text = binary.LittleEndian.AppendUint64(text, uint64(ResourceUnits(name, requests[name])))
		}
	}
	return digestOf(text)
}

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

// digest tells constraints apart. How long a taint is tolerated decides no placement.
// Selectors and tolerations hold nothing that JSON cannot.
func (c constraints) digest() digest {
	c.Tolerations = slices.Clone(c.Tolerations)
	for i := range c.Tolerations {
		c.Tolerations[i].TolerationSeconds = nil
	}
	text, _ := json.Marshal(c)
	return digestOf(text)
}

// affinityValues counts what a node is compared with.
func (c constraints) affinityValues() int {
	n := len(c.Selector)
	if c.Affinity == nil {
		return n
	}
	for i := range c.Affinity.NodeSelectorTerms {
		for _, list := range [][]v1.NodeSelectorRequirement{c.Affinity.NodeSelectorTerms[i].MatchExpressions, c.Affinity.NodeSelectorTerms[i].MatchFields} {
			for _, requirement := range list {
				n += 1 + len(requirement.Values)
			}
		}
	}
	return n
}

// shapeCache remembers the shapes of pods, so that a gang that is read again costs no
// more than a look at each pod. It keeps what was asked for among the last
// maxRememberedShapes pods, and at most twice as many.
type shapeCache struct {
	recent, older map[podVersion]shape
}

// podVersion is a pod with one specification.
type podVersion struct {
	uid        types.UID
	generation int64
}

const maxRememberedShapes = 16384

// shapeOf returns the shape of a pod. A pod that no API server has numbered is read
// each time.
func (c *shapeCache) shapeOf(pod *v1.Pod) shape {
	if pod.UID == "" || pod.Generation == 0 {
		return newShape(pod)
	}
	version := podVersion{pod.UID, pod.Generation}
	if known, ok := c.recent[version]; ok {
		return known
	}
	known, ok := c.older[version]
	if !ok {
		known = newShape(pod)
	}
	if c.recent == nil || len(c.recent) >= maxRememberedShapes {
		c.recent, c.older = map[podVersion]shape{}, c.recent
	}
	c.recent[version] = known
	return known
}
