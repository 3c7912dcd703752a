// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"maps"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// workloadKey names a workload.
type workloadKey struct {
	kind            *workload.Kind
	namespace, name string
}

func (k workloadKey) compare(o workloadKey) int {
	return cmp.Or(cmp.Compare(k.namespace, o.namespace), cmp.Compare(k.name, o.name), cmp.Compare(k.kind.Name, o.kind.Name))
}

// workloadState is a workload and the gangs of its pods: more than one where its
// groups start on their own, or where pods of an earlier one of its name are left.
type workloadState struct {
	// objects are the workload as it was read: in several versions where the
	// API server serves more than one of them.
	objects map[*dialect.Kind]*dialect.Object
	gangs   map[Key]*gangState
	// pods are those of a Job that are in any gangs, by its UID: pods of an earlier
	// one of its name may be left.
	pods map[types.UID]*jobPods
}

// isEmpty reports whether there is nothing left of a workload.
func (w *workloadState) isEmpty() bool { return len(w.gangs)+len(w.objects)+len(w.pods) == 0 }

// workOf is what a Job has counted, nothing for one that is not known.
func (w *workloadState) workOf(uid types.UID) workload.Work {
	for _, o := range w.objects {
		if o.UID == uid && o.Shape != nil {
			return o.Shape.Done
		}
	}
	return workload.Work{}
}

// countWork takes over what Jobs have counted, and returns the gangs for which that is
// something else than before.
func (w *workloadState) countWork() map[Key]bool {
	changed := map[Key]bool{}
	for uid, pods := range w.pods {
		if work := w.workOf(uid); work != pods.work {
			pods.work = work
			for key := range pods.gangs {
				changed[key] = true
			}
		}
	}
	return changed
}

// auto is what a gang of a workload has beside the others.
type auto struct {
	ref workload.Ref
	// have counts the members by role, asked those whose pod asks for a gang
	// itself.
	have        tally
	asked       int
	startedWith startedWith
	// seen says that the gang was known before a member had a node.
	seen bool
	need need
}

// autoMember is what a member of such a gang has beside the others.
type autoMember struct {
	ref   workload.Ref
	asks  bool
	bound time.Time
}

func newAutoMember(pod *v1.Pod) *autoMember {
	ref, why := workload.RefOf(pod)
	if why != "" {
		return nil // its owner has changed; it is refused for that
	}
	m := &autoMember{ref: ref, asks: pod.Labels[kube.LabelGang] == kube.GangAuto}
	if pod.Spec.NodeName == "" {
		return m
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == v1.PodScheduled && c.Status == v1.ConditionTrue {
			m.bound = c.LastTransitionTime.Time
		}
	}
	return m
}

// tallyMember adds a member to the tally of its gang, or takes it out.
func (g *gangState) tallyMember(m *member, sign int) {
	if m.auto == nil {
		return
	}
	if g.auto == nil {
		g.auto = &auto{ref: m.auto.ref, have: tally{}}
	}
	if !m.terminating { // else it is no member; the gang may start anew beside it
		t := g.auto.have[m.auto.ref.Role]
		t.live += sign
		t.bound += sign * oneIf(m.bound)
		g.auto.have[m.auto.ref.Role] = t
	}
	g.auto.asked += sign * oneIf(m.auto.asks)
}

// setWorkload takes in a workload that was added or has changed.
func (s *Store) setWorkload(o *dialect.Object) {
	s.updateWorkload(workloadKey{o.Kind.Workload, o.Namespace, o.Name}, func(w *workloadState) { w.objects[o.Kind] = o })
}

// deleteWorkload takes a workload out, unless another one of its name has taken
// its place.
func (s *Store) deleteWorkload(k *dialect.Kind, u *unstructured.Unstructured) {
	s.updateWorkload(workloadKey{k.Workload, u.GetNamespace(), u.GetName()}, func(w *workloadState) {
		if o := w.objects[k]; o != nil && o.UID == u.GetUID() {
			delete(w.objects, k)
		}
	})
}

// dropWorkloads takes all workloads of a kind out that is no longer served, in
// order. The caller holds the lock.
func (s *Store) dropWorkloads(k *dialect.Kind) {
	for _, key := range slices.SortedFunc(maps.Keys(s.workloads), workloadKey.compare) {
		if w := s.workloads[key]; w.objects[k] != nil {
			delete(w.objects, k)
			s.publishWorkload(key, w)
		}
	}
}

func (s *Store) updateWorkload(key workloadKey, apply func(*workloadState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.workloadOf(key)
	apply(w)
	s.publishWorkload(key, w)
	s.refreshContested()
}

func (s *Store) workloadOf(key workloadKey) *workloadState {
	w := s.workloads[key]
	if w == nil {
		w = &workloadState{objects: map[*dialect.Kind]*dialect.Object{}, gangs: map[Key]*gangState{}}
		s.workloads[key] = w
	}
	return w
}

// publishWorkload publishes the gangs of a workload, and forgets it once there is
// nothing left of it.
func (s *Store) publishWorkload(key workloadKey, w *workloadState) {
	changed := w.countWork()
	for _, gang := range slices.SortedFunc(maps.Keys(w.gangs), Key.Compare) {
		g := w.gangs[gang]
		s.setWorkloadOf(g, w)
		s.publishOrForget(g)
		delete(changed, gang)
	}
	for _, gang := range slices.SortedFunc(maps.Keys(changed), Key.Compare) {
		s.refreshFinished(gang)
	}
	if w.isEmpty() {
		delete(s.workloads, key)
	}
}

// joinWorkload finds the workload of a gang whose first member came in.
func (s *Store) joinWorkload(g *gangState) {
	if g.auto == nil {
		return
	}
	w := s.workloadOf(g.workloadKey())
	if w.gangs[g.key] == nil {
		w.gangs[g.key] = g
		s.setWorkloadOf(g, w)
		s.wantKind(g.auto.ref.Kind)
	}
}

// leaveWorkload parts a gang without members from its workload.
func (s *Store) leaveWorkload(g *gangState) {
	key := g.workloadKey()
	w := s.workloadOf(key)
	delete(w.gangs, g.key)
	if w.isEmpty() {
		delete(s.workloads, key)
	}
	g.object, g.objects = nil, nil
}

func (g *gangState) workloadKey() workloadKey {
	return workloadKey{g.auto.ref.Kind, g.key.Namespace, g.auto.ref.Workload}
}

// setWorkloadOf puts the workload behind a gang, if it is the one that the pods came
// from and not another one of its name.
func (s *Store) setWorkloadOf(g *gangState, w *workloadState) {
	g.objects = nil
	for _, o := range w.objects {
		if g.auto.ref.Instance == "" || g.auto.ref.Instance == workload.InstanceOf(o.UID) {
			of := *o
			of.Part = g.auto.ref.Part
			g.objects = append(g.objects, &of)
		}
	}
	s.selectObject(g)
}

// wantKind records that workloads of a kind are asked for: none is read before.
func (s *Store) wantKind(k *workload.Kind) {
	select {
	case <-s.wanted[k]:
		return
	default:
		close(s.wanted[k])
	}
	for _, resource := range k.ServedResources() {
		if _, known := s.kinds[resource]; !known {
			s.kinds[resource] = Listing
		}
	}
}

// wantJobs records that Jobs are asked for by a pod of one, in a gang of any dialect:
// they tell of the pods that have done their work and are gone. Where workloads are
// not read, they are not.
func (s *Store) wantJobs(job jobRef) {
	if job != (jobRef{}) && s.dialects.Find(kube.DialectAuto) != nil {
		s.wantKind(workload.BatchJob())
	}
}
