// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// under is a PodGroup that needs one pod and is under the CompositePodGroup root.
func under(name string) *schedulingapi.PodGroup {
	pg := native(1)
	pg.Name, pg.UID = name, types.UID("uid-"+name)
	pg.Spec.ParentCompositePodGroupName = new("root")
	return pg
}

// root is that CompositePodGroup.
func root(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	u := dialecttest.Object(t, "scheduling.k8s.io/v1alpha3", "CompositePodGroup", `,"spec":{"schedulingPolicy":{"gang":{"minGroupCount":2}}}`)
	u.SetName("root")
	return u
}

// A pod may be there before its PodGroup, and that before its parent. The pod becomes
// a member of the gang of all once that is known, without a change of its own, and
// what is said of the gang stands on each of the groups.
func TestTranslator_PodsJoinTheGangOfTheirGroups(t *testing.T) {
	c := newCluster(t, []schema.GroupVersionResource{podGroups, dialect.CompositeGroups.GroupVersionResource},
		newPod("a", "group=a"), newPod("b", "group=b", "node=n1"), newPod("alone", "group=train"))
	groupsOf := func() map[string]string {
		pods, err := c.InformerFactory().Core().V1().Pods().Lister().List(labels.Everything())
		require.NoError(t, err)
		all := map[string]string{}
		for _, pod := range pods {
			all[pod.Name] = kube.GroupOf(pod)
		}
		return all
	}
	require.Equal(t, map[string]string{"a": "a", "b": "b", "alone": "train"}, groupsOf())
	create := func(kind schema.GroupVersionResource, u *unstructured.Unstructured) {
		_, err := c.crds.Resource(kind).Namespace("ns").Create(t.Context(), u, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	for _, name := range []string{"a", "b"} {
		create(podGroups, asUnstructured(t, under(name)))
		c.group(t, name, func(pg *schedulingapi.PodGroup) bool {
			d := c.DeclarationOf(pg)
			return d != nil && d.Invalid != nil && d.Invalid.Message == "gang "+name+": PodGroup "+name+` is under the CompositePodGroup "root", and there is none in namespace ns; create it`
		})
	}
	create(podGroups, asUnstructured(t, native(1)))
	create(dialect.CompositeGroups.GroupVersionResource, root(t))
	require.Eventually(t, func() bool {
		groups := groupsOf()
		return groups["a"] == "composite~root" && groups["b"] == "composite~root"
	}, eventually, often)
	assert.Equal(t, "train", groupsOf()["alone"])
	pg := c.group(t, "composite~root", c.reasonIs(""))
	assert.Equal(t, types.UID("u1"), pg.UID)

	c.Verdict(pg, string(kube.NoFittingDomain), "no room")
	says := func(kind schema.GroupVersionResource, name string) string {
		u, err := c.crds.Resource(kind).Namespace("ns").Get(t.Context(), name, metav1.GetOptions{})
		require.NoError(t, err)
		conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
		if len(conditions) != 1 {
			return ""
		}
		condition := conditions[0].(map[string]any)
		return condition["type"].(string) + " " + condition["status"].(string) + " " + condition["reason"].(string)
	}
	for _, want := range []struct {
		kind schema.GroupVersionResource
		name string
		says string
	}{
		{podGroups, "a", "PodGroupInitiallyScheduled False NoFittingDomain"},
		{podGroups, "b", "PodGroupInitiallyScheduled True Scheduled"},
		{dialect.CompositeGroups.GroupVersionResource, "root", "CompositePodGroupInitiallyScheduled False NoFittingDomain"},
	} {
		require.Eventually(t, func() bool { return says(want.kind, want.name) == want.says }, eventually, often, want.name)
	}
}

// What a watch hands on once more comes after all that was seen of the pod, and is
// followed by the newest version; nothing is handed on that is gone.
func TestPodWatch_HandsPodsOnInOrder(t *testing.T) {
	dialects := dialect.Enabled(nil, nil)
	s := store.New(dialects, func(store.Key, *schedulingapi.PodGroup, *kube.Declaration) {}, func(store.Key) {})
	s.Open()
	s.SetKind(dialect.NativeGroups, store.Served)
	s.SetKind(dialect.CompositeGroups, store.Served)
	s.SetObject(dialect.CompositeGroups, root(t))
	source := newPodSource(store.NewAssigner(dialects, []string{"muster"}), s)
	upstream := watch.NewFake()
	w := &podWatch{source: source, upstream: upstream, version: "1", events: make(chan watch.Event), stopped: make(chan struct{})}
	go w.run()
	next := func() string {
		event, ok := <-w.ResultChan()
		if !ok {
			return "end"
		}
		pod := event.Object.(*v1.Pod)
		return string(event.Type) + " " + pod.Name + " " + pod.ResourceVersion
	}
	pod := func(name, version string, words ...string) *v1.Pod {
		p := newPod(name, append(words, "group=a")...)
		p.ResourceVersion = version
		return p
	}
	for _, step := range []struct {
		do   func(*v1.Pod)
		pod  *v1.Pod
		want string
	}{
		{func(p *v1.Pod) { upstream.Add(p) }, pod("stays", "2"), "ADDED stays 2"},
		{func(p *v1.Pod) { upstream.Add(p) }, pod("goes", "3"), "ADDED goes 3"},
		{func(p *v1.Pod) { upstream.Add(p) }, pod("other", "4", "scheduler=default-scheduler"), "ADDED other 4"},
		{func(p *v1.Pod) { upstream.Modify(p) }, pod("stays", "5"), "MODIFIED stays 5"},
		{func(p *v1.Pod) { upstream.Delete(p) }, pod("goes", "6"), "DELETED goes 6"},
	} {
		go step.do(step.pod)
		require.Equal(t, step.want, next())
	}
	s.SetObject(dialect.NativeGroups, asUnstructured(t, under("a")))
	assert.Equal(t, "MODIFIED stays 5", next())
	assert.Equal(t, "BOOKMARK  6", next())
	s.SetObject(dialect.NativeGroups, asUnstructured(t, under("b")))
	go upstream.Add(pod("late", "7"))
	assert.Equal(t, "ADDED late 7", next(), "once is enough")
	upstream.Stop()
	assert.Equal(t, "end", next())
}
