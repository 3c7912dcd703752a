// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"strconv"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/kube"
)

const (
	namespace = "kalos"
	// leafLevel names the level that the gangs ask for.
	leafLevel = "leaf"
)

// TopologyMode is the topology constraint that the gangs declare.
type TopologyMode string

// The modes.
const (
	// TopologyPreferred: every gang prefers one leaf, and the scheduler widens by
	// itself where a leaf is too small.
	TopologyPreferred TopologyMode = "preferred"
	// TopologyRequired: gangs that fit an empty leaf require one, the others
	// prefer it.
	TopologyRequired TopologyMode = "required"
	// TopologyNone: no gang has a constraint.
	TopologyNone TopologyMode = "none"
)

// podsOf returns the pods of a gang, in rank order. leaf is the number of nodes
// of the largest leaf.
func podsOf(g trace.Gang, schedulerName string, topology TopologyMode, leaf int) []*v1.Pod {
	annotations := map[string]string{kube.AnnotationMinCount: strconv.Itoa(g.Pods)}
	switch {
	case topology == TopologyRequired && g.Pods <= leaf:
		annotations[kube.AnnotationTopologyRequired] = leafLevel
	case topology != TopologyNone:
		annotations[kube.AnnotationTopologyPreferred] = leafLevel
	}
	request := v1.ResourceList{
		v1.ResourceCPU:      *resource.NewMilliQuantity(g.CPUMilli, resource.DecimalSI),
		v1.ResourceMemory:   *resource.NewQuantity(g.MemBytes, resource.DecimalSI),
		sandbox.GPUResource: *resource.NewQuantity(int64(g.GPUs), resource.DecimalSI),
	}
	pods := make([]*v1.Pod, g.Pods)
	for i := range pods {
		pods[i] = &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: namespace, Name: fmt.Sprintf("%s-%d", g.Name, i),
				Labels: map[string]string{kube.LabelGang: g.Name, "app.kubernetes.io/name": g.Name}, Annotations: annotations,
			},
			Spec: v1.PodSpec{
				SchedulerName: schedulerName,
				RestartPolicy: v1.RestartPolicyNever,
				Containers: []v1.Container{{
					Name: "worker", Image: "registry.example/train:1",
					Resources: v1.ResourceRequirements{Requests: request, Limits: v1.ResourceList{sandbox.GPUResource: request[sandbox.GPUResource]}},
				}},
			},
		}
	}
	return pods
}
