// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// Key names a gang: a gang never crosses a namespace.
type Key struct {
	Namespace string
	// Group is the name of the PodGroup as the scheduler knows it.
	Group string
}

// Compare orders keys by namespace, then group.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Namespace, o.Namespace), cmp.Compare(k.Group, o.Group))
}

// Name returns what users call the gang.
func (k Key) Name() string {
	_, name := kube.SplitGroupName(k.Group)
	return name
}

// Availability is what is known of a kind of group object.
type Availability int

const (
	// Absent: the API server does not serve the kind.
	Absent Availability = iota
	// Listing: it does, and the objects are still to come.
	Listing
	// Served: all its objects are known.
	Served
)

// Publish takes the PodGroup that stands for a gang, and what its user declared,
// or nil and nil for none. It owns the PodGroup from then on, and gives it its
// resource version. It is called with the store's lock held.
type Publish func(Key, *schedulingapi.PodGroup, *kube.Declaration)

// Store gathers the members and the group objects of all gangs, and publishes
// the PodGroup that stands for each. It knows no client. It is safe for
// concurrent use.
type Store struct {
	dialects dialect.Dialects
	publish  Publish
	// changed is called, outside the lock, with a gang that is declared by an
	// object after anything about it has changed.
	changed func(Key)

	mu    sync.Mutex
	open  bool
	gangs map[Key]*gangState
	pods  map[types.UID]Key
	// finished are the pods that have done their work, finishedIn by which gang.
	finished   map[Key]map[types.UID]*finishedPod
	finishedIn map[types.UID]Key
	kinds      map[schema.GroupVersionResource]Availability
	// trees are Kubernetes' own groups of groups, by namespace. regrouped is called,
	// outside the lock, when they may have changed.
	trees     map[string]*dialect.GroupTree
	regrouped func()
	// workloads are those behind gangs. wanted is closed for the kinds of
	// workload that pods have asked about.
	workloads map[workloadKey]*workloadState
	wanted    map[*workload.Kind]chan struct{}
	// contested are the gangs that have pods of several runs.
	contested map[Key]*gangState
}

// New returns a store of gangs in these dialects, which publishes nothing before
// it is opened. changed is called, outside any lock, with a gang that is declared
// by an object after anything about it has changed.
func New(dialects dialect.Dialects, publish Publish, changed func(Key)) *Store {
	s := &Store{
		dialects: dialects, publish: publish, changed: changed,
		gangs:    map[Key]*gangState{},
		pods:     map[types.UID]Key{},
		finished: map[Key]map[types.UID]*finishedPod{}, finishedIn: map[types.UID]Key{},
		kinds:     map[schema.GroupVersionResource]Availability{},
		trees:     map[string]*dialect.GroupTree{},
		regrouped: func() {},
		workloads: map[workloadKey]*workloadState{},
		wanted:    map[*workload.Kind]chan struct{}{},
		contested: map[Key]*gangState{},
	}
	for _, k := range workload.SupportedKinds() {
		s.wanted[k] = make(chan struct{})
	}
	return s
}

// Open publishes what was gathered so far, in order, and all changes from now
// on.
func (s *Store) Open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = true
	for _, key := range slices.SortedFunc(maps.Keys(s.gangs), Key.Compare) {
		s.refreshGang(s.gangs[key])
	}
}

// SetPod takes in a pod that was added or has changed, with the group that it
// was given.
func (s *Store) SetPod(pod *v1.Pod) {
	group := kube.GroupOf(pod)
	if group == "" {
		return
	}
	key := Key{pod.Namespace, group}
	m := s.newMember(pod)
	s.updateGang(key, func(g *gangState) {
		s.followJob(key, m.job, pod)
		s.dropMember(g, pod.UID)
		g.addMember(m)
		s.pods[pod.UID] = key
		s.joinWorkload(g)
		s.wantJobs(m.job)
	})
}

// DeletePod takes a pod out that is gone or has ended.
func (s *Store) DeletePod(uid types.UID) {
	s.mu.Lock()
	key, ok := s.pods[uid]
	delete(s.pods, uid)
	s.mu.Unlock()
	if !ok {
		return
	}
	s.updateGang(key, func(g *gangState) {
		if m := g.members[uid]; m != nil && m.bound {
			g.uncounted = true
		}
		s.dropMember(g, uid)
	})
}

// dropMember takes out a member that may be there.
func (s *Store) dropMember(g *gangState, uid types.UID) {
	if m := g.members[uid]; m != nil {
		g.removeMember(uid)
		s.leaveJob(g.key, m.job)
	}
}

// SetObject takes in an object of a kind that was added or has changed.
func (s *Store) SetObject(k *dialect.Kind, u *unstructured.Unstructured) {
	o := k.Read(u)
	switch {
	case k.Workload != nil:
		s.setWorkload(o)
	case k == dialect.CompositeGroups:
		s.setComposite(o)
	default:
		s.setGroup(Key{o.Namespace, k.GroupName(o.Name)}, o)
	}
}

