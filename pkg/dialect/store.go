// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// groupKey names a gang: a gang never crosses a namespace.
type groupKey struct {
	namespace string
	// group is the name of the PodGroup as the scheduler knows it.
	group string
}

func (k groupKey) compare(o groupKey) int {
	return cmp.Or(cmp.Compare(k.namespace, o.namespace), cmp.Compare(k.group, o.group))
}

// availability is what is known of a kind of group object.
type availability int

const (
	// absent: the API server does not serve the kind.
	absent availability = iota
	// listing: it does, and the objects are still to come.
	listing
	// served: all its objects are known.
	served
)

// store gathers the members and the group objects of all gangs, and keeps the
// feed's PodGroups up to date with them. It knows no client.
type store struct {
	feed *feed
	set  set
	// changed is called, outside the lock, with a gang that is declared by an
	// object after anything about it has changed.
	changed func(groupKey)

	mu    sync.Mutex
	live  bool
	gangs map[groupKey]*gangState
	pods  map[types.UID]groupKey
	kinds map[schema.GroupVersionResource]availability
	// works are the workloads behind gangs. wanted is closed for the kinds of
	// workload that pods have asked about.
	works  map[workKey]*workloadState
	wanted map[*workload.Kind]chan struct{}
}

// gangState is all that is known of one gang.
type gangState struct {
	key     groupKey
	dialect kube.Dialect
	// entry is the dialect's, or nil for a gang of a pod whose markers
	// contradict one another.
	entry *entry
	// members are the pods that are alive, and byTerms the same ones by what
	// they say of the gang: a single entry as long as they agree.
	members map[types.UID]*member
	byTerms map[terms]map[types.UID]*member
	// bound, running and problems count the members with a node, those that
	// run, and those whose own markers make no sense.
	bound, running, problems int
	// object is the group object behind the gang, or nil. Objects of two kinds
	// may have its name: the first one of objects counts.
	object  *object
	objects []*object
	// auto is set for a gang of a workload.
	auto *auto
	// uid and created stand for a gang without an object as long as any member
	// lives. They come from the member that was the first.
	uid     types.UID
	created metav1.Time
	// gone is set when a member with a node disappeared, and not all that
	// ended are counted yet. succeeded and failed are those that were.
	gone              bool
	succeeded, failed int
	// served is what the scheduler sees. stale is set when it may have to see
	// something else: most events of a gang's pods do not change that.
	served *schedulingapi.PodGroup
	stale  bool
}

func newStore(f *feed, set set) *store {
	s := &store{
		feed: f, set: set,
		changed: func(groupKey) {},
		gangs:   map[groupKey]*gangState{},
		pods:    map[types.UID]groupKey{},
		kinds:   map[schema.GroupVersionResource]availability{},
		works:   map[workKey]*workloadState{},
		wanted:  map[*workload.Kind]chan struct{}{},
	}
	for _, k := range workload.SupportedKinds() {
		s.wanted[k] = make(chan struct{})
	}
	return s
}

// open publishes what was gathered so far, and all changes from now on.
func (s *store) open() {
	s.mu.Lock()
	s.live = true
	for _, key := range slices.SortedFunc(maps.Keys(s.gangs), groupKey.compare) {
		s.refresh(s.gangs[key])
	}
	s.mu.Unlock()
	close(s.feed.ready)
}

// setPod takes in a pod that was added or has changed, as the transform left
// it.
func (s *store) setPod(pod *v1.Pod) {
	group := kube.GroupOf(pod)
	if group == "" {
		return
	}
	key := groupKey{pod.Namespace, group}
	m := s.newMember(pod)
	s.update(key, func(g *gangState) {
		g.remove(pod.UID)
		g.add(m)
		s.pods[pod.UID] = key
		s.join(g)
	})
}

// deletePod takes a pod out that is gone or has ended.
func (s *store) deletePod(uid types.UID) {
	s.mu.Lock()
	key, ok := s.pods[uid]
	delete(s.pods, uid)
	s.mu.Unlock()
	if !ok {
		return
	}
	s.update(key, func(g *gangState) {
		if m := g.members[uid]; m != nil && m.bound {
			g.gone = true
		}
		g.remove(uid)
	})
}

// setObject takes in a group object that was added or has changed.
func (s *store) setObject(key groupKey, o *object) {
	s.update(key, func(g *gangState) {
		g.objects = append(g.without(o.kind), o)
		s.choose(g)
	})
}

// deleteObject takes a group object out, unless another one has taken its
// place.
func (s *store) deleteObject(key groupKey, uid types.UID) {
	s.update(key, func(g *gangState) {
		g.objects = slices.DeleteFunc(g.objects, func(o *object) bool { return o.uid == uid })
		s.choose(g)
	})
}

// without lists the objects that are of another kind.
func (g *gangState) without(k *kind) []*object {
	return slices.DeleteFunc(g.objects, func(o *object) bool { return o.kind == k })
}

