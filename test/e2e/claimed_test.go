// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
)

const (
	deviceDriver = "gpu.example.com"
	deviceClass  = "gpu.example.com"
)

// newDeviceCluster is newCluster with nodes whose eight GPUs a driver publishes one by
// one, and a class for them behind an extended resource, which no node counts.
func newDeviceCluster(t *testing.T, count, size int) *cluster {
	t.Helper()
	var nodes []*v1.Node
	for _, n := range racks(count, size) {
		nodes = append(nodes, node(n.Name, n.Labels, 0))
		delete(nodes[len(nodes)-1].Status.Allocatable, gpu)
		delete(nodes[len(nodes)-1].Status.Capacity, gpu)
	}
	c := on(t, takeStock(t), nodes...)
	t.Cleanup(c.removeDevices)
	resource := gpu
	_, err := c.client.ResourceV1().DeviceClasses().Create(background, &resourceapi.DeviceClass{
		ObjectMeta: metav1.ObjectMeta{Name: deviceClass},
		Spec: resourceapi.DeviceClassSpec{ExtendedResourceName: &resource, Selectors: []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{
			Expression: "device.driver == 'gpu.example.com' && device.attributes['gpu.example.com'].type == 'gpu'",
		}}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	for _, n := range nodes {
		c.publishDevices(n.Name)
	}
	startQuickScheduler(t, c.box)
	return c
}

// publishDevices does what the driver on a node does.
func (c *cluster) publishDevices(node string) {
	c.t.Helper()
	s := &resourceapi.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: node + "-gpus"},
		Spec: resourceapi.ResourceSliceSpec{
			Driver: deviceDriver, NodeName: &node, Pool: resourceapi.ResourcePool{Name: node, Generation: 1, ResourceSliceCount: 1},
		},
	}
	text := func(s string) resourceapi.DeviceAttribute { return resourceapi.DeviceAttribute{StringValue: &s} }
	for i := range 8 {
		s.Spec.Devices = append(s.Spec.Devices, resourceapi.Device{
			Name: fmt.Sprintf("gpu-%d", i),
			Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
				"type": text("gpu"), "uuid": text(fmt.Sprintf("GPU-%s-%d", node, i)), "pair": text(fmt.Sprint(i % 4)),
			},
		})
	}
	_, err := c.client.ResourceV1().ResourceSlices().Create(background, s, metav1.CreateOptions{})
	require.NoError(c.t, err)
}

// removeDevices removes slices, classes and claims.
func (c *cluster) removeDevices() {
	c.empty()
	resources := c.client.ResourceV1()
	claims, err := resources.ResourceClaims(c.namespace).List(background, metav1.ListOptions{})
	assert.NoError(c.t, err)
	for _, claim := range claims.Items {
		c.releaseClaim(claim.Name)
	}
	assert.NoError(c.t, resources.ResourceSlices().DeleteCollection(background, atOnce, metav1.ListOptions{}))
	assert.NoError(c.t, resources.DeviceClasses().DeleteCollection(background, atOnce, metav1.ListOptions{}))
}

// releaseClaim deletes a claim and lets go of its devices.
func (c *cluster) releaseClaim(name string) {
	claims := c.client.ResourceV1().ResourceClaims(c.namespace)
	_, err := claims.Patch(background, name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	assert.NoError(c.t, err)
	assert.NoError(c.t, claims.Delete(background, name, atOnce))
}

// claimed makes claims for pods, one each, for so many devices; match, if any, is an
// attribute that all devices of a claim share.
func (c *cluster) claimed(pods []*v1.Pod, count int64, match string) []*v1.Pod {
	c.t.Helper()
	for _, p := range pods {
		ask(gpu, 0)(p)
		claim := &resourceapi.ResourceClaim{
			ObjectMeta: metav1.ObjectMeta{Name: p.Name},
			Spec: resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{
				Name: "gpus", Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: deviceClass, AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: count},
			}}}},
		}
		if match != "" {
			name := resourceapi.FullyQualifiedName(match)
			claim.Spec.Devices.Constraints = []resourceapi.DeviceConstraint{{MatchAttribute: &name}}
		}
		_, err := c.client.ResourceV1().ResourceClaims(c.namespace).Create(background, claim, metav1.CreateOptions{})
		require.NoError(c.t, err)
		p.Spec.ResourceClaims = []v1.PodResourceClaim{{Name: "gpus", ResourceClaimName: &p.Name}}
		p.Spec.Containers[0].Resources.Claims = []v1.ResourceClaim{{Name: "gpus"}}
	}
	return pods
}

