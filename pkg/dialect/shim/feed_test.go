// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

func group(name, uid string) *schedulingapi.PodGroup {
	return &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(uid)}}
}

func key(name string) store.Key { return store.Key{Namespace: "ns", Group: name} }

func readyFeed() *feed {
	f := newFeed()
	f.open()
	return f
}

func versionOf(t *testing.T, f *feed) string {
	t.Helper()
	list, err := f.list(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	return list.(*schedulingapi.PodGroupList).ResourceVersion
}

func watchFrom(t *testing.T, f *feed, version string) watch.Interface {
	t.Helper()
	w, err := f.watch(t.Context(), metav1.ListOptions{ResourceVersion: version})
	require.NoError(t, err)
	t.Cleanup(w.Stop)
	return w
}

// told is an event in short: its type, the group's name and its UID.
func told(t *testing.T, w watch.Interface) string {
	t.Helper()
	select {
	case event := <-w.ResultChan():
		pg, ok := event.Object.(*schedulingapi.PodGroup)
		if !ok {
			return string(event.Type)
		}
		return string(event.Type) + " " + pg.Name + " " + string(pg.UID)
	case <-time.After(30 * time.Second):
		t.Fatal("no event")
		return ""
	}
}

func TestFeed_WatchTellsWhatFollowsTheList(t *testing.T) {
	f := readyFeed()
	f.publish(key("a"), group("a", "1"), &kube.Declaration{})
	version := versionOf(t, f)
	f.publish(key("b"), group("b", "2"), &kube.Declaration{})
	w := watchFrom(t, f, version)
	f.publish(key("b"), group("b", "2"), &kube.Declaration{})
	f.publish(key("a"), nil, nil)
	assert.Equal(t, "ADDED b 2", told(t, w))
	assert.Equal(t, "MODIFIED b 2", told(t, w))
	assert.Equal(t, "DELETED a 1", told(t, w))
}

func TestFeed_AnotherUIDIsAnotherGroup(t *testing.T) {
	f := readyFeed()
	f.publish(key("a"), group("a", "1"), &kube.Declaration{})
	w := watchFrom(t, f, versionOf(t, f))
	f.publish(key("a"), group("a", "2"), &kube.Declaration{})
	assert.Equal(t, "DELETED a 1", told(t, w))
	assert.Equal(t, "ADDED a 2", told(t, w))
}

func TestFeed_AWatchThatIsCutGoesOnWhereItWas(t *testing.T) {
	f := readyFeed()
	w := watchFrom(t, f, versionOf(t, f))
	f.publish(key("a"), group("a", "1"), &kube.Declaration{})
	f.publish(key("b"), group("b", "2"), &kube.Declaration{})
	event := <-w.ResultChan()
	w.Stop()
	w = watchFrom(t, f, event.Object.(*schedulingapi.PodGroup).ResourceVersion)
	assert.Equal(t, "ADDED b 2", told(t, w))
}

func TestFeed_AVersionThatIsTooOldIsRefused(t *testing.T) {
	f := readyFeed()
	for range 2*logLength + 1 {
		f.publish(key("a"), group("a", "1"), &kube.Declaration{})
	}
	assert.Less(t, len(f.log), 2*logLength)
	w := watchFrom(t, f, "1")
	event := <-w.ResultChan()
	assert.Equal(t, watch.Error, event.Type)
	assert.True(t, apierrors.IsResourceExpired(apierrors.FromObject(event.Object)))
	w = watchFrom(t, f, versionOf(t, f))
	f.publish(key("b"), group("b", "2"), &kube.Declaration{})
	assert.Equal(t, "ADDED b 2", told(t, w))
	_, err := f.watch(t.Context(), metav1.ListOptions{ResourceVersion: "from elsewhere"})
	assert.True(t, apierrors.IsBadRequest(err))
}

func TestFeed_NoListBeforeAllIsKnown(t *testing.T) {
	f := newFeed()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.list(ctx, metav1.ListOptions{})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestFeed_ServesAnInformer(t *testing.T) {
	f := newFeed()
	started := 0
	lw := listerWatcher{feed: f, start: func() { started++ }}
	informer := cache.NewSharedIndexInformer(lw, &schedulingapi.PodGroup{}, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	events := make(chan string, 100)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { events <- "add " + string(obj.(*schedulingapi.PodGroup).UID) },
		UpdateFunc: func(_, obj any) { events <- "update " + string(obj.(*schedulingapi.PodGroup).UID) },
		DeleteFunc: func(obj any) { events <- "delete " + string(obj.(*schedulingapi.PodGroup).UID) },
	})
	require.NoError(t, err)
	f.publish(key("a"), group("a", "1"), &kube.Declaration{})
	go informer.RunWithContext(t.Context())
	assert.False(t, informer.HasSynced())
	f.open()
	require.True(t, cache.WaitForCacheSync(t.Context().Done(), informer.HasSynced))
	assert.Equal(t, "add 1", <-events)
	f.publish(key("a"), group("a", "1"), &kube.Declaration{})
	assert.Equal(t, "update 1", <-events)
	f.publish(key("a"), group("a", "2"), &kube.Declaration{})
	assert.Equal(t, "delete 1", <-events)
	assert.Equal(t, "add 2", <-events)
	f.publish(key("a"), nil, nil)
	assert.Equal(t, "delete 2", <-events)
	for i := range 1000 {
		f.publish(key("b"), group("b", strconv.Itoa(i)), &kube.Declaration{})
	}
	require.Eventually(t, func() bool {
		for len(events) > 0 {
			<-events
		}
		obj, ok, _ := informer.GetStore().GetByKey("ns/b")
		return ok && obj.(*schedulingapi.PodGroup).UID == "999"
	}, 30*time.Second, time.Millisecond)
	assert.Equal(t, 1, started)
}

func TestFeed_ADeclarationBelongsToAVersionOfItsPodGroup(t *testing.T) {
	f := readyFeed()
	declare := func(resource, uid string) *schedulingapi.PodGroup {
		pg := group("a", uid)
		f.publish(key("a"), pg, &kube.Declaration{Resource: resource})
		return pg.DeepCopy()
	}
	resourceOf := func(pg *schedulingapi.PodGroup) string {
		if d := f.declarationOf(pg); d != nil {
			return d.Resource
		}
		return "none"
	}
	first, second := declare("first", "1"), declare("second", "1")
	assert.Equal(t, "second", resourceOf(second))
	assert.Equal(t, "first", resourceOf(first), "whoever holds an older version has what was declared then")
	other := declare("other", "2")
	assert.Equal(t, "other", resourceOf(other))
	assert.Equal(t, "second", resourceOf(second), "until its deletion is known, too")
	f.publish(key("a"), nil, nil)
	assert.Equal(t, "other", resourceOf(other))

	forged := other.DeepCopy()
	forged.UID = "3"
	assert.Equal(t, "none", resourceOf(forged))
	for _, version := range []string{"", "0", "-1", "99999999999", "99999999999999999999", "of another API server"} {
		forged = other.DeepCopy()
		forged.ResourceVersion = version
		assert.Equal(t, "none", resourceOf(forged), version)
	}
	for range 2 * logLength {
		f.publish(key("b"), group("b", "1"), &kube.Declaration{})
	}
	assert.Equal(t, "none", resourceOf(other), "it is forgotten with the log")
	last := declare("last", "4")
	for range 2 * logLength {
		f.publish(key("b"), group("b", "1"), &kube.Declaration{})
	}
	assert.Equal(t, "last", resourceOf(last), "the newest of a gang is not")
}
