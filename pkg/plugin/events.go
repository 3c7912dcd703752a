// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// nodeChanges are the changes of a node that plans look at.
const nodeChanges = fwk.Add | fwk.UpdateNodeAllocatable | fwk.UpdateNodeLabel | fwk.UpdateNodeTaint

// EventsToRegister names the events that can help a single pod that Muster kept
// off every node. The queue asks about each pending pod at each event, so what
// helps gangs is followed by watchCluster instead.
func (pl *Plugin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: nodeChanges}, QueueingHintFn: hintSingle},
		{Event: fwk.ClusterEvent{Resource: fwk.TargetPod, ActionType: fwk.UpdatePodLabel}, QueueingHintFn: hintSingle},
	}, nil
}

func hintSingle(_ klog.Logger, pod *v1.Pod, _, _ any) (fwk.QueueingHint, error) {
	if kube.GroupOf(pod) != "" {
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}

// watchCluster follows what can help a gang that is kept out of the queue: its
// members and its group, pods that leave, and nodes.
func (pl *Plugin) watchCluster() error {
	factory := pl.handle.SharedInformerFactory()
	if _, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { pl.podCame(nil, obj) },
		UpdateFunc: pl.podCame,
		DeleteFunc: pl.podWent,
	}); err != nil {
		return err
	}
	if _, err := factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { pl.nodeChanged(nil, obj) },
		UpdateFunc: pl.nodeChanged,
		DeleteFunc: func(obj any) {
			if node, ok := last(obj).(*v1.Node); ok {
				pl.gangs.gone(node.Name)
			}
		},
	}); err != nil {
		return err
	}
	groupChanged := func(obj any) {
		if pg, ok := obj.(*schedulingapi.PodGroup); ok {
			pl.gangs.mark(pg.Namespace+"/"+pg.Name, pl.now())
		}
	}
	_, err := factory.Scheduling().V1beta1().PodGroups().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    groupChanged,
		UpdateFunc: func(_, obj any) { groupChanged(obj) },
		DeleteFunc: func(obj any) {
			if pg, ok := last(obj).(*schedulingapi.PodGroup); ok {
				pl.gangs.forget(pg.UID)
				pl.reports.forget(pg.UID)
			}
		},
	})
	return err
}

// last is the last known state of an object that is gone.
func last(obj any) any {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		return gone.Obj
	}
	return obj
}

// podCame follows a pod that is new or not what it was.
func (pl *Plugin) podCame(before, after any) {
	pod, ok := after.(*v1.Pod)
	if !ok {
		return
	}
	old, _ := before.(*v1.Pod)
	if pod.Spec.NodeName == "" {
		if old == nil || old.Generation != pod.Generation {
			pl.notice(pod)
		}
		return
	}
	switch {
	case old == nil || old.Spec.NodeName == "":
		pl.gangs.took(pod)
		pl.notice(pod)
	default:
		if gave := amountsOf(old).less(amountsOf(pod)); len(gave) > 0 {
			pl.gangs.shrank(gave, pl.now())
		}
	}
}

// podWent follows a pod that is gone.
func (pl *Plugin) podWent(obj any) {
	pod, ok := last(obj).(*v1.Pod)
	if !ok {
		return
	}
	// The last known state of a pod that went unseen may be from before it had
	// a node.
	if _, unseen := obj.(cache.DeletedFinalStateUnknown); unseen || pod.Spec.NodeName != "" {
		pl.gangs.left(pod, pod.Spec.NodeName, pl.now())
	}
	pl.notice(pod)
}

// nodeChanged follows a node that is new or not what it was.
func (pl *Plugin) nodeChanged(before, after any) {
	node, ok := after.(*v1.Node)
	if !ok {
		return
	}
	old, _ := before.(*v1.Node)
	matters := func(event fwk.ClusterEvent) bool { return event.ActionType&nodeChanges != 0 }
	pl.gangs.changed(node, old == nil || slices.ContainsFunc(framework.NodeSchedulingPropertiesChange(node, old), matters), pl.now())
}
