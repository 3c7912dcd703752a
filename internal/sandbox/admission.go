// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	resourcehelper "k8s.io/component-helpers/resource"
	v1helper "k8s.io/kubernetes/pkg/apis/core/v1/helper"
	"k8s.io/kubernetes/pkg/kubelet/lifecycle"
	schedulerframework "k8s.io/kubernetes/pkg/scheduler/framework"
)

// admission decides for every node, as its kubelet would, whether a pod that
// was bound to it may run. The rule is the real kubelet's own code: requests
// of all pods that have not ended against the node's allocatable, over every
// resource, beside node affinity, host ports and taints.
type admission struct {
	mu    sync.Mutex
	nodes map[string]*hostedPods
	// rejected pods, until they are gone.
	rejected map[types.UID]*admissionFailure
}

// hostedPods are the pods of one node.
type hostedPods struct {
	node     *v1.Node // nil as long as the node was not seen
	admitted map[types.UID]*v1.Pod
	waiting  []*v1.Pod // bound before the node was seen, in that order
}

// admissionFailure is why a kubelet refuses a pod, in the words of its status.
type admissionFailure struct{ Reason, Message string }

func newAdmission() *admission {
	return &admission{nodes: map[string]*hostedPods{}, rejected: map[types.UID]*admissionFailure{}}
}

// podsOn returns the record of a node and creates it if there is none. The lock
// is held.
func (a *admission) podsOn(node string) *hostedPods {
	host, found := a.nodes[node]
	if !found {
		host = &hostedPods{admitted: map[types.UID]*v1.Pod{}}
		a.nodes[node] = host
	}
	return host
}

// admitOnce admits or rejects a bound pod the first time that it sees it. It
// reports false while the pod's node is unknown; setNode returns it then.
func (a *admission) admitOnce(ctx context.Context, pod *v1.Pod) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	host := a.podsOn(pod.Spec.NodeName)
	if _, known := a.rejected[pod.UID]; known {
		return true
	}
	if _, known := host.admitted[pod.UID]; known {
		host.admitted[pod.UID] = pod // the newest version; the old one can be freed
		return true
	}
	if host.node == nil {
		host.dropWaiting(pod)
		host.waiting = append(host.waiting, pod)
		return false
	}
	a.checkPod(ctx, host, pod)
	return true
}

// checkPod admits or rejects pod. The lock is held.
func (a *admission) checkPod(ctx context.Context, host *hostedPods, pod *v1.Pod) {
	if why := host.tryAdmit(ctx, pod); why != nil {
		a.rejected[pod.UID] = why
	} else {
		host.admitted[pod.UID] = pod
	}
}

// releasePod frees what a pod held, because it ended or is gone.
func (a *admission) releasePod(pod *v1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	host := a.podsOn(pod.Spec.NodeName)
	delete(a.rejected, pod.UID)
	delete(host.admitted, pod.UID)
	host.dropWaiting(pod)
}

// setNode records a node as it is now, and returns the pods that were waiting
// for it, now decided upon. That happens in one step, so that a pod which is
// deleted meanwhile is not admitted after its release.
func (a *admission) setNode(ctx context.Context, node *v1.Node) []*v1.Pod {
	a.mu.Lock()
	defer a.mu.Unlock()
	host := a.podsOn(node.Name)
	host.node = node
	decided := host.waiting
	host.waiting = nil
	for _, pod := range decided {
		a.checkPod(ctx, host, pod)
	}
	return decided
}

// nodeOf returns the node of a pod as it was last seen, nil if it is not there.
func (a *admission) nodeOf(pod *v1.Pod) *v1.Node {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.podsOn(pod.Spec.NodeName).node
}

// dropNode forgets a node, but not its pods: they hold it if it comes back.
func (a *admission) dropNode(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.podsOn(name).node = nil
}

// rejectionOf returns why the pod was rejected, nil if it was not. A stage of
// kwok calls it.
func (a *admission) rejectionOf(uid string) *admissionFailure {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rejected[types.UID(uid)]
}

// dropWaiting takes pod off the list of those that wait for their node.
func (h *hostedPods) dropWaiting(pod *v1.Pod) {
	h.waiting = slices.DeleteFunc(h.waiting, func(p *v1.Pod) bool { return p.UID == pod.UID })
}

// tryAdmit returns what the kubelet's admission code has against a pod, or nil.
func (h *hostedPods) tryAdmit(ctx context.Context, pod *v1.Pod) *admissionFailure {
	handler := lifecycle.NewPredicateAdmitHandler(
		func(context.Context, bool) (*v1.Node, error) { return h.node, nil },
		lifecycle.NewAdmissionFailureHandlerStub(),
		devicesExist)
	result := handler.Admit(ctx, &lifecycle.PodAdmitAttributes{
		Pod:       pod,
		OtherPods: slices.Collect(maps.Values(h.admitted)),
	})
	if result.Admit {
		return nil
	}
	return &admissionFailure{Reason: result.Reason, Message: "Pod was rejected: " + result.Message}
}

// devicesExist stands in for the kubelet's device manager, which fails a pod
// that wants devices of a kind the node does not have. The arithmetic that
// follows it ignores such resources. What the pod gets by DRA is not the device
// manager's; claimGate answers for it.
func devicesExist(info *schedulerframework.NodeInfo, attrs *lifecycle.PodAdmitAttributes) error {
	requests := resourcehelper.PodRequests(attrs.Pod, resourcehelper.PodResourcesOptions{})
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		want := requests[name]
		_, offered := info.Node().Status.Allocatable[name]
		if !offered && v1helper.IsExtendedResourceName(name) && !hasDevicesByDRA(attrs.Pod, name) {
			return fmt.Errorf("requested number of devices unavailable for %s: requested %s, available 0", name, want.String())
		}
	}
	return nil
}
