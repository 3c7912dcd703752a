// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"encoding/json"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/dynamicresources"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/feature"

	"github.com/muster-scheduler/muster/pkg/dra"
	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// CountDevices has the devices counted that drivers publish, as the allocator of this
// process sees them.
func (c *Cluster) CountDevices(source dra.Source) {
	c.Devices = dra.NewInventory(source, dynamicresources.AllocatorFeatures(feature.NewSchedulerFeaturesFromGates(utilfeature.DefaultFeatureGate)))
}

// unmodelledClaims is the constraint of pods whose claims are left to the scheduler's
// own plugin.
const unmodelledClaims = "resource claims"

// maxPins bounds the sets of nodes that allocated claims hold the members of one gang
// to.
const maxPins = 8

// followDevices finds the devices of the nodes of a new tree.
func (c *Cluster) followDevices(tree *topology.Tree) {
	if c.Devices == nil {
		return
	}
	c.Devices.RetainNodes(func(name string) bool {
		_, ok := tree.NodeByName(name)
		return ok
	})
	c.mapped = c.Devices.MappedResources()
	c.deviceNodes = make([]*dra.Node, len(tree.Nodes))
	for n := range tree.Nodes {
		c.deviceNodes[n] = c.Devices.Node(tree.Nodes[n].Name)
	}
}

// devicesChanged reports whether the devices of a node are not those that its row was
// filled with.
func (c *Cluster) devicesChanged(id topology.NodeID) bool {
	return c.Devices != nil && c.nodes[id].devicesSeen != c.deviceNodes[id].Version()
}

// isMapped reports whether a device class stands behind an extended resource.
func (c *Cluster) isMapped(name v1.ResourceName) bool {
	return c.Devices != nil && c.Devices.IsMapped(name)
}

// fillDevices counts the devices behind the extended resources that a node has no device
// plugin for. What pods asked for of them is claimed, and no amount of the node's.
func (c *Cluster) fillDevices(id topology.NodeID, info fwk.NodeInfo, capacity, free []int64) {
	if c.Devices == nil {
		return
	}
	var served []v1.ResourceName
	for name, amount := range info.GetAllocatable().GetScalarResources() {
		if amount > 0 && c.isMapped(name) {
			served = append(served, name)
		}
	}
	n := c.deviceNodes[id]
	c.Devices.SetServed(n, served)
	for _, name := range c.mapped {
		if info.GetAllocatable().GetScalarResources()[name] == 0 {
			free[c.columns[name]], capacity[c.columns[name]] = c.Devices.FreeOf(n, name)
		}
	}
	c.nodes[id].devicesSeen = n.Version()
}

// gangClaims is what the waiting pods of a gang claim, by UID; nil for nothing, or for
// what is left to other plugins.
type gangClaims struct {
	byPod map[types.UID]*dra.PodClaims
	// unmodelled says what is left to other plugins.
	unmodelled string
}

// of returns what a pod claims.
func (g *gangClaims) of(pod *v1.Pod) *dra.PodClaims {
	if g == nil || g.unmodelled != "" {
		return nil
	}
	return g.byPod[pod.UID]
}

// readClaims reads what the waiting pods of a gang claim. Claims that several of them
// share do not add up by nodes, and are left to other plugins; so are members of one
// slice that claim different things.
func (c *Cluster) readClaims(spec *Spec, waiting []*v1.Pod) *gangClaims {
	if c.Devices == nil {
		return nil
	}
	var g *gangClaims
	waits, pins := map[string]bool{}, map[string]bool{}
	find, ofPart := spec.roleFinder(), map[slicedKey]string{}
	for _, pod := range waiting {
		claims := c.Devices.ReadPod(pod, PodRequests(pod))
		if claims == nil {
			continue
		}
		if g == nil {
			g = &gangClaims{byPod: map[types.UID]*dra.PodClaims{}}
		}
		g.byPod[pod.UID] = claims
		if part := find(pod); spec.isSliced(part) {
			shape := c.shapes.shapeOf(pod)
			key := slicedKey{part: part, constraints: shape.constraints, fixedRequests: shape.fixedRequests}
			if other, ok := ofPart[key]; ok && other != claims.Key() {
				g.unmodelled = unmodelledClaims
			}
			ofPart[key] = claims.Key()
		}
		g.unmodelled = cmp.Or(g.unmodelled, claims.Unmodelled)
		for _, name := range claims.Waits {
			if waits[name] {
				g.unmodelled = unmodelledClaims
			}
			waits[name] = true
		}
		if len(claims.Pinned) > 0 {
			pins[pinsText(claims.Pinned)] = true
		}
	}
	if len(pins) > maxPins {
		g.unmodelled = unmodelledClaims
	}
	return g
}

