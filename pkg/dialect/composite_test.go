// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// hierarchy makes groups of Kubernetes' own from lines such as "root gang=2
// level=rack" for a CompositePodGroup and "- pg1 in=root gang=4" for a PodGroup.
// Without gang it has the policy basic.
func hierarchy(t testing.TB, lines ...string) []*unstructured.Unstructured {
	t.Helper()
	var all []*unstructured.Unstructured
	for _, line := range lines {
		words := strings.Fields(line)
		kind, count := dialect.CompositeGroups, "minGroupCount"
		if words[0] == "-" {
			kind, count, words = dialect.NativeGroups, "minCount", words[1:]
		}
		spec := map[string]any{"schedulingPolicy": map[string]any{"basic": map[string]any{}}, "workloadRef": map[string]any{"workloadName": "w"}}
		u := dialecttest.Object(t, kind.GroupVersion().String(), kind.Name, "")
		u.SetName(words[0])
		u.SetUID(types.UID("uid-" + words[0]))
		for _, word := range words[1:] {
			key, value, _ := strings.Cut(word, "=")
			var n int64
			_, _ = fmt.Sscan(value, &n)
			switch key {
			case "in":
				spec["parentCompositePodGroupName"] = value
			case "gang":
				spec["schedulingPolicy"] = map[string]any{"gang": map[string]any{count: n}}
			case "level":
				spec["schedulingConstraints"] = map[string]any{"topology": []any{map[string]any{"key": value}}}
			case "workload":
				spec["workloadRef"] = map[string]any{"workloadName": value}
			case "priority":
				spec["priority"] = n
			case "mode":
				spec["disruptionMode"] = map[string]any{value: map[string]any{}}
			case "claim":
				spec["resourceClaims"] = []any{map[string]any{"name": value}}
			default:
				u.SetAnnotations(map[string]string{key: value})
			}
		}
		u.Object["spec"] = spec
		all = append(all, u)
	}
	return all
}

func (w *world) setAll(groups []*unstructured.Unstructured) {
	for _, u := range groups {
		for _, k := range []*dialect.Kind{dialect.NativeGroups, dialect.CompositeGroups} {
			if k.HasObject(u) {
				w.SetObject(k, u)
			}
		}
	}
}

// rolesText is what the parts of a gang ask for, in short.
func rolesText(roles []kube.Role) string {
	var all []string
	for _, r := range roles {
		text := fmt.Sprint(r.Name, ":", r.MinCount)
		if r.Required != "" {
			text += "@" + r.Required
		}
		if r.Preferred != "" {
			text += "~" + r.Preferred
		}
		for _, group := range r.Together {
			text += " in " + group.Name + "@" + group.Topology
		}
		all = append(all, text)
	}
	return strings.Join(all, " ")
}