// choose takes the object that counts: of two kinds, that of the first one in
// the table.
func (s *store) choose(g *gangState) {
	kinds := s.set.kinds()
	slices.SortFunc(g.objects, func(a, b *object) int {
		return cmp.Compare(slices.Index(kinds, a.kind), slices.Index(kinds, b.kind))
	})
	before := g.object
	g.object, g.stale = nil, true
	if len(g.objects) > 0 {
		g.object = g.objects[0]
	}
	switch {
	case g.object == nil:
		g.gone, g.succeeded, g.failed = false, 0, 0
	case before == nil || before.uid != g.object.uid:
		// Members may have ended before this process began.
		g.gone, g.succeeded, g.failed = g.object.begun, 0, 0
	}
}

// setKind notes whether the API server has a kind of group object. The objects
// of one that is absent are dropped.
func (s *store) setKind(k *kind, a availability) {
	var dropped []groupKey
	defer func() {
		for _, key := range dropped {
			s.changed(key)
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, known := s.kinds[k.GroupVersionResource]; known && before == a {
		return
	}
	s.kinds[k.GroupVersionResource] = a
	if a == absent && k.workload != nil {
		s.dropWorkloads(k)
	}
	for _, key := range slices.SortedFunc(maps.Keys(s.gangs), groupKey.compare) {
		g := s.gangs[key]
		if g.dialect != k.of {
			continue
		}
		if a == absent {
			if g.object != nil {
				dropped = append(dropped, key)
			}
			g.objects = g.without(k)
			s.choose(g)
		}
		g.stale = true
		s.settle(g)
	}
}

// standings are what is known of the kinds of object behind a dialect's gangs.
func (s *store) standings(dialect kube.Dialect) []standing {
	var all []standing
	for _, k := range s.set.kindsOf(dialect) {
		all = append(all, standing{k, s.kinds[k.GroupVersionResource]})
	}
	return all
}

// setEnded notes how many pods of a gang have ended, as a list of them said.
func (s *store) setEnded(key groupKey, succeeded, failed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.gangs[key]; g != nil {
		g.gone, g.succeeded, g.failed = false, succeeded, failed
	}
}

// update applies a change to one gang and publishes the outcome.
func (s *store) update(key groupKey, apply func(*gangState)) {
	s.mu.Lock()
	g := s.gangs[key]
	if g == nil {
		g = s.newGang(key)
		s.gangs[key] = g
	}
	tell := g.object != nil
	apply(g)
	s.settle(g)
	tell = tell || g.object != nil
	s.mu.Unlock()
	if tell {
		s.changed(key)
	}
}

// settle publishes a gang and forgets it once there is nothing left of it.
func (s *store) settle(g *gangState) {
	if len(g.members) == 0 && g.auto != nil {
		s.leave(g)
	}
	s.refresh(g)
	if len(g.members) == 0 && g.object == nil {
		delete(s.gangs, g.key)
	}
}

// refresh publishes a gang if what the scheduler would see of it has changed.
func (s *store) refresh(g *gangState) {
	if !s.live || !g.advance() && g.current() {
		return
	}
	next := g.serve(s.standings(g.dialect))
	g.stale = false
	if next == nil && g.served == nil || same(g.served, next) {
		return
	}
	g.served = next
	s.feed.publish(g.key, next)
}

// current tells that the scheduler need not see anything else than it does. A
// gang with a problem names pods in it, and those come and go.
func (g *gangState) current() bool {
	return g.served != nil && !g.stale && g.problems == 0 && len(g.byTerms) <= 1 &&
		g.served.Annotations[kube.AnnotationInvalidReason] == ""
}

// same tells whether two PodGroups differ in nothing but the feed's version.
func same(a, b *schedulingapi.PodGroup) bool {
	if a == nil || b == nil {
		return false
	}
	trimmed := *a
	trimmed.ResourceVersion = b.ResourceVersion
	return equality.Semantic.DeepEqual(&trimmed, b)
}

func (s *store) newGang(key groupKey) *gangState {
	dialect, _ := kube.SplitGroupName(key.group)
	return &gangState{
		key: key, dialect: dialect, entry: s.set.find(dialect),
		members: map[types.UID]*member{},
		byTerms: map[terms]map[types.UID]*member{},
	}
}

// declared lists the gangs that have an object, in order.
func (s *store) declared() []groupKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []groupKey
	for key, g := range s.gangs {
		if g.object != nil {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, groupKey.compare)
	return keys
}

// hasStatus tells whether a gang is declared by an object that has a status for
// gangs.
func (s *store) hasStatus(key groupKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gangs[key]
	return g != nil && g.object != nil && g.object.kind.status != nil
}

// view is a copy of what is known of a gang with an object, or nil. Its members
// and objects are not to be changed.
func (s *store) view(key groupKey) *gangState {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gangs[key]
	if g == nil || g.object == nil {
		return nil
	}
	copied := *g
	copied.members = maps.Clone(g.members)
	copied.byTerms = nil
	return &copied
}
