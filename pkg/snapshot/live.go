// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// LiveCluster watches a cluster, so that a new snapshot costs the API server
// nothing but the changes.
type LiveCluster struct {
	clients Clients
	absent  []string
	nodes   cache.SharedIndexInformer
	pods    cache.SharedIndexInformer
	// finished follows the pods that have done their work.
	finished cache.SharedIndexInformer
	// devices follows the devices, by kind; empty where they are not read.
	devices []cache.SharedIndexInformer
	// changed holds one signal: a reader that is busy misses no change and finds
	// no backlog.
	changed chan struct{}

	mu     sync.Mutex
	groups []cache.SharedIndexInformer
	// workloads are the kinds of workload that are followed, since gangs need
	// them.
	workloads map[schema.GroupVersionResource]bool
}

// FollowCluster starts to watch a cluster and returns once it is known. Kinds
// of pod group that are installed later are not noticed.
func FollowCluster(ctx context.Context, c Clients) (*LiveCluster, error) {
	first, err := ReadCluster(ctx, c)
	if err != nil { // informers would wait for ever
		return nil, err
	}
	absent, err := c.absentKinds()
	if err != nil {
		return nil, err
	}
	l := &LiveCluster{
		clients: c, workloads: map[schema.GroupVersionResource]bool{},
		absent: absent, changed: make(chan struct{}, 1),
		nodes: coreinformers.NewNodeInformer(c.Typed, 0, cache.Indexers{}),
		pods:  c.newPodInformer(kube.SelectNotEnded), finished: c.newPodInformer(kube.SelectFinished),
	}
	for _, kind := range dialect.Kinds() {
		if !slices.Contains(absent, kind.GroupVersion().String()) {
			l.groups = append(l.groups, c.newInformer(kind))
		}
	}
	if first.Devices != nil {
		l.devices = c.newDeviceInformers()
	}
	if err := l.startInformers(ctx, slices.Concat([]cache.SharedIndexInformer{l.nodes, l.pods, l.finished}, l.devices, l.groups)); err != nil {
		return nil, err
	}
	if err := l.followWorkloads(ctx); err != nil {
		return nil, err
	}
	go l.followNewWorkloads(ctx)
	return l, nil
}

// newInformer returns an informer of a kind in all namespaces.
func (c Clients) newInformer(kind schema.GroupVersionResource) cache.SharedIndexInformer {
	return dynamicinformer.NewFilteredDynamicInformer(c.Dynamic, kind, metav1.NamespaceAll, 0, cache.Indexers{}, nil).Informer()
}

// newPodInformer returns an informer of the pods that a field selector selects.
func (c Clients) newPodInformer(selector string) cache.SharedIndexInformer {
	return coreinformers.NewFilteredPodInformer(c.Typed, metav1.NamespaceAll, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
		o.FieldSelector = selector
	})
}

// followNewWorkloads starts to watch kinds of workload once gangs need them. A
// kind is not watched before, since the user may not be allowed to read it.
func (l *LiveCluster) followNewWorkloads(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = l.followWorkloads(ctx) // tried again
		case <-ctx.Done():
			return
		}
	}
}

// followWorkloads starts to watch the kinds of workload that the pods need now
// and that are not watched yet.
func (l *LiveCluster) followWorkloads(ctx context.Context) error {
	kinds, err := l.clients.workloadKinds(slices.Concat(listPods(l.pods), listPods(l.finished)), l.workloads)
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		informer := l.clients.newInformer(kind)
		if err := l.startInformers(ctx, []cache.SharedIndexInformer{informer}); err != nil {
			return err
		}
		l.workloads[kind] = true
		l.mu.Lock()
		l.groups = append(l.groups, informer)
		l.mu.Unlock()
		l.signalChange()
	}
	return nil
}

// listPods returns the pods that an informer knows.
func listPods(informer cache.SharedIndexInformer) []*v1.Pod {
	var pods []*v1.Pod
	for _, obj := range informer.GetStore().List() {
		pods = append(pods, obj.(*v1.Pod))
	}
	return pods
}

// allInformers returns all informers, nodes, pods and finished pods first.
func (l *LiveCluster) allInformers() []cache.SharedIndexInformer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]cache.SharedIndexInformer{l.nodes, l.pods, l.finished}, l.groups...)
}

// startInformers runs informers until ctx is done, and returns when they have
// read everything.
func (l *LiveCluster) startInformers(ctx context.Context, informers []cache.SharedIndexInformer) error {
	var synced []cache.InformerSynced
	for _, informer := range informers {
		if err := informer.SetTransform(l.clients.stripObject); err != nil {
			return err
		}
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(any) { l.signalChange() },
			UpdateFunc: func(any, any) { l.signalChange() },
			DeleteFunc: func(any) { l.signalChange() },
		}); err != nil {
			return err
		}
		go informer.RunWithContext(ctx)
		synced = append(synced, informer.HasSynced)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return fmt.Errorf("following the cluster: %w", context.Cause(ctx))
	}
	return nil
}

// stripObject is the transform of every informer: what may be secret is not
// even kept in memory. It keeps the resource version, which the informer needs.
// Of a finished pod that is of no gang it keeps the name.
func (c Clients) stripObject(obj any) (any, error) {
	switch o := obj.(type) {
	case *v1.Node:
		kept := StripNode(o)
		kept.ResourceVersion = o.ResourceVersion
		return kept, nil
	case *v1.Pod:
		kept := StripPod(o)
		if kube.MemberStateOf(o).HasEnded() && c.members(nil).GroupOf(o) == "" {
			kept = &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, UID: o.UID}}
		}
		kept.ResourceVersion = o.ResourceVersion
		return kept, nil
	case *unstructured.Unstructured:
		return StripGroup(o), nil
	}
	return stripDevice(obj), nil
}

// signalChange leaves one signal for the reader, however many changes there
// are.
func (l *LiveCluster) signalChange() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// Changed returns a channel that yields when the cluster has changed since it
// last yielded.
func (l *LiveCluster) Changed() <-chan struct{} { return l.changed }

// Version returns a text that differs from one moment to another if the cluster
// has changed between them.
func (l *LiveCluster) Version() string {
	var versions []string
	for _, informer := range append(l.allInformers(), l.devices...) {
		versions = append(versions, informer.LastSyncResourceVersion())
	}
	return strings.Join(versions, " ")
}

// Snapshot returns the cluster as it is known now.
func (l *LiveCluster) Snapshot() *Snapshot {
	s := &Snapshot{Header: Header{Taken: metav1.Time{Time: time.Now().Truncate(time.Second)}, Absent: l.absent}}
	for _, obj := range l.nodes.GetStore().List() {
		s.Nodes = append(s.Nodes, obj.(*v1.Node))
	}
	s.Pods = listPods(l.pods)
	s.addFinished(l.clients.members(s.Pods).FinishedMembers(listPods(l.finished)))
	for _, informer := range l.allInformers()[3:] {
		for _, obj := range informer.GetStore().List() {
			s.Groups = append(s.Groups, obj.(*unstructured.Unstructured))
		}
	}
	s.Devices = l.knownDevices()
	s.sortObjects()
	return s
}
