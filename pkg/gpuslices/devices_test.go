// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpuslices

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"

	"github.com/muster-scheduler/muster/pkg/gpu"
)

func device(name string, attributes ...string) resourceapi.Device {
	d := resourceapi.Device{Name: name, Attributes: map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{}}
	for i := 0; i < len(attributes); i += 2 {
		d.Attributes[resourceapi.QualifiedName(attributes[i])] = resourceapi.DeviceAttribute{StringValue: &attributes[i+1]}
	}
	return d
}

func slice(node string, generation, of int64, devices ...resourceapi.Device) *resourceapi.ResourceSlice {
	return &resourceapi.ResourceSlice{Spec: resourceapi.ResourceSliceSpec{
		Driver: Driver, NodeName: &node, Devices: devices,
		Pool: resourceapi.ResourcePool{Name: node, Generation: generation, ResourceSliceCount: of},
	}}
}

func allocated(node string, names ...string) sets.Set[structured.DeviceID] {
	set := sets.New[structured.DeviceID]()
	for _, name := range names {
		set.Insert(structured.MakeDeviceID(Driver, node, name))
	}
	return set
}

func TestReadDevices_NumbersGPUsByTheirPlaceOnTheBus(t *testing.T) {
	const bus = "resource.kubernetes.io/pciBusID"
	tainted := device("gpu-2", "type", "gpu", "uuid", "GPU-c", bus, "0000:88:00.0")
	tainted.Taints = []resourceapi.DeviceTaint{{Key: "xid", Effect: resourceapi.DeviceTaintEffectNoSchedule}}
	nodes := ReadDevices([]*resourceapi.ResourceSlice{
		slice("a", 1, 1, device("old", "type", "gpu")),
		slice("a", 2, 2, device("gpu-0", "type", "gpu", "uuid", "GPU-a", bus, "0000:47:00.0"), tainted),
		slice("a", 2, 2, device("gpu-1", Driver+"/type", "gpu", "uuid", "GPU-b", bus, "0000:07:00.0"),
			device("gpu-0-mig-19-0-1", "type", "mig", "parentUUID", "GPU-a"), device("gpu-vfio-0", "type", "vfio")),
	})
	require.Contains(t, nodes, "a")
	a := nodes["a"]
	assert.Equal(t, 3, a.GPUCount())
	assert.Equal(t, gpu.DeviceSet(0b011), a.FreeGPUs(nil), "the third is tainted")
	assert.Equal(t, gpu.DeviceSet(0b010), a.FreeGPUs(allocated("a", "gpu-1")), "gpu-1 is the first on the bus")
	assert.Equal(t, gpu.DeviceSet(0b001), a.FreeGPUs(allocated("a", "gpu-0-mig-19-0-1")), "a GPU of which a part is taken is not free")
	assert.Equal(t, gpu.DeviceSet(0b011), a.FreeGPUs(allocated("b", "gpu-0", "gpu-1")), "devices of another node")
}

func TestReadDevices_WithoutAddressesByTheirNumber(t *testing.T) {
	var devices []resourceapi.Device
	for _, i := range []int{10, 9, 2} {
		devices = append(devices, device(fmt.Sprintf("gpu-%d", i), "type", "gpu"))
	}
	nodes := ReadDevices([]*resourceapi.ResourceSlice{slice("a", 1, 1, devices...)})
	assert.Equal(t, gpu.DeviceSet(0b011), nodes["a"].FreeGPUs(allocated("a", "gpu-10")))
}

func TestReadDevices_LeavesOutWhatItCannotTrust(t *testing.T) {
	other := slice("c", 1, 1, device("gpu-0", "type", "gpu"))
	other.Spec.Driver = "nic.example.com"
	nowhere := slice("d", 1, 1, device("gpu-0", "type", "gpu"))
	nowhere.Spec.NodeName = nil
	var many []resourceapi.Device
	for i := range gpu.MaxDevices + 1 {
		many = append(many, device(fmt.Sprintf("gpu-%d", i), "type", "gpu"))
	}
	assert.Empty(t, ReadDevices([]*resourceapi.ResourceSlice{
		slice("a", 3, 2, device("gpu-0", "type", "gpu")), // the second slice is not there yet
		slice("b", 1, 1, device("x", "type", "nic")),
		other, nowhere, slice("e", 1, 1, many...),
	}))
}

func TestClaimedGPUs(t *testing.T) {
	classes := map[string]*resourceapi.DeviceClass{}
	for name, expression := range map[string]string{
		"gpu.nvidia.com": "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'",
		"mig.nvidia.com": "device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'mig'",
		"big-gpu":        "device.driver == 'gpu.nvidia.com' && device.capacity['gpu.nvidia.com'].memory.isGreaterThan(quantity('70Gi'))",
		"nic":            "device.driver == 'nic.example.com'",
	} {
		classes[name] = &resourceapi.DeviceClass{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       resourceapi.DeviceClassSpec{Selectors: []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{Expression: expression}}}},
		}
	}
	exactly := func(class string, count int64) resourceapi.DeviceRequest {
		return resourceapi.DeviceRequest{Exactly: &resourceapi.ExactDeviceRequest{
			DeviceClassName: class, AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: count,
		}}
	}
	first := resourceapi.DeviceRequest{FirstAvailable: []resourceapi.DeviceSubRequest{
		{DeviceClassName: "big-gpu", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 2},
		{DeviceClassName: "gpu.nvidia.com", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 4},
	}}
	everything := resourceapi.DeviceRequest{Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "gpu.nvidia.com", AllocationMode: resourceapi.DeviceAllocationModeAll}}
	for name, row := range map[string]struct {
		requests []resourceapi.DeviceRequest
		want     int
	}{
		"GPUs":                    {[]resourceapi.DeviceRequest{exactly("gpu.nvidia.com", 2)}, 2},
		"GPUs by another class":   {[]resourceapi.DeviceRequest{exactly("big-gpu", 1), exactly("gpu.nvidia.com", 1)}, 2},
		"MIG instances":           {[]resourceapi.DeviceRequest{exactly("mig.nvidia.com", 2)}, 0},
		"other devices":           {[]resourceapi.DeviceRequest{exactly("nic", 2)}, 0},
		"the first alternative":   {[]resourceapi.DeviceRequest{first}, 2},
		"a class that is unknown": {[]resourceapi.DeviceRequest{exactly("gone", 2)}, 0},
		"all that there are":      {[]resourceapi.DeviceRequest{everything}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			claim := &resourceapi.ResourceClaim{Spec: resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: row.requests}}}
			assert.Equal(t, row.want, ClaimedGPUs(claim, func(name string) *resourceapi.DeviceClass { return classes[name] }))
		})
	}
}
