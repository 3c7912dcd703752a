// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	resourcehelper "k8s.io/component-helpers/resource"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/dra"
	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Members is a gang together with the pods behind its roles.
type Members struct {
	gang.Gang
	// Pods are the waiting pods: Pods[r][i] is member i of role r.
	Pods [][]*v1.Pod
	// Unmodelled says which constraint the planner does not model ("pod affinity",
	// "volumes", ...), for a gang that must not be pinned node by node; ""
	// when the plan is complete.
	Unmodelled string
	// Devices are those of the nodes as the members see them; nil where none claims
	// any, or what they claim is left to other plugins.
	Devices *dra.GangView
	// ClaimsDevices says that some waiting pod claims devices that drivers publish.
	ClaimsDevices bool
	// TakesHostPorts says that some waiting pod takes ports of its node.
	TakesHostPorts bool
	// ports are the host ports of each role, nil where they are left to other plugins.
	ports [][]hostPort
	// Invalid is why the pods cannot be scheduled as they are written, or nil. Its
	// message does not name the gang.
	Invalid *Invalid
	// equivalenceClass tells gangs apart that ask for different things.
	equivalenceClass string
}

// EquivalenceClass names what the gang asks for: gangs of one class get the same answer
// from the same cluster. A gang with bound members is a class of its own.
func (m *Members) EquivalenceClass() string { return m.equivalenceClass }

// podSet gathers the pods of one shape and part while a gang is read.
type podSet struct {
	key      roleKey
	shape    shape
	template *v1.Pod
	requests v1.ResourceList
	claims   *dra.PodClaims // of the waiting ones
	waiting  []member
	bound    []member
	// joined says that the pods are of several shapes that share slices; requests
	// are the most that a waiting one asks for.
	joined bool
}

type member struct {
	pod  *v1.Pod
	rank rank
}

// ReadGang brings the cluster up to date with a snapshot and reads a gang from its
// specification, its waiting pods and those that have a node. Pods of one shape
// form a role; roles stand in the order of their first member's rank, members
// in rank order.
func (c *Cluster) ReadGang(spec *Spec, waiting, scheduled []*v1.Pod, nodes []fwk.NodeInfo) (*Members, error) {
	if err := c.UpdateNodes(nodes); err != nil {
		return nil, err
	}
	claims := c.readClaims(spec, waiting)
	roles := joinBoundSets(spec, joinSlicedSets(spec, c.podSetsOf(spec, waiting, scheduled, claims)))
	m := &Members{Gang: gang.Gang{
		Name: spec.Name, MinCount: spec.MinCount, Models: spec.Models,
		Required: spec.Required, Preferred: spec.Preferred, Slices: spec.Slices,
	}}
	if m.Invalid = checkSize(roles); m.Invalid != nil {
		m.equivalenceClass = string(spec.UID)
		return m, nil
	}
	if m.Tree, m.Invalid = c.treeFor(spec); m.Invalid == nil {
		m.Invalid = spec.checkNestingOn(m.Tree)
	}
	if m.Invalid != nil {
		m.equivalenceClass = string(spec.UID)
		return m, nil
	}
	c.nameUnknownResource(roles)
	for i, r := range roles {
		m.addRole(c, spec, roleName(roles, i), r)
		if m.Invalid == nil {
			m.Invalid = CheckProfiles(r.template, nodes)
		}
	}
	if len(spec.Roles) > 0 {
		m.applyRoles(spec, roles)
		m.groupRoles(spec, roles)
		for _, r := range spec.missingRoles(roles) {
			r.Request = c.requestRow(nil)
			m.Roles, m.Pods = append(m.Roles, r), append(m.Pods, nil)
		}
	}
	for i, r := range roles {
		m.assignRanks(i, r, c)
	}
	c.addClaims(m, roles, claims)
	m.readPorts()
	c.addPorts(m)
	m.equivalenceClass = m.classOf(spec, roles, preemptionPolicy(waiting), len(scheduled) > 0)
	return m, nil
}