func TestCompositeGroups_AreOneGangWithTheirPodGroupsAsRoles(t *testing.T) {
	const two = kube.AnnotationTopologyPreferred + "=rack"
	for _, test := range []struct {
		name   string
		groups []string
		// gangs are the PodGroups that are published, by name, with the number of
		// members that start together.
		gangs map[string]int32
		roles string
		level string
		// enough is the number with which a gang that runs is whole, 0 for its minimum.
		enough  int
		ignored string
		reason  kube.Reason
		message string
	}{
		{name: "both or none", groups: []string{"root gang=2", "- a in=root gang=2", "- b in=root gang=3"}, gangs: map[string]int32{"composite~root": 5}, roles: "a:2 b:3"},
		{name: "levels of the whole and of its parts", groups: []string{"root gang=2 level=zone", "- a in=root gang=2 level=rack", "- b in=root gang=2"},
			gangs: map[string]int32{"composite~root": 4}, roles: "a:2@rack b:2", level: "zone"},
		{name: "a PodGroup that starts its pods one by one needs one", groups: []string{"root gang=2", "- a in=root", "- b in=root gang=2"},
			gangs: map[string]int32{"composite~root": 3}, roles: "a:1 b:2"},
		{name: "what stands on a PodGroup in annotations", groups: []string{"root gang=1", "- a in=root gang=2 " + two}, gangs: map[string]int32{"composite~root": 2}, roles: "a:2~rack"},
		{name: "GPU models of one PodGroup", groups: []string{"root gang=1", "- a in=root gang=2 " + kube.AnnotationGPUModels + "=H100"}, gangs: map[string]int32{"composite~root": 2},
			roles: "a:2", ignored: "PodGroup a: annotation muster.sh/gpu-models is not read under a CompositePodGroup; write it on root"},
		{name: "fewer groups than there are", groups: []string{"root gang=2", "- a in=root gang=4", "- b in=root gang=1", "- c in=root gang=2"},
			gangs: map[string]int32{"composite~root": 7}, roles: "a:4 b:1 c:2", enough: 3,
			ignored: "CompositePodGroup root: spec.schedulingPolicy.gang.minGroupCount 2 is not read; all of its 3 groups start together"},
		{name: "groups in groups", groups: []string{"root gang=2 level=zone", "x in=root gang=2", "- a in=x gang=2 level=rack", "- b in=x gang=2", "- c in=root gang=1"},
			gangs: map[string]int32{"composite~root": 5}, roles: "c:1 a:2@rack b:2", level: "zone"},
		{name: "a level of a group in a group, with one PodGroup", groups: []string{"root gang=1 level=zone", "x in=root gang=1 level=rack", "- a in=x gang=2"},
			gangs: map[string]int32{"composite~root": 2}, roles: "a:2@rack", level: "zone"},
		{name: "a level of a group in a group that the whole has", groups: []string{"root gang=1 level=zone", "x in=root gang=2 level=zone", "- a in=x gang=2", "- b in=x gang=2"},
			gangs: map[string]int32{"composite~root": 4}, roles: "a:2 b:2", level: "zone"},
		{name: "a level of a group in a group, with two PodGroups", groups: []string{"root gang=1 level=zone", "x in=root gang=2 level=rack", "- a in=x gang=2", "- b in=x gang=2"},
			gangs: map[string]int32{"composite~root": 4}, roles: "a:2 in x@rack b:2 in x@rack", level: "zone"},
		{name: "levels of groups in groups in groups", groups: []string{"root gang=2", "x in=root gang=1 level=block", "y in=x gang=2 level=rack", "- a in=y gang=2 level=host", "- b in=y gang=2", "- c in=root gang=1"},
			gangs: map[string]int32{"composite~root": 5}, roles: "c:1 a:2@host in x@block in y@rack b:2 in x@block in y@rack"},
		{name: "groups that start on their own", groups: []string{"root", "- a in=root gang=2", "- b in=root gang=3"}, gangs: map[string]int32{"a": 2, "b": 3}},
		{name: "a gang below groups that start on their own", groups: []string{"root", "x in=root gang=2", "- a in=x gang=2", "- b in=x gang=2", "- c in=root gang=3"},
			gangs: map[string]int32{"composite~x": 4, "c": 3}, roles: "a:2 b:2"},
		{name: "groups that start on their own, below a gang", groups: []string{"root gang=1", "x in=root", "- a in=x gang=2", "- b in=x gang=2"},
			gangs: map[string]int32{"composite~root": 4}, roles: "a:2 b:2", enough: 2,
			ignored: "CompositePodGroup x: spec.schedulingPolicy.basic is not read for groups that share a level or a parent of the policy gang; all of its 2 groups start together"},
		{name: "groups that start on their own in one domain", groups: []string{"root level=rack", "- a in=root gang=2", "- b in=root gang=2"},
			gangs: map[string]int32{"composite~root": 4}, roles: "a:2 b:2", level: "rack", enough: 2,
			ignored: "CompositePodGroup root: spec.schedulingPolicy.basic is not read for groups that share a level or a parent of the policy gang; all of its 2 groups start together"},
		{name: "a group that is still to come", groups: []string{"root gang=2", "- a in=root gang=2"}, gangs: map[string]int32{"composite~root": 2}, roles: "a:2",
			reason: kube.GangIncomplete, message: "gang root: CompositePodGroup root has 1 of the 2 groups that must start together; waiting for the others to be created"},
		{name: "a parent that is still to come", groups: []string{"- a in=root gang=2"}, gangs: map[string]int32{"a": 2},
			reason: kube.GangNotFound, message: `gang a: PodGroup a is under the CompositePodGroup "root", and there is none in namespace ns; create it`},
		{name: "a grandparent that is still to come", groups: []string{"x in=root gang=1", "- a in=x gang=2"}, gangs: map[string]int32{"a": 2},
			reason: kube.GangNotFound, message: `gang a: CompositePodGroup x is under the CompositePodGroup "root", and there is none in namespace ns; create it`},
		{name: "a circle", groups: []string{"x in=y gang=1", "y in=x gang=1", "- a in=x gang=2"}, gangs: map[string]int32{"a": 2},
			reason: kube.InvalidGangSpec, message: "gang a: the CompositePodGroups above it are under one another: x, y, x; create one of them without a parent"},
		{name: "too many levels", groups: []string{"root gang=1", "x in=root gang=1", "y in=x gang=1", "z in=y gang=1", "- a in=z gang=2"}, gangs: map[string]int32{"composite~root": 1, "a": 2},
			reason: kube.InvalidGangSpec, message: "gang a: it is under z, y, x, root; a PodGroup and the groups above it may have 4 levels"},
		{name: "too many levels stop the whole", groups: []string{"root gang=1", "x in=root gang=1", "y in=x gang=1", "z in=y gang=1", "- a in=z gang=2"}, gangs: map[string]int32{"composite~root": 1, "a": 2},
			reason: kube.InvalidGangSpec, message: "gang root: CompositePodGroup z has 3 groups above it; a PodGroup and the groups above it may have 4 levels"},
		{name: "two Workloads", groups: []string{"root gang=1", "- a in=root gang=2 workload=v"}, gangs: map[string]int32{"composite~root": 2}, roles: "a:2", reason: kube.InvalidGangSpec,
			message: `gang root: PodGroup a is made from the Workload "v", and root from "w"; groups that start together come from one Workload`},
		{name: "no number of groups", groups: []string{"root gang=0", "- a in=root gang=2"}, gangs: map[string]int32{"composite~root": 2}, roles: "a:2", enough: 0, reason: kube.InvalidGangSpec,
			message: "gang root: CompositePodGroup root: spec.schedulingPolicy.gang.minGroupCount: found 0, want the number of groups that start together",
			ignored: "CompositePodGroup root: spec.schedulingPolicy.gang.minGroupCount 0 is not read; all of its 1 groups start together"},
		{name: "a number of pods on the groups", groups: []string{"root gang=1 " + kube.AnnotationMinCount + "=4", "- a in=root gang=2"}, gangs: map[string]int32{"composite~root": 2}, roles: "a:2",
			reason: kube.InvalidGangSpec, message: "gang root: CompositePodGroup root: annotation muster.sh/min-count: its groups say how many of their pods start together; remove the annotation"},
		{name: "a problem of a PodGroup", groups: []string{"root gang=1", "- a in=root gang=2 " + kube.AnnotationMinCount + "=4"}, gangs: map[string]int32{"composite~root": 2}, roles: "a:2",
			reason: kube.GangConfigConflict, message: "gang a: PodGroup a has spec.schedulingPolicy and annotation muster.sh/min-count; remove the annotation"},
		{name: "claims of a PodGroup", groups: []string{"root gang=1", "- a in=root gang=2 claim=gpu"}, gangs: map[string]int32{"composite~root": 2}, roles: "a:2", reason: kube.InvalidGangSpec,
			message: "gang root: PodGroup a has spec.resourceClaims, which a PodGroup under a CompositePodGroup cannot have; give the claims to its pods"},
	} {
		t.Run(test.name, func(t *testing.T) {
			groups := hierarchy(t, test.groups...)
			for _, order := range [][]*unstructured.Unstructured{groups, reversed(groups)} { // whichever is known first
				w := newWorld()
				w.setAll(order)
				counts := map[string]int32{}
				problems := []string{}
				for key, gang := range w.gangs {
					counts[key.Group] = gang.Group.Spec.SchedulingPolicy.Gang.MinCount
					if bad := gang.Declaration.Invalid; bad != nil && (bad.Reason != kube.GangIncomplete || key.Group != "composite~root" || test.reason == bad.Reason) {
						problems = append(problems, bad.Error())
					}
				}
				assert.Equal(t, test.gangs, counts)
				if test.reason == "" {
					assert.Empty(t, problems)
				} else {
					assert.Contains(t, problems, string(test.reason)+": "+test.message)
				}
				for _, name := range []string{"composite~root", "composite~x"} {
					gang, ok := w.get(name)
					if !ok || test.roles == "" {
						continue
					}
					assert.Equal(t, test.roles, rolesText(gang.Declaration.Roles))
					assert.Equal(t, test.level, gang.Declaration.Terms[kube.AnnotationTopologyRequired].Value)
					assert.Equal(t, test.ignored, strings.Join(gang.Declaration.Ignored, "\n"))
					assert.Equal(t, "compositepodgroups.scheduling.k8s.io", gang.Declaration.Resource)
					if test.enough > 0 {
						require.NotNil(t, gang.Declaration.RunningMinimum)
						assert.Equal(t, test.enough, *gang.Declaration.RunningMinimum)
					} else {
						assert.Nil(t, gang.Declaration.RunningMinimum)
					}
				}
			}
		})
	}
}

