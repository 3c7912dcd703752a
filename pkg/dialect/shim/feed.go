// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"

	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// feed serves PodGroups that exist in memory only, in the way in which an API
// server serves its objects: a list, and a watch from the version of that list
// on. Versions are the feed's own.
type feed struct {
	// ready is closed when the first list may be answered.
	ready chan struct{}

	mu      sync.Mutex
	version uint64
	objects map[store.Key]change
	// log holds the newest events in order of version, without a gap; events up
	// to forgotten are no longer in it.
	log       []change
	forgotten uint64
	// grown is closed and replaced when the log grows.
	grown chan struct{}
}

// change is an event: a PodGroup, and what was declared of its gang at that
// version.
type change struct {
	version     uint64
	kind        watch.EventType
	group       *schedulingapi.PodGroup
	declaration *kube.Declaration
}

// logLength bounds the memory for watchers that lag behind, of some 4 KiB an event,
// which stays when the gangs are gone. One that lags further lists again.
const logLength = 2048

func newFeed() *feed {
	return &feed{
		ready:   make(chan struct{}),
		objects: map[store.Key]change{},
		grown:   make(chan struct{}),
	}
}

// open lets the first list be answered.
func (f *feed) open() { close(f.ready) }

// publish makes pg the PodGroup of that name, with what is declared of it, or
// removes it if pg is nil. The feed owns pg from then on. A PodGroup that becomes
// another one, with another UID, is deleted and added.
func (f *feed) publish(key store.Key, pg *schedulingapi.PodGroup, d *kube.Declaration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, known := f.objects[key]
	if known && (pg == nil || before.group.UID != pg.UID) {
		delete(f.objects, key)
		f.record(watch.Deleted, before.group.DeepCopy(), before.declaration)
		known = false
	}
	switch {
	case pg == nil:
	case known:
		f.objects[key] = f.record(watch.Modified, pg, d)
	default:
		f.objects[key] = f.record(watch.Added, pg, d)
	}
}

func (f *feed) record(kind watch.EventType, pg *schedulingapi.PodGroup, d *kube.Declaration) change {
	f.version++
	pg.ResourceVersion = strconv.FormatUint(f.version, 10)
	c := change{f.version, kind, pg, d}
	f.log = append(f.log, c)
	if len(f.log) >= 2*logLength {
		f.forgotten = f.log[len(f.log)-logLength-1].version
		f.log = append([]change(nil), f.log[len(f.log)-logLength:]...)
	}
	close(f.grown)
	f.grown = make(chan struct{})
	return c
}

// declarationOf returns what is declared of a PodGroup at the version that the
// caller holds, which may be an older one than the newest: the two belong
// together. It returns nil if that version did not come from this feed, or is so
// old that it is forgotten.
func (f *feed) declarationOf(pg *schedulingapi.PodGroup) *kube.Declaration {
	version, err := strconv.ParseUint(pg.ResourceVersion, 10, 64)
	if err != nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.objects[store.Key{Namespace: pg.Namespace, Group: pg.Name}]
	if c.version != version && version > f.forgotten && version <= f.version {
		c = f.log[version-f.forgotten-1]
	}
	if c.group == nil || c.version != version || c.group.UID != pg.UID {
		return nil
	}
	return c.declaration
}

// list answers once the feed is ready.
func (f *feed) list(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
	select {
	case <-f.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all := &schedulingapi.PodGroupList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.FormatUint(f.version, 10)}}
	for _, key := range slices.SortedFunc(maps.Keys(f.objects), store.Key.Compare) {
		all.Items = append(all.Items, *f.objects[key].group)
	}
	return all, nil
}

// watch starts after the version that the options name.
func (f *feed) watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	from, err := strconv.ParseUint(options.ResourceVersion, 10, 64)
	if err != nil {
		return nil, apierrors.NewBadRequest("resourceVersion " + strconv.Quote(options.ResourceVersion) + " did not come from this feed")
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &feedWatch{feed: f, cursor: from, cancel: cancel, events: make(chan watch.Event)}
	go w.run(ctx)
	return w, nil
}

// eventsAfter returns the events that follow a version, what to wait for when there
// are none, and whether the version is too old to tell.
func (f *feed) eventsAfter(version uint64) (events []change, grown <-chan struct{}, expired bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if version < f.forgotten {
		return nil, nil, true
	}
	first := len(f.log)
	for first > 0 && f.log[first-1].version > version {
		first--
	}
	return f.log[first:len(f.log):len(f.log)], f.grown, false
}

// feedWatch is one watcher of a feed.
type feedWatch struct {
	feed   *feed
	cursor uint64
	cancel context.CancelFunc
	events chan watch.Event
}

// Stop ends the watch.
func (w *feedWatch) Stop() { w.cancel() }

// ResultChan delivers the events; it is closed after Stop.
func (w *feedWatch) ResultChan() <-chan watch.Event { return w.events }

func (w *feedWatch) run(ctx context.Context) {
	defer close(w.events)
	for {
		events, grown, expired := w.feed.eventsAfter(w.cursor)
		if expired {
			gone := apierrors.NewResourceExpired("the version is no longer known; list again")
			gone.ErrStatus.Code = http.StatusGone
			w.send(ctx, watch.Event{Type: watch.Error, Object: &gone.ErrStatus})
			return
		}
		for _, e := range events {
			if !w.send(ctx, watch.Event{Type: e.kind, Object: e.group}) {
				return
			}
			w.cursor = e.version
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return
		}
	}
}

func (w *feedWatch) send(ctx context.Context, event watch.Event) bool {
	select {
	case w.events <- event:
		return true
	case <-ctx.Done():
		return false
	}
}

// listerWatcher is the feed as an informer needs it.
type listerWatcher struct {
	feed *feed
	// start is called when the first list is asked for.
	start func()
}

// List answers with all PodGroups.
func (l listerWatcher) List(options metav1.ListOptions) (runtime.Object, error) {
	return l.ListWithContext(context.Background(), options)
}

// ListWithContext answers with all PodGroups.
func (l listerWatcher) ListWithContext(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
	l.start()
	return l.feed.list(ctx, options)
}

// Watch follows the PodGroups.
func (l listerWatcher) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return l.WatchWithContext(context.Background(), options)
}

// WatchWithContext follows the PodGroups.
func (l listerWatcher) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	return l.feed.watch(ctx, options)
}

// IsWatchListSemanticsUnSupported makes the informer list before it watches.
func (l listerWatcher) IsWatchListSemanticsUnSupported() bool { return true }
