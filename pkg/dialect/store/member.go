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
	"github.com/muster-scheduler/muster/pkg/workload"
)

// member is one live pod of a gang.
type member struct {
	name           string
	uid            types.UID
	created        metav1.Time
	bound, running bool
	// terminating members were told to end.
	terminating bool
	// startedWith is with how many its gang had to start when it was bound, or 0.
	startedWith int
	revision    kube.Revision
	// run is the workload that it is of, if that comes to its end by itself.
	run workload.Run
	// job is its controller, if that is a Job.
	job jobRef
	// gates are what keeps it from being scheduled.
	gates []string
	life  kube.Lifetime
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
		terminating: kube.MemberStateOf(pod) == kube.MemberTerminating,
		job:         jobRefOf(pod),
		gates:       kube.GatesOf(pod), life: kube.LifetimeOf(pod), revision: kube.RevisionOf(pod),
		startedWith: kube.StartedWith(pod),
		terms:       said.Terms, roles: said.Roles, child: kube.ChildGroupOf(pod),
	}
	if name == kube.DialectAuto {
		m.auto = newAutoMember(pod)
	} else {
		m.run = workload.RunOf(pod)
	}
	if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
		m.owner = owner.Name
	}
	// What is written on a pod that runs already, or that ends, stands in nobody's way.
	if m.waits() || name == kube.DialectConflict {
		m.problem = cmp.Or(s.dialects.MarkerProblem(pod), said.Problem)
	}
	return m
}

// waits reports whether a member is still to be placed.
func (m *member) waits() bool { return !m.bound && !m.terminating }

// isYoungerThan reports whether a member was created after another one; of those
// that end, none is younger than one that does not.
func (m *member) isYoungerThan(o *member) bool {
	return cmp.Or(oneIf(o.terminating)-oneIf(m.terminating), m.created.Compare(o.created.Time), cmp.Compare(o.name, m.name)) > 0
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
	g.countGates(m, sign)
	g.countStart(m, sign)
	g.countRun(m, sign)
	g.countJob(m, sign)
	g.tallyMember(m, sign)
}

// countGates adds a member that scheduling gates hold back to those of its gang, or
// takes it out.
func (g *gangState) countGates(m *member, sign int) {
	if len(m.gates) == 0 {
		return
	}
	if g.gates == nil {
		g.gates = map[string]int{}
	}
	g.gated += sign
	for _, gate := range m.gates {
		if g.gates[gate] += sign; g.gates[gate] == 0 {
			delete(g.gates, gate)
		}
	}
}

// countStart adds a member to those that were started with its number, or takes it out.
func (g *gangState) countStart(m *member, sign int) {
	if m.startedWith == 0 {
		return
	}
	if g.startedWith == nil {
		g.startedWith = map[int]int{}
	}
	before := g.startedWith[m.startedWith]
	if g.startedWith[m.startedWith] += sign; before+sign == 0 {
		delete(g.startedWith, m.startedWith)
	}
	g.dirty = g.dirty || before == 0 || before+sign == 0
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
