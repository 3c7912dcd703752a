// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// model is what the store is meant to do, said in the simplest way: it keeps
// pods and objects, and works out everything from them each time.
type model struct {
	pods    map[types.UID]*v1.Pod
	objects map[Key]*dialect.Object
	kinds   map[kube.Dialect]Availability
}

// groups says, for each group that is to be served, its count and reason.
func (m *model) groups() map[Key]string {
	all := map[Key]string{}
	for key, o := range m.objects {
		all[key] = fmt.Sprintf("%d %s", o.MinCount, m.reason(key))
	}
	for _, pod := range m.pods {
		key := Key{"ns", *pod.Spec.SchedulingGroup.PodGroupName}
		if m.objects[key] != nil {
			continue
		}
		count := 1
		if dialect, _ := kube.SplitGroupName(key.Group); dialect == kube.DialectLabel {
			if n, err := kube.ParseMinCount(m.first(key).Annotations[kube.AnnotationMinCount]); err == nil {
				count = n
			}
		}
		all[key] = fmt.Sprintf("%d %s", count, m.reason(key))
	}
	return all
}

func (m *model) members(key Key) []*v1.Pod {
	var members []*v1.Pod
	for _, pod := range m.pods {
		if *pod.Spec.SchedulingGroup.PodGroupName == key.Group {
			members = append(members, pod)
		}
	}
	return members
}

// deciding are the members that say what holds: those that wait, else one.
func (m *model) deciding(key Key) []*v1.Pod {
	all := m.members(key)
	waiting := slices.DeleteFunc(slices.Clone(all), func(pod *v1.Pod) bool { return pod.Spec.NodeName != "" })
	if len(waiting) > 0 || len(all) == 0 {
		return waiting
	}
	return []*v1.Pod{slices.MinFunc(all, func(a, b *v1.Pod) int { return cmp.Compare(a.Name, b.Name) })}
}

func (m *model) first(key Key) *v1.Pod {
	var first *v1.Pod
	for _, pod := range m.deciding(key) {
		if first == nil || pod.Name < first.Name {
			first = pod
		}
	}
	return first
}

func (m *model) reason(key Key) kube.Reason {
	dialect, _ := kube.SplitGroupName(key.Group)
	object := m.objects[key]
	switch {
	case object != nil && object.Problem != nil:
		return object.Problem.Reason
	case object == nil && (dialect == kube.DialectCRD || dialect == kube.DialectNative):
		if m.kinds[dialect] == Served {
			return kube.GangNotFound
		}
		return kube.GangAPIUnavailable
	case dialect == kube.DialectConflict:
		return kube.GangConfigConflict
	}
	members := m.deciding(key)
	for _, a := range members {
		for _, b := range members {
			if a.Annotations[kube.AnnotationMinCount] != b.Annotations[kube.AnnotationMinCount] {
				return kube.GangConfigConflict
			}
		}
	}
	for _, a := range members {
		for _, b := range members {
			if *a.Spec.Priority != *b.Spec.Priority {
				return kube.PriorityMismatch
			}
		}
	}
	for _, b := range m.members(key) {
		if members[0].Spec.NodeName == "" && b.Spec.NodeName != "" && *b.Spec.Priority != *members[0].Spec.Priority {
			return kube.PriorityMismatch
		}
	}
	if dialect == kube.DialectLabel {
		if _, err := kube.ParseMinCount(members[0].Annotations[kube.AnnotationMinCount]); err != nil {
			return kube.InvalidGangSpec
		}
	}
	return ""
}

