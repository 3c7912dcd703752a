// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
)

func draNode(name, product string, gpus int64) *v1.Node {
	return sandbox.NewNode(name, sandbox.NodeShape{
		Labels: map[string]string{sandbox.ProductLabel: product}, Extended: map[string]int64{gpu: gpus},
	})
}

// TestDRA binds pods itself and writes allocations as a scheduler would.
func TestDRA(t *testing.T) {
	s := start(t, sandbox.Options{})
	require.NoError(t, s.CreateDRANodes(t.Context(), []*v1.Node{draNode("whole", "NVIDIA-H100-80GB-HBM3", 8)}, sandbox.WholeGPUs))
	require.NoError(t, s.CreateDRANodes(t.Context(), []*v1.Node{
		draNode("cut", "NVIDIA-H100-80GB-HBM3", 8), draNode("reset", "NVIDIA-A100-SXM4-40GB", 2), draNode("plain", "Tesla-T4", 1), draNode("empty", "", 0),
	}, sandbox.DynamicMIG), "the classes are there already")
	c := cluster{t, s.Client()}

	t.Run("slices as the driver publishes them", func(t *testing.T) { publishes(t, c) })
	t.Run("a template's claim is made, and gone after the pod", func(t *testing.T) { makesClaims(cluster{t, c.Interface}) })
	t.Run("a pod starts once its claim is its own", func(t *testing.T) { waitsForClaim(cluster{t, c.Interface}) })
	t.Run("an extended resource comes from a claim", func(t *testing.T) { runsOnExtendedClaim(cluster{t, c.Interface}) })
	assert.Empty(t, s.ForbiddenRequests())
}

// slicesOf returns the slices of a node by driver, in the order of names.
func (c cluster) slicesOf(node, driver string) []resourceapi.ResourceSlice {
	list, err := c.ResourceV1().ResourceSlices().List(c.Context(), metav1.ListOptions{
		FieldSelector: "spec.nodeName=" + node + ",spec.driver=" + driver,
	})
	require.NoError(c, err)
	return list.Items
}

func publishes(t *testing.T, c cluster) {
	node, err := c.CoreV1().Nodes().Get(t.Context(), "whole", metav1.GetOptions{})
	require.NoError(t, err)
	assert.NotContains(t, node.Status.Allocatable, v1.ResourceName(gpu))
	assert.Equal(t, "NVIDIA-H100-80GB-HBM3", node.Labels[sandbox.ProductLabel])

	whole := c.slicesOf("whole", sandbox.GPUDriver)
	require.Len(t, whole, 1)
	require.Len(t, whole[0].Spec.Devices, 8)
	assert.Equal(t, "Node", whole[0].OwnerReferences[0].Kind)
	last := whole[0].Spec.Devices[7]
	memory := last.Capacity["memory"].Value
	assert.Equal(t, "gpu-7 NVIDIA H100 80GB HBM3 Hopper 9.0.0 80Gi pci0000:16 1", fmt.Sprintf("%s %s %s %s %s %s %d", last.Name,
		*last.Attributes["productName"].StringValue, *last.Attributes["architecture"].StringValue,
		*last.Attributes["cudaComputeCapability"].VersionValue, memory.String(),
		*last.Attributes["resource.kubernetes.io/pcieRoot"].StringValue, *last.Attributes["resource.kubernetes.io/numaNode"].IntValue))

	cut := c.slicesOf("cut", sandbox.GPUDriver)
	require.Len(t, cut, 9, "the counters, and one slice for each GPU")
	assert.Len(t, cut[0].Spec.SharedCounters, 8)
	// 7 of 1g, one of them with media engines; 4 of 1g with double memory, 3 of
	// 2g, 2 of 3g, one each of 4g and 7g, and the whole device.
	assert.Len(t, cut[1].Spec.Devices, 7+7+4+3+2+1+1+1)
	assert.Equal(t, "gpu-0", cut[1].Spec.Devices[0].Name)
	assert.Equal(t, "gpu-0-mig-1g10gb-19-0", cut[1].Spec.Devices[1].Name)
	assert.Equal(t, "1g.10gb", *cut[1].Spec.Devices[1].Attributes["profile"].StringValue)
	for _, device := range c.slicesOf("reset", sandbox.GPUDriver)[1].Spec.Devices {
		assert.Equal(t, "mig", *device.Attributes["type"].StringValue, "an A100 that is cut is not there as a whole")
	}
	assert.Len(t, c.slicesOf("plain", sandbox.GPUDriver), 1, "a T4 cannot be cut")
	assert.Empty(t, c.slicesOf("empty", sandbox.GPUDriver))
	assert.Len(t, c.slicesOf("plain", sandbox.ComputeDomainDriver), 1)

	class, err := c.ResourceV1().DeviceClasses().Get(t.Context(), sandbox.GPUClass, metav1.GetOptions{})
	require.NoError(t, err)
	assert.Equal(t, gpu, *class.Spec.ExtendedResourceName)
}

// oneGPU asks for one whole GPU.
func oneGPU() resourceapi.ResourceClaimSpec {
	return resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{
		Name: "gpus", Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: sandbox.GPUClass},
	}}}}
}

