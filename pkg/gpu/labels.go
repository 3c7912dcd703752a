// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
)

// The labels of nodes that say what their devices are. Those of NVIDIA are
// written by GPU Feature Discovery and the device plugin (README of
// github.com/NVIDIA/k8s-device-plugin).
const (
	ProductLabel  = "nvidia.com/gpu.product"
	MemoryLabel   = "nvidia.com/gpu.memory"
	CountLabel    = "nvidia.com/gpu.count"
	ReplicasLabel = "nvidia.com/gpu.replicas"
	strategyLabel = "nvidia.com/gpu.sharing-strategy"
	virtualLabel  = "nvidia.com/vgpu.present"
	// GKE's labels (GKE docs, GPU time-sharing and multi-instance GPUs).
	gkeStrategyLabel  = "cloud.google.com/gke-gpu-sharing-strategy"
	gkePartitionLabel = "cloud.google.com/gke-gpu-partition-size"
	gkeClientsLabel   = "cloud.google.com/gke-max-shared-clients-per-gpu"
	// amdPartitionLabel is the style in which all GPUs of a node are cut (ROCm
	// k8s-device-plugin, node labeller).
	amdPartitionLabel = "amd.com/compute-memory-partition"
	// HAMiAnnotation lists the devices of a node, each with the number of times
	// that it is advertised (Project-HAMi/HAMi, docs/develop/protocol.md).
	HAMiAnnotation = "hami.io/node-nvidia-register"
)

// productLabels are the labels whose value is the product, with the label of
// the memory that goes with it; the first that a node has counts.
var productLabels = []struct{ product, memory, source string }{
	{ProductLabel, MemoryLabel, "GPU Feature Discovery"},
	{"amd.com/gpu.product-name", "amd.com/gpu.vram", "ROCm k8s-device-plugin, node labeller"},
	{"beta.amd.com/gpu.product-name", "beta.amd.com/gpu.vram", "the same before its labels were stable"},
	{"gpu.intel.com/product", "", "intel-device-plugins-for-kubernetes, NFD rules"},
	{"cloud.google.com/gke-tpu-accelerator", "", "GKE docs, TPUs in GKE"},
	{"node.kubernetes.io/npu.chip.name", "", "Ascend mind-cluster, ascend-device-plugin constants"},
	{"hygon.com/dcu.name", "hygon.com/dcu.vram", "Hygon DCU Kubernetes guide, node labels"},
	{"metax-tech.com/gpu.product", "metax-tech.com/gpu.memory", "MetaX gpu-operator, node labels"},
	{"cloud.google.com/gke-accelerator", "", "GKE docs, GPUs in GKE"},
	{"karpenter.k8s.aws/instance-gpu-name", "karpenter.k8s.aws/instance-gpu-memory", "Karpenter docs, well-known labels for AWS"},
	{"amd.com/gpu.device-id", "amd.com/gpu.vram", "ROCm k8s-device-plugin, node labeller"},
	{"beta.amd.com/gpu.device-id", "beta.amd.com/gpu.vram", "the same before its labels were stable"},
}

// keyedLabels begin the keys of labels that end in the product and count its
// devices, as the first versions of AMD's labeller wrote them:
// "beta.amd.com/gpu.vram.192G=8" (README of its k8s-node-labeller).
var keyedLabels = []struct{ product, memory string }{
	{"beta.amd.com/gpu.product-name.", "beta.amd.com/gpu.vram."},
	{"amd.com/gpu.product-name.", "amd.com/gpu.vram."},
	{"beta.amd.com/gpu.device-id.", "beta.amd.com/gpu.vram."},
}

// countLabels count the devices of a node, however often each is advertised.
var countLabels = []struct {
	label, source string
	resources     []string
}{
	{CountLabel, "GPU Feature Discovery", []string{Resource}},
	{"gpu.intel.com/device.count", "intel-device-plugins-for-kubernetes, NFD rules; its plugin multiplies by -shared-dev-num", []string{"gpu.intel.com/i915", "gpu.intel.com/xe"}},
	{"mthreads.com/gpu.count", "HAMi docs, Moore Threads GPU sharing", []string{"mthreads.com/gpu"}},
}

// SharingLabels returns the labels that say how the devices of a node are cut or
// shared. A pod that selects nodes by one of them has chosen.
func SharingLabels() []string {
	keys := []string{
		ReplicasLabel, strategyLabel, virtualLabel, "nvidia.com/mig.strategy", "nvidia.com/mig.config",
		gkeStrategyLabel, gkePartitionLabel, gkeClientsLabel, amdPartitionLabel,
	}
	return append(keys, ProductLabel) // it has suffixes for both
}

