// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	resourcehelper "k8s.io/component-helpers/resource"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// nodeChanges are the changes of a node that plans look at.
const nodeChanges = fwk.Add | fwk.UpdateNodeAllocatable | fwk.UpdateNodeLabel | fwk.UpdateNodeTaint

// clusterWatch turns what informers say of pods, nodes and groups into events of
// the queue. kube-scheduler's own hints would be asked for each event about each
// pending pod.
type clusterWatch struct {
	step   func(queue.Event)
	forget func(types.UID) // a group that is gone
	// groupOf is the group that the markers of a pod name, "" for none.
	groupOf func(*v1.Pod) string
}

// watchCluster starts to follow the cluster.
func watchCluster(gangs *gangQueue) error {
	w := &clusterWatch{step: func(e queue.Event) { gangs.step(e) }, forget: gangs.forgetGang, groupOf: gangs.reports.groups.GroupOf}
	gangs.reports.groups.FollowNominations(w.onNominated)
	factory := gangs.handle.SharedInformerFactory()
	if _, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { w.onPodUpsert(nil, obj) },
		UpdateFunc: w.onPodUpsert,
		DeleteFunc: w.onPodDelete,
	}); err != nil {
		return err
	}
	if _, err := factory.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { w.onNodeUpsert(nil, obj) },
		UpdateFunc: w.onNodeUpsert,
		DeleteFunc: w.onNodeDelete,
	}); err != nil {
		return err
	}
	_, err := factory.Scheduling().V1beta1().PodGroups().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    w.onGroupUpsert,
		UpdateFunc: func(_, obj any) { w.onGroupUpsert(obj) },
		DeleteFunc: w.onGroupDelete,
	})
	return err
}

// lastState is the last known state of an object that is gone.
func lastState(obj any) any {
	if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		return gone.Obj
	}
	return obj
}

// onPodUpsert follows a pod that is new or not what it was.
func (w *clusterWatch) onPodUpsert(before, after any) {
	pod, ok := after.(*v1.Pod)
	if !ok {
		return
	}
	old, _ := before.(*v1.Pod)
	if isTerminating(pod) && (old == nil || !isTerminating(old)) {
		w.step(terminatingEvent(pod))
	}
	if pod.Spec.NodeName == "" {
		w.onWaiting(old, pod)
		return
	}
	if old == nil || old.Spec.NodeName == "" {
		w.step(queue.PodAssigned{Pod: string(pod.UID), Priority: corev1helpers.PodPriority(pod)})
		w.recheckGangOf(pod)
	} else if gave := requestsOf(old).Excess(requestsOf(pod)); len(gave) > 0 {
		w.step(queue.PodResized{Gave: gave})
	}
}

// onWaiting follows a pod without a node.
func (w *clusterWatch) onWaiting(old, pod *v1.Pod) {
	if old == nil || old.Generation != pod.Generation {
		w.recheckGangOf(pod)
	}
	nominated := ""
	if old != nil {
		nominated = old.Status.NominatedNodeName
	}
	if pod.Status.NominatedNodeName != nominated {
		w.onNominated(pod, pod.Status.NominatedNodeName)
	}
}

// onNominated notes the node that a pod is promised, "" for none.
func (w *clusterWatch) onNominated(pod *v1.Pod, node string) {
	w.step(queue.PodNominated{
		Pod: string(pod.UID), Gang: gangOf(pod), Node: node, Priority: corev1helpers.PodPriority(pod), Needs: requestsOf(pod),
	})
}

// recheckGangOf has the gang of a pod read again. A gated member has no group yet:
// to how many of them the gang has come is told, and starts nothing.
func (w *clusterWatch) recheckGangOf(pod *v1.Pod) {
	gang := gangOf(pod)
	if gang == "" && kube.IsGated(pod) {
		if group := w.groupOf(pod); group != "" {
			gang = pod.Namespace + "/" + group
		}
	}
	if gang != "" {
		w.step(queue.GangChanged{Gang: gang})
	}
}

// isTerminating reports whether a pod was told to end and holds its room still.
func isTerminating(pod *v1.Pod) bool { return kube.MemberStateOf(pod) == kube.MemberTerminating }

