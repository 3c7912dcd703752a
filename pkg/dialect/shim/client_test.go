// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/kubernetes/pkg/scheduler/util"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

var newPod, train = dialecttest.Pod, dialecttest.Train

const eventually, often = 30 * time.Second, 5 * time.Millisecond

func asUnstructured(t testing.TB, pg *schedulingapi.PodGroup) *unstructured.Unstructured {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pg)
	require.NoError(t, err)
	u := &unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(schedulingapi.SchemeGroupVersion.WithKind("PodGroup"))
	return u
}

// podGroup is the coscheduling PodGroup train.
func podGroup(t testing.TB, rest string) *unstructured.Unstructured {
	t.Helper()
	return dialecttest.Object(t, "scheduling.x-k8s.io/v1alpha1", "PodGroup", rest)
}

// cluster is a Translator on a fake API server.
type cluster struct {
	*Translator
	api  *fake.Clientset
	crds *dynamicfake.FakeDynamicClient
}

func newCluster(t *testing.T, kinds []schema.GroupVersionResource, objects ...runtime.Object) *cluster {
	t.Helper()
	api := fake.NewClientset()
	serve(api, kinds...)
	crds := newDynamic()
	for _, object := range objects {
		switch o := object.(type) {
		case *v1.Pod:
			_, err := api.CoreV1().Pods(o.Namespace).Create(t.Context(), o, metav1.CreateOptions{})
			require.NoError(t, err)
		case *schedulingapi.PodGroup:
			_, err := crds.Resource(podGroups).Namespace(o.Namespace).Create(t.Context(), asUnstructured(t, o), metav1.CreateOptions{})
			require.NoError(t, err)
		}
	}
	translator, err := New(t.Context(), Options{
		SchedulerNames: []string{"muster"}, Client: api, StatusClient: api, Dynamic: crds, PollPeriod: often,
	})
	require.NoError(t, err)
	c := &cluster{translator, api, crds}
	translator.Lead()
	c.Gangs() // asks for the informer
	c.InformerFactory().StartWithContext(t.Context())
	c.InformerFactory().WaitForCacheSyncWithContext(t.Context())
	return c
}

// newDynamic is a fake client for all group objects.
func newDynamic() *dynamicfake.FakeDynamicClient {
	lists := map[schema.GroupVersionResource]string{}
	for _, k := range dialect.Enabled(nil, nil).Kinds() {
		lists[k.GroupVersionResource] = k.Name + "List"
	}
	return dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists)
}

func serve(api *fake.Clientset, kinds ...schema.GroupVersionResource) {
	var lists []*metav1.APIResourceList
	for _, kind := range kinds {
		lists = append(lists, &metav1.APIResourceList{GroupVersion: kind.GroupVersion().String(), APIResources: []metav1.APIResource{{Name: kind.Resource}}})
	}
	api.Lock()
	defer api.Unlock()
	api.Resources = lists
}

// group waits until the group is served, and what is asked of it is true.
func (c *cluster) group(t *testing.T, name string, ask func(*schedulingapi.PodGroup) bool) *schedulingapi.PodGroup {
	t.Helper()
	var pg *schedulingapi.PodGroup
	require.Eventually(t, func() bool {
		var err error
		pg, err = c.Gangs().PodGroups("ns").Get(name)
		return err == nil && ask(pg)
	}, eventually, often)
	return pg
}

func (c *cluster) reasonIs(reason kube.Reason) func(*schedulingapi.PodGroup) bool {
	return func(pg *schedulingapi.PodGroup) bool {
		d := c.DeclarationOf(pg)
		if d == nil || d.Invalid == nil {
			return d != nil && reason == ""
		}
		return d.Invalid.Reason == reason
	}
}

func (c *cluster) crd() dynamic.ResourceInterface {
	return c.crds.Resource(dialect.CRDGroups.GroupVersionResource).Namespace("ns")
}

func TestTranslator_CRDAppearsAndDisappears(t *testing.T) {
	c := newCluster(t, nil, newPod("a", kube.LabelPodGroup+"=train"))
	c.group(t, "crd~train", c.reasonIs(kube.GangAPIUnavailable))
	serve(c.api, dialect.CRDGroups.GroupVersionResource)
	c.group(t, "crd~train", c.reasonIs(kube.GangNotFound))
	_, err := c.crd().Create(t.Context(), podGroup(t, `,"spec":{"minMember":1}`), metav1.CreateOptions{})
	require.NoError(t, err)
	pg := c.group(t, "crd~train", c.reasonIs(""))
	assert.Equal(t, types.UID("u1"), pg.UID)
	assert.Equal(t, &v1.ObjectReference{APIVersion: "scheduling.x-k8s.io/v1alpha1", Kind: "PodGroup", Namespace: "ns", Name: "train", UID: "u1"}, c.Source(pg))

	require.NoError(t, c.crd().Delete(t.Context(), "train", metav1.DeleteOptions{}))
	gone := c.group(t, "crd~train", c.reasonIs(kube.GangNotFound))
	assert.Nil(t, c.Source(gone))
	serve(c.api)
	c.group(t, "crd~train", c.reasonIs(kube.GangAPIUnavailable))
}

