// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// draft is a declaration in the making. Its terms still have the number of
// members and the text of the roles.
type draft struct {
	kube.Declaration
	// invalid is the first problem of the gang, and rolesProblem that of its
	// roles, which others go before.
	invalid, rolesProblem *kube.Invalid
}

// refuse records the first problem.
func (d *draft) refuse(problem *kube.Invalid) { d.invalid = cmp.Or(d.invalid, problem) }

// declare joins what the object and the members say of the gang. Where the
// object says something no member may say otherwise; where it does not, all
// members that decide must say the same.
func (g *gangState) declare() *draft {
	d := &draft{}
	d.Terms = make(map[string]kube.Term, len(dialect.TermKeys))
	variants := g.decidingVariants()
	for i, key := range dialect.TermKeys {
		term, found, conflict := g.mergeTerm(i, variants)
		if found {
			d.Terms[key] = term
		}
		d.refuse(conflict)
	}
	d.refuse(g.mergeRoles(d, variants))
	d.refuse(g.disagreement(variants))
	d.refuse(g.placedPriority(variants))
	return d
}

// mergeTerm merges one of dialect.TermKeys, and reports whether anyone says it.
func (g *gangState) mergeTerm(i int, variants []variant) (term kube.Term, found bool, conflict *kube.Invalid) {
	key := dialect.TermKeys[i]
	if g.object != nil {
		if term, found = g.object.Terms[key]; found {
			conflict = g.compareWithObject(i, &term, variants)
			return term, true, conflict
		}
	}
	if len(variants) == 0 {
		return kube.Term{}, false, nil
	}
	first := variants[0].terms.Terms[i]
	term = kube.Term{Value: first.Value, Origin: kube.Origin{Word: cmp.Or(first.Alias, key), OnPods: g.hasGroupObject()}}
	for _, v := range variants[1:] {
		if says := v.terms.Terms[i]; !says.Same(first) {
			conflict = g.conflict(term.Origin.Word, "pod "+variants[0].firstPod()+" "+first.Phrase(), "pod "+v.firstPod()+" "+says.Phrase())
			break
		}
	}
	return term, first.Set, conflict
}

// compareWithObject returns where members say otherwise than the object does in
// a term, and records in its origin whether they say it too.
func (g *gangState) compareWithObject(i int, term *kube.Term, variants []variant) (conflict *kube.Invalid) {
	for _, v := range variants {
		says := v.terms.Terms[i]
		if !says.Set {
			continue
		}
		term.Origin.OnPods = true
		if says.Value != term.Value && conflict == nil {
			conflict = g.conflict(term.Origin.Word, "the "+g.object.Kind.Name+" says "+kube.QuoteInput(term.Value), "pod "+v.firstPod()+" "+says.Phrase())
		}
	}
	return conflict
}

// ignored are the sentences on what is not read, of the object and of the first
// of the members that say something else.
func (g *gangState) ignored() []string {
	var all []string
	if g.object != nil {
		all = slices.Clone(g.object.Ignored)
	}
	if g.parentage.ignored != "" {
		all = append(all, g.parentage.ignored)
	}
	for _, v := range g.variants() {
		for sentence := range strings.SplitSeq(v.terms.Ignored, "\n") {
			if sentence != "" && !slices.Contains(all, sentence) {
				all = append(all, sentence)
			}
		}
	}
	return all
}

// anyMemberDeclares reports whether a member that decides has one of
// dialect.TermKeys.
func (g *gangState) anyMemberDeclares(key string) bool {
	i := slices.Index(dialect.TermKeys[:], key)
	return slices.ContainsFunc(g.decidingVariants(), func(v variant) bool { return v.terms.Terms[i].Set })
}

// variant groups the members of a gang whose terms are identical. The terms of
// several variants must not differ in what is one for the gang.
type variant struct {
	terms   dialect.PodTerms
	members map[types.UID]*member
}

// firstPod is the first of its members by name.
func (v variant) firstPod() string { return v.firstMember().name }

func (v variant) firstMember() *member {
	var first *member
	for _, m := range v.members {
		if first == nil || m.name < first.name {
			first = m
		}
	}
	return first
}