// addRole adds the role of the pods of one shape.
func (m *Members) addRole(c *Cluster, spec *Spec, name string, r *podSet) {
	m.Roles = append(m.Roles, gang.Role{
		Name:           name,
		Count:          len(r.waiting),
		Request:        c.requestRow(r.requests),
		MemberRequests: c.memberRequests(r),
		Filter:         c.nodeFilter(r.template, r.shape.constraints, c.Sharing.GPURequirementsOf(r.template, spec.Models, spec.Memory), pinsOf(r.claims)),
		Required:       topology.NoLevel,
		NearRole:       -1,
	})
	pods := make([]*v1.Pod, len(r.waiting))
	for j, w := range r.waiting {
		pods[j] = w.pod
		m.Unmodelled = cmp.Or(m.Unmodelled, unmodelledConstraint(w.pod))
		if len(w.pod.Spec.ResourceClaims) > 0 && c.Devices == nil {
			m.Unmodelled = cmp.Or(m.Unmodelled, unmodelledClaims)
		}
	}
	m.Pods = append(m.Pods, pods)
}

// classOf names everything that the plan of the gang depends on, but for the cluster,
// and what else decides whether it finds room: whether it may preempt, and whether
// other plugins check it. A gang with bound members is a class of its own.
func (m *Members) classOf(spec *Spec, roles []*podSet, policy v1.PreemptionPolicy, hasBound bool) string {
	var class strings.Builder
	fmt.Fprintf(&class, "%d %d %d %v %v %v %q", spec.MinCount, spec.Required, spec.Preferred, spec.Models, spec.Memory, spec.Slices, spec.keys)
	for i, r := range roles {
		fmt.Fprintf(&class, "|%d %v %v %s %x", len(r.waiting), m.Roles[i].Request, m.Roles[i].MemberRequests, r.shape.constraints, r.claims.Key())
	}
	if len(spec.Roles) > 0 {
		for _, r := range m.Roles {
			fmt.Fprintf(&class, "|%s %d %d %v %d", r.Name, r.MinCount, r.Required, r.Slices, r.NearRole)
		}
	}
	if len(m.RoleGroups) > 0 {
		fmt.Fprintf(&class, "|%v", m.RoleGroups)
	}
	for i := range roles {
		if ranks := m.Roles[i].Ranks; ranks != nil {
			fmt.Fprintf(&class, "|%v", ranks)
		}
	}
	if m.TakesHostPorts {
		fmt.Fprintf(&class, "|%v", m.ports)
	}
	fmt.Fprintf(&class, "|%s %s", m.Unmodelled, policy)
	if hasBound {
		fmt.Fprintf(&class, "|%s", spec.UID)
	}
	return class.String()
}

// preemptionPolicy is the policy that pods of one gang share: kube-scheduler refuses
// gangs that mix them. A gang that may preempt can find room where one that may not
// finds none.
func preemptionPolicy(pods []*v1.Pod) v1.PreemptionPolicy {
	if len(pods) == 0 || pods[0].Spec.PreemptionPolicy == nil {
		return v1.PreemptLowerPriority
	}
	return *pods[0].Spec.PreemptionPolicy
}

// Assignments lists the node that a plan gives to each waiting pod, by UID.
func (m *Members) Assignments(plan placement.Plan) map[types.UID]topology.NodeID {
	nodes := make(map[types.UID]topology.NodeID, m.WaitingCount())
	for r, pods := range m.Pods {
		for i, pod := range pods {
			if node := plan.Nodes[r][i]; node != placement.NoNode {
				nodes[pod.UID] = node
			}
		}
	}
	return nodes
}

// roleName names a role by what its controller calls it, where the gang has
// more than one.
func roleName(roles []*podSet, i int) string {
	if len(roles) == 1 {
		return ""
	}
	for _, key := range []string{"training.kubeflow.org/replica-type", "jobset.sigs.k8s.io/replicatedjob-name", "ray.io/node-type", "role"} {
		if name := roles[i].template.Labels[key]; name != "" {
			return name
		}
	}
	return roles[i].template.Name
}

func (c *Cluster) nodeOf(pod *v1.Pod) topology.NodeID {
	if id, ok := c.usage.Tree.NodeByName(pod.Spec.NodeName); ok {
		return id
	}
	return placement.NoNode
}