func reversed(groups []*unstructured.Unstructured) []*unstructured.Unstructured {
	other := slices.Clone(groups)
	slices.Reverse(other)
	return other
}

// The pods of a group that is under another are members of its gang, whichever of
// them all is known first.
func TestCompositeGroups_TheirPodsAreMembersOfOneGang(t *testing.T) {
	long := strings.Repeat("long-name.", 10) + "b"
	groups := hierarchy(t, "root gang=2 mode=all", "- a in=root gang=1", "- "+long+" in=root gang=1")
	w := newWorld()
	w.pod(newPod("early", "group=a"))
	early, _ := w.get("a")
	assert.Equal(t, kube.GangNotFound, early.Declaration.Invalid.Reason)
	w.setAll(groups)
	waiting, ok := w.get("a")
	require.True(t, ok)
	assert.Equal(t, kube.GangIncomplete, waiting.Declaration.Invalid.Reason, "it does not start before it is known as a member")
	assert.Equal(t, "gang a: its pods start with the others of CompositePodGroup root, and are not known there yet", waiting.Declaration.Invalid.Message)

	w.DeletePod("uid-early")
	w.pod(newPod("early", "group=a"))
	w.pod(newPod("late", "group="+long, "node=n1"))
	assert.Equal(t, []string{"composite~root"}, slices.Collect(maps.Keys(groupNames(w))))
	gang, _ := w.get("composite~root")
	assert.Nil(t, gang.Declaration.Invalid)
	assert.NotNil(t, gang.Group.Spec.DisruptionMode, "it is preempted as one")
	_, bad := kube.ReadSpec(gang.Group, gang.Declaration, kube.DefaultLevels())
	assert.Nil(t, bad)

	for name, bound := range map[string]int{"a": 0, long: 1} {
		view := w.View(store.Key{Namespace: "ns", Group: name})
		assert.Equal(t, [3]int{1, 1, bound}, [3]int{view.MinCount, view.Members, view.Bound}, name)
	}
	whole := w.View(store.Key{Namespace: "ns", Group: "composite~root"})
	assert.Equal(t, [3]int{2, 2, 1}, [3]int{whole.MinCount, whole.Members, whole.Bound})
	assert.Equal(t, map[store.Key]types.UID{{Namespace: "ns", Group: "a"}: "uid-a", {Namespace: "ns", Group: long}: types.UID("uid-" + long)},
		w.Parts(store.Key{Namespace: "ns", Group: "composite~root"}))
	assert.Empty(t, w.Parts(store.Key{Namespace: "ns", Group: "a"}))
}

