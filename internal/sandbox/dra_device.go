// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/dynamic-resource-allocation/deviceattribute"

	"github.com/muster-scheduler/muster/pkg/gpu"
)

// simulatedGPU is a GPU as the DRA driver describes it. Names, attributes and
// counters are those of cmd/gpu-kubelet-plugin/{deviceinfo,mig,partitions}.go of
// NVIDIA/k8s-dra-driver-gpu at 1b84773cb7a2 (0.5.0-dev). Two devices share a
// PCIe root, and the two halves of a node a NUMA node each.
type simulatedGPU struct {
	index   int
	uuid    string
	product gpu.Product
	memory  int64 // MiB; 0 if not known
	common  map[resourceapi.QualifiedName]resourceapi.DeviceAttribute
}

// memoryLabel is GPU Feature Discovery's, in MiB.
const memoryLabel = "nvidia.com/gpu.memory"

// The versions that all simulated nodes run: those of the driver's README.
const (
	driverVersion     = "580.126.20"
	cudaDriverVersion = "13.0.0"
)

// newSimulatedGPU describes one of count GPUs of a node.
func newSimulatedGPU(node *v1.Node, index, count int) simulatedGPU {
	product := gpu.ParseProduct(node.Labels[ProductLabel])
	labeled, _ := strconv.ParseInt(node.Labels[memoryLabel], 10, 64) // 0 where it is missing
	arch := architectureOf(product.Family)
	bus := 0x10 + index
	attributes := map[resourceapi.QualifiedName]resourceapi.DeviceAttribute{
		"productName":           {StringValue: new(deviceNameOf(product.Label))},
		"brand":                 {StringValue: new(arch.brand)},
		"architecture":          {StringValue: new(arch.name)},
		"cudaComputeCapability": {VersionValue: new(arch.capability + ".0")},
		"driverVersion":         {VersionValue: new(driverVersion)},
		"cudaDriverVersion":     {VersionValue: new(cudaDriverVersion)},
		deviceattribute.StandardDeviceAttributePCIBusID: {StringValue: new(fmt.Sprintf("0000:%02x:00.0", bus))},
		deviceattribute.StandardDeviceAttributePCIeRoot: {StringValue: new(fmt.Sprintf("pci0000:%02x", bus&^1))},
		deviceattribute.StandardDeviceAttributeNUMANode: {IntValue: new(int64(2 * index / count))},
	}
	return simulatedGPU{
		index:   index,
		uuid:    deviceUUID(node.Name, index),
		product: product,
		memory:  cmp.Or(labeled, int64(product.MemoryGB)*1024),
		common:  attributes,
	}
}

