// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NodeShape is what a node offers. Quantities are in Kubernetes notation.
type NodeShape struct {
	// CPU and Memory, e.g. "64" and "512Gi". Empty: "64" and "512Gi".
	CPU, Memory string
	// Pods is how many pods the node takes. 0: 110, the kubelet's default.
	Pods int
	// Extended resources, e.g. "nvidia.com/gpu": 8.
	Extended map[string]int64
	// Labels beside kubernetes.io/hostname, os and arch, which are always set.
	Labels map[string]string
	// Taints of the node.
	Taints []v1.Taint
}

// NewNode returns a Ready node of that shape.
func NewNode(name string, shape NodeShape) *v1.Node {
	capacity := v1.ResourceList{
		v1.ResourceCPU:    resource.MustParse(cmp.Or(shape.CPU, "64")),
		v1.ResourceMemory: resource.MustParse(cmp.Or(shape.Memory, "512Gi")),
		v1.ResourcePods:   *resource.NewQuantity(int64(cmp.Or(shape.Pods, 110)), resource.DecimalSI),
	}
	for name, count := range shape.Extended {
		capacity[v1.ResourceName(name)] = *resource.NewQuantity(count, resource.DecimalSI)
	}
	labels := map[string]string{
		v1.LabelHostname:   name,
		v1.LabelOSStable:   "linux",
		v1.LabelArchStable: runtime.GOARCH,
	}
	maps.Copy(labels, shape.Labels)
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec:       v1.NodeSpec{Taints: shape.Taints},
		Status: v1.NodeStatus{
			Capacity:    capacity,
			Allocatable: capacity.DeepCopy(),
			Conditions: []v1.NodeCondition{{
				Type:   v1.NodeReady,
				Status: v1.ConditionTrue,
				Reason: "SandboxNode",
			}},
			NodeInfo: v1.NodeSystemInfo{OperatingSystem: "linux", Architecture: runtime.GOARCH, KubeletVersion: "sandbox"},
		},
	}
}

// CreateNodes creates nodes, several at a time, and returns when every one of
// them is there. Nodes made by NewNode are Ready from the start.
func (s *Sandbox) CreateNodes(ctx context.Context, nodes []*v1.Node) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(createParallelism)
	for _, node := range nodes {
		group.Go(func() error {
			_, err := s.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("create %d nodes: %w", len(nodes), err)
	}
	return nil
}

// createParallelism keeps two cores busy; more requests at a time only queue.
const createParallelism = 16