// terminatingEvent is the event of a pod that was told to end.
func terminatingEvent(pod *v1.Pod) queue.PodTerminating {
	return queue.PodTerminating{
		Pod: string(pod.UID), Gang: gangOf(pod), Node: pod.Spec.NodeName, Name: pod.Namespace + "/" + pod.Name, GangName: gangName(pod),
		Priority: corev1helpers.PodPriority(pod), Gives: requestsOf(pod), Until: pod.DeletionTimestamp.Time,
		Preempted: isPreempted(pod),
	}
}

// isPreempted reports whether a scheduler told a pod to make room for another one.
func isPreempted(pod *v1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c v1.PodCondition) bool {
		return c.Type == v1.DisruptionTarget && c.Status == v1.ConditionTrue && c.Reason == v1.PodReasonPreemptionByScheduler
	})
}

// onPodDelete follows a pod that is gone. The last known state of one that went
// unseen may be from before it had a node.
func (w *clusterWatch) onPodDelete(obj any) {
	pod, ok := lastState(obj).(*v1.Pod)
	if !ok {
		return
	}
	gone := queue.PodDeleted{Pod: string(pod.UID), Gang: gangOf(pod), Node: pod.Spec.NodeName, Preempted: isPreempted(pod)}
	if _, unseen := obj.(cache.DeletedFinalStateUnknown); unseen || pod.Spec.NodeName != "" {
		gone.Gave = requestsOf(pod)
	}
	w.step(gone)
	if kube.IsGated(pod) {
		w.recheckGangOf(pod)
	}
}

// onNodeUpsert follows a node that is new or not what it was.
func (w *clusterWatch) onNodeUpsert(before, after any) {
	node, ok := after.(*v1.Node)
	if !ok {
		return
	}
	old, _ := before.(*v1.Node)
	relevant := func(event fwk.ClusterEvent) bool { return event.ActionType&nodeChanges != 0 }
	w.step(queue.NodeChanged{
		Node: node.Name, Version: nodeVersion(node),
		Relevant: old == nil || slices.ContainsFunc(framework.NodeSchedulingPropertiesChange(node, old), relevant),
	})
}

func (w *clusterWatch) onNodeDelete(obj any) {
	if node, ok := lastState(obj).(*v1.Node); ok {
		w.step(queue.NodeDeleted{Node: node.Name})
	}
}

func (w *clusterWatch) onGroupUpsert(obj any) {
	if pg, ok := obj.(*schedulingapi.PodGroup); ok {
		w.step(queue.GangChanged{Gang: pg.Namespace + "/" + pg.Name})
	}
}

func (w *clusterWatch) onGroupDelete(obj any) {
	if pg, ok := lastState(obj).(*schedulingapi.PodGroup); ok {
		w.forget(pg.UID)
	}
}

// gangOf is the namespace/name of a pod's group, "" for a single pod.
func gangOf(pod *v1.Pod) string {
	if group := kube.GroupOf(pod); group != "" {
		return pod.Namespace + "/" + group
	}
	return ""
}

// gangName is what users call a pod's gang, "" for a single pod.
func gangName(pod *v1.Pod) string {
	_, name := kube.SplitGroupName(kube.GroupOf(pod))
	return name
}

// requestsOf is what a pod takes from its node: the most that the scheduler may
// have counted for it, which during a resize is more than it asks for.
func requestsOf(pod *v1.Pod) queue.Quantities {
	took := queue.Quantities{string(v1.ResourcePods): 1}
	for name, quantity := range resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{
		UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true,
	}) {
		took[string(name)] = kube.ResourceUnits(name, quantity)
	}
	return took
}

// nodeVersion tells the states of a node apart.
func nodeVersion(node *v1.Node) string { return string(node.UID) + "/" + node.ResourceVersion }

// snapshotView is a snapshot of the scheduler as the queue reads it.
type snapshotView struct{ nodes fwk.NodeInfoLister }

// HasPod reports whether the snapshot counts a pod on a node.
func (s snapshotView) HasPod(node, pod string) bool {
	info, err := s.nodes.Get(node)
	return err == nil && countsPod(info, types.UID(pod))
}

// countsPod reports whether a record of a node counts a pod.
func countsPod(info fwk.NodeInfo, pod types.UID) bool {
	return slices.ContainsFunc(info.GetPods(), func(p fwk.PodInfo) bool { return p.GetPod().UID == pod })
}

// NodeVersion is the version of a node, "" if it is not there.
func (s snapshotView) NodeVersion(node string) string {
	info, err := s.nodes.Get(node)
	if err != nil || info.Node() == nil {
		return ""
	}
	return nodeVersion(info.Node())
}