// requestRow lays a request out in the columns of the usage. Every pod takes one
// of its node's pod slots. What no node offers is one column, of which there is none.
func (c *Cluster) requestRow(requests v1.ResourceList) []int64 {
	row := make([]int64, len(c.columns)+1)
	row[c.columns[v1.ResourcePods]] = 1
	for name, quantity := range requests {
		amount := ResourceUnits(name, quantity)
		if column, ok := c.columns[name]; ok {
			row[column] = amount
		} else if !c.isMapped(name) {
			row[len(c.columns)] = max(row[len(c.columns)], amount)
		}
	}
	return row
}

// ResourceUnits is an amount of a resource in the unit of a Usage: milli-cores of CPU,
// bytes, or a count.
func ResourceUnits(name v1.ResourceName, quantity resource.Quantity) int64 {
	if name == v1.ResourceCPU {
		return quantity.MilliValue()
	}
	return quantity.Value()
}

// podSetsOf gathers the pods of one shape and part.
func (c *Cluster) podSetsOf(spec *Spec, waiting, scheduled []*v1.Pod, claims *gangClaims) []*podSet {
	type setKey struct {
		part   roleKey
		shape  shape
		claims string
	}
	var sets []*podSet
	known, first := map[setKey]*podSet{}, map[setKey]string{}
	find := spec.roleFinder()
	setOf := func(pod *v1.Pod) *podSet {
		key := setKey{part: find(pod), shape: c.shapes.shapeOf(pod)}
		if pod.Spec.NodeName == "" {
			key.claims = claims.of(pod).Key()
			if _, ok := first[setKey{part: key.part, shape: key.shape}]; !ok {
				first[setKey{part: key.part, shape: key.shape}] = key.claims
			}
		} else { // what it claims is taken: it is one of those that wait
			key.claims = first[key]
		}
		set := known[key]
		if set == nil {
			set = &podSet{key: key.part, shape: key.shape, template: pod, requests: PodRequests(pod), claims: claims.of(pod)}
			known[key], sets = set, append(sets, set)
		}
		return set
	}
	for _, pod := range waiting {
		set := setOf(pod)
		set.waiting = append(set.waiting, member{pod, rankOf(pod)})
	}
	for _, pod := range scheduled {
		set := setOf(pod)
		set.bound = append(set.bound, member{pod, rankOf(pod)})
	}
	for _, set := range sets {
		slices.SortFunc(set.waiting, compareMembers)
		slices.SortFunc(set.bound, compareMembers)
	}
	slices.SortStableFunc(sets, func(a, b *podSet) int {
		return compareMembers(a.firstMember(), b.firstMember())
	})
	return sets
}

func (r *podSet) firstMember() member {
	if len(r.waiting) > 0 {
		return r.waiting[0]
	}
	return r.bound[0]
}

func compareMembers(a, b member) int {
	return cmp.Or(
		cmp.Compare(a.rank.group, b.rank.group),
		cmp.Compare(a.rank.index, b.rank.index),
		cmp.Compare(a.pod.Name, b.pod.Name),
	)
}

// PodRequests returns what a pod asks of its node.
func PodRequests(pod *v1.Pod) v1.ResourceList {
	return resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
}

// podAffinityKind names the affinity to other pods that must hold, if there is one.
func podAffinityKind(a *v1.Affinity) string {
	switch {
	case a == nil:
	case a.PodAffinity != nil && len(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0:
		return "pod affinity"
	case a.PodAntiAffinity != nil && len(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0:
		return "pod anti-affinity"
	}
	return ""
}

// UnmodelledVolumes is the constraint of pods with volumes that not every node can mount.
const UnmodelledVolumes = "volumes"

// unmodelledConstraint names the first constraint of a pod that the planner does not
// know, so that the filters of the other plugins must choose the node.
func unmodelledConstraint(pod *v1.Pod) string {
	spec := &pod.Spec
	if which := podAffinityKind(spec.Affinity); which != "" {
		return which
	}
	for _, s := range spec.TopologySpreadConstraints {
		if s.WhenUnsatisfiable == v1.DoNotSchedule {
			return "topology spread"
		}
	}
	for i := range spec.Volumes {
		if v := &spec.Volumes[i]; v.PersistentVolumeClaim != nil || v.Ephemeral != nil || v.CSI != nil {
			return UnmodelledVolumes
		}
	}
	return ""
}