func groupNames(w *world) map[string]bool {
	names := map[string]bool{}
	for key := range w.gangs {
		names[key.Group] = true
	}
	return names
}

// Work that is done is not waited for, in whatever order it becomes known.
func TestCompositeGroups_FinishedMembersAreNotWaitedFor(t *testing.T) {
	finish := func(w *world, name, group string) {
		p := newPod(name, "group="+group, "node=n1", "phase=Succeeded")
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: "train", UID: "job", Controller: new(true)}}
		w.assigner.Assign(p)
		w.DeletePod(p.UID)
		w.SetFinished(p)
	}
	for name, late := range map[string]bool{"after their groups are known": false, "before": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			groups := hierarchy(t, "root gang=2", "- a in=root gang=2", "- b in=root gang=2")
			if !late {
				w.setAll(groups)
			}
			finish(w, "a0", "a")
			finish(w, "a1", "a")
			finish(w, "b0", "b")
			w.setAll(groups)
			again := newPod("b1", "group=b")
			again.OwnerReferences = []metav1.OwnerReference{{Kind: "Job", Name: "train", UID: "job", Controller: new(true)}}
			w.pod(again)
			gang, _ := w.get("composite~root")
			assert.EqualValues(t, 1, gang.Group.Spec.SchedulingPolicy.Gang.MinCount)
			assert.Equal(t, "a:0 b:1", rolesText(gang.Declaration.Roles))
		})
	}
}

// What is asked of kube-scheduler's groups holds for those above others too.
func TestCompositeGroups_MustAgreeWithTheirPods(t *testing.T) {
	w := newWorld()
	w.setAll(hierarchy(t, "root gang=1 priority=7", "- a in=root gang=1"))
	w.pod(newPod("p", "group=a"))
	gang, _ := w.get("composite~root")
	assert.Equal(t, "gang root: the CompositePodGroup has priority 7, pod p has 0; give both one priorityClassName", gang.Declaration.Invalid.Message)
	w.DeletePod("uid-p")
	w.pod(newPod("p", "group=a", "priority=7"))
	gang, _ = w.get("composite~root")
	assert.Nil(t, gang.Declaration.Invalid)
}

