// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// cpus has a pod ask for so many processors beside what it asks for.
func cpus(count string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		asked := &p.Spec.Containers[0].Resources
		asked.Requests = maps.Clone(asked.Requests)
		asked.Requests[v1.ResourceCPU] = resource.MustParse(count)
	}
}

// resize changes what a running pod asks for.
func (c *cluster) resize(name, count string) {
	c.t.Helper()
	_, err := c.client.CoreV1().Pods(c.namespace).Patch(background, name, types.StrategicMergePatchType,
		fmt.Appendf(nil, `{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":%q}}}]}}`, count), metav1.PatchOptions{}, "resize")
	require.NoError(c.t, err)
}

// allocate has a pod's kubelet say how many processors it has.
func (c *cluster) allocate(name, count string) {
	c.t.Helper()
	_, err := c.client.CoreV1().Pods(c.namespace).Patch(background, name, types.StrategicMergePatchType, fmt.Appendf(nil,
		`{"status":{"containerStatuses":[{"name":"main","allocatedResources":{"cpu":%q},"resources":{"requests":{"cpu":%q}}}]}}`, count, count), metav1.PatchOptions{}, "status")
	require.NoError(c.t, err)
}

// TestResize_AMemberOfARunningGang changes the processors of a running member, and
// loses members: they come back to their places, whatever the shapes are now, and the
// room is what kube-scheduler takes it for, also while a kubelet has not followed.
func TestResize_AMemberOfARunningGang(t *testing.T) {
	c := newCluster(t, fabric("2,2 2,2")...)
	pods := gangPods("train", 4, "4", cpus("8"), annotation(kube.AnnotationTopologyRequired, "rack"),
		both(annotation(kube.AnnotationSliceSize, "2"), annotation(kube.AnnotationSliceTopology, "clique")))
	c.create(pods...)
	before := c.awaitBound("train", 4)
	for name := range before {
		c.end(name, v1.PodRunning)
		c.allocate(name, "8") // else the node does not know of resizing
	}
	c.resize("train-1", "40")
	for _, lost := range []int{2, 0, 1, 3} {
		c.remove(pods[lost].Name)
		require.Eventually(t, func() bool { return len(c.bound("train")) == 3 }, patience, poll)
		c.create(pods[lost])
		assert.Equal(t, before, c.awaitBound("train", 4), "member %d goes back to its node", lost)
	}

	// The node has 64 processors. A single pod and a gang want the rest.
	there := func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{v1.LabelHostname: before["train-2"]} }
	guest := pod("guest-0", 0, cpus("30"), there)
	gang := pod("gang-0", 0, cpus("30"), there, label(kube.LabelGang, "gang"), annotation(kube.AnnotationMinCount, "1"))
	wait := func(p *v1.Pod) {
		c.create(p)
		c.stayPending(p.Name)
	}
	c.end("train-2", v1.PodRunning)
	c.allocate("train-2", "8")
	c.resize("train-2", "40")
	wait(guest)
	wait(gang)
	c.allocate("train-2", "40")
	c.resize("train-2", "8") // and the kubelet has not followed yet
	c.stayPending(guest.Name)
	c.stayPending(gang.Name)
	c.allocate("train-2", "8")
	c.awaitBound("guest", 1)
	c.stayPending("gang") // 26 are left
	c.remove("guest-0")
	c.awaitBound("gang", 1)
}
