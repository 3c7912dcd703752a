// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/gpuslices"
)

// pairedConfig gives the scheduler its typical pods, so that it scores from the
// first pod on.
const pairedConfig = everyNode + `    pluginConfig:
      - name: Muster
        args:
          gpus:
            typicalPods:
              - {share: 1, gpus: 1}
              - {share: 1, gpus: 2}
`

// pairs are four PCIe cards, of which 0 and 1, and 2 and 3, have an NVLink
// bridge.
const pairs = "NV12;SYS,SYS;SYS,SYS,NV12"

// pairedNode is a node with such cards: published by a DRA driver, or counted by
// the device plugin.
func pairedNode(name string, offers map[string]int64) *v1.Node {
	n := sandbox.NewNode(name, sandbox.NodeShape{Extended: offers, Labels: map[string]string{
		gpu.ProductLabel: "NVIDIA-A100-PCIE-40GB", gpu.CountLabel: "4", "by": "claims",
	}})
	if offers != nil {
		n.Labels["by"] = "count"
	}
	n.Annotations = map[string]string{gpu.LinksAnnotation: pairs}
	return n
}

// publish does what the driver on a node does.
func (c *cluster) publish(t *testing.T, node string) {
	t.Helper()
	s := &resourceapi.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: node + "-gpus"},
		Spec: resourceapi.ResourceSliceSpec{
			Driver: gpuslices.Driver, NodeName: &node,
			Pool: resourceapi.ResourcePool{Name: node, Generation: 1, ResourceSliceCount: 1},
		},
	}
	for i := range 4 {
		text := func(s string) resourceapi.DeviceAttribute { return resourceapi.DeviceAttribute{StringValue: &s} }
		s.Spec.Devices = append(s.Spec.Devices, resourceapi.Device{
			Name: fmt.Sprintf("gpu-%d", i),
			Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
				"type": text("gpu"), "uuid": text(fmt.Sprintf("GPU-%s-%d", node, i)),
				"resource.kubernetes.io/pciBusID": text(fmt.Sprintf("0000:%02x:00.0", 0x10+i)),
			},
		})
	}
	_, err := c.client.ResourceV1().ResourceSlices().Create(background, s, metav1.CreateOptions{})
	require.NoError(t, err)
}

// claim makes a claim for count GPUs and a pod that uses it.
func (c *cluster) claim(t *testing.T, namespace, name string, count int64, selector string) {
	t.Helper()
	request := &resourceapi.ExactDeviceRequest{DeviceClassName: gpuslices.Driver, AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: count}
	if selector != "" {
		request.Selectors = []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{Expression: selector}}}
	}
	_, err := c.client.ResourceV1().ResourceClaims(namespace).Create(background, &resourceapi.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{Name: "gpus", Exactly: request}}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	p := ask{count: -1}.build()[0]
	p.Name = name
	p.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "gpus", ResourceClaimName: &name}}
	p.Spec.Containers[0].Resources.Claims = []v1.ResourceClaim{{Name: "gpus"}}
	c.create(t, namespace, []*v1.Pod{p})
}

// TestLinksAreExactWhereADriverPublishesDevices takes two GPUs on each of two
// nodes, so that one has a linked pair left and the other two GPUs without a
// link; by their counts the nodes are equal.
func TestLinksAreExactWhereADriverPublishesDevices(t *testing.T) {
	c := newCluster(t, []*v1.Node{
		pairedNode("broken", nil), pairedNode("paired", nil),
		pairedNode("counted-a", map[string]int64{gpu.Resource: 4}), pairedNode("counted-b", map[string]int64{gpu.Resource: 4}),
	}, pairedConfig)
	_, err := c.client.ResourceV1().DeviceClasses().Create(background, &resourceapi.DeviceClass{
		ObjectMeta: metav1.ObjectMeta{Name: gpuslices.Driver},
		Spec: resourceapi.DeviceClassSpec{Selectors: []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{
			Expression: "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'",
		}}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	c.publish(t, "broken")
	c.publish(t, "paired")
	namespace := c.namespace(t)
	for i, uuid := range []string{"GPU-broken-0", "GPU-broken-2", "GPU-paired-0", "GPU-paired-1"} {
		c.claim(t, namespace, fmt.Sprintf("taken-%d", i), 1, fmt.Sprintf("device.attributes['gpu.nvidia.com'].uuid == '%s'", uuid))
	}
	c.awaitNodes(t, namespace)

	c.claim(t, namespace, "two", 2, "")
	for i := range 3 { // the third finds two of four taken wherever it looks, and nobody knows which
		counted := ask{count: 2, selector: map[string]string{"by": "count"}}.build()[0]
		counted.Name = fmt.Sprintf("counted-%d", i)
		c.create(t, namespace, []*v1.Pod{counted})
		c.awaitNodes(t, namespace)
	}
	assert.Equal(t, "paired", c.awaitNodes(t, namespace)["two"], "its GPUs 2 and 3 are linked")

	claim, err := c.client.ResourceV1().ResourceClaims(namespace).Get(background, "two", metav1.GetOptions{})
	require.NoError(t, err)
	require.NotNil(t, claim.Status.Allocation, "the claim is allocated by kube-scheduler's own plugin")
	var names []string
	for _, d := range claim.Status.Allocation.Devices.Results {
		names = append(names, d.Device)
	}
	assert.Equal(t, []string{"gpu-2", "gpu-3"}, names)

	log := c.scheduler.Log()
	for pod, want := range map[string]string{
		"two": `node="paired" gpus=2 link="NV12" direct="NV12" score=100 basis="exact"`,
		// Of the six pairs of free GPUs two are linked and four are not.
		"counted-2": `node="counted-a" gpus=2 link="SYS" direct="SYS" score=40 basis="estimated"`,
	} {
		line := regexp.MustCompile(`Scored GPU links" pod="[^"]*/` + pod + `" (.*)`).FindStringSubmatch(log)
		require.NotNil(t, line, pod)
		assert.Equal(t, want, line[1])
	}
}
