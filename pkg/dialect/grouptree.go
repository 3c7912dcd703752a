// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// GroupTree holds the CompositePodGroups of a namespace and the PodGroups under
// them, by name. The groups of a hierarchy that start together are one gang, and
// each of its PodGroups is a role of it.
type GroupTree struct {
	composites, leaves map[string]*Object
	// below are the groups that name a CompositePodGroup as their parent, also
	// one that is not there.
	below map[string]*childNames
}

// childNames are the names of the groups under one.
type childNames struct{ composites, leaves map[string]struct{} }

// NewGroupTree returns an empty tree.
func NewGroupTree() *GroupTree {
	return &GroupTree{composites: map[string]*Object{}, leaves: map[string]*Object{}, below: map[string]*childNames{}}
}

// IsEmpty reports whether no group is left in the tree.
func (t *GroupTree) IsEmpty() bool { return len(t.composites)+len(t.leaves) == 0 }

// SetComposite takes in a CompositePodGroup, nil for none of that name.
func (t *GroupTree) SetComposite(name string, o *Object) {
	t.link(name, t.composites[name], o, func(c *childNames) map[string]struct{} { return c.composites })
	setOrDelete(t.composites, name, o)
}

// SetLeaf takes in a PodGroup that has a parent, nil for none of that name.
func (t *GroupTree) SetLeaf(name string, o *Object) {
	t.link(name, t.leaves[name], o, func(c *childNames) map[string]struct{} { return c.leaves })
	setOrDelete(t.leaves, name, o)
}

// Composite returns the CompositePodGroup of a name, or nil.
func (t *GroupTree) Composite(name string) *Object { return t.composites[name] }

// Composites lists the names of the CompositePodGroups, in order.
func (t *GroupTree) Composites() []string { return slices.Sorted(maps.Keys(t.composites)) }

// Parents lists the names that groups have as their parent, in order.
func (t *GroupTree) Parents() []string { return slices.Sorted(maps.Keys(t.below)) }

func setOrDelete(objects map[string]*Object, name string, o *Object) {
	delete(objects, name)
	if o != nil {
		objects[name] = o
	}
}

// link notes under which parent a group is instead of the one before.
func (t *GroupTree) link(name string, before, now *Object, kind func(*childNames) map[string]struct{}) {
	if before != nil && before.Parent() != "" {
		names := t.below[before.Parent()]
		delete(kind(names), name)
		if len(names.composites)+len(names.leaves) == 0 {
			delete(t.below, before.Parent())
		}
	}
	if now == nil || now.Parent() == "" {
		return
	}
	names := t.below[now.Parent()]
	if names == nil {
		names = &childNames{composites: map[string]struct{}{}, leaves: map[string]struct{}{}}
		t.below[now.Parent()] = names
	}
	kind(names)[name] = struct{}{}
}

// ancestors lists the CompositePodGroups above a group, the nearest first, or why
// they are not known.
func (t *GroupTree) ancestors(o *Object) (above []*Object, problem *kube.Invalid) {
	names := []string{}
	for child := o; child.Parent() != ""; child = above[len(above)-1] {
		parent := t.composites[child.Parent()]
		names = append(names, child.Parent())
		switch {
		case parent == nil:
			return nil, &kube.Invalid{Reason: kube.GangNotFound, Message: fmt.Sprintf(
				"gang %s: %s %s is under the CompositePodGroup %s, and there is none in namespace %s; create it",
				o.Name, child.Kind.Name, child.Name, kube.QuoteInput(child.Parent()), o.Namespace)}
		case slices.Contains(above, parent):
			return nil, &kube.Invalid{Reason: kube.InvalidGangSpec, Message: fmt.Sprintf(
				"gang %s: the CompositePodGroups above it are under one another: %s; create one of them without a parent", o.Name, strings.Join(names, ", "))}
		case len(above) == MaxGroupDepth-1:
			return nil, &kube.Invalid{Reason: kube.InvalidGangSpec, Message: fmt.Sprintf(
				"gang %s: it is under %s; a PodGroup and the groups above it may have %d levels", o.Name, strings.Join(names, ", "), MaxGroupDepth)}
		}
		above = append(above, parent)
	}
	return above, nil
}

// RootOf returns the CompositePodGroup whose gang the members of a group are in, nil
// where the group starts on its own: the highest one above it whose groups are
// planned together. problem is why that is not known.
func (t *GroupTree) RootOf(o *Object) (root *Object, problem *kube.Invalid) {
	above, problem := t.ancestors(o)
	for _, composite := range above {
		if composite.Together() {
			root = composite
		}
	}
	return root, problem
}

