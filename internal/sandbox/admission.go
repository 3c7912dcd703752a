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
	rejected map[types.UID]*rejection
}

// hostedPods are the pods of one node.
type hostedPods struct {
	node     *v1.Node // nil as long as the node was not seen
	admitted map[types.UID]*v1.Pod
	waiting  []*v1.Pod // bound before the node was seen, in that order
}

// rejection is why a kubelet refuses a pod, in the words of its status.
type rejection struct{ Reason, Message string }

func newAdmission() *admission {
	return &admission{nodes: map[string]*hostedPods{}, rejected: map[types.UID]*rejection{}}
}

func (a *admission) host(node string) *hostedPods {
	host, found := a.nodes[node]
	if !found {
		host = &hostedPods{admitted: map[types.UID]*v1.Pod{}}
		a.nodes[node] = host
	}
	return host
}

// decide admits or rejects a bound pod the first time that it sees it. It
// reports false while the pod's node is unknown; setNode hands it out then.
func (a *admission) decide(ctx context.Context, pod *v1.Pod) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	host := a.host(pod.Spec.NodeName)
	if _, known := a.rejected[pod.UID]; known {
		return true
	}
	if _, known := host.admitted[pod.UID]; known {
		host.admitted[pod.UID] = pod // the newest version; the old one can be freed
		return true
	}
	if host.node == nil {
		host.forget(pod)
		host.waiting = append(host.waiting, pod)
		return false
	}
	a.judge(ctx, host, pod)
	return true
}

// judge admits or rejects pod. The lock is held.
func (a *admission) judge(ctx context.Context, host *hostedPods, pod *v1.Pod) {
	if why := host.reject(ctx, pod); why != nil {
		a.rejected[pod.UID] = why
	} else {
		host.admitted[pod.UID] = pod
	}
}

// release gives back what a pod held, because it ended or is gone.
func (a *admission) release(pod *v1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	host := a.host(pod.Spec.NodeName)
	delete(a.rejected, pod.UID)
	delete(host.admitted, pod.UID)
	host.forget(pod)
}

// setNode takes note of a node as it is now, and returns the pods that were
// waiting for it, now decided upon. That happens in one step, so that a pod
// which is deleted meanwhile is not admitted after its release.
func (a *admission) setNode(ctx context.Context, node *v1.Node) []*v1.Pod {
	a.mu.Lock()
	defer a.mu.Unlock()
	host := a.host(node.Name)
	host.node = node
	decided := host.waiting
	host.waiting = nil
	for _, pod := range decided {
		a.judge(ctx, host, pod)
	}
	return decided
}

// dropNode forgets a node, but not its pods: they hold it if it comes back.
func (a *admission) dropNode(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.host(name).node = nil
}

// verdict is why the pod was rejected, nil if it was not.
func (a *admission) verdict(uid string) *rejection {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.rejected[types.UID(uid)]
}

// forget takes pod off the waiting list.
func (h *hostedPods) forget(pod *v1.Pod) {
	h.waiting = slices.DeleteFunc(h.waiting, func(p *v1.Pod) bool { return p.UID == pod.UID })
}

// reject asks the kubelet's admission code.
func (h *hostedPods) reject(ctx context.Context, pod *v1.Pod) *rejection {
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
	return &rejection{Reason: result.Reason, Message: "Pod was rejected: " + result.Message}
}

// devicesExist stands in for the kubelet's device manager, which fails a pod
// that wants devices of a kind the node does not have. The arithmetic that
// follows it ignores such resources.
func devicesExist(info *schedulerframework.NodeInfo, attrs *lifecycle.PodAdmitAttributes) error {
	requests := resourcehelper.PodRequests(attrs.Pod, resourcehelper.PodResourcesOptions{})
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		want := requests[name]
		if _, offered := info.Node().Status.Allocatable[name]; !offered && v1helper.IsExtendedResourceName(name) {
			return fmt.Errorf("requested number of devices unavailable for %s: requested %s, available 0", name, want.String())
		}
	}
	return nil
}
