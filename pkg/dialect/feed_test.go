// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

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
)

func group(name, uid string) *schedulingapi.PodGroup {
	return &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(uid)}}
}

func key(name string) groupKey { return groupKey{"ns", name} }

func readyFeed() *feed {
	f := newFeed()
	close(f.ready)
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
	f.publish(key("a"), group("a", "1"))
	version := versionOf(t, f)
	f.publish(key("b"), group("b", "2"))
	w := watchFrom(t, f, version)
	f.publish(key("b"), group("b", "2"))
	f.publish(key("a"), nil)
	assert.Equal(t, "ADDED b 2", told(t, w))
	assert.Equal(t, "MODIFIED b 2", told(t, w))
	assert.Equal(t, "DELETED a 1", told(t, w))
}

func TestFeed_AnotherUIDIsAnotherGroup(t *testing.T) {
	f := readyFeed()
	f.publish(key("a"), group("a", "1"))
	w := watchFrom(t, f, versionOf(t, f))
	f.publish(key("a"), group("a", "2"))
	assert.Equal(t, "DELETED a 1", told(t, w))
	assert.Equal(t, "ADDED a 2", told(t, w))
}

func TestFeed_AWatchThatIsCutGoesOnWhereItWas(t *testing.T) {
	f := readyFeed()
	w := watchFrom(t, f, versionOf(t, f))
	f.publish(key("a"), group("a", "1"))
	f.publish(key("b"), group("b", "2"))
	event := <-w.ResultChan()
	w.Stop()
	w = watchFrom(t, f, event.Object.(*schedulingapi.PodGroup).ResourceVersion)
	assert.Equal(t, "ADDED b 2", told(t, w))
}

func TestFeed_AVersionThatIsTooOldIsRefused(t *testing.T) {
	f := readyFeed()
	for range 2*logLength + 1 {
		f.publish(key("a"), group("a", "1"))
	}
	assert.Less(t, len(f.log), 2*logLength)
	w := watchFrom(t, f, "1")
	event := <-w.ResultChan()
	assert.Equal(t, watch.Error, event.Type)
	assert.True(t, apierrors.IsResourceExpired(apierrors.FromObject(event.Object)))
	w = watchFrom(t, f, versionOf(t, f))
	f.publish(key("b"), group("b", "2"))
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
	f.publish(key("a"), group("a", "1"))
	go informer.RunWithContext(t.Context())
	assert.False(t, informer.HasSynced())
	close(f.ready)
	require.True(t, cache.WaitForCacheSync(t.Context().Done(), informer.HasSynced))
	assert.Equal(t, "add 1", <-events)
	f.publish(key("a"), group("a", "1"))
	assert.Equal(t, "update 1", <-events)
	f.publish(key("a"), group("a", "2"))
	assert.Equal(t, "delete 1", <-events)
	assert.Equal(t, "add 2", <-events)
	f.publish(key("a"), nil)
	assert.Equal(t, "delete 2", <-events)
	for i := range 1000 {
		f.publish(key("b"), group("b", strconv.Itoa(i)))
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