// UnreadMode returns a sentence where a group above one that starts on its own asks for
// all below it to be preempted together, "" where none does.
func (t *GroupTree) UnreadMode(o *Object) string {
	above, _ := t.ancestors(o)
	for _, composite := range above {
		if mode := composite.Composite.Spec.DisruptionMode; mode != nil && mode.All != nil {
			return fmt.Sprintf("CompositePodGroup %s: spec.disruptionMode all is not read for groups that start on their own; preemption may take PodGroup %s without the others", composite.Name, o.Name)
		}
	}
	return ""
}

// Family lists the names of all groups that hang together with a
// CompositePodGroup, in order.
func (t *GroupTree) Family(name string) (composites, leaves []string) {
	seen := map[string]bool{name: true}
	for o := t.composites[name]; o != nil && o.Parent() != "" && !seen[o.Parent()]; o = t.composites[name] {
		name = o.Parent()
		seen[name] = true
	}
	seen = map[string]bool{name: true}
	composites = []string{name}
	for i := 0; i < len(composites); i++ {
		names := t.below[composites[i]]
		if names == nil {
			continue
		}
		leaves = append(leaves, slices.Sorted(maps.Keys(names.leaves))...)
		for _, child := range slices.Sorted(maps.Keys(names.composites)) {
			if !seen[child] {
				seen[child] = true
				composites = append(composites, child)
			}
		}
	}
	return composites, leaves
}

// Gang returns the object that stands for the gang of a CompositePodGroup: what it
// asks for itself, and a role for each PodGroup under it. It is nil where the
// members of its groups are in no gang of its own.
func (t *GroupTree) Gang(name string) *Object {
	root := t.composites[name]
	if root == nil || !root.Together() {
		return nil
	}
	above, problem := t.ancestors(root)
	if problem != nil || slices.ContainsFunc(above, (*Object).Together) {
		return nil
	}
	o := *root
	o.Terms, o.Ignored, o.Inner = maps.Clone(root.Terms), slices.Clone(root.Ignored), nil
	o.Whole = root.Composite.Spec.DisruptionMode != nil && root.Composite.Spec.DisruptionMode.All != nil
	r := treeReader{tree: t, gang: &o}
	enough := r.readComposite(root, MaxGroupDepth-1-len(above))
	o.setRoles(r.roles, "spec.parentCompositePodGroupName")
	if enough < o.MinCount {
		o.Enough = enough
	}
	return &o
}

// InnerGroup is a CompositePodGroup inside the gang of another one.
type InnerGroup struct {
	Object *Object
	// PodGroups are the names of those under it, and Enough the number of members
	// with which as many of its groups as it needs are whole.
	PodGroups []string
	Enough    int
}

// treeReader makes the roles of a gang of the PodGroups of a hierarchy.
type treeReader struct {
	tree  *GroupTree
	gang  *Object
	roles []kube.Role
}

