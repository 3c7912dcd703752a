// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/util"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// settle is how long the scheduler's cache may take to follow an event that
// this plugin has seen. A gang that was refused that soon after a change is
// tried once more, since it may have been planned on the older picture.
const settle = 300 * time.Millisecond

// EventsToRegister names the events that can help a refused gang: a member or
// its group appears or changes, room is freed, a node appears or changes.
func (pl *Plugin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: fwk.UnscheduledPod, ActionType: fwk.Add | fwk.Delete}, QueueingHintFn: pl.hintSameGang},
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.Add}, QueueingHintFn: pl.hintSameGang},
		{Event: fwk.ClusterEvent{Resource: fwk.AssignedPod, ActionType: fwk.Delete | fwk.UpdatePodScaleDown}, QueueingHintFn: pl.hintPodGone},
		{Event: fwk.ClusterEvent{Resource: fwk.PodGroup, ActionType: fwk.Add | fwk.Update}, QueueingHintFn: pl.hintSameGroup},
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: fwk.Add | fwk.UpdateNodeAllocatable | fwk.UpdateNodeLabel | fwk.UpdateNodeTaint}, QueueingHintFn: pl.hintNode},
	}, nil
}

// hintSameGang wakes a gang when one of its own members came or went.
func (pl *Plugin) hintSameGang(_ klog.Logger, pod *v1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	before, after, err := util.As[*v1.Pod](oldObj, newObj)
	if err != nil {
		return fwk.Queue, err
	}
	other := after
	if other == nil {
		other = before
	}
	if !sameGang(pod, other) {
		return fwk.QueueSkip, nil
	}
	pl.unpark(pod)
	return fwk.Queue, nil
}

// hintPodGone wakes a gang when a pod that goes gives back what it lacks.
func (pl *Plugin) hintPodGone(_ klog.Logger, pod *v1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	gone, _, err := util.As[*v1.Pod](oldObj, newObj)
	if err != nil {
		return fwk.Queue, err
	}
	if sameGang(pod, gone) {
		pl.unpark(pod)
		return fwk.Queue, nil
	}
	return pl.hintCapacity(pod, func(resource string) bool {
		if resource == string(v1.ResourcePods) {
			return true
		}
		_, ok := kube.Requests(gone)[v1.ResourceName(resource)]
		return ok
	}), nil
}

// hintNode wakes a gang when a node appears or changes in what plans look at.
func (pl *Plugin) hintNode(_ klog.Logger, pod *v1.Pod, _, _ any) (fwk.QueueingHint, error) {
	return pl.hintCapacity(pod, func(string) bool { return true }), nil
}

// hintSameGroup wakes a gang when its group appears or changes.
func (pl *Plugin) hintSameGroup(_ klog.Logger, pod *v1.Pod, oldObj, newObj any) (fwk.QueueingHint, error) {
	_, pg, err := util.As[*schedulingapi.PodGroup](oldObj, newObj)
	if err != nil {
		return fwk.Queue, err
	}
	if group, ok := groupName(pod); !ok || group != pg.Name || pod.Namespace != pg.Namespace {
		return fwk.QueueSkip, nil
	}
	pl.unpark(pod)
	return fwk.Queue, nil
}

// hintCapacity notes for a parked gang that there may be room. The waker then
// brings it back, without the queue's backoff of seconds.
func (pl *Plugin) hintCapacity(pod *v1.Pod, frees func(resource string) bool) fwk.QueueingHint {
	pg := pl.groupOf(pod)
	if pg == nil {
		return fwk.Queue
	}
	pl.gangs.help(pg.UID, frees, pl.now())
	return fwk.QueueSkip
}

func (pl *Plugin) unpark(pod *v1.Pod) {
	if pg := pl.groupOf(pod); pg != nil {
		pl.gangs.unpark(pg.UID)
	}
}

// groupOf returns the group of a pod, or nil when it has none or it is unknown.
func (pl *Plugin) groupOf(pod *v1.Pod) *schedulingapi.PodGroup {
	group, ok := groupName(pod)
	if !ok {
		return nil
	}
	pg, err := pl.handle.PodGroupManager().PodGroups().Get(pod.Namespace, group)
	if err != nil {
		return nil
	}
	return pg
}

func sameGang(a, b *v1.Pod) bool {
	x, okX := groupName(a)
	y, okY := groupName(b)
	return okX && okY && x == y && a.Namespace == b.Namespace
}

// watchCluster follows what the queue's events do not tell in time: when the
// cluster last moved, and which groups are gone.
func (pl *Plugin) watchCluster() error {
	factory := pl.handle.SharedInformerFactory()
	moved := func() { pl.lastMove.Store(pl.now().UnixNano()) }
	if _, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		DeleteFunc: func(any) { moved() },
	}); err != nil {
		return err
	}
	if _, err := factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { moved() },
		UpdateFunc: func(any, any) { moved() },
	}); err != nil {
		return err
	}
	_, err := factory.Scheduling().V1beta1().PodGroups().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if pg, ok := obj.(*schedulingapi.PodGroup); ok {
				pl.gangs.forget(pg.UID)
				pl.reports.forget(pg.UID)
			}
		},
	})
	return err
}

func (pl *Plugin) clusterMovedSince(t time.Time) bool {
	return pl.lastMove.Load() >= t.UnixNano()
}

// runWaker activates gangs whose turn came without an event of their own.
func (pl *Plugin) runWaker(ctx context.Context) {
	tick, slow := time.NewTicker(firstPace), time.NewTicker(time.Second)
	defer tick.Stop()
	defer slow.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			pl.gangs.rechecks(pl.now())
		case <-slow.C:
			pl.releaseStale(ctx)
		case <-pl.gangs.wake:
		}
		for _, pod := range pl.gangs.takeDue() {
			pl.handle.Activate(klog.FromContext(ctx), map[string]*v1.Pod{pod.Namespace + "/" + pod.Name: pod})
		}
	}
}
