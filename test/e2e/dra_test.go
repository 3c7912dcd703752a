// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// template creates a template of claims for devices of a class; each selector is
// an expression of CEL.
func (c *cluster) template(name, class string, count int64, selectors ...string) {
	c.t.Helper()
	request := &resourceapi.ExactDeviceRequest{DeviceClassName: class, AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: count}
	for _, expression := range selectors {
		request.Selectors = append(request.Selectors, resourceapi.DeviceSelector{CEL: &resourceapi.CELDeviceSelector{Expression: expression}})
	}
	_, err := c.client.ResourceV1().ResourceClaimTemplates(c.namespace).Create(background, &resourceapi.ResourceClaimTemplate{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: resourceapi.ResourceClaimTemplateSpec{Spec: resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{
			Requests: []resourceapi.DeviceRequest{{Name: "devices", Exactly: request}},
		}}},
	}, metav1.CreateOptions{})
	require.NoError(c.t, err)
}

// claimsDevices gives a pod a claim from a template in place of GPUs by name.
func claimsDevices(template string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "devices", ResourceClaimTemplateName: &template}}
		p.Spec.Containers[0].Resources = v1.ResourceRequirements{Claims: []v1.ResourceClaim{{Name: "devices"}}}
	}
}

// devices lists the devices of each claim that is allocated, by the pod that the
// claim is reserved for.
func (c *cluster) devices() map[string][]string {
	list, err := c.client.ResourceV1().ResourceClaims(c.namespace).List(background, metav1.ListOptions{})
	if !assert.NoError(c.t, err) {
		return nil
	}
	devices := map[string][]string{}
	for _, claim := range list.Items {
		if claim.Status.Allocation == nil || len(claim.Status.ReservedFor) == 0 {
			continue
		}
		pod := claim.Status.ReservedFor[0].Name
		for _, result := range claim.Status.Allocation.Devices.Results {
			devices[pod] = append(devices[pod], result.Device)
		}
	}
	return devices
}

// TestDRA_Pods has pods that are no gang get their devices by both ways, and give
// them back.
func TestDRA_Pods(t *testing.T) {
	c := newDRACluster(t, sandbox.WholeGPUs, node("n0", nil, 4))
	c.template("four", sandbox.GPUClass, 4)
	c.create(pod("claim-0", 0, claimsDevices("four")))
	c.awaitRunning("claim", 1)
	assert.Len(t, c.devices()["claim-0"], 4)

	c.create(pod("plain-0", 4))
	c.passTurn()
	assert.Equal(t, v1.PodPending, c.pods("plain-")[0].Status.Phase, "all devices are taken")
	c.remove("claim-0")
	c.awaitRunning("plain", 1)
	assert.Equal(t, map[string][]string{"plain-0": {"gpu-0", "gpu-1", "gpu-2", "gpu-3"}}, c.devices())
}

// TestDRA_LinkedPairs has GPUs bridged in pairs, each with the one four further:
// pods of two get a pair, and singles take from a broken one.
func TestDRA_LinkedPairs(t *testing.T) {
	n := node("n0", nil, 8)
	n.Annotations = map[string]string{"muster.sh/gpu-links": "SYS;SYS,SYS;SYS,SYS,SYS;NV12,SYS,SYS,SYS;SYS,NV12,SYS,SYS,SYS;SYS,SYS,NV12,SYS,SYS,SYS;SYS,SYS,SYS,NV12,SYS,SYS,SYS"}
	c := newDRACluster(t, sandbox.WholeGPUs, n)
	c.template("two", sandbox.GPUClass, 2)
	for _, step := range []struct {
		pod  *v1.Pod
		want []string
	}{
		{pod("a-0", 1), []string{"gpu-0"}},
		{pod("b-0", 0, claimsDevices("two")), []string{"gpu-1", "gpu-5"}},
		{pod("c-0", 1), []string{"gpu-4"}},
		{pod("d-0", 2), []string{"gpu-2", "gpu-6"}},
	} {
		c.create(step.pod)
		c.awaitRunning(step.pod.Name[:1], 1)
		assert.Equal(t, step.want, slices.Sorted(slices.Values(c.devices()[step.pod.Name])), step.pod.Name)
	}
}

// TestDRA_MIGStarts cuts one GPU: instances of one slice go where they leave room
// for a large one.
func TestDRA_MIGStarts(t *testing.T) {
	c := newDRACluster(t, sandbox.DynamicMIG, node("n0", map[string]string{sandbox.ProductLabel: "NVIDIA-H100-80GB-HBM3"}, 1))
	for _, profile := range []string{"1g.10gb", "4g.40gb"} {
		c.template(profile[:2], sandbox.MIGClass, 1, "device.attributes['gpu.nvidia.com'].profile == '"+profile+"'")
	}
	c.create(pod("a-0", 0, claimsDevices("1g")))
	c.awaitRunning("a", 1)
	assert.Equal(t, []string{"gpu-0-mig-1g10gb-19-6"}, c.devices()["a-0"])
	c.create(pod("b-0", 0, claimsDevices("4g")))
	c.awaitRunning("b", 1)
	assert.Equal(t, []string{"gpu-0-mig-4g40gb-5-0"}, c.devices()["b-0"])
}

// TestDRA_Gangs has gangs get devices by both ways, in the rack that has as many as
// all of them need, or wait whole.
func TestDRA_Gangs(t *testing.T) {
	c := newDRACluster(t, sandbox.WholeGPUs, racks(6, 3)...)
	c.template("eight", sandbox.GPUClass, 8)
	rack := annotation(kube.AnnotationTopologyRequired, "rack")
	c.create(pod("first-0", 0, claimsDevices("eight")))
	c.awaitRunning("first", 1)
	taken := c.domains(c.bound("first"), "topology.kubernetes.io/rack")

	c.create(gangPods("claims", 3, "3", rack, claimsDevices("eight"))...)
	c.awaitRunning("claims", 3)
	whole := c.domains(c.bound("claims"), "topology.kubernetes.io/rack")
	assert.Len(t, whole, 1, "one rack")
	assert.NotEqual(t, slices.Collect(maps.Keys(taken)), slices.Collect(maps.Keys(whole)), "a rack of which a node is taken holds two")

	c.create(gangPods("plain", 2, "2", rack)...)
	c.awaitRunning("plain", 2)
	assert.Len(t, c.devices(), 6, "every node is full")
	c.create(gangPods("waits", 2, "2", claimsDevices("eight"))...)
	c.awaitReason("waits", kube.NoFittingDomain)
	c.remove("claims-0", "claims-1", "claims-2")
	c.awaitRunning("waits", 2)
}
