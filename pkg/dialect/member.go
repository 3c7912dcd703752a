// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"cmp"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// member is one live pod of a gang.
type member struct {
	name           string
	uid            types.UID
	created        metav1.Time
	bound, running bool
	// owner is the name of the pod's controller, or "".
	owner   string
	terms   terms
	problem *kube.Invalid
	// auto is set for a member of a workload's gang.
	auto *autoMember
}

func (s *store) newMember(pod *v1.Pod) *member {
	dialect, _ := kube.SplitGroupName(kube.GroupOf(pod))
	terms, wrong := s.set.termsOf(pod, s.set.find(dialect))
	m := &member{
		name: pod.Name, uid: pod.UID,
		created: pod.CreationTimestamp,
		bound:   pod.Spec.NodeName != "",
		running: pod.Status.Phase == v1.PodRunning,
		terms:   terms,
	}
	if dialect == kube.DialectAuto {
		m.auto = newAutoMember(pod)
	}
	for _, owner := range pod.OwnerReferences {
		if owner.Controller != nil && *owner.Controller {
			m.owner = owner.Name
		}
	}
	// What is changed on a pod that runs already stands in nobody's way.
	if !m.bound || dialect == kube.DialectConflict {
		m.problem = cmp.Or(s.problemOf(pod), wrong)
	}
	return m
}

func (s *store) problemOf(pod *v1.Pod) *kube.Invalid {
	group := kube.GroupOf(pod)
	m, _ := s.set.markerOf(pod)
	if m.problem == nil && m.group != group {
		return moved(pod, group)
	}
	return m.problem
}

func (g *gangState) add(m *member) {
	g.members[m.uid] = m
	if g.byTerms[m.terms] == nil {
		g.byTerms[m.terms] = map[types.UID]*member{}
		g.stale = true
	}
	g.byTerms[m.terms][m.uid] = m
	g.bound += count(m.bound)
	g.running += count(m.running)
	g.problems += count(m.problem != nil)
	g.tell(m, 1)
}

func (g *gangState) remove(uid types.UID) {
	m := g.members[uid]
	if m == nil {
		return
	}
	delete(g.members, uid)
	delete(g.byTerms[m.terms], uid)
	if len(g.byTerms[m.terms]) == 0 {
		delete(g.byTerms, m.terms)
		g.stale = true
	}
	g.bound -= count(m.bound)
	g.running -= count(m.running)
	g.problems -= count(m.problem != nil)
	g.tell(m, -1)
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// first is the member that was created first.
func (g *gangState) first() *member {
	return slices.MinFunc(slices.Collect(maps.Values(g.members)), func(a, b *member) int {
		return cmp.Or(a.created.Compare(b.created.Time), cmp.Compare(a.name, b.name))
	})
}