// selecting has a pod select a node by its name.
func selecting(node string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
			MatchFields: []v1.NodeSelectorRequirement{{Key: "metadata.name", Operator: v1.NodeSelectorOpIn, Values: []string{node}}},
		}}}}}
	}
}

func TestDevices_GangGoesWhereItsClaimsFit(t *testing.T) {
	c := newDeviceCluster(t, 16, 8)
	inRack := annotation(kube.AnnotationTopologyRequired, "rack")
	taken := append(c.claimed(gangPods("taken", 1, "1", selecting("n0")), 1, ""), c.claimed(gangPods("gone", 1, "1", selecting("n5")), 8, "")...)
	c.create(taken...)
	c.awaitBound("taken", 1)
	c.awaitBound("gone", 1)

	c.create(c.claimed(gangPods("train", 8, "8", inRack), 8, "")...)
	assert.Equal(t, map[string]int{"rack-1": 8}, c.domains(c.awaitBound("train", 8), rackKey))

	c.create(c.claimed(gangPods("huge", 9, "9", inRack), 8, "")...)
	c.awaitReason("huge", kube.GangTooLarge, "gang huge needs 9 pods in one rack; the largest, rack-0, would hold 8 if it were empty")
	c.create(c.claimed(gangPods("next", 7, "7", inRack), 8, "")...)
	c.awaitReason("next", kube.NoFittingDomain, "gang next needs 7 pods in one rack; the best, rack-0, has room for 6 (short of devices of class gpu.example.com)")

	c.remove("gone-0")
	c.stayPending("next")
	freed := time.Now()
	c.releaseClaim("gone-0")
	assert.Equal(t, map[string]int{"rack-0": 7}, c.domains(c.awaitBound("next", 7), rackKey))
	assert.Less(t, time.Since(freed), 5*time.Second, "it wakes with the claim, and not after a while")
}

func TestDevices_GangPacksClaimsOntoNodes(t *testing.T) {
	c := newDeviceCluster(t, 14, 14)
	c.create(c.claimed(gangPods("threes", 12, "12"), 3, "")...)
	assert.Len(t, nodesOf(c.awaitBound("threes", 12)), 6, "two to a node")
	c.create(c.claimed(gangPods("pairs", 32, "32"), 2, deviceDriver+"/pair")...)
	assert.Len(t, nodesOf(c.awaitBound("pairs", 32)), 8, "four to a node, where no device is taken")
	c.create(c.claimed(gangPods("more", 2, "2"), 2, deviceDriver+"/pair")...)
	// The threes left two devices of two pairs on each node.
	c.awaitReason("more", kube.NoFittingDomain, "gang more needs 2 pods; the cluster has room for ")
}

func TestDevices_RolesShareThem(t *testing.T) {
	c := newDeviceCluster(t, 4, 4)
	pods := gangPods("mixed", 8, "8")
	c.claimed(pods[:4], 6, "")
	c.claimed(pods[4:], 2, "")
	c.create(pods...)
	bound := c.awaitBound("mixed", 8)
	assert.Len(t, nodesOf(bound), 4)
	c.create(c.claimed(gangPods("late", 1, "1"), 1, "")...)
	c.awaitReason("late", kube.NoFittingDomain, "short of devices of class gpu.example.com")
}

func TestDevices_ExtendedResourceOfAClass(t *testing.T) {
	c := newDeviceCluster(t, 4, 2)
	c.create(gangPods("train", 2, "2", annotation(kube.AnnotationTopologyRequired, "rack"))...)
	assert.Len(t, c.domains(c.awaitBound("train", 2), rackKey), 1)
	c.create(gangPods("implicit", 2, "2", ask("deviceclass.resource.kubernetes.io/"+deviceClass, 8))...)
	c.awaitBound("implicit", 2)
	c.create(gangPods("huge", 5, "5")...)
	c.awaitReason("huge", kube.GangTooLarge, "gang huge needs 5 pods; the cluster would hold 4 if it were empty")
	c.create(gangPods("late", 1, "1")...)
	c.awaitReason("late", kube.NoFittingDomain, "short of ")
}

// nodesOf counts the pods on each node.
func nodesOf(bound map[string]string) map[string]int {
	nodes := map[string]int{}
	for _, node := range bound {
		nodes[node]++
	}
	return nodes
}