// allocate gives a claim a device of the node whole, for pods.
func (c cluster) allocate(name, device string, pods ...*v1.Pod) {
	c.Helper()
	claims := c.ResourceV1().ResourceClaims("default")
	claim, err := claims.Get(c.Context(), name, metav1.GetOptions{})
	require.NoError(c, err)
	claim.Status.Allocation = &resourceapi.AllocationResult{
		Devices: resourceapi.DeviceAllocationResult{Results: []resourceapi.DeviceRequestAllocationResult{{
			Request: claim.Spec.Devices.Requests[0].Name, Driver: sandbox.GPUDriver, Pool: "whole", Device: device,
		}}},
		NodeSelector: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
			MatchFields: []v1.NodeSelectorRequirement{{Key: "metadata.name", Operator: v1.NodeSelectorOpIn, Values: []string{"whole"}}},
		}}},
	}
	for _, pod := range pods {
		claim.Status.ReservedFor = append(claim.Status.ReservedFor, resourceapi.ResourceClaimConsumerReference{Resource: "pods", Name: pod.Name, UID: pod.UID})
	}
	_, err = claims.UpdateStatus(c.Context(), claim, metav1.UpdateOptions{})
	require.NoError(c, err)
}

func (c cluster) claimCount() int {
	list, err := c.ResourceV1().ResourceClaims("default").List(c.Context(), metav1.ListOptions{})
	require.NoError(c, err)
	return len(list.Items)
}

func makesClaims(c cluster) {
	_, err := c.ResourceV1().ResourceClaimTemplates("default").Create(c.Context(), &resourceapi.ResourceClaimTemplate{
		ObjectMeta: metav1.ObjectMeta{Name: "one"}, Spec: resourceapi.ResourceClaimTemplateSpec{Spec: oneGPU()},
	}, metav1.CreateOptions{})
	require.NoError(c, err)
	pod := gpuPod("templated", 0)
	pod.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "gpus", ResourceClaimTemplateName: new("one")}}
	pod.Spec.Containers[0].Resources.Claims = []v1.ResourceClaim{{Name: "gpus"}}
	pod.Annotations = map[string]string{sandbox.RunSecondsAnnotation: "0.2"}
	pod, err = c.CoreV1().Pods("default").Create(c.Context(), pod, metav1.CreateOptions{})
	require.NoError(c, err)
	var name string
	require.Eventually(c, func() bool {
		seen, err := c.CoreV1().Pods("default").Get(c.Context(), pod.Name, metav1.GetOptions{})
		if err != nil || len(seen.Status.ResourceClaimStatuses) == 0 {
			return false
		}
		name = *seen.Status.ResourceClaimStatuses[0].ResourceClaimName
		return true
	}, patience, pause)
	c.allocate(name, "gpu-0", pod)
	c.bindMade(pod, "whole")
	c.reach("templated", v1.PodSucceeded)
	require.Eventually(c, func() bool { return c.claimCount() == 0 }, patience, pause, "the pod has ended, its claim is left")
}

func waitsForClaim(c cluster) {
	_, err := c.ResourceV1().ResourceClaims("default").Create(c.Context(), &resourceapi.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "mine"}, Spec: oneGPU(),
	}, metav1.CreateOptions{})
	require.NoError(c, err)
	pod := gpuPod("patient", 0)
	pod.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "gpus", ResourceClaimName: new("mine")}}
	c.bind(pod, "whole")
	misplaced := gpuPod("misplaced", 0)
	misplaced.Spec.ResourceClaims = pod.Spec.ResourceClaims
	c.bind(misplaced, "plain")
	c.waitsBehind("whole")
	c.reach("patient", v1.PodPending)

	c.allocate("mine", "gpu-0") // the controller reserves it for pods that are bound
	c.reach("patient", v1.PodRunning)
	c.waitsBehind("plain")
	c.reach("misplaced", v1.PodPending)
	c.remove("patient")
	c.remove("misplaced")
}

// waitsBehind returns when the kubelets have handled what was bound so far.
func (c cluster) waitsBehind(node string) {
	c.Helper()
	c.bind(gpuPod("probe", 0), node)
	c.reach("probe", v1.PodRunning)
	c.remove("probe")
}

func runsOnExtendedClaim(c cluster) {
	c.bind(gpuPod("unserved", 1), "whole")
	assert.Equal(c, "UnexpectedAdmissionError", c.reach("unserved", v1.PodFailed).Status.Reason)

	pod, err := c.CoreV1().Pods("default").Create(c.Context(), gpuPod("served", 1), metav1.CreateOptions{})
	require.NoError(c, err)
	claim := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{
		Name: "served-extended-resources-x", Annotations: map[string]string{resourceapi.ExtendedResourceClaimAnnotation: "true"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: new(true)}},
	}, Spec: oneGPU()}
	_, err = c.ResourceV1().ResourceClaims("default").Create(c.Context(), claim, metav1.CreateOptions{})
	require.NoError(c, err)
	c.allocate(claim.Name, "gpu-1", pod)
	pod.Status.ExtendedResourceClaimStatus = &v1.PodExtendedResourceClaimStatus{
		ResourceClaimName: claim.Name,
		RequestMappings:   []v1.ContainerExtendedResourceRequest{{ContainerName: "main", ResourceName: gpu, RequestName: "gpus"}},
	}
	_, err = c.CoreV1().Pods("default").UpdateStatus(c.Context(), pod, metav1.UpdateOptions{})
	require.NoError(c, err)
	c.bindMade(pod, "whole")
	c.reach("served", v1.PodRunning)
	c.remove("served")
	require.Eventually(c, func() bool {
		_, err := c.ResourceV1().ResourceClaims("default").Get(context.Background(), claim.Name, metav1.GetOptions{})
		return err != nil
	}, patience, pause, "the pod is gone, its claim is left")
}