// addClaims gives the roles what their members claim, and counts it. What takes too many
// steps to count is left to other plugins.
func (c *Cluster) addClaims(m *Members, sets []*podSet, claims *gangClaims) {
	c.usage.Devices = nil
	if claims == nil {
		return
	}
	m.ClaimsDevices = true
	if m.Unmodelled = cmp.Or(m.Unmodelled, claims.unmodelled); claims.unmodelled != "" {
		return
	}
	var all []*dra.Claims
	for i, set := range sets {
		if wanted := c.Devices.ClaimsOf(set.claims, m.WaitingCount()); wanted != nil {
			m.Roles[i].Claims = wanted
			all = append(all, wanted)
		}
	}
	if len(all) == 0 {
		return
	}
	m.Devices = c.Devices.ViewFor(c.deviceNodes, all)
	c.usage.Devices = m.Devices
	for i := range sets {
		wanted, ok := m.Roles[i].Claims.(*dra.Claims)
		if !ok {
			continue
		}
		filter := m.Roles[i].Filter
		m.Devices.Count(wanted, func(n topology.NodeID) bool { return filter == nil || filter.Exclusions[n] == gang.Eligible })
	}
	if !m.Devices.IsComplete() {
		c.dropClaims(m)
	}
}

// dropClaims leaves what the members claim to other plugins.
func (c *Cluster) dropClaims(m *Members) {
	for i := range m.Roles {
		m.Roles[i].Claims = nil
	}
	m.Devices, c.usage.Devices = nil, nil
	m.Unmodelled = cmp.Or(m.Unmodelled, unmodelledClaims)
}

// Solve plans the gang that was read last, with a planner over the usage of c.
func (c *Cluster) Solve(planner *placement.Planner, m *Members) placement.Plan {
	planner.SetDevices(c.usage.Devices)
	plan := planner.Solve(&m.Gang)
	if m.Devices != nil && !m.Devices.IsComplete() {
		c.dropClaims(m)
		c.addPorts(m)
		planner.SetDevices(c.usage.Devices)
		return planner.Solve(&m.Gang)
	}
	return plan
}

// AssumeDevices takes what the members claim on the nodes of a plan, for the plans that
// follow.
func (m *Members) AssumeDevices(plan placement.Plan) {
	if m.Devices == nil {
		return
	}
	for r, nodes := range plan.Nodes {
		for _, n := range nodes {
			if claims, ok := withoutPorts(m.Roles[r].Claims); ok && n != placement.NoNode {
				m.Devices.Assume(n, claims)
			}
		}
	}
}

// DeviceNote returns, behind a semicolon, what the allocator of devices would not do for
// the members, "" for nothing.
func (m *Members) DeviceNote() string {
	if m.Devices == nil || m.Devices.Note() == "" {
		return ""
	}
	return "; " + m.Devices.Note()
}

// pinsOf returns the selectors of the nodes that can use what is allocated to a pod.
func pinsOf(claims *dra.PodClaims) []*v1.NodeSelector {
	if claims == nil {
		return nil
	}
	return claims.Pinned
}

// pinsText tells lists of selectors apart.
func pinsText(pins []*v1.NodeSelector) string {
	if len(pins) == 0 {
		return ""
	}
	text, _ := json.Marshal(pins) // what came as JSON goes as JSON
	return string(text)
}

// pinnedNodes returns a function that reports whether all selectors select a node.
func pinnedNodes(pins []*v1.NodeSelector) func(*v1.Node) bool {
	var selectors []*nodeaffinity.NodeSelector
	for _, pin := range pins {
		selector, err := nodeaffinity.NewNodeSelector(pin)
		if err != nil { // it selects nothing
			return func(*v1.Node) bool { return false }
		}
		selectors = append(selectors, selector)
	}
	return func(node *v1.Node) bool {
		for _, selector := range selectors {
			if !selector.Match(node) {
				return false
			}
		}
		return true
	}
}