func TestTranslator_WaitsForTheAPIServersAnswer(t *testing.T) {
	api := fake.NewClientset(newPod("a", kube.LabelGang+"=train"))
	silent := true
	api.PrependReactor("get", "resource", func(clienttesting.Action) (bool, runtime.Object, error) {
		return silent, nil, apierrors.NewServiceUnavailable("later")
	})
	crds := newDynamic()
	translator, err := New(t.Context(), Options{Client: api, StatusClient: api, Dynamic: crds, PollPeriod: often})
	require.NoError(t, err)
	informer := translator.InformerFactory().Scheduling().V1beta1().PodGroups().Informer()
	sources := translator.newSources()
	sources[0].checkServed(t.Context())
	assert.False(t, sources[0].isSettled(false))
	assert.False(t, informer.HasSynced())
	silent = false
	sources[0].checkServed(t.Context())
	assert.True(t, sources[0].isSettled(false))
}

func TestSource_IsSettledOnceItsObjectsAreKnown(t *testing.T) {
	s := &source{kind: dialect.CRDGroups}
	for state, settled := range map[int32][2]bool{unknown: {false, false}, int32(store.Listing): {false, true}, int32(store.Absent): {true, true}, int32(store.Served): {true, true}} {
		s.state.Store(state)
		assert.Equal(t, settled, [2]bool{s.isSettled(false), s.isSettled(true)}, state)
	}
}

func TestTranslator_AReplicaThatDoesNotLeadWritesNothing(t *testing.T) {
	c := newCluster(t, []schema.GroupVersionResource{dialect.CRDGroups.GroupVersionResource})
	follower, err := New(t.Context(), Options{Client: c.api, StatusClient: c.api, Dynamic: c.crds, PollPeriod: often})
	require.NoError(t, err)
	follower.Gangs()
	follower.InformerFactory().StartWithContext(t.Context())
	follower.InformerFactory().WaitForCacheSyncWithContext(t.Context())
	follower.store.SetObject(dialect.CRDGroups, podGroup(t, `,"spec":{"minMember":1}`))
	assert.Zero(t, follower.groups.queue.Len())
	assert.False(t, follower.isLeading())
	assert.Equal(t, []store.Key{key("crd~train")}, follower.store.Declared(), "what it will write when it leads")
}

func TestClient_WritesThatAMemberWaitsInTheBackground(t *testing.T) {
	c := newCluster(t, nil, train("a"), newPod("loose"))
	held := make(chan struct{})
	c.api.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		<-held
		return false, nil, nil
	})
	waits := func(name, message string) error {
		pod, err := c.InformerFactory().Core().V1().Pods().Lister().Pods("ns").Get(name)
		require.NoError(t, err)
		status := pod.Status.DeepCopy()
		status.Conditions = []v1.PodCondition{{Type: v1.PodScheduled, Status: v1.ConditionFalse, Reason: "Unschedulable", Message: message}}
		return util.PatchPodStatus(t.Context(), c.Client(), name, "ns", &pod.Status, status)
	}
	// The API server does not answer, and the scheduler goes on.
	require.NoError(t, waits("a", "first"))
	require.NoError(t, waits("a", "second"))
	require.NoError(t, waits("a", "third"))
	close(held)
	require.Eventually(t, func() bool {
		pod, err := c.api.CoreV1().Pods("ns").Get(t.Context(), "a", metav1.GetOptions{})
		return err == nil && len(pod.Status.Conditions) == 1 && pod.Status.Conditions[0].Message == "third"
	}, eventually, often)
	assert.LessOrEqual(t, patches(c.api, "a"), 2, "what is out of date is not written")

	require.NoError(t, waits("loose", "now"))
	pod, err := c.api.CoreV1().Pods("ns").Get(t.Context(), "loose", metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, "now", pod.Status.Conditions[0].Message, "a pod outside gangs is written at once")
}

func patches(api interface{ Actions() []clienttesting.Action }, name string) int {
	n := 0
	for _, action := range api.Actions() {
		if patch, ok := action.(clienttesting.PatchAction); ok && patch.GetName() == name {
			n++
		}
	}
	return n
}

func TestPodWriter_DropsWhatHasLostItsPoint(t *testing.T) {
	api := fake.NewClientset()
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, groupIndex)
	w := newPodWriter(api, indexer, &sentences{})
	again := newPod("again")
	again.UID = "uid-other"
	require.NoError(t, indexer.Add(newPod("bound", "node=n1")))
	require.NoError(t, indexer.Add(again))
	for _, name := range []string{"bound", "gone", "again"} {
		require.True(t, w.enqueue(newPod(name), []byte(`{"status":{"conditions":[{"type":"PodScheduled","reason":"SchedulerError"}]}}`)))
		require.True(t, w.writeNext(t.Context()))
	}
	assert.Empty(t, api.Actions())
	assert.Empty(t, w.pending)
}

