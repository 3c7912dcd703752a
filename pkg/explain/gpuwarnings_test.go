// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// gpuNode has GPUs, of which free are allocatable.
func gpuNode(name string, gpus, allocatable string, labels map[string]string) *v1.Node {
	has := func(count string) v1.ResourceList {
		return v1.ResourceList{"cpu": resource.MustParse("96"), "pods": resource.MustParse("110"), gpu.Resource: resource.MustParse(count)}
	}
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Status:     v1.NodeStatus{Capacity: has(gpus), Allocatable: has(allocatable)},
	}
}

// gangOf is a gang whose pods each ask for count of a device.
func gangOf(pods int, device v1.ResourceName, count string) []*v1.Pod {
	all := make([]*v1.Pod, pods)
	for i := range all {
		name := string(rune('a' + i))
		all[i] = &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{kube.LabelGang: "train"},
				Annotations: map[string]string{kube.AnnotationMinCount: string(rune('0' + pods))},
			},
			Spec: v1.PodSpec{SchedulerName: "muster", Containers: []v1.Container{{Name: "main", Resources: v1.ResourceRequirements{
				Requests: v1.ResourceList{device: resource.MustParse(count)},
			}}}},
		}
	}
	return all
}

func TestExplain_NamesOddNodes(t *testing.T) {
	h100 := func(more ...string) map[string]string {
		labels := map[string]string{gpu.ProductLabel: "NVIDIA-H100-80GB-HBM3"}
		for i := 0; i < len(more); i += 2 {
			labels[more[i]] = more[i+1]
		}
		return labels
	}
	w := &world{pods: gangOf(4, gpu.Resource, "8"), nodes: []*v1.Node{
		gpuNode("whole", "8", "8", h100()),
		gpuNode("ill", "8", "7", h100()),
		gpuNode("ill-too", "8", "7", h100()),
		gpuNode("restarting", "8", "0", h100()),
		gpuNode("bare", "4", "4", nil),
		gpuNode("mixed", "4", "4", h100(gpu.MemoryLabel, "15360")),
	}}
	for _, p := range w.pods {
		p.Annotations[kube.AnnotationGPUModels] = "H100"
	}
	e := w.explain(t, "train")
	assert.Equal(t, queue.Waiting, e.Phase)
	assert.Equal(t, []string{
		"bare: 4 GPUs are advertised, but the label nvidia.com/gpu.product is missing",
		"ill and ill-too: 1 of 8 GPUs are not allocatable",
		"mixed: the label nvidia.com/gpu.memory is 15360, but NVIDIA-H100-80GB-HBM3 has 80 GB; the node may have GPUs of several kinds",
		"restarting: none of its 8 GPUs is allocatable; the device plugin may be starting again",
	}, e.Notes)

	w.pods = gangOf(4, gpu.Resource, "8")
	assert.Len(t, w.explain(t, "train").Notes, 3, "who takes any model needs no label")

	w.pods = gangOf(4, "cpu", "90")
	assert.Empty(t, w.explain(t, "train").Notes, "GPUs do not concern a gang without")
}

func TestExplain_SaysWhichMIGProfilesThereAre(t *testing.T) {
	w := &world{pods: gangOf(2, "nvidia.com/mig-9g.99gb", "1"), nodes: []*v1.Node{gpuNode("cut", "0", "0", nil)}}
	w.nodes[0].Status.Allocatable["nvidia.com/mig-1g.10gb"] = resource.MustParse("7")
	e := w.explain(t, "train")
	assert.Equal(t, queue.Waiting, e.Phase)
	assert.Equal(t, kube.InvalidMIGProfile, e.Reason)
	assert.Contains(t, e.Message, "no GPU has this MIG profile, and no node offers it; nodes offer nvidia.com/mig-1g.10gb")
}