// readComposite reads the groups under a CompositePodGroup, of which there may be
// so many levels, and returns with how many members they are whole.
func (r *treeReader) readComposite(c *Object, depth int) (enough int) {
	if depth == 0 {
		r.refuse(kube.InvalidGangSpec, "CompositePodGroup %s has %d groups above it; a PodGroup and the groups above it may have %d levels", c.Name, MaxGroupDepth-1, MaxGroupDepth)
		return 0
	}
	names := r.tree.below[c.Name]
	if names == nil {
		names = &childNames{}
	}
	needed := 1
	if gang := c.Composite.Spec.SchedulingPolicy.Gang; gang != nil {
		needed = int(gang.MinGroupCount)
	}
	count := len(names.leaves) + len(names.composites)
	if count < needed {
		r.refuse(kube.GangIncomplete, "CompositePodGroup %s has %d of the %d groups that must start together; waiting for the others to be created", c.Name, count, needed)
	}
	if count > needed {
		r.ignorePolicy(c, needed, count)
	}
	var each []int
	for _, name := range slices.Sorted(maps.Keys(names.leaves)) {
		if len(r.roles) > kube.MaxRoles {
			return 0 // which setRoles refuses
		}
		each = append(each, r.readLeaf(r.tree.leaves[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(names.composites)) {
		if len(r.roles) > kube.MaxRoles {
			return 0
		}
		each = append(each, r.readInner(r.tree.composites[name], depth-1))
	}
	slices.Sort(each)
	for _, members := range each[:min(max(needed, 0), len(each))] {
		enough += members
	}
	return enough
}

// ignorePolicy tells that all groups of a CompositePodGroup are needed.
func (r *treeReader) ignorePolicy(c *Object, needed, count int) {
	if c.Composite.Spec.SchedulingPolicy.Gang != nil {
		r.gang.ignore("CompositePodGroup %s: spec.schedulingPolicy.gang.minGroupCount %d is not read; all of its %d groups start together", c.Name, needed, count)
		return
	}
	r.gang.ignore("CompositePodGroup %s: spec.schedulingPolicy.basic is not read for groups that share a level or a parent of the policy gang; all of its %d groups start together", c.Name, count)
}

// readInner reads a CompositePodGroup inside the gang: the roles in it share a domain
// of its level.
func (r *treeReader) readInner(c *Object, depth int) (enough int) {
	r.adopt(c)
	first := len(r.roles)
	enough = r.readComposite(c, depth)
	inner := InnerGroup{Object: c, Enough: max(enough, 1)}
	for _, role := range r.roles[min(first, len(r.roles)):] {
		inner.PodGroups = append(inner.PodGroups, role.Name)
	}
	r.gang.Inner = append(r.gang.Inner, inner)
	for _, key := range slices.Sorted(maps.Keys(c.Terms)) {
		if key != kube.AnnotationTopologyRequired {
			r.gang.ignore("CompositePodGroup %s: annotation %s is not read under another group; write it on %s", c.Name, key, r.gang.Name)
			continue
		}
		level, inside := c.Terms[key].Value, r.roles[min(first, len(r.roles)):]
		switch {
		case level == r.gang.Terms[key].Value: // which holds them all
		case len(inside) == 1 && (inside[0].Required == "" || inside[0].Required == level):
			inside[0].Required = level
		default:
			for i := range inside {
				inside[i].Together = slices.Insert(inside[i].Together, 0, kube.RoleTogether{Name: c.Name, Topology: level})
			}
		}
	}
	return enough
}

// readLeaf makes a role of a PodGroup, and returns its minimum.
func (r *treeReader) readLeaf(o *Object) int {
	r.adopt(o)
	spec := &o.Native.Spec
	role := kube.Role{Name: o.Name, MinCount: o.MinCount, Selector: selectChild(o.Name)}
	if c := spec.SchedulingConstraints; c != nil && len(c.Topology) > 0 {
		role.Required = c.Topology[0].Key
	}
	for _, key := range slices.Sorted(maps.Keys(o.Terms)) {
		switch value := o.Terms[key].Value; key {
		case kube.AnnotationTopologyRequired:
			role.Required = value
		case kube.AnnotationTopologyPreferred:
			role.Preferred = value
		case kube.AnnotationMinCount: // the problem of the PodGroup
		default:
			r.gang.ignore("PodGroup %s: annotation %s is not read under a CompositePodGroup; write it on %s", o.Name, key, r.gang.Name)
		}
	}
	if len(spec.ResourceClaims) > 0 {
		r.refuse(kube.InvalidGangSpec, "PodGroup %s has spec.resourceClaims, which a PodGroup under a CompositePodGroup cannot have; give the claims to its pods", o.Name)
	}
	if spec.DisruptionMode != nil && spec.DisruptionMode.All != nil {
		r.gang.Whole = true
	}
	r.roles = append(r.roles, role)
	return role.MinCount
}

// adopt takes over what is wrong with a group of the gang, and what is not read.
func (r *treeReader) adopt(o *Object) {
	r.gang.Problem = cmp.Or(r.gang.Problem, o.Problem)
	if ours, its := r.gang.WorkloadName(), o.WorkloadName(); ours != its {
		r.refuse(kube.InvalidGangSpec, "%s %s is made from the Workload %s, and %s from %s; groups that start together come from one Workload",
			o.Kind.Name, o.Name, kube.QuoteInput(its), r.gang.Name, kube.QuoteInput(ours))
	}
	for _, sentence := range o.Ignored {
		if !slices.Contains(r.gang.Ignored, sentence) {
			r.gang.Ignored = append(r.gang.Ignored, sentence)
		}
	}
}

// refuse records the first problem of the gang.
func (r *treeReader) refuse(reason kube.Reason, format string, args ...any) {
	if r.gang.Problem == nil {
		r.gang.Problem = &kube.Invalid{Reason: reason, Message: "gang " + r.gang.Name + ": " + fmt.Sprintf(format, args...)}
	}
}
