// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	resourcehelper "k8s.io/component-helpers/resource"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Members is a gang together with the pods behind its roles.
type Members struct {
	gang.Gang
	// Pods are the waiting pods: Pods[r][i] is member i of role r.
	Pods [][]*v1.Pod
	// Open says which constraint the planner does not model ("pod affinity",
	// "volumes", ...), for a gang that must not be pinned node by node; ""
	// when the plan is complete.
	Open string
	// Invalid is why the pods cannot be scheduled as they are written, or nil.
	Invalid *Invalid
	// class tells gangs apart that ask for different things.
	class string
}

// Class names what the gang asks for: gangs of one class get the same answer
// from the same cluster. A gang with bound members is a class of its own.
func (m *Members) Class() string { return m.class }

// Wants lists the resources that any member asks for, in the order of the
// usage's columns. The pod slot that every pod takes is not among them.
func (m *Members) Wants(usage *topology.Usage) []string {
	var wants []string
	for column, name := range usage.Resources {
		asked := slices.ContainsFunc(m.Roles, func(r gang.Role) bool { return r.Request[column] > 0 })
		if asked && name != string(v1.ResourcePods) {
			wants = append(wants, name)
		}
	}
	return wants
}

// role gathers the pods of one shape and part while a gang is read.
type role struct {
	part        part
	exemplar    *v1.Pod
	constraints constraints
	requests    v1.ResourceList
	waiting     []member
	bound       []member
}

type member struct {
	pod  *v1.Pod
	rank rank
}

