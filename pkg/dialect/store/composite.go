// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// compositeKey names the gang of a CompositePodGroup.
func compositeKey(namespace, name string) Key {
	return Key{namespace, kube.GroupName(kube.DialectComposite, name)}
}

// parentage is what the groups above a PodGroup make of it. It is empty for one
// that is on its own.
type parentage struct {
	// root is the CompositePodGroup whose gang its pods are members of, "" for its own.
	root string
	// problem is why that is not known, or nil.
	problem *kube.Invalid
	// ignored is a sentence where something of the groups above it is not read, or "".
	ignored string
}

// ResolveGroup returns the gang that the pods which name a PodGroup are members of,
// and whether that is settled for as long as the PodGroup exists.
func (s *Store) ResolveGroup(namespace, group string) (gang string, settled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gangs[Key{namespace, group}]
	switch {
	case g == nil || !g.isNative():
		return group, false
	case g.object.Parent() == "":
		return group, true
	case g.parentage.problem != nil || g.parentage.ignored != "":
		return group, false
	case g.parentage.root == "":
		return group, true
	}
	return compositeKey(namespace, g.parentage.root).Group, true
}

// OnRegroup has a function called, outside any lock, whenever pods may have come to
// be members of another gang. It is set before anything is taken in.
func (s *Store) OnRegroup(regrouped func()) { s.regrouped = regrouped }

// Parts lists the objects that the gang of a CompositePodGroup has beside its own,
// by key.
func (s *Store) Parts(key Key) map[Key]types.UID {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := map[Key]types.UID{}
	g := s.gangs[key]
	for part := range s.partsOf(g) {
		parts[part.key] = part.object.UID
	}
	if g != nil && g.object != nil {
		for _, inner := range g.object.Inner {
			parts[compositeKey(key.Namespace, inner.Object.Name)] = inner.Object.UID
		}
	}
	return parts
}

// innerGroup returns the CompositePodGroup of a key that is inside the gang of another
// one, and that gang. The caller holds the lock.
func (s *Store) innerGroup(key Key) (inner dialect.InnerGroup, whole *gangState) {
	tree := s.trees[key.Namespace]
	if tree == nil || key != compositeKey(key.Namespace, key.Name()) || tree.Composite(key.Name()) == nil {
		return dialect.InnerGroup{}, nil
	}
	root, problem := tree.RootOf(tree.Composite(key.Name()))
	if problem != nil || root == nil {
		return dialect.InnerGroup{}, nil
	}
	whole = s.gangs[compositeKey(key.Namespace, root.Name)]
	if whole == nil || whole.object == nil {
		return dialect.InnerGroup{}, nil
	}
	i := slices.IndexFunc(whole.object.Inner, func(inner dialect.InnerGroup) bool { return inner.Object.Name == key.Name() })
	if i < 0 {
		return dialect.InnerGroup{}, nil
	}
	return whole.object.Inner[i], whole
}

// partsOf yields the gangs that the PodGroups of a gang of groups would be alone.
func (s *Store) partsOf(g *gangState) func(func(*gangState) bool) {
	return func(yield func(*gangState) bool) {
		if g == nil || g.object == nil || g.object.Composite == nil {
			return
		}
		for _, role := range g.object.Roles {
			part := s.gangs[Key{g.key.Namespace, role.Name}]
			if part != nil && part.object != nil && !yield(part) {
				return
			}
		}
	}
}

// setComposite takes in a CompositePodGroup.
func (s *Store) setComposite(o *dialect.Object) { s.changeComposite(o.Namespace, o.Name, o) }

// deleteComposite takes out a CompositePodGroup, unless another one of its name has
// taken its place.
func (s *Store) deleteComposite(namespace, name string, uid types.UID) {
	s.mu.Lock()
	tree := s.trees[namespace]
	there := tree != nil && tree.Composite(name) != nil && tree.Composite(name).UID == uid
	s.mu.Unlock()
	if there {
		s.changeComposite(namespace, name, nil)
	}
}

func (s *Store) changeComposite(namespace, name string, o *dialect.Object) {
	s.mu.Lock()
	tree := s.treeOf(namespace)
	changed := map[Key]bool{}
	composites, leaves := tree.Family(name)
	tree.SetComposite(name, o)
	s.refreshGroups(namespace, composites, leaves, changed) // it may have held them together
	s.refreshFamily(namespace, name, changed)
	s.forgetTree(namespace)
	s.mu.Unlock()
	s.reportRegrouped(changed)
}

func (s *Store) treeOf(namespace string) *dialect.GroupTree {
	if s.trees[namespace] == nil {
		s.trees[namespace] = dialect.NewGroupTree()
	}
	return s.trees[namespace]
}

func (s *Store) forgetTree(namespace string) {
	if tree := s.trees[namespace]; tree != nil && tree.IsEmpty() {
		delete(s.trees, namespace)
	}
}

// dropComposites takes out all CompositePodGroups: their kind is gone. The caller
// holds the lock.
func (s *Store) dropComposites() {
	for _, tree := range s.trees {
		for _, name := range tree.Composites() {
			tree.SetComposite(name, nil)
		}
	}
}

