// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package benchmarks

import (
	"fmt"
	"math/rand/v2"
	"testing"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/structured"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/dra"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// published is nodes of eight GPUs that a driver publishes one by one, each of them
// taken by half of a chance.
type published struct {
	*dra.Objects
	nodes []fwk.NodeInfo
}

// Allocated returns a copy, as the scheduler's own list of claims does.
func (p *published) Allocated() (*structured.AllocatedState, error) {
	known, err := p.Objects.Allocated()
	if err != nil {
		return nil, err
	}
	copied := *known
	copied.AllocatedDevices = known.AllocatedDevices.Clone()
	return &copied, nil
}

func newPublished(count int) *published {
	rng := rand.New(rand.NewPCG(1, 2))
	p := &published{Objects: &dra.Objects{DeviceClasses: []*resourceapi.DeviceClass{{
		ObjectMeta: metav1.ObjectMeta{Name: "gpu.nvidia.com"},
		Spec: resourceapi.DeviceClassSpec{Selectors: []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{
			Expression: "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'",
		}}}},
	}}}}
	for i := range count {
		name := fmt.Sprintf("node-%d", i)
		info := framework.NewNodeInfo()
		info.SetNode(sandbox.NewNode(name, sandbox.NodeShape{Labels: map[string]string{"topology.kubernetes.io/rack": fmt.Sprintf("rack-%d", i/32)}}))
		p.nodes = append(p.nodes, info)
		p.publish(name, rng)
	}
	return p
}

// publish adds the slice of one node, and a claim for what is taken of it.
func (p *published) publish(node string, rng *rand.Rand) {
	text := func(s string) resourceapi.DeviceAttribute { return resourceapi.DeviceAttribute{StringValue: &s} }
	s := &resourceapi.ResourceSlice{
		ObjectMeta: metav1.ObjectMeta{Name: node + "-gpu.nvidia.com-x"},
		Spec: resourceapi.ResourceSliceSpec{
			Driver: "gpu.nvidia.com", NodeName: &node, Pool: resourceapi.ResourcePool{Name: node, Generation: 1, ResourceSliceCount: 1},
		},
	}
	taken := &resourceapi.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: node}, Status: resourceapi.ResourceClaimStatus{Allocation: &resourceapi.AllocationResult{}}}
	for i := range 8 {
		name := fmt.Sprintf("gpu-%d", i)
		s.Spec.Devices = append(s.Spec.Devices, resourceapi.Device{
			Name: name,
			Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
				"type": text("gpu"), "uuid": text(fmt.Sprintf("GPU-%s-%d", node, i)), "productName": text("NVIDIA H100 80GB HBM3"),
				"brand": text("Nvidia"), "architecture": text("Hopper"), "resource.kubernetes.io/pciBusID": text(fmt.Sprintf("0000:%02x:00.0", 16+i)),
			},
			Capacity: map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{"memory": {Value: resource.MustParse("81559Mi")}},
		})
		if rng.IntN(2) == 0 {
			taken.Status.Allocation.Devices.Results = append(taken.Status.Allocation.Devices.Results, resourceapi.DeviceRequestAllocationResult{
				Request: "gpus", Driver: "gpu.nvidia.com", Pool: node, Device: name,
			})
		}
	}
	p.ResourceSlices, p.Claims = append(p.ResourceSlices, s), append(p.Claims, taken)
}

// claimGang makes the pods of a gang, each with a claim for so many GPUs.
func (p *published) claimGang(count int, gpus int64) []*v1.Pod {
	var pods []*v1.Pod
	for i := range count {
		name := fmt.Sprintf("train-%d", i)
		p.Claims = append(p.Claims, &resourceapi.ResourceClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec: resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{Name: "gpus", Exactly: &resourceapi.ExactDeviceRequest{
				DeviceClassName: "gpu.nvidia.com", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: gpus,
			}}}}},
		})
		pods = append(pods, &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Generation: 1},
			Spec: v1.PodSpec{
				Containers:     []v1.Container{{Name: "main", Resources: v1.ResourceRequirements{Claims: []v1.ResourceClaim{{Name: "gpus"}}}}},
				ResourceClaims: []v1.PodResourceClaim{{Name: "gpus", ResourceClaimName: &name}},
			},
		})
	}
	return pods
}

// planClaims plans a gang of 64 claims of four GPUs, as the scheduler does: it reads the
// devices, what is taken of them and the gang, counts, and chooses.
func (p *published) planClaims(b *testing.B, cluster *kube.Cluster, planner *placement.Planner, pods []*v1.Pod) *placement.Planner {
	spec := &kube.Spec{Name: "train", MinCount: len(pods), Required: topology.NoLevel, Preferred: topology.NoLevel}
	members, err := cluster.ReadGang(spec, pods, nil, p.nodes)
	if err != nil {
		b.Fatal(err)
	}
	if planner == nil {
		planner = placement.NewPlanner(cluster.Usage())
	}
	if plan := cluster.Solve(planner, members); plan.Refusal != nil || members.Unmodelled != "" {
		b.Fatal(plan.Refusal, members.Unmodelled)
	}
	return planner
}

var allocatorFeatures = structured.Features{AdminAccess: true, PrioritizedList: true, PartitionableDevices: true, DeviceTaints: true, ConsumableCapacity: true}

// BenchmarkClaims plans a gang of 64 claims of four GPUs on 5,000 nodes of which half of
// the GPUs are taken: the first time, and once the devices were counted.
func BenchmarkClaims(b *testing.B) {
	p := newPublished(5000)
	pods := p.claimGang(64, 4)
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			cluster := kube.NewCluster(kube.DefaultLevels())
			cluster.Devices = dra.NewInventory(p, allocatorFeatures)
			p.planClaims(b, cluster, nil, pods)
		}
	})
	b.Run("counted", func(b *testing.B) {
		cluster := kube.NewCluster(kube.DefaultLevels())
		cluster.Devices = dra.NewInventory(p, allocatorFeatures)
		planner := p.planClaims(b, cluster, nil, pods)
		for b.Loop() {
			p.planClaims(b, cluster, planner, pods)
		}
	})
}
