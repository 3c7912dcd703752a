// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// member is one live pod of a gang.
type member struct {
	name           string
	uid            types.UID
	created        metav1.Time
	bound, running bool
	// terminating members were told to end.
	terminating bool
	life        kube.Lifetime
	// owner is the name of the pod's controller, child that of the PodGroup that it
	// names where its gang is that of several; or "".
	owner, child string
	// terms are what it says of its gang, and roles the parts that it names.
	terms   dialect.PodTerms
	roles   []kube.Role
	problem *kube.Invalid
	// auto is set for a member of a workload's gang.
	auto *autoMember
}

func (s *Store) newMember(pod *v1.Pod) *member {
	name, _ := kube.SplitGroupName(kube.GroupOf(pod))
	said := s.dialects.ReadPod(pod, name)
	m := &member{
		name: pod.Name, uid: pod.UID,
		created:     pod.CreationTimestamp,
		bound:       pod.Spec.NodeName != "",
		running:     pod.Status.Phase == v1.PodRunning,
		terminating: pod.DeletionTimestamp != nil, life: kube.LifetimeOf(pod),
		terms: said.Terms, roles: said.Roles, child: kube.ChildGroupOf(pod),
	}
	if name == kube.DialectAuto {
		m.auto = newAutoMember(pod)
	}
	if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
		m.owner = owner.Name
	}
	// What is changed on a pod that runs already stands in nobody's way.
	if !m.bound || name == kube.DialectConflict {
		m.problem = cmp.Or(s.dialects.MarkerProblem(pod), said.Problem)
	}
	return m
}

func (g *gangState) addMember(m *member) {
	g.members[m.uid] = m
	if g.byTerms[m.terms] == nil {
		g.byTerms[m.terms] = map[types.UID]*member{}
		g.dirty = true
	}
	g.byTerms[m.terms][m.uid] = m
	g.countMember(m, 1)
}

func (g *gangState) removeMember(uid types.UID) {
	m := g.members[uid]
	if m == nil {
		return
	}
	delete(g.members, uid)
	delete(g.byTerms[m.terms], uid)
	if len(g.byTerms[m.terms]) == 0 {
		delete(g.byTerms, m.terms)
		g.dirty = true
	}
	g.countMember(m, -1)
}

// countMember adds a member to the counts of its gang, or takes it out.
func (g *gangState) countMember(m *member, sign int) {
	g.bound += sign * oneIf(m.bound)
	g.running += sign * oneIf(m.running)
	g.staying += sign * oneIf(m.bound && !m.terminating)
	g.problems += sign * oneIf(m.problem != nil)
	g.tallyMember(m, sign)
}

func oneIf(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// firstMember is the member that was created first.
func (g *gangState) firstMember() *member {
	return slices.MinFunc(slices.Collect(maps.Values(g.members)), func(a, b *member) int {
		return cmp.Or(a.created.Compare(b.created.Time), cmp.Compare(a.name, b.name))
	})
}

// ownersOf are the names of the members' controllers, in order.
func ownersOf(members map[types.UID]*member) []string {
	seen := map[string]struct{}{}
	for _, m := range members {
		if m.owner != "" {
			seen[m.owner] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}
