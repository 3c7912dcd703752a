// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// run is what a gang has of one run.
type run struct {
	key   workload.Run
	began time.Time // the creation of the workload, or of its first pod
	// pods counts those that live or have done their work, living and bound some of
	// them. size is with how many it starts.
	pods, living, bound, size int
	// controllers are those of the living pods, and whether one of theirs waits.
	controllers map[types.UID]bool
}

// runCatalog finds a workload, as far as it is known: the number of its pods, and
// when it was created.
type runCatalog func(namespace string, key workload.Run) (size int, created time.Time, known Availability)

// readRun is the runCatalog of the store.
func (s *Store) readRun(namespace string, key workload.Run) (size int, created time.Time, known Availability) {
	if w := s.workloads[workloadKey{key.Kind, namespace, key.Workload}]; w != nil {
		for _, o := range w.objects {
			if o.Shape != nil && (key.Instance == "" || key.Instance == workload.InstanceOf(o.UID)) {
				return o.Shape.StartCount(), o.Created.Time, Served
			}
		}
	}
	for _, resource := range key.Kind.ServedResources() {
		known = max(known, s.kinds[resource])
	}
	return 0, time.Time{}, known
}

// followRuns asks for the workloads of a gang that has pods of several runs, and
// remembers the gang: it depends on them.
func (s *Store) followRuns(g *gangState) {
	if len(g.members) == 0 || !g.hasSeveralRuns() {
		delete(s.contested, g.key)
		return
	}
	s.contested[g.key] = g
	if s.dialects.Find(kube.DialectAuto) == nil {
		return // workloads are not read
	}
	for key := range g.runKeys() {
		s.wantKind(key.Kind)
	}
}

// refreshContested publishes the gangs that depend on workloads anew.
func (s *Store) refreshContested() {
	for _, key := range slices.SortedFunc(maps.Keys(s.contested), Key.Compare) {
		g := s.contested[key]
		g.dirty = true
		s.refreshGang(g)
	}
}

// runKeys are the runs that the members and the finished pods of a gang belong to.
func (g *gangState) runKeys() map[workload.Run]bool {
	keys := map[workload.Run]bool{}
	for key := range g.livingRuns {
		keys[key] = true
	}
	for _, f := range g.finished {
		if f.run != (workload.Run{}) {
			keys[f.run] = true
		}
	}
	return keys
}

// hasSeveralRuns reports whether there are two of them or more.
func (g *gangState) hasSeveralRuns() bool {
	return len(g.livingRuns)+len(g.finished) >= 2 && len(g.runKeys()) >= 2
}

// countRun adds a member to those of its run, or takes it out.
func (g *gangState) countRun(m *member, sign int) {
	if m.run == (workload.Run{}) || m.terminating {
		return
	}
	if g.livingRuns == nil {
		g.livingRuns = map[workload.Run]int{}
	}
	if g.livingRuns[m.run] += sign; g.livingRuns[m.run] == 0 {
		delete(g.livingRuns, m.run)
	}
}

// separateRuns finds the runs of one kind each of which has as many pods as start
// together: their pods are not one gang. It returns those that are not the gang
// now, and why it cannot tell yet.
func (g *gangState) separateRuns(declared int) (others map[workload.Run]bool, runs *kube.Runs, problem *kube.Invalid) {
	if declared < 2 || !g.hasSeveralRuns() {
		return nil, nil, nil
	}
	byKind := map[*workload.Kind][]*run{}
	all, problem := g.collectRuns()
	for _, r := range all {
		if r.size >= declared {
			byKind[r.key.Kind] = append(byKind[r.key.Kind], r)
		}
	}
	others, runs = map[workload.Run]bool{}, knownRuns(all)
	for _, kind := range workload.SupportedKinds() {
		same := byKind[kind]
		if len(same) < 2 {
			continue
		}
		slices.SortFunc(same, compareRuns)
		for _, r := range same[1:] {
			others[r.key] = true
			g.addLater(runs, same[0], r, declared)
		}
	}
	return others, runs, problem
}

// collectRuns counts the pods of each run.
func (g *gangState) collectRuns() ([]*run, *kube.Invalid) {
	byKey := map[workload.Run]*run{}
	add := func(key workload.Run, created time.Time) *run {
		r := byKey[key]
		if r == nil {
			r = &run{key: key, began: created, controllers: map[types.UID]bool{}}
			byKey[key] = r
		}
		r.pods++
		if created.Before(r.began) {
			r.began = created
		}
		return r
	}
	for uid, m := range g.members {
		if m.run == (workload.Run{}) || m.terminating || g.finished[uid] != nil {
			continue
		}
		r := add(m.run, m.created.Time)
		r.living++
		r.bound += oneIf(m.bound)
		r.controllers[m.life.Controller] = r.controllers[m.life.Controller] || !m.bound
	}
	for _, f := range g.finished {
		if f.run != (workload.Run{}) {
			add(f.run, f.life.Created)
		}
	}
	all := slices.SortedFunc(maps.Values(byKey), func(a, b *run) int { return a.key.Compare(b.key) })
	return all, g.readRuns(all)
}

// readRuns completes runs by what is known of their workloads. It returns why that
// is not known yet.
func (g *gangState) readRuns(all []*run) (problem *kube.Invalid) {
	ofKind := map[*workload.Kind]int{}
	for _, r := range all {
		ofKind[r.key.Kind]++
	}
	for _, r := range all {
		size, created, known := g.readRun(g.key.Namespace, r.key)
		r.size = max(size, r.pods)
		if !created.IsZero() {
			r.began = created
		}
		if known == Listing && ofKind[r.key.Kind] > 1 && problem == nil {
			resource := r.key.Kind.ServedResources()[0]
			problem = &kube.Invalid{Reason: kube.GangAPIUnavailable, Message: fmt.Sprintf(
				"gang %s: it has pods of several %ss, which cannot be read yet; if that lasts, allow the scheduler to get, list and watch %s.%s",
				g.key.Name(), r.key.Kind.Name, resource.Resource, resource.Group)}
		}
	}
	return problem
}

// compareRuns puts the run first that is the gang: one that lives goes before one
// that has ended, one with pods on nodes before one without, then the earliest.
func compareRuns(a, b *run) int {
	return cmp.Or(
		cmp.Compare(min(b.living, 1), min(a.living, 1)), cmp.Compare(min(b.bound, 1), min(a.bound, 1)),
		a.began.Compare(b.began), a.key.Compare(b.key))
}

// knownRuns lists the controllers of all runs.
func knownRuns(all []*run) *kube.Runs {
	runs := &kube.Runs{}
	for _, r := range all {
		runs.Known = slices.AppendSeq(runs.Known, maps.Keys(r.controllers))
	}
	slices.Sort(runs.Known)
	return runs
}

// addLater adds a run to those whose pods wait for the first one.
func (g *gangState) addLater(runs *kube.Runs, first, later *run, declared int) {
	waits := false
	for controller, its := range later.controllers {
		if its {
			waits = true
			runs.Later = append(runs.Later, controller)
		}
	}
	slices.Sort(runs.Later)
	if !waits || runs.Message != "" {
		return
	}
	runs.Message = fmt.Sprintf(
		"gang %s: %s and %s have %d pods or more each, and %d start together: they are two runs under one name. "+
			"The pods of %s wait until those of %s have ended; to run both at once, give each a gang of its own, as %s: %s does",
		g.key.Name(), first.key.DisplayName(), later.key.DisplayName(), declared, declared,
		later.key.DisplayName(), first.key.DisplayName(), kube.LabelGang, kube.GangAuto)
}