// deviceUUID is a UUID that a device of a node always has.
func deviceUUID(node string, index int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", node, index))
	return fmt.Sprintf("GPU-%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

// name is the driver's name of the whole device.
func (g simulatedGPU) name() string { return fmt.Sprintf("gpu-%d", g.index) }

// attributesWith returns the attributes of the device with some more.
func (g simulatedGPU) attributesWith(more map[resourceapi.QualifiedName]string) map[resourceapi.QualifiedName]resourceapi.DeviceAttribute {
	all := maps.Clone(g.common)
	for name, value := range more {
		all[name] = resourceapi.DeviceAttribute{StringValue: &value}
	}
	return all
}

// wholeDevice is the device as a whole.
func (g simulatedGPU) wholeDevice() resourceapi.Device {
	device := resourceapi.Device{
		Name:       g.name(),
		Attributes: g.attributesWith(map[resourceapi.QualifiedName]string{"type": "gpu", "uuid": g.uuid}),
	}
	if g.memory > 0 {
		device.Capacity = memoryCapacity(g.memory)
	}
	return device
}

func memoryCapacity(mib int64) map[resourceapi.QualifiedName]resourceapi.DeviceCapacity {
	return map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{"memory": {Value: mibQuantity(mib)}}
}

func mibQuantity(mib int64) resource.Quantity {
	return *resource.NewQuantity(mib<<20, resource.BinarySI)
}

// migProfile is a profile with NVML's number for it, which is part of names.
type migProfile struct {
	*gpu.Profile
	id int
}

// profileIDs are NVML's numbers of profiles by the compute slices and memory
// units that they take: nvidia-smi mig -lgip on A100, H100 and H200, and on A30.
var profileIDs = map[int]map[[2]int]int{
	8: {{1, 1}: 19, {1, 2}: 15, {2, 2}: 14, {3, 4}: 9, {4, 4}: 5, {7, 8}: 0},
	4: {{1, 1}: 14, {2, 2}: 5, {4, 4}: 0},
}

// mediaIDs are those of the profiles with media engines.
var mediaIDs = map[int]map[[2]int]int{
	8: {{1, 1}: 20},
	4: {{1, 1}: 21, {2, 2}: 6},
}

// migProfiles are the profiles that the device can be cut into; none if it
// cannot be, or where its media engines are shared out one by one (RTX PRO).
func (g simulatedGPU) migProfiles() []migProfile {
	board, found := gpu.FindBoard(g.product.Board)
	if !found || !g.product.IsWhole() {
		return nil
	}
	var profiles []migProfile
	taken := map[int]bool{} // some boards have two names for one profile
	for i := range board.Profiles {
		profile := &board.Profiles[i]
		ids := profileIDs[board.Units]
		if hasMediaEngines(profile) {
			ids = mediaIDs[board.Units]
		}
		id, known := ids[[2]int{profile.Slices, profile.Size}]
		if known && !taken[id] {
			taken[id] = true
			profiles = append(profiles, migProfile{profile, id})
		}
	}
	return profiles
}

func hasMediaEngines(p *gpu.Profile) bool { return strings.HasSuffix(p.Name, "+me") }

// counterSet is what the instances of the device share: its memory, the slices
// of it by their place, and the one optical flow engine, which is why a device
// holds one instance with media engines. The real driver counts multiprocessors
// and the other engines too; memory slices always run out first.
func (g simulatedGPU) counterSet() resourceapi.CounterSet {
	board, _ := gpu.FindBoard(g.product.Board)
	return resourceapi.CounterSet{Name: g.counterSetName(), Counters: g.counters(0, board.Units, 1)}
}

func (g simulatedGPU) counterSetName() string { return g.name() + "-counter-set" }

// counters are those of size memory slices from start on.
func (g simulatedGPU) counters(start, size, flowEngines int) map[string]resourceapi.Counter {
	all := map[string]resourceapi.Counter{
		"memory": {Value: mibQuantity(g.instanceMemory(size))},
	}
	if flowEngines > 0 {
		all["ofa-engines"] = resourceapi.Counter{Value: *resource.NewQuantity(int64(flowEngines), resource.BinarySI)}
	}
	for i := start; i < start+size; i++ {
		all[fmt.Sprintf("memory-slice-%d", i)] = resourceapi.Counter{Value: *resource.NewQuantity(1, resource.BinarySI)}
	}
	return all
}

// instanceMemory is that of an instance in MiB: its share of the device's. The
// real driver's is a few percent less.
func (g simulatedGPU) instanceMemory(size int) int64 {
	board, _ := gpu.FindBoard(g.product.Board)
	return g.memory * int64(size) / int64(board.Units)
}

// partitions are the device as a whole and every instance that it can be cut
// into, in the order of names. An Ampere device needs a reset to be cut, so that
// it has instances only.
func (g simulatedGPU) partitions() []resourceapi.Device {
	var devices []resourceapi.Device
	if architectureOf(g.product.Family).name != "Ampere" {
		whole := g.wholeDevice()
		set := g.counterSet()
		whole.ConsumesCounters = []resourceapi.DeviceCounterConsumption{{CounterSet: set.Name, Counters: set.Counters}}
		devices = append(devices, whole)
	}
	for _, profile := range g.migProfiles() {
		for _, start := range profile.Starts {
			devices = append(devices, g.instance(profile, start))
		}
	}
	slices.SortFunc(devices, func(a, b resourceapi.Device) int { return strings.Compare(a.Name, b.Name) })
	return devices
}

// instance is one MIG instance at one place.
func (g simulatedGPU) instance(profile migProfile, start int) resourceapi.Device {
	flowEngines := 0
	if hasMediaEngines(profile.Profile) || profile.id == 0 { // the whole device
		flowEngines = 1
	}
	word := strings.ReplaceAll(strings.ReplaceAll(profile.Name, ".", ""), "+", "-")
	return resourceapi.Device{
		Name: fmt.Sprintf("%s-mig-%s-%d-%d", g.name(), word, profile.id, start),
		Attributes: g.attributesWith(map[resourceapi.QualifiedName]string{
			"type": "mig", "parentUUID": g.uuid, "profile": profile.Name,
		}),
		Capacity: memoryCapacity(g.instanceMemory(profile.Size)),
		ConsumesCounters: []resourceapi.DeviceCounterConsumption{{
			CounterSet: g.counterSetName(), Counters: g.counters(start, profile.Size, flowEngines),
		}},
	}
}

// architecture is what NVML says of the chip of a product.
type architecture struct{ name, capability, brand string }

// architectures are those of product families: the names are go-nvlib's
// (GetArchitectureAsString), the versions those of NVIDIA's table "CUDA GPU
// Compute Capability".
var architectures = map[architecture][]string{
	{"Pascal", "6.0", "Tesla"}:           {"P100"},
	{"Pascal", "6.1", "Tesla"}:           {"P40", "P4"},
	{"Volta", "7.0", "Tesla"}:            {"V100", "V100S"},
	{"Turing", "7.5", "Tesla"}:           {"T4"},
	{"Ampere", "8.0", "Nvidia"}:          {"A100", "A800", "A30"},
	{"Ampere", "8.6", "Nvidia"}:          {"A40", "A10", "A10G", "A16", "A2"},
	{"Ampere", "8.6", "NvidiaRTX"}:       {"RTX A6000", "RTX A5000"},
	{"Ampere", "8.6", "GeForce"}:         {"RTX 3090"},
	{"Ada Lovelace", "8.9", "Nvidia"}:    {"L4", "L40", "L40S"},
	{"Ada Lovelace", "8.9", "NvidiaRTX"}: {"RTX 6000 Ada"},
	{"Ada Lovelace", "8.9", "GeForce"}:   {"RTX 4090"},
	{"Hopper", "9.0", "Nvidia"}:          {"H100", "H800", "H20", "H200", "GH200"},
	{"Blackwell", "10.0", "Nvidia"}:      {"B200", "GB200"},
	{"Blackwell", "10.3", "Nvidia"}:      {"B300", "GB300"},
	{"Blackwell", "12.0", "NvidiaRTX"}:   {"RTX PRO 6000"},
	{"Blackwell", "12.0", "GeForce"}:     {"RTX 5090"},
}

// architectureOf returns the architecture of a family; of one that is not in the
// table what NVML says of a chip that it does not know.
func architectureOf(family string) architecture {
	for arch, families := range architectures {
		if slices.Contains(families, family) {
			return arch
		}
	}
	return architecture{"Unknown", "0.0", "Unknown"}
}

// dashedSuffix is the part of a device name that has dashes of its own, as in
// "NVIDIA A100-SXM4-40GB".
var dashedSuffix = regexp.MustCompile(`-(SXM\d?|PCIE)-\d+GB$`)

// deviceNameOf turns the value of the product label back into the device name,
// in which GPU Feature Discovery replaced spaces by dashes.
func deviceNameOf(label string) string {
	suffix := dashedSuffix.FindString(label)
	name := strings.ReplaceAll(strings.TrimSuffix(label, suffix), "-", " ")
	return strings.ReplaceAll(name, "Max Q", "Max-Q") + suffix
}
