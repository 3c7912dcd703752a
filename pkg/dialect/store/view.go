// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// View is what is known of a gang with an object at one moment.
type View struct {
	Key Key
	dialect.Progress
	// Uncounted says that members may have ended which are not counted yet: see
	// SetEnded.
	Uncounted bool
	// Labels are the pod labels whose value is the gang's name, if its pods can be
	// listed by them.
	Labels []string
}

// View returns what is known of a gang with an object, or nil. The object is not
// to be changed.
func (s *Store) View(key Key) *View {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gangs[key]
	if inner, whole := s.innerGroup(key); whole != nil {
		v := &View{Key: key, Progress: dialect.Progress{Object: inner.Object, MinCount: inner.Enough}}
		v.countMembers(whole, func(m *member) bool { return slices.Contains(inner.PodGroups, m.child) })
		return v
	}
	if g == nil || g.object == nil {
		return nil
	}
	v := &View{Key: key, Uncounted: g.uncounted, Progress: dialect.Progress{
		Object: g.object, MinCount: g.minCount(), Members: len(g.members), Bound: g.bound, Running: g.running,
		Succeeded: g.succeeded, Failed: g.failed, Owners: ownersOf(g.members),
	}}
	if whole, isMember := s.wholeGang(g); isMember != nil {
		v.countMembers(whole, isMember)
	}
	if g.dialect != nil {
		v.Labels = g.dialect.Labels
	}
	return v
}

// countMembers adds those members of a gang that are of the object at hand.
func (v *View) countMembers(whole *gangState, isMember func(*member) bool) {
	members := maps.Clone(whole.members)
	maps.DeleteFunc(members, func(_ types.UID, m *member) bool { return !isMember(m) })
	v.Members, v.Owners = len(members), ownersOf(members)
	for _, m := range members {
		v.Bound, v.Running = v.Bound+oneIf(m.bound), v.Running+oneIf(m.running)
	}
}

// GatedMembers returns how many members of a gang may not be scheduled before
// somebody removes their scheduling gates, and the names of the gates, in order.
func (s *Store) GatedMembers(key Key) (count int, gates []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gangs[key]
	if g == nil {
		return 0, nil
	}
	return g.gated, slices.Sorted(maps.Keys(g.gates))
}

// NoteStart has the members of a gang that are bound from now on say with how many it
// had to start.
func (s *Store) NoteStart(key Key, minCount int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.gangs[key]; g != nil {
		g.startingWith = minCount
	}
}

// StartOf returns with how many the gang of a pod had to start that is bound now, 0
// where that is not known.
func (s *Store) StartOf(pod types.UID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.gangs[s.pods[pod]]; g != nil {
		return g.startingWith
	}
	return 0
}

// SetEnded records how many pods of a gang have ended, as a list of them said.
func (s *Store) SetEnded(key Key, succeeded, failed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.gangs[key]; g != nil {
		g.uncounted, g.succeeded, g.failed = false, succeeded, failed
	}
}

// Declared lists the gangs that have an object, in order.
func (s *Store) Declared() []Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []Key
	for key, g := range s.gangs {
		if g.object != nil {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, Key.Compare)
	return keys
}

// HasStatus reports whether a gang is declared by an object that has a status
// for gangs.
func (s *Store) HasStatus(key Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gangs[key]
	return g != nil && g.object != nil && g.object.Kind.HasStatus()
}

// Source returns a reference to the object in which the user declared the gang
// behind a group, or nil when there is none.
func (s *Store) Source(pg *schedulingapi.PodGroup) *v1.ObjectReference {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gangs[Key{pg.Namespace, pg.Name}]
	if g == nil || g.object == nil || g.object.Identity() != pg.UID {
		return nil
	}
	return &v1.ObjectReference{
		APIVersion: g.object.Kind.GroupVersion().String(), Kind: g.object.Kind.Name,
		Namespace: pg.Namespace, Name: g.object.Name, UID: g.object.UID,
	}
}

// Wanted is closed once a pod asks about a kind of workload: clusters have many
// of those, and few that are gangs.
func (s *Store) Wanted(k *workload.Kind) <-chan struct{} { return s.wanted[k] }
