// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/gpu"
)

// Drivers and device classes of NVIDIA's DRA driver: chart of
// NVIDIA/k8s-dra-driver-gpu (now kubernetes-sigs/dra-driver-nvidia-gpu) 0.4,
// templates/deviceclass-*.yaml. Its class for GPUs that are passed through to
// virtual machines is left out.
const (
	GPUDriver           = "gpu.nvidia.com"
	GPUClass            = "gpu.nvidia.com"
	MIGClass            = "mig.nvidia.com"
	ComputeDomainDriver = "compute-domain.nvidia.com"
	ChannelClass        = "compute-domain-default-channel.nvidia.com"
	daemonClass         = "compute-domain-daemon.nvidia.com"
)

// DRAMode says which devices DRA serves.
type DRAMode int

// The modes.
const (
	// WholeGPUs is what the driver does by default.
	WholeGPUs DRAMode = iota
	// DynamicMIG adds every MIG instance that a device can be cut into, with the
	// counters that keep them apart, as the driver's gate of that name does.
	DynamicMIG
)

// CreateDRANodes creates nodes whose GPUs are served by NVIDIA's DRA driver in
// place of its device plugin: the extended resource goes from the node's status,
// its labels stay, and there are the driver's ResourceSlices and DeviceClasses.
// The nodes are changed. A slice goes with its node where controllers run.
func (s *Sandbox) CreateDRANodes(ctx context.Context, nodes []*v1.Node, mode DRAMode) error {
	for _, class := range deviceClasses() {
		_, err := s.client.ResourceV1().DeviceClasses().Create(ctx, class, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create DeviceClass %s: %w", class.Name, err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(createParallelism)
	for _, node := range nodes {
		count := node.Status.Allocatable[GPUResource]
		delete(node.Status.Allocatable, GPUResource)
		delete(node.Status.Capacity, GPUResource)
		node.Labels[gpu.CountLabel] = count.String() // GPU Feature Discovery's
		group.Go(func() error {
			made, err := s.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
			if err != nil {
				return fmt.Errorf("create node %s: %w", node.Name, err)
			}
			return s.publishDevices(ctx, made, int(count.Value()), mode)
		})
	}
	return group.Wait()
}

// publishDevices creates the slices of a node with so many GPUs.
func (s *Sandbox) publishDevices(ctx context.Context, node *v1.Node, gpus int, mode DRAMode) error {
	if gpus == 0 {
		return nil
	}
	all := append(numberSlices(node, GPUDriver, gpuSlices(node, gpus, mode)), numberSlices(node, ComputeDomainDriver, []resourceapi.ResourceSliceSpec{{Devices: computeDomainDevices()}})...)
	for _, slice := range all {
		if _, err := s.client.ResourceV1().ResourceSlices().Create(ctx, slice, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create ResourceSlice %s: %w", slice.Name, err)
		}
	}
	return nil
}

// numberSlices makes one pool, named as its node, of the devices of a driver.
// The names of the real driver's slices end in random letters.
func numberSlices(node *v1.Node, driver string, specs []resourceapi.ResourceSliceSpec) []*resourceapi.ResourceSlice {
	all := make([]*resourceapi.ResourceSlice, len(specs))
	for i, spec := range specs {
		spec.Driver, spec.NodeName = driver, &node.Name
		spec.Pool = resourceapi.ResourcePool{Name: node.Name, Generation: 1, ResourceSliceCount: int64(len(specs))}
		all[i] = &resourceapi.ResourceSlice{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("%s-%s-%02d", node.Name, driver, i),
				OwnerReferences: []metav1.OwnerReference{{
					APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID, Controller: new(true),
				}},
			},
			Spec: spec,
		}
	}
	return all
}

// gpuSlices lays the GPUs of a node out in slices: all in one, or with MIG the
// counters first and then one slice for each GPU, with its devices in the order
// of their names (cmd/gpu-kubelet-plugin/driver.go, generateSplitResourceSlices,
// for Kubernetes 1.35 and later).
func gpuSlices(node *v1.Node, count int, mode DRAMode) []resourceapi.ResourceSliceSpec {
	gpus := make([]simulatedGPU, count)
	for i := range gpus {
		gpus[i] = newSimulatedGPU(node, i, count)
	}
	if mode != DynamicMIG || gpus[0].migProfiles() == nil {
		var whole resourceapi.ResourceSliceSpec
		for _, g := range gpus {
			whole.Devices = append(whole.Devices, g.wholeDevice())
		}
		return []resourceapi.ResourceSliceSpec{whole}
	}
	var counters []resourceapi.CounterSet
	var devices []resourceapi.ResourceSliceSpec
	for _, g := range gpus {
		counters = append(counters, g.counterSet())
		devices = append(devices, resourceapi.ResourceSliceSpec{Devices: g.partitions()})
	}
	var specs []resourceapi.ResourceSliceSpec
	for part := range slices.Chunk(counters, resourceapi.ResourceSliceMaxCounterSets) {
		specs = append(specs, resourceapi.ResourceSliceSpec{SharedCounters: part})
	}
	return append(specs, devices...)
}

// computeDomainDevices are those of a node that ComputeDomains use: one channel
// and one daemon; the other channels are not published
// (cmd/compute-domain-kubelet-plugin/driver.go).
func computeDomainDevices() []resourceapi.Device {
	device := func(kind string) resourceapi.Device {
		return resourceapi.Device{Name: kind + "-0", Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
			"type": {StringValue: &kind}, "id": {IntValue: new(int64)},
		}}
	}
	return []resourceapi.Device{device("channel"), device("daemon")}
}

// deviceClasses are those of the driver's chart.
func deviceClasses() []*resourceapi.DeviceClass {
	class := func(name, driver, condition string) *resourceapi.DeviceClass {
		expression := fmt.Sprintf("device.driver == '%[1]s' && device.attributes['%[1]s'].%[2]s", driver, condition)
		return &resourceapi.DeviceClass{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: resourceapi.DeviceClassSpec{Selectors: []resourceapi.DeviceSelector{{
				CEL: &resourceapi.CELDeviceSelector{Expression: expression},
			}}},
		}
	}
	whole := class(GPUClass, GPUDriver, "type == 'gpu'")
	whole.Spec.ExtendedResourceName = new(string(GPUResource))
	return []*resourceapi.DeviceClass{
		whole,
		class(MIGClass, GPUDriver, "type == 'mig'"),
		class(ChannelClass, ComputeDomainDriver, "type == 'channel' && device.attributes['compute-domain.nvidia.com'].id == 0"),
		class(daemonClass, ComputeDomainDriver, "type == 'daemon'"),
	}
}