// Gang brings the cluster up to date with a snapshot and reads a gang from its
// specification, its waiting pods and those that have a node. Pods of one shape
// form a role; roles stand in the order of their first member's rank, members
// in rank order.
func (c *Cluster) Gang(spec *Spec, waiting, scheduled []*v1.Pod, nodes []fwk.NodeInfo) (*Members, error) {
	roles := rolesOf(spec, waiting, scheduled)
	requests := make([]v1.ResourceList, len(roles))
	for i, r := range roles {
		requests[i] = r.requests
	}
	if err := c.Update(nodes, requests...); err != nil {
		return nil, err
	}
	var class strings.Builder
	fmt.Fprintf(&class, "%d %d %d %v %v %v", spec.MinCount, spec.Required, spec.Preferred, spec.Models, spec.Memory, spec.Slices)
	m := &Members{Gang: gang.Gang{
		Name: spec.Name, MinCount: spec.MinCount, Models: spec.Models,
		Required: spec.Required, Preferred: spec.Preferred, Slices: spec.Slices,
	}}
	for i, r := range roles {
		m.Roles = append(m.Roles, gang.Role{
			Name:     roleName(roles, i),
			Count:    len(r.waiting),
			Request:  c.vector(r.requests),
			Filter:   c.Filter(r.exemplar, c.Sharing.GPUWishOf(r.exemplar, spec.Models, spec.Memory)),
			Required: topology.NoLevel,
			NearRole: -1,
		})
		m.Invalid = cmp.Or(m.Invalid, CheckProfiles(r.exemplar, nodes))
		pods := make([]*v1.Pod, len(r.waiting))
		for j, w := range r.waiting {
			pods[j] = w.pod
			m.Open = cmp.Or(m.Open, unmodelled(w.pod))
		}
		m.Pods = append(m.Pods, pods)
		fmt.Fprintf(&class, "|%d %v %s", len(r.waiting), m.Roles[i].Request, r.constraints.key())
	}
	if len(spec.Roles) > 0 {
		m.ask(spec, roles)
		for _, r := range spec.missing(roles) {
			r.Request = c.vector(nil)
			m.Roles, m.Pods = append(m.Roles, r), append(m.Pods, nil)
		}
		for _, r := range m.Roles {
			fmt.Fprintf(&class, "|%s %d %d %v %d", r.Name, r.MinCount, r.Required, r.Slices, r.NearRole)
		}
	}
	for i, r := range roles {
		m.number(i, r, c)
		if ranks := m.Roles[i].Ranks; ranks != nil {
			fmt.Fprintf(&class, "|%v", ranks)
		}
	}
	fmt.Fprintf(&class, "|%s %s", m.Open, preemptionPolicy(waiting))
	if len(scheduled) > 0 {
		fmt.Fprintf(&class, "|%s", spec.UID)
	}
	m.class = class.String()
	return m, nil
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
func roleName(roles []*role, i int) string {
	if len(roles) == 1 {
		return ""
	}
	for _, key := range []string{"training.kubeflow.org/replica-type", "jobset.sigs.k8s.io/replicatedjob-name", "ray.io/node-type", "role"} {
		if name := roles[i].exemplar.Labels[key]; name != "" {
			return name
		}
	}
	return roles[i].exemplar.Name
}

func (c *Cluster) nodeOf(pod *v1.Pod) topology.NodeID {
	if id, ok := c.usage.Tree.NodeByName(pod.Spec.NodeName); ok {
		return id
	}
	return placement.NoNode
}

// vector lays a request out in the columns of the usage. Every pod takes one
// of its node's pod slots.
func (c *Cluster) vector(requests v1.ResourceList) []int64 {
	row := make([]int64, len(c.columns))
	row[c.columns[v1.ResourcePods]] = 1
	for name, quantity := range requests {
		if column, ok := c.columns[name]; ok {
			row[column] = Units(name, quantity)
		}
	}
	return row
}

// Units is an amount of a resource in the unit of a Usage: milli-cores of CPU,
// bytes, or a count.
func Units(name v1.ResourceName, quantity resource.Quantity) int64 {
	if name == v1.ResourceCPU {
		return quantity.MilliValue()
	}
	return quantity.Value()
}

func rolesOf(spec *Spec, waiting, scheduled []*v1.Pod) []*role {
	var roles []*role
	for _, pod := range waiting {
		r := roleFor(&roles, pod, spec.partOf(pod))
		r.waiting = append(r.waiting, member{pod, rankOf(pod)})
	}
	for _, pod := range scheduled {
		r := roleFor(&roles, pod, spec.partOf(pod))
		r.bound = append(r.bound, member{pod, rankOf(pod)})
	}
	for _, r := range roles {
		slices.SortFunc(r.waiting, compareMembers)
		slices.SortFunc(r.bound, compareMembers)
	}
	slices.SortStableFunc(roles, func(a, b *role) int {
		return compareMembers(a.first(), b.first())
	})
	return roles
}

func (r *role) first() member {
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

func roleFor(roles *[]*role, pod *v1.Pod, part part) *role {
	requests := Requests(pod)
	wants := constraintsOf(pod)
	for _, r := range *roles {
		if r.part == part && sameRequests(r.requests, requests) && r.constraints.equal(wants) {
			return r
		}
	}
	r := &role{part: part, exemplar: pod, constraints: wants, requests: requests}
	*roles = append(*roles, r)
	return r
}

// Requests returns what a pod asks of its node.
func Requests(pod *v1.Pod) v1.ResourceList {
	return resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
}

func sameRequests(a, b v1.ResourceList) bool {
	return maps.EqualFunc(a, b, func(x, y resource.Quantity) bool { return x.Cmp(y) == 0 })
}

func (c constraints) equal(o constraints) bool {
	return maps.Equal(c.Selector, o.Selector) &&
		slices.EqualFunc(c.Tolerations, o.Tolerations, func(x, y v1.Toleration) bool { return x.MatchToleration(&y) }) &&
		(c.Affinity == o.Affinity || equality.Semantic.DeepEqual(c.Affinity, o.Affinity))
}

// betweenPods names the affinity to other pods that must hold, if there is one.
func betweenPods(a *v1.Affinity) string {
	switch {
	case a == nil:
	case a.PodAffinity != nil && len(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0:
		return "pod affinity"
	case a.PodAntiAffinity != nil && len(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0:
		return "pod anti-affinity"
	}
	return ""
}

// unmodelled names the first constraint of a pod that the planner does not
// know, so that the filters of the other plugins must choose the node.
func unmodelled(pod *v1.Pod) string {
	spec := &pod.Spec
	if which := betweenPods(spec.Affinity); which != "" {
		return which
	}
	for _, s := range spec.TopologySpreadConstraints {
		if s.WhenUnsatisfiable == v1.DoNotSchedule {
			return "topology spread"
		}
	}
	if len(spec.ResourceClaims) > 0 {
		return "resource claims"
	}
	for i := range spec.Volumes {
		if v := &spec.Volumes[i]; v.PersistentVolumeClaim != nil || v.Ephemeral != nil || v.CSI != nil {
			return "volumes"
		}
	}
	for i := range spec.Containers {
		for _, port := range spec.Containers[i].Ports {
			if port.HostPort > 0 {
				return "host ports"
			}
		}
	}
	return ""
}