// variants lists the different terms of the members, by the name of their first
// member.
func (g *gangState) variants() []variant {
	all := make([]variant, 0, len(g.byTerms))
	for t, members := range g.byTerms {
		all = append(all, variant{t, members})
	}
	if len(all) > 1 {
		slices.SortFunc(all, func(a, b variant) int { return cmp.Compare(a.firstPod(), b.firstPod()) })
	}
	return all
}

// decidingVariants lists the terms of the members that decide what holds for the
// gang.
func (g *gangState) decidingVariants() []variant {
	all := g.variants()
	if len(all) <= 1 {
		return all
	}
	decides := g.decidingMembers()
	for i := range all {
		members := map[types.UID]*member{}
		for uid, m := range all[i].members {
			if decides(m) {
				members[uid] = m
			}
		}
		all[i].members = members
	}
	all = slices.DeleteFunc(all, func(v variant) bool { return len(v.members) == 0 })
	slices.SortFunc(all, func(a, b variant) int { return cmp.Compare(a.firstPod(), b.firstPod()) })
	return all
}

// decidingMembers tells which members decide: those that wait, since the others
// have been placed; and of pods that wait of one workload those of the revision that
// it created a pod of last. Where nobody waits, the youngest member decides.
func (g *gangState) decidingMembers() func(*member) bool {
	newest := map[string]*member{} // by workload
	var youngest *member
	waiting := false
	for _, m := range g.members {
		if youngest == nil || m.isYoungerThan(youngest) {
			youngest = m
		}
		if !m.waits() {
			continue
		}
		waiting = true
		if last := newest[m.revision.Of]; last == nil || m.isYoungerThan(last) {
			newest[m.revision.Of] = m
		}
	}
	if !waiting {
		return func(m *member) bool { return m == youngest }
	}
	return func(m *member) bool {
		return m.waits() && (m.revision.Of == "" || m.revision.Hash == newest[m.revision.Of].revision.Hash)
	}
}

func (g *gangState) conflict(what, one, other string) *kube.Invalid {
	return &kube.Invalid{Reason: kube.GangConfigConflict, Message: fmt.Sprintf(
		"gang %s: its members disagree on %s: %s, %s; make all members say the same", g.key.Name(), what, one, other)}
}

// disagreement is what members differ in that must be one for the gang.
func (g *gangState) disagreement(variants []variant) *kube.Invalid {
	for _, v := range variants {
		a, b := variants[0].terms, v.terms
		first, other := "pod "+variants[0].firstPod(), "pod "+v.firstPod()
		switch {
		case b.SchedulerName != a.SchedulerName:
			return g.conflict("spec.schedulerName", first+" says "+a.SchedulerName, other+" says "+b.SchedulerName)
		case b.Priority != a.Priority:
			return &kube.Invalid{Reason: kube.PriorityMismatch, Message: fmt.Sprintf(
				"gang %s: %s has priority %d, %s has %d; give all members one priorityClassName",
				g.key.Name(), first, a.Priority, other, b.Priority)}
		case b.Preemption != a.Preemption:
			return g.conflict("spec.preemptionPolicy", first+" says "+string(a.Preemption), other+" says "+string(b.Preemption))
		}
	}
	return nil
}

// placedPriority refuses pods that wait beside members on nodes that have another
// priority: kube-scheduler takes a group with all of its pods only if they have one.
// Source: validateScheduledPods in pkg/scheduler/schedule_one_podgroup.go of
// Kubernetes 1.37.
func (g *gangState) placedPriority(deciding []variant) *kube.Invalid {
	if len(deciding) == 0 || len(g.byTerms) < 2 || !slices.ContainsFunc(slices.Collect(maps.Values(g.members)), (*member).waits) {
		return nil
	}
	var placed *member
	for _, m := range g.members {
		if m.bound && m.terms.Priority != deciding[0].terms.Priority && (placed == nil || m.name < placed.name) {
			placed = m
		}
	}
	if placed == nil {
		return nil
	}
	return &kube.Invalid{Reason: kube.PriorityMismatch, Message: fmt.Sprintf(
		"gang %s: pod %s has priority %d, and pod %s, which is on a node, %d: kube-scheduler starts no pod beside one of another priority; "+
			"it starts once those are gone: delete them, or give all one priorityClassName",
		g.key.Name(), deciding[0].firstPod(), deciding[0].terms.Priority, placed.name, placed.terms.Priority)}
}