// A pod that was bound while nobody saw it must not be told that it waits: the patch is
// for the version that is known, and is dropped once the pod is seen to be bound.
func TestPodWriter_SaysNothingOfAPodThatWasBoundMeanwhile(t *testing.T) {
	api := fake.NewClientset()
	conflict := apierrors.NewConflict(v1.Resource("pods"), "a", nil)
	api.PrependReactor("patch", "pods", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, conflict })
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, groupIndex)
	w := newPodWriter(api, indexer, &sentences{})
	pod := newPod("a")
	pod.ResourceVersion = "7"
	require.NoError(t, indexer.Add(pod))
	require.True(t, w.enqueue(pod, []byte(`{"status":{}}`)))
	require.True(t, w.writeNext(t.Context()))
	require.Len(t, api.Actions(), 1)
	assert.JSONEq(t, `{"metadata":{"uid":"`+string(pod.UID)+`","resourceVersion":"7"},"status":{}}`, string(api.Actions()[0].(clienttesting.PatchAction).GetPatch()))

	bound := newPod("a", "node=n1")
	require.NoError(t, indexer.Update(bound))
	require.True(t, w.writeNext(t.Context()), "it is tried again")
	assert.Len(t, api.Actions(), 1, "and needs nothing any more")
	assert.Empty(t, w.pending)
}

// A preemption names its victim. Another pod may have the name by then.
func TestClient_DeletesNoPodThatWaits(t *testing.T) {
	c := newCluster(t, nil, newPod("victim", "node=n1"), newPod("again"))
	pods := c.Client().CoreV1().Pods("ns")
	require.NoError(t, pods.Delete(t.Context(), "victim", metav1.DeleteOptions{}))
	assert.True(t, apierrors.IsNotFound(pods.Delete(t.Context(), "gone", metav1.DeleteOptions{})))
	assert.True(t, apierrors.IsNotFound(pods.Delete(t.Context(), "again", metav1.DeleteOptions{})))
	_, err := c.api.CoreV1().Pods("ns").Get(t.Context(), "again", metav1.GetOptions{})
	require.NoError(t, err, "it is still there")

	c.api.PrependReactor("delete", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewConflict(v1.Resource("pods"), "late", nil)
	})
	_, err = c.api.CoreV1().Pods("ns").Create(t.Context(), newPod("late", "node=n1"), metav1.CreateOptions{})
	require.NoError(t, err)
	assert.True(t, apierrors.IsNotFound(pods.Delete(t.Context(), "late", metav1.DeleteOptions{})), "another one has its name")
}

func TestSaysUnscheduled(t *testing.T) {
	tests := []struct {
		name, patch string
		want        bool
	}{
		{"a new condition", `{"status":{"$setElementOrder/conditions":[{"type":"PodScheduled"}],"conditions":[{"type":"PodScheduled","status":"False","reason":"r"}]}}`, true},
		{"a new message only", `{"status":{"conditions":[{"type":"PodScheduled","message":"m"}]}}`, true},
		{"a pod that is scheduled", `{"status":{"conditions":[{"type":"PodScheduled","status":"True"}]}}`, false},
		{"another condition", `{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`, false},
		{"two conditions", `{"status":{"conditions":[{"type":"PodScheduled","status":"False"},{"type":"Ready","status":"False"}]}}`, false},
		{"a nomination too", `{"status":{"conditions":[{"type":"PodScheduled","status":"False"}],"nominatedNodeName":"n"}}`, false},
		{"a nomination that is dropped", `{"status":{"nominatedNodeName":null}}`, false},
		{"a condition that is removed", `{"status":{"conditions":[{"type":"PodScheduled","$patch":"delete"}]}}`, false},
		{"metadata too", `{"metadata":{"uid":"u"},"status":{"conditions":[{"type":"PodScheduled","status":"False"}]}}`, false},
		{"nothing", `{}`, false},
		{"no JSON", `status`, false},
		{"another shape", `{"status":7}`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.want, reportsUnscheduled([]byte(test.patch)))
		})
	}
}

func TestRecorders(t *testing.T) {
	fakeRecorder := events.NewFakeRecorder(10)
	translator := &Translator{}
	recorders := translator.Recorders(func(string) events.EventRecorderLogger { return fakeRecorder })
	r := recorders("muster")
	r.Eventf(newPod("a", "group=label~train"), nil, "Warning", "FailedScheduling", "Scheduling", "no room")
	r.Eventf(newPod("a", "group=label~train"), nil, "Normal", "Scheduled", "Binding", "bound")
	r.Eventf(newPod("a"), nil, "Warning", "FailedScheduling", "Scheduling", "no room for one")
	assert.Equal(t, "Normal Scheduled bound", <-fakeRecorder.Events)
	assert.Equal(t, "Warning FailedScheduling no room for one", <-fakeRecorder.Events)
	assert.Empty(t, fakeRecorder.Events)
}

func statusOf(t *testing.T, c *cluster) map[string]any {
	t.Helper()
	u, err := c.crd().Get(context.Background(), "train", metav1.GetOptions{})
	require.NoError(t, err)
	status, _, _ := unstructured.NestedMap(u.Object, "status")
	return status
}