// DeleteObject takes an object of a kind out, unless another one of its name has
// taken its place.
func (s *Store) DeleteObject(k *dialect.Kind, u *unstructured.Unstructured) {
	switch {
	case k.Workload != nil:
		s.deleteWorkload(k, u)
	case k == dialect.CompositeGroups:
		s.deleteComposite(u.GetNamespace(), u.GetName(), u.GetUID())
	default:
		s.deleteGroup(Key{u.GetNamespace(), k.GroupName(u.GetName())}, u.GetUID())
	}
}

func (s *Store) setGroup(key Key, o *dialect.Object) {
	s.changeGroup(key, func(g *gangState) []*dialect.Object { return append(g.withoutKind(o.Kind), o) })
}

func (s *Store) deleteGroup(key Key, uid types.UID) {
	s.changeGroup(key, func(g *gangState) []*dialect.Object {
		return slices.DeleteFunc(g.objects, func(o *dialect.Object) bool { return o.UID == uid })
	})
}

// changeGroup gives a gang other objects.
func (s *Store) changeGroup(key Key, objects func(*gangState) []*dialect.Object) {
	changed := map[Key]bool{}
	native := false
	s.updateGang(key, func(g *gangState) {
		before := g.object
		g.objects = objects(g)
		s.selectObject(g)
		if native = g.dialectName == kube.DialectNative; native {
			s.placeLeaf(g, before, changed)
		}
	})
	if native {
		s.reportRegrouped(changed)
	}
}

// selectObject takes the object that counts: of two kinds, that of the first
// dialect.
func (s *Store) selectObject(g *gangState) {
	kinds := s.dialects.Kinds()
	slices.SortFunc(g.objects, func(a, b *dialect.Object) int {
		return cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind))
	})
	before := g.object
	g.object, g.dirty = nil, true
	if len(g.objects) > 0 {
		g.object = g.objects[0]
	}
	switch {
	case g.object == nil:
		g.uncounted, g.succeeded, g.failed = false, 0, 0
	case before == nil || before.UID != g.object.UID:
		// Members may have ended before this process began.
		g.uncounted, g.succeeded, g.failed = g.object.Started, 0, 0
	}
}

// SetKind records whether the API server has a kind of group object. The objects
// of one that is absent are dropped.
func (s *Store) SetKind(k *dialect.Kind, a Availability) {
	for _, key := range s.setAvailability(k, a) {
		s.changed(key)
	}
	if k == dialect.NativeGroups || k == dialect.CompositeGroups {
		s.regrouped()
	}
}

// setAvailability returns the gangs that lost their object.
func (s *Store) setAvailability(k *dialect.Kind, a Availability) (dropped []Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, known := s.kinds[k.GroupVersionResource]; known && before == a {
		return nil
	}
	s.kinds[k.GroupVersionResource] = a
	switch {
	case k == dialect.CompositeGroups:
		if a == Absent {
			s.dropComposites()
		}
		return slices.SortedFunc(maps.Keys(s.refreshTrees()), Key.Compare)
	case a == Absent && k.Workload != nil:
		s.dropWorkloads(k)
	}
	for _, key := range slices.SortedFunc(maps.Keys(s.gangs), Key.Compare) {
		g := s.gangs[key]
		if g.dialectName != k.Dialect {
			continue
		}
		if a == Absent {
			if g.object != nil {
				dropped = append(dropped, key)
			}
			before := g.object
			g.objects = g.withoutKind(k)
			s.selectObject(g)
			s.placeLeaf(g, before, map[Key]bool{})
		}
		g.dirty = true
		s.publishOrForget(g)
	}
	if k.Workload != nil {
		s.refreshContested()
	}
	return dropped
}

// kindStatuses are what is known of the kinds of object behind a dialect's
// gangs.
func (s *Store) kindStatuses(name kube.Dialect) []kindStatus {
	var all []kindStatus
	for _, k := range s.dialects.KindsOf(name) {
		all = append(all, kindStatus{k, s.kinds[k.GroupVersionResource]})
	}
	return all
}

// updateGang applies a change to one gang and publishes the outcome.
func (s *Store) updateGang(key Key, apply func(*gangState)) {
	s.mu.Lock()
	g := s.gangs[key]
	if g == nil {
		g = s.newGang(key)
		s.gangs[key] = g
	}
	declared := g.object != nil
	apply(g)
	s.publishOrForget(g)
	declared = declared || g.object != nil
	s.mu.Unlock()
	if declared {
		s.changed(key)
	}
}

// publishOrForget publishes a gang, and forgets it once there is nothing left of
// it.
func (s *Store) publishOrForget(g *gangState) {
	if len(g.members) == 0 && g.auto != nil {
		s.leaveWorkload(g)
	}
	s.followRuns(g)
	s.refreshGang(g)
	if len(g.members) == 0 && g.object == nil {
		delete(s.gangs, g.key)
	}
}

// refreshGang publishes a gang if what the scheduler would see of it has changed.
func (s *Store) refreshGang(g *gangState) {
	if !s.open || !g.recomputeNeed() && g.upToDate() {
		return
	}
	next := g.build(s.kindStatuses(g.dialectName))
	g.dirty = false
	if g.published.sameAs(next) {
		return
	}
	g.published = next
	s.publish(g.key, next.group, next.declaration)
}
