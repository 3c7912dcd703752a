// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import (
	"context"
	"sync"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/util/watchlist"

	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// podSource is where the informer of pods reads them: the API server, and once more
// each pod whose PodGroup turned out to be under a CompositePodGroup after the pod
// was there. Such a pod is a member of another gang then, and the informer's
// handlers learn of it in the order of the pod's other changes.
type podSource struct {
	assigner *store.Assigner
	store    *store.Store

	mu sync.Mutex
	// unsettled are the pods that may come to be in another gang, as they were last
	// handed on.
	unsettled map[types.UID]*v1.Pod
	// regrouped is closed and replaced when any may.
	regrouped chan struct{}
}

func newPodSource(assigner *store.Assigner, s *store.Store) *podSource {
	p := &podSource{assigner: assigner, store: s, unsettled: map[types.UID]*v1.Pod{}, regrouped: make(chan struct{})}
	s.OnRegroup(p.signalRegroup)
	return p
}

func (p *podSource) signalRegroup() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.unsettled) == 0 {
		return
	}
	close(p.regrouped)
	p.regrouped = make(chan struct{})
}

// note remembers a pod that may come to be in another gang.
func (p *podSource) note(pod *v1.Pod) {
	group := kube.GroupOf(pod)
	settled := group == "" || !p.assigner.IsOurs(pod)
	if !settled {
		_, settled = p.store.ResolveGroup(pod.Namespace, group)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if settled {
		delete(p.unsettled, pod.UID)
		return
	}
	p.unsettled[pod.UID] = pod.DeepCopy() // the informer's transform changes the other
}

func (p *podSource) forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.unsettled, uid)
}

// forgetAll is called before a list: what it leaves out is gone.
func (p *podSource) forgetAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsettled = map[types.UID]*v1.Pod{}
}

// regroupedPods returns the pods that are in another gang than their own by now.
func (p *podSource) regroupedPods() []*v1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*v1.Pod
	for uid, pod := range p.unsettled {
		group := kube.GroupOf(pod)
		switch gang, settled := p.store.ResolveGroup(pod.Namespace, group); {
		case gang != group:
			all = append(all, pod)
		case settled:
			delete(p.unsettled, uid)
		}
	}
	return all
}

// handedOn notes that a pod of those was handed on, unless it has changed since.
func (p *podSource) handedOn(pod *v1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unsettled[pod.UID] == pod {
		delete(p.unsettled, pod.UID)
	}
}

func (p *podSource) changes() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.regrouped
}

// sourceClient is a client whose pods come from a podSource.
type sourceClient struct {
	kubernetes.Interface
	source *podSource
}

// CoreV1 is the core API.
func (c sourceClient) CoreV1() corev1.CoreV1Interface {
	return sourceCore{c.Interface.CoreV1(), c.source}
}

// IsWatchListSemanticsUnSupported reports whether the client cannot list by a watch.
func (c sourceClient) IsWatchListSemanticsUnSupported() bool {
	return watchlist.DoesClientNotSupportWatchListSemantics(c.Interface)
}

type sourceCore struct {
	corev1.CoreV1Interface
	source *podSource
}

// Pods is the API of pods.
func (c sourceCore) Pods(namespace string) corev1.PodInterface {
	return sourcePods{c.CoreV1Interface.Pods(namespace), c.source}
}

type sourcePods struct {
	corev1.PodInterface
	source *podSource
}

// List lists pods.
//
//nolint:revive // the signature is client-go's
func (c sourcePods) List(ctx context.Context, options metav1.ListOptions) (*v1.PodList, error) {
	if options.Continue == "" {
		c.source.forgetAll()
	}
	pods, err := c.PodInterface.List(ctx, options)
	if err != nil {
		return nil, err
	}
	for i := range pods.Items {
		c.source.note(&pods.Items[i])
	}
	return pods, nil
}

// Watch follows pods.
//
//nolint:revive // the signature is client-go's
func (c sourcePods) Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	if options.SendInitialEvents != nil && *options.SendInitialEvents {
		c.source.forgetAll()
	}
	upstream, err := c.PodInterface.Watch(ctx, options)
	if err != nil {
		return nil, err
	}
	w := &podWatch{source: c.source, upstream: upstream, version: options.ResourceVersion, events: make(chan watch.Event), stopped: make(chan struct{})}
	go w.run()
	return w, nil
}

// podWatch is one watch of pods.
type podWatch struct {
	source   *podSource
	upstream watch.Interface
	// version is that of the last event.
	version string
	events  chan watch.Event
	stopped chan struct{}
	stop    sync.Once
}

// Stop ends the watch.
func (w *podWatch) Stop() {
	w.stop.Do(func() { close(w.stopped) })
	w.upstream.Stop()
}

// ResultChan delivers the events; it is closed at the end of the watch.
func (w *podWatch) ResultChan() <-chan watch.Event { return w.events }

func (w *podWatch) run() {
	defer close(w.events)
	for {
		regrouped := w.source.changes()
		if !w.sendRegrouped() {
			return
		}
		select {
		case event, ok := <-w.upstream.ResultChan():
			if !ok || !w.handOn(event) {
				return
			}
		case <-regrouped:
		case <-w.stopped:
			return
		}
	}
}

// handOn hands an event of the API server on.
func (w *podWatch) handOn(event watch.Event) bool {
	if pod, ok := event.Object.(*v1.Pod); ok {
		w.version = pod.ResourceVersion
		switch event.Type {
		case watch.Added, watch.Modified:
			w.source.note(pod)
		case watch.Deleted:
			w.source.forget(pod.UID)
		}
	}
	return w.send(event)
}

// sendRegrouped hands the pods on once more that are in another gang now, and then
// the version of the last event, from which a broken watch is taken up again.
func (w *podWatch) sendRegrouped() bool {
	pods := w.source.regroupedPods()
	for _, pod := range pods {
		if !w.send(watch.Event{Type: watch.Modified, Object: pod.DeepCopy()}) {
			return false
		}
		w.source.handedOn(pod)
	}
	if len(pods) == 0 || w.version == "" {
		return true
	}
	return w.send(watch.Event{Type: watch.Bookmark, Object: &v1.Pod{ObjectMeta: metav1.ObjectMeta{ResourceVersion: w.version}}})
}

func (w *podWatch) send(event watch.Event) bool {
	select {
	case w.events <- event:
		return true
	case <-w.stopped:
		return false
	}
}
