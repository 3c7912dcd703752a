// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"maps"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// workKey names a workload.
type workKey struct {
	kind            *workload.Kind
	namespace, name string
}

// workloadState is a workload and the gangs of its pods: more than one where its groups
// start on their own, or where pods of an earlier one of its name are left.
type workloadState struct {
	// objects are the workload as it was read: in several versions where the
	// API server serves more than one of them.
	objects map[*kind]*object
	gangs   map[groupKey]*gangState
}

// auto is what a gang of a workload has beside the others.
type auto struct {
	ref workload.Ref
	// have counts the members by role, asked those whose pod asks for a gang
	// itself.
	have  tally
	asked int
	began start
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

// tell adds a member to the tally of its gang, or takes it out.
func (g *gangState) tell(m *member, sign int) {
	if m.auto == nil {
		return
	}
	if g.auto == nil {
		g.auto = &auto{ref: m.auto.ref, have: tally{}}
	}
	t := g.auto.have[m.auto.ref.Role]
	t.live += sign
	t.bound += sign * count(m.bound)
	g.auto.have[m.auto.ref.Role] = t
	g.auto.asked += sign * count(m.auto.asks)
}

// take takes in an object that was added or has changed.
func (s *store) take(k *kind, u *unstructured.Unstructured) {
	if k.workload != nil {
		s.setWorkload(k, u)
		return
	}
	o := k.translate(u)
	s.setObject(o.key(), o)
}

// drop takes an object out.
func (s *store) drop(k *kind, u *unstructured.Unstructured) {
	if k.workload != nil {
		s.deleteWorkload(k, u)
		return
	}
	o := k.newObject(u)
	s.deleteObject(o.key(), o.uid)
}

// setWorkload takes in a workload that was added or has changed.
func (s *store) setWorkload(k *kind, u *unstructured.Unstructured) {
	o := k.newObject(u)
	shape := k.workload.ReadShape(u)
	o.shape, o.notes = &shape, shape.Notes
	if shape.Problem != "" {
		o.problem = &kube.Invalid{Reason: kube.InvalidGangSpec, Message: "gang " + k.workload.DisplayName() + "/" + o.name + ": its " + k.name + " " + shape.Problem}
	}
	s.changeWork(workKey{k.workload, o.namespace, o.name}, func(w *workloadState) { w.objects[k] = o })
}

// deleteWorkload takes a workload out, unless another one of its name has taken
// its place.
func (s *store) deleteWorkload(k *kind, u *unstructured.Unstructured) {
	s.changeWork(workKey{k.workload, u.GetNamespace(), u.GetName()}, func(w *workloadState) {
		if o := w.objects[k]; o != nil && o.uid == u.GetUID() {
			delete(w.objects, k)
		}
	})
}

// dropWorkloads takes all workloads of a kind out that is no longer served.
// The caller holds the lock.
func (s *store) dropWorkloads(k *kind) {
	for key, w := range s.works {
		if w.objects[k] != nil {
			delete(w.objects, k)
			s.settleWork(key, w)
		}
	}
}

func (s *store) changeWork(key workKey, apply func(*workloadState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.work(key)
	apply(w)
	s.settleWork(key, w)
}

func (s *store) work(key workKey) *workloadState {
	w := s.works[key]
	if w == nil {
		w = &workloadState{objects: map[*kind]*object{}, gangs: map[groupKey]*gangState{}}
		s.works[key] = w
	}
	return w
}

// settleWork publishes the gangs of a workload, and forgets it once there is
// nothing left of it.
func (s *store) settleWork(key workKey, w *workloadState) {
	for _, gang := range slices.SortedFunc(maps.Keys(w.gangs), groupKey.compare) {
		g := w.gangs[gang]
		s.resolve(g, w)
		s.settle(g)
	}
	if len(w.gangs) == 0 && len(w.objects) == 0 {
		delete(s.works, key)
	}
}

// join finds the workload of a gang whose first member came in.
func (s *store) join(g *gangState) {
	if g.auto == nil {
		return
	}
	w := s.work(g.workKey())
	if w.gangs[g.key] == nil {
		w.gangs[g.key] = g
		s.resolve(g, w)
		s.want(g.auto.ref.Kind)
	}
}

// leave parts a gang without members from its workload.
func (s *store) leave(g *gangState) {
	key := g.workKey()
	w := s.work(key)
	delete(w.gangs, g.key)
	if len(w.gangs) == 0 && len(w.objects) == 0 {
		delete(s.works, key)
	}
	g.object, g.objects = nil, nil
}

func (g *gangState) workKey() workKey {
	return workKey{g.auto.ref.Kind, g.key.namespace, g.auto.ref.Workload}
}

// resolve puts the workload behind a gang, if it is the one that the pods came
// from and not another one of its name.
func (s *store) resolve(g *gangState, w *workloadState) {
	g.objects = nil
	for _, o := range w.objects {
		if g.auto.ref.Instance == "" || g.auto.ref.Instance == workload.InstanceID(o.uid) {
			of := *o
			of.part = g.auto.ref.Part
			g.objects = append(g.objects, &of)
		}
	}
	s.choose(g)
}

// want notes that workloads of a kind are asked for: none is read before.
func (s *store) want(k *workload.Kind) {
	select {
	case <-s.wanted[k]:
		return
	default:
		close(s.wanted[k])
	}
	for _, resource := range k.ServedResources() {
		if _, known := s.kinds[resource]; !known {
			s.kinds[resource] = listing
		}
	}
}

// identity tells the gangs of one object apart.
func (o *object) identity() types.UID {
	if o.part == "" {
		return o.uid
	}
	return o.uid + types.UID("-"+o.part)
}