// refreshTrees works out again what becomes of all groups that are under others, and
// returns the gangs that have changed. The caller holds the lock.
func (s *Store) refreshTrees() map[Key]bool {
	changed := map[Key]bool{}
	for _, namespace := range slices.Sorted(maps.Keys(s.trees)) {
		for _, name := range s.trees[namespace].Parents() {
			s.refreshFamily(namespace, name, changed)
		}
		s.forgetTree(namespace)
	}
	for _, key := range slices.SortedFunc(maps.Keys(s.gangs), Key.Compare) {
		if g := s.gangs[key]; g.dialectName == kube.DialectComposite {
			s.refreshComposite(key.Namespace, key.Name(), changed)
		}
	}
	return changed
}

// refreshFamily works out again what becomes of the groups that hang together with a
// CompositePodGroup. The caller holds the lock.
func (s *Store) refreshFamily(namespace, name string, changed map[Key]bool) {
	composites, leaves := s.treeOf(namespace).Family(name)
	s.refreshGroups(namespace, composites, leaves, changed)
}

// refreshGroups works out again what becomes of groups. The caller holds the lock.
func (s *Store) refreshGroups(namespace string, composites, leaves []string, changed map[Key]bool) {
	for _, leaf := range leaves {
		if g := s.gangs[Key{namespace, leaf}]; g != nil {
			s.refreshParentage(g, changed)
		}
	}
	for _, composite := range composites {
		s.refreshComposite(namespace, composite, changed)
	}
}

// refreshComposite publishes the gang of a CompositePodGroup as it is now. The caller
// holds the lock.
func (s *Store) refreshComposite(namespace, name string, changed map[Key]bool) {
	key := compositeKey(namespace, name)
	var o *dialect.Object
	if tree := s.trees[namespace]; tree != nil && s.kinds[dialect.CompositeGroups.GroupVersionResource] != Absent {
		o = tree.Gang(name)
	}
	g := s.gangs[key]
	if g == nil && o == nil {
		return
	}
	if g == nil {
		g = s.newGang(key)
		s.gangs[key] = g
	}
	g.objects = nil
	if o != nil {
		g.objects = []*dialect.Object{o}
	}
	s.selectObject(g)
	g.finished = s.finishedOf(g)
	changed[key] = true
	s.publishOrForget(g)
}

// refreshParentage works out what the groups above a PodGroup make of it, and
// publishes it. The caller holds the lock.
func (s *Store) refreshParentage(g *gangState, changed map[Key]bool) {
	g.parentage, g.dirty = s.parentageOf(g), true
	changed[g.key] = true
	s.publishOrForget(g)
}

func (s *Store) parentageOf(g *gangState) parentage {
	if !g.isNative() || g.object.Parent() == "" {
		return parentage{}
	}
	availability, known := s.kinds[dialect.CompositeGroups.GroupVersionResource]
	switch {
	case known && availability == Absent:
		return parentage{ignored: fmt.Sprintf(
			"PodGroup: spec.parentCompositePodGroupName %s is not read, since the API server does not serve %ss of %s; the group starts without the others of its parent",
			kube.QuoteInput(g.object.Parent()), dialect.CompositeGroups.Name, dialect.CompositeGroups.GroupVersion())}
	case availability != Served:
		return parentage{problem: unreadableKind(g, dialect.CompositeGroups)}
	}
	tree := s.treeOf(g.key.Namespace)
	switch root, problem := tree.RootOf(g.object); {
	case problem != nil:
		return parentage{problem: problem}
	case root == nil:
		return parentage{ignored: tree.UnreadMode(g.object)}
	default:
		return parentage{root: root.Name}
	}
}

// placeLeaf notes where a PodGroup is in the hierarchy of groups, after its object has
// changed from before. The caller holds the lock.
func (s *Store) placeLeaf(g *gangState, before *dialect.Object, changed map[Key]bool) {
	wasUnder, isUnder := "", ""
	if before != nil {
		wasUnder = before.Parent()
	}
	if g.object != nil {
		isUnder = g.object.Parent()
	}
	if wasUnder == "" && isUnder == "" {
		return
	}
	root := g.parentage.root
	leaf := g.object
	if isUnder == "" {
		leaf = nil
	}
	s.treeOf(g.key.Namespace).SetLeaf(g.key.Group, leaf)
	g.parentage, g.dirty = s.parentageOf(g), true
	for _, name := range []string{root, g.parentage.root} {
		if name != "" {
			s.refreshComposite(g.key.Namespace, name, changed)
		}
	}
	s.forgetTree(g.key.Namespace)
}

// reportRegrouped tells whoever wants to know of gangs that have changed since groups
// above them did.
func (s *Store) reportRegrouped(changed map[Key]bool) {
	for _, key := range slices.SortedFunc(maps.Keys(changed), Key.Compare) {
		s.changed(key)
	}
	s.regrouped()
}

// wholeGang returns the gang that the members of a PodGroup are in, which may be that of
// several, and what tells them apart from the others of it.
func (s *Store) wholeGang(g *gangState) (whole *gangState, isMember func(*member) bool) {
	if g.parentage.root != "" {
		if whole = s.gangs[compositeKey(g.key.Namespace, g.parentage.root)]; whole != nil {
			return whole, func(m *member) bool { return m.child == g.key.Group }
		}
	}
	return g, nil
}
