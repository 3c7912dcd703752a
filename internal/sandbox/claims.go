// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"fmt"
	"sync"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	resourcelisters "k8s.io/client-go/listers/resource/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/features"
)

// claimGate holds bound pods back whose ResourceClaims are not theirs to use,
// as the kubelet's DRA manager does (pkg/kubelet/cm/dra, PrepareResources): the
// pod stays Pending, and starts once the claim is allocated and reserved for it.
type claimGate struct {
	claims resourcelisters.ResourceClaimLister

	mu   sync.Mutex
	held map[types.UID]heldPod
}

// heldPod is a pod that waits for its claims, on a node as it was then.
type heldPod struct {
	pod  *v1.Pod
	node *v1.Node
}

func newClaimGate(claims resourcelisters.ResourceClaimLister) *claimGate {
	return &claimGate{claims: claims, held: map[types.UID]heldPod{}}
}

// holdPod reports whether a pod has to wait for a claim, and remembers it until
// readyPods or dropPod.
func (g *claimGate) holdPod(pod *v1.Pod, node *v1.Node) bool {
	if len(claimsOf(pod)) == 0 {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.checkClaims(pod, node)
	if err == nil {
		delete(g.held, pod.UID)
		return false
	}
	klog.Background().Info("A pod waits for its claims", "pod", klog.KObj(pod), "node", node.Name, "reason", err)
	g.held[pod.UID] = heldPod{pod, node}
	return true
}

// readyPods returns the pods of a namespace that need not wait any longer, and
// forgets them.
func (g *claimGate) readyPods(namespace string) (ready []*v1.Pod) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for uid, held := range g.held {
		if held.pod.Namespace == namespace && g.checkClaims(held.pod, held.node) == nil {
			delete(g.held, uid)
			ready = append(ready, held.pod)
		}
	}
	return ready
}

// dropPod forgets a pod that ended or is gone.
func (g *claimGate) dropPod(uid types.UID) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.held, uid)
}

// checkClaims returns why a pod may not have the devices of its claims on a
// node, or nil.
func (g *claimGate) checkClaims(pod *v1.Pod, node *v1.Node) error {
	for _, entry := range claimsOf(pod) {
		name, mustOwn, err := resourceclaim.Name(pod, &entry)
		if err != nil {
			return err
		}
		if name == nil {
			continue // the template made none, on purpose
		}
		claim, err := g.claims.ResourceClaims(pod.Namespace).Get(*name)
		if err != nil {
			return err
		}
		if err := checkClaim(pod, node, claim, mustOwn); err != nil {
			return err
		}
	}
	return nil
}

// checkClaim returns why a pod may not have the devices of one claim.
func checkClaim(pod *v1.Pod, node *v1.Node, claim *resourceapi.ResourceClaim, mustOwn bool) error {
	ofGroups := utilfeature.DefaultFeatureGate.Enabled(features.DRAWorkloadResourceClaims)
	if mustOwn {
		if err := resourceclaim.IsForPod(pod, claim, ofGroups); err != nil {
			return err
		}
	}
	if !resourceclaim.IsReservedForPod(pod, claim, ofGroups) {
		return fmt.Errorf("pod %s (%s) is not allowed to use ResourceClaim %s (%s)", pod.Name, pod.UID, claim.Name, claim.UID)
	}
	if claim.Status.Allocation == nil {
		return fmt.Errorf("ResourceClaim %s: not allocated", claim.Name)
	}
	where := claim.Status.Allocation.NodeSelector
	if where == nil {
		return nil
	}
	// A driver has only the devices of its own node to prepare.
	selector, err := nodeaffinity.NewNodeSelector(where)
	if err != nil {
		return fmt.Errorf("ResourceClaim %s: %w", claim.Name, err)
	}
	if !selector.Match(node) {
		return fmt.Errorf("ResourceClaim %s: its devices are not on node %s", claim.Name, node.Name)
	}
	return nil
}

// claimsOf lists the claims of a pod: its own, and the one that the scheduler
// made for extended resources that a DeviceClass stands for.
func claimsOf(pod *v1.Pod) []v1.PodResourceClaim {
	claims := pod.Spec.ResourceClaims
	if extended := pod.Status.ExtendedResourceClaimStatus; extended != nil {
		claims = append(claims[:len(claims):len(claims)], v1.PodResourceClaim{ResourceClaimName: &extended.ResourceClaimName})
	}
	return claims
}

// hasDevicesByDRA reports whether a pod gets an extended resource from a claim
// that the scheduler made for it.
func hasDevicesByDRA(pod *v1.Pod, name v1.ResourceName) bool {
	extended := pod.Status.ExtendedResourceClaimStatus
	if extended == nil {
		return false
	}
	for _, mapping := range extended.RequestMappings {
		if mapping.ResourceName == string(name) {
			return true
		}
	}
	return false
}