// A kind of an alpha API may come and go.
func TestCompositeGroups_TheirKindMayComeAndGo(t *testing.T) {
	w := newWorld()
	w.SetKind(dialect.CompositeGroups, store.Absent)
	groups := hierarchy(t, "root gang=1", "- a in=root gang=2")
	w.SetObject(dialect.NativeGroups, groups[1])
	alone, _ := w.get("a")
	assert.Nil(t, alone.Declaration.Invalid)
	assert.Len(t, alone.Declaration.Ignored, 1)
	w.SetKind(dialect.CompositeGroups, store.Listing)
	listing, _ := w.get("a")
	assert.Equal(t, kube.GangAPIUnavailable, listing.Declaration.Invalid.Reason)
	assert.Empty(t, listing.Declaration.Ignored)
	w.SetObject(dialect.CompositeGroups, groups[0])
	w.SetKind(dialect.CompositeGroups, store.Served)
	assert.Equal(t, map[string]bool{"composite~root": true}, groupNames(w))
	w.SetKind(dialect.CompositeGroups, store.Absent)
	assert.Equal(t, map[string]bool{"a": true}, groupNames(w))
	alone, _ = w.get("a")
	assert.Len(t, alone.Declaration.Ignored, 1)
}

// However groups came, went and took the place of others, what is published is what
// would be if those that are left had been there from the start.
func TestCompositeGroups_HistoryDoesNotMatter(t *testing.T) {
	d := rand.New(rand.NewPCG(5, 6))
	names, leaves := []string{"r", "s", "t", "u"}, []string{"a", "b", "c"}
	for range 25 {
		w, there := newWorld(), map[string]*unstructured.Unstructured{}
		for _, leaf := range leaves {
			for i := range 2 {
				w.pod(newPod(fmt.Sprint(leaf, i), "group="+leaf))
			}
		}
		for step := range 40 {
			name, kind, line := names[d.IntN(len(names))], dialect.CompositeGroups, ""
			if d.IntN(2) == 0 {
				name, kind, line = leaves[d.IntN(len(leaves))], dialect.NativeGroups, "- "
			}
			line += name
			if d.IntN(3) > 0 {
				line += " in=" + names[d.IntN(len(names))]
			}
			if d.IntN(3) > 0 {
				line += fmt.Sprint(" gang=", 1+d.IntN(2))
			}
			if d.IntN(5) == 0 {
				line += " level=rack"
			}
			if before := there[name]; before != nil {
				w.DeleteObject(kind, before)
				delete(there, name)
			}
			if d.IntN(4) > 0 {
				u := hierarchy(t, line)[0]
				u.SetUID(types.UID(fmt.Sprint(name, step)))
				w.SetObject(kind, u)
				there[name] = u
			}
			// The informer hands pods on once more.
			for _, leaf := range leaves {
				for i := range 2 {
					p := newPod(fmt.Sprint(leaf, i), "group="+leaf)
					w.DeletePod(p.UID)
					w.pod(p)
				}
			}
			fresh := newWorld()
			for _, name := range slices.Sorted(maps.Keys(there)) {
				fresh.setAll([]*unstructured.Unstructured{there[name]})
			}
			for _, leaf := range leaves {
				for i := range 2 {
					fresh.pod(newPod(fmt.Sprint(leaf, i), "group="+leaf))
				}
			}
			require.Equal(t, published(fresh), published(w), "after %s, with %v", line, slices.Sorted(maps.Keys(there)))
		}
		for name, u := range there {
			kind := dialect.CompositeGroups
			if slices.Contains(leaves, name) {
				kind = dialect.NativeGroups
			}
			w.DeleteObject(kind, u)
		}
		for _, leaf := range leaves {
			for i := range 2 {
				w.DeletePod(newPod(fmt.Sprint(leaf, i)).UID)
			}
		}
		for key, gang := range w.gangs { // members of a gang whose group went
			assert.Fail(t, "left over", "%v %v", key, gang.Declaration.Invalid)
		}
	}
}

// published is what the scheduler sees of each gang, in short.
func published(w *world) map[string]string {
	all := map[string]string{}
	for key, gang := range w.gangs {
		policy := gang.Group.Spec.SchedulingPolicy
		count := int32(0)
		if policy.Gang != nil {
			count = policy.Gang.MinCount
		}
		all[key.Group] = fmt.Sprint(count, " ", rolesText(gang.Declaration.Roles), " ", gang.Declaration.Invalid, " ", gang.Declaration.Ignored)
	}
	return all
}