// DeviceLabels is what labels and annotations say of the devices of a node. Equal
// ones mean the same.
type DeviceLabels struct {
	// Product and Memory are as they were found.
	Product, Memory string
	// Partition is a MIG profile or a partition style into which all devices are
	// cut that are advertised as whole ones.
	Partition string
	// Count is the number of devices by the label CountLabel, and Replicas how often
	// each is advertised, as they were found.
	Count, CountLabel, Replicas string
	// Shared says that devices are advertised several times, Virtual that they
	// are those of a hypervisor.
	Shared, Virtual bool
}

// ReadDeviceLabels looks up the labels of all vendors.
func ReadDeviceLabels(labels, annotations map[string]string) DeviceLabels {
	d := DeviceLabels{Replicas: labels[ReplicasLabel]}
	for _, counted := range countLabels {
		if d.Count = labels[counted.label]; d.Count != "" {
			d.CountLabel = counted.label
			break
		}
	}
	for i := range productLabels {
		if d.Product = labels[productLabels[i].product]; d.Product != "" {
			d.Memory = labels[productLabels[i].memory]
			break
		}
	}
	if d.Product == "" {
		d.readKeyedLabels(labels)
	}
	if len(d.Product) == len("74a1") {
		d.Product = cmp.Or(amdDevices[strings.ToLower(d.Product)], d.Product)
	}
	d.Virtual = labels[virtualLabel] == "true"
	d.Shared = isSharingStrategy(labels[strategyLabel]) || isMultiplied(annotations[HAMiAnnotation])
	if clients := labels[gkeClientsLabel]; clients != "1" {
		d.Shared = d.Shared || clients != "" || isSharingStrategy(labels[gkeStrategyLabel])
	}
	d.Partition = labels[gkePartitionLabel]
	if style := labels[amdPartitionLabel]; d.Partition == "" && !strings.HasPrefix(style, "spx") {
		d.Partition = style
	}
	if d.Memory == "" {
		d.Memory = labels[MemoryLabel]
	}
	return d
}

// Advertised returns how many devices a node advertises of those that its label
// counts; amount is what it has of a resource.
func (d *DeviceLabels) Advertised(amount func(resource string) int64) int64 {
	sum := int64(0)
	for _, counted := range countLabels {
		if counted.label != d.CountLabel {
			continue
		}
		for _, resource := range counted.resources {
			sum += amount(resource)
		}
	}
	return sum
}

// readKeyedLabels finds a product that is part of a key; of several the first in
// the order of their names.
func (d *DeviceLabels) readKeyedLabels(labels map[string]string) {
	for _, keyed := range keyedLabels {
		if d.Product = smallestSuffix(labels, keyed.product); d.Product != "" {
			d.Memory = smallestSuffix(labels, keyed.memory)
			return
		}
	}
}

// smallestSuffix returns the smallest of the texts that follow a prefix in keys.
func smallestSuffix(labels map[string]string, prefix string) string {
	found := ""
	for key := range labels {
		if suffix, ok := strings.CutPrefix(key, prefix); ok && (found == "" || suffix < found) {
			found = suffix
		}
	}
	return found
}

func isSharingStrategy(strategy string) bool { return strategy != "" && strategy != "none" }

// isMultiplied reports whether HAMi's list of a node's devices has one that is
// advertised more than once. Its older form has the count behind the first comma
// of each device.
func isMultiplied(list string) bool {
	var devices []struct{ Count int }
	if json.Unmarshal([]byte(list), &devices) == nil {
		for _, device := range devices {
			if device.Count > 1 {
				return true
			}
		}
		return false
	}
	for device := range strings.SplitSeq(list, ":") {
		fields := strings.Split(device, ",")
		if len(fields) < 2 {
			continue
		}
		if count, err := strconv.Atoi(fields[1]); err == nil && count > 1 {
			return true
		}
	}
	return false
}

// amdDevices are the names of AMD's data center GPUs by their device id, as
// libdrm's amdgpu.ids and the labeller's Dockerfile have them, in the labeller's
// spelling.
var amdDevices = map[string]string{
	"738c": "AMD_Instinct_MI100", "738e": "AMD_Instinct_MI100",
	"7408": "AMD_Instinct_MI250X", "740c": "AMD_Instinct_MI250X_MI250", "740f": "AMD_Instinct_MI210", "7410": "AMD_Instinct_MI210_VF",
	"74a0": "AMD_Instinct_MI300A", "74a1": "AMD_Instinct_MI300X_OAM", "74a2": "AMD_Instinct_MI308X_OAM", "74a5": "AMD_Instinct_MI325X_OAM",
	"74b5": "AMD_Instinct_MI300X_VF", "74b9": "AMD_Instinct_MI325X_VF",
	"75a0": "AMD_Instinct_MI350X", "75a3": "AMD_Instinct_MI355X",
}