// FuzzStore drives the store with any sequence of events (pods added, changed,
// bound, deleted and created again, objects that come, go and are replaced,
// kinds that appear and disappear) and compares what it serves, after each of
// them, with the model.
func FuzzStore(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	f.Add([]byte("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"))
	f.Add([]byte{0, 0, 0, 1, 0, 2, 6, 0, 0, 0, 9, 0, 9, 1, 10, 0, 11, 0, 12, 0, 6, 1, 6, 2})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 400 {
			return
		}
		w := newWorld()
		m := &model{pods: map[types.UID]*v1.Pod{}, objects: map[Key]*dialect.Object{}, kinds: map[kube.Dialect]Availability{
			kube.DialectCRD: Served, kube.DialectNative: Served,
		}}
		for i := 0; i+1 < len(script); i += 2 {
			m.step(w, int(script[i]), int(script[i+1]), i)
			compareWithModel(t, w, m)
		}
		for uid := range m.pods {
			w.DeletePod(uid)
		}
		for key, o := range m.objects {
			w.deleteGroup(key, o.UID)
		}
		if len(w.gangs)+len(w.pods)+len(w.published) != 0 {
			t.Fatalf("%d gangs, %d pods and %d groups are left", len(w.gangs), len(w.pods), len(w.published))
		}
	})
}

// step plays one event: what it is, and what it is about.
func (m *model) step(w *world, what, about, now int) {
	crd, native := key("crd~train"), key("train")
	switch what % 14 {
	case 0, 1, 2, 3, 4, 5: // a pod is added or has changed
		words := [][]string{
			{kube.LabelGang + "=train", kube.AnnotationMinCount + "=2"},
			{kube.LabelGang + "=train", kube.AnnotationMinCount + "=3"},
			{kube.LabelGang + "=other", kube.AnnotationMinCount + "=08"},
			{kube.LabelPodGroup + "=train"},
			{"group=train"},
			{kube.LabelGang + "=train", kube.LabelPodGroup + "=train"},
		}[what%14]
		words = append(words, fmt.Sprint("priority=", about/64%2))
		if about/128 == 1 {
			words = append(words, "node=n1")
		}
		p := newPod(fmt.Sprint(what%14, "-", about%8), words...)
		w.pod(p)
		w.assigner.Assign(p)
		m.pods[p.UID] = p
	case 6, 7, 8: // a pod goes
		for _, kind := range []int{0, 1, 2, 3, 4, 5} {
			if uid := types.UID(fmt.Sprint("uid-", kind, "-", about%8)); kind == about/8%6 {
				w.DeletePod(uid)
				delete(m.pods, uid)
			}
		}
	case 9: // a CRD object comes, changes, or another one takes its place
		if m.kinds[kube.DialectCRD] == Served {
			o := crdGroup("train", fmt.Sprint("u", about%3), about%5+1)
			w.setGroup(crd, o)
			m.objects[crd] = o
		}
	case 10: // it goes, or an older one does, which is old news
		uid := types.UID(fmt.Sprint("u", about%3))
		w.deleteGroup(crd, uid)
		if o := m.objects[crd]; o != nil && o.UID == uid {
			delete(m.objects, crd)
		}
	case 11: // an object that cannot be read
		if m.kinds[kube.DialectNative] == Served {
			o := crdGroup("train", fmt.Sprint("n", now), 1)
			o.Kind = dialect.NativeGroups
			o.Problem = &kube.Invalid{Reason: kube.InvalidGangSpec}
			w.setGroup(native, o)
			m.objects[native] = o
		}
	case 12, 13: // a kind appears or disappears
		dialect, gone := kube.DialectCRD, crd
		if what%14 == 13 {
			dialect, gone = kube.DialectNative, native
		}
		a := Availability(about % 3)
		w.SetKind(w.dialects.KindsOf(dialect)[0], a)
		m.kinds[dialect] = a
		if a == Absent {
			delete(m.objects, gone)
		}
	}
}

func compareWithModel(t *testing.T, w *world, m *model) {
	t.Helper()
	want := m.groups()
	for key, gang := range w.published {
		pg := gang.Group
		got := fmt.Sprintf("%d %s", pg.Spec.SchedulingPolicy.Gang.MinCount, w.problem(key.Group).Reason)
		if got != want[key] {
			t.Fatalf("%v: Served %q, want %q", key, got, want[key])
		}
		if pg.UID == "" || pg.ResourceVersion == "" || pg.Name != key.Group {
			t.Fatalf("%v: %+v", key, pg.ObjectMeta)
		}
	}
	if len(w.published) != len(want) {
		t.Fatalf("served %d groups, want %d", len(w.published), len(want))
	}
}
