// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import "strings"

// ResourceKind is what one unit of a resource stands for.
type ResourceKind uint8

// The kinds of resources.
const (
	// NoDevice: the resource has nothing to do with accelerators.
	NoDevice ResourceKind = iota
	// WholeDevice: one unit is a device, as far as the node does not share its
	// devices, see Node.
	WholeDevice
	// DevicePart: one unit is a part of a device that is handed out by the piece,
	// such as a MIG instance, a partition or a virtual GPU.
	DevicePart
	// DeviceMeasure: the resource counts memory, cores or percents of devices, or
	// counts a second time what another resource counts. A pod that asks for it
	// takes up a device, but a sum of it says nothing.
	DeviceMeasure
)

// vendor is how the software of one maker, or of one that shares its devices,
// shows them on nodes.
type vendor struct {
	name string
	// domain is what stands before the "/" of its resources.
	domain string
	// rules tell the kinds of its resources by the name behind the "/"; the
	// first that matches counts. A "*" stands for any text.
	rules []resourceRule
	// source is where the names were read.
	source string
}

type resourceRule struct {
	pattern string
	kind    ResourceKind
}

// vendors holds the makers first, then those who share devices of others. A
// resource of a domain that is not listed goes by its name, see kindByName.
var vendors = []vendor{
	{"NVIDIA", "nvidia.com", []resourceRule{
		{"gpu", WholeDevice}, {"gpu.shared", DevicePart}, {"mig-*", DevicePart},
		{"gpumem*", DeviceMeasure}, {"gpucores", DeviceMeasure},
		// Whole devices for virtual machines, under one name or under that of
		// the PCI database, which starts with the chip; vGPU types start with
		// the maker's name.
		{"pgpu", WholeDevice}, {"vgpu", DevicePart}, {"*NVSWITCH*", NoDevice},
		{"GRID_*", DevicePart}, {"NVIDIA_*", DevicePart},
		{"GB*_*", WholeDevice}, {"GH*_*", WholeDevice}, {"AD*_*", WholeDevice}, {"GA*_*", WholeDevice},
		{"TU*_*", WholeDevice}, {"GV*_*", WholeDevice}, {"GP*_*", WholeDevice},
	}, "NVIDIA k8s-device-plugin README; gpu-operator docs on KubeVirt and Kata (P_GPU_ALIAS); HAMi device configuration (gpumem, gpucores)"},
	{"AMD", "amd.com", []resourceRule{
		{"gpu", WholeDevice}, {"gpumem*", DeviceMeasure}, {"spx_nps*", WholeDevice}, {"*px_nps*", DevicePart},
	}, "ROCm k8s-device-plugin, docs/user-guide/configuration.md, resource naming strategy"},
	{"Intel", "gpu.intel.com", []resourceRule{
		{"i915", WholeDevice}, {"xe", WholeDevice}, {"*_monitoring", DeviceMeasure},
		{"millicores", DeviceMeasure}, {"memory.max", DeviceMeasure}, {"tiles", DeviceMeasure},
	}, "intel-device-plugins-for-kubernetes, cmd/gpu_plugin/README.md and NFD rules"},
	{"Intel Gaudi", "habana.ai", []resourceRule{{"gaudi*", WholeDevice}}, "docs.habana.ai, Intel Gaudi Device Plugin for Kubernetes"},
	{"Google TPU", "google.com", []resourceRule{{"tpu*", WholeDevice}}, "GKE docs, TPUs in GKE"},
	{"AWS Neuron", "aws.amazon.com", []resourceRule{
		{"neuron", WholeDevice}, {"neurondevice", WholeDevice}, {"neuroncore", DeviceMeasure},
	}, "AWS Neuron docs, k8s-neuron-device-plugin: neuroncore counts the cores of the same devices; neurondevice was neuron's name until release 2.19"},
	{"Huawei Ascend", "huawei.com", []resourceRule{
		{"Ascend*-memory", DeviceMeasure}, {"Ascend*-core", DeviceMeasure}, {"npu-core", DeviceMeasure},
		{"Ascend*-*c", DevicePart}, {"Ascend*-*c.*", DevicePart}, {"Ascend*", WholeDevice}, {"ascend-*", WholeDevice}, {"npu", WholeDevice},
	}, "Ascend mind-cluster, ascend-device-plugin constants; HAMi ascend-device-plugin (-memory, -core); Huawei CCE (ascend-1980)"},
	{"Cambricon", "cambricon.com", []resourceRule{
		{"*.vcore", DeviceMeasure}, {"*.vmemory", DeviceMeasure}, {"real-mlu-counts", DeviceMeasure},
		{"vmlu", DevicePart}, {"mlu*.*", DevicePart}, {"mlu*", WholeDevice},
	}, "Cambricon cambricon-k8s-device-plugin README (share and mim names); HAMi (vmlu, smlu)"},
	{"Hygon", "hygon.com", []resourceRule{
		{"dcu", WholeDevice}, {"dcunum", DevicePart}, {"dcumem*", DeviceMeasure}, {"dcucores", DeviceMeasure}, {"dcu-*", DevicePart},
	}, "Hygon DCU Kubernetes guide, developer.sourcefind.cn (dcu-share, dcu-mig); HAMi (dcunum)"},
	{"MetaX", "metax-tech.com", []resourceRule{
		{"gpu", WholeDevice}, {"vfio-gpu", WholeDevice}, {"sgpu", DevicePart}, {"vcore", DeviceMeasure}, {"vmemory", DeviceMeasure},
	}, "MetaX Kubernetes component guide; HAMi (vcore, vmemory)"},
	{"Moore Threads", "mthreads.com", []resourceRule{
		{"gpu", WholeDevice}, {"vgpu", DevicePart}, {"sgpu-*", DeviceMeasure},
	}, "Moore Threads KUAE installation guide; HAMi (vgpu)"},
	{"Iluvatar", "iluvatar.ai", iluvatarRules, "Iluvatar ix-device-plugin before its domain changed; HAMi (vgpu, vcuda)"},
	{"Iluvatar", "iluvatar.com", iluvatarRules, "Iluvatar ix-device-plugin, README"},
	{"Enflame", "enflame.com", []resourceRule{
		{"gcu", WholeDevice}, {"gcu-count", DeviceMeasure}, {"vgcu-percentage", DeviceMeasure}, {"*gcu", DevicePart},
	}, "EnflameTechnology gcushare, pkg/consts; HAMi (vgcu)"},
	{"Kunlunxin", "kunlunxin.com", []resourceRule{{"xpu", WholeDevice}, {"vxpu", DevicePart}, {"vxpu-memory", DeviceMeasure}}, "HAMi device configuration"},
	{"Biren", "birentech.com", []resourceRule{{"gpu", WholeDevice}, {"*-gpu", DevicePart}}, "BirenTechnology k8s-device-plugin"},

	// Those count what the makers' resources count as well.
	{"Koordinator", "koordinator.sh", []resourceRule{
		{"gpu*", DeviceMeasure}, {"npu*", DeviceMeasure}, {"xpu*", DeviceMeasure},
	}, "Koordinator docs, GPU and device scheduling: gpu, gpu-core and gpu-memory-ratio in percent, gpu-memory in bytes, gpu.shared 100 a device"},
	{"Alibaba Cloud", "aliyun.com", []resourceRule{{"gpu", WholeDevice}, {"gpu-*", DeviceMeasure}, {"ppu", WholeDevice}},
		"AliyunContainerService gpushare-scheduler-extender (gpu-mem, gpu-count)"},
	{"Tencent Cloud", "tencent.com", []resourceRule{{"vcuda-*", DeviceMeasure}}, "tkestack gpu-manager README: vcuda-core 100 a device, vcuda-memory in 256 MiB"},
	{"Volcano", "volcano.sh", []resourceRule{
		{"vgpu-number", DevicePart}, {"vgpu-*", DeviceMeasure}, {"gpu-*", DeviceMeasure},
	}, "Volcano docs, GPU sharing and vGPU"},
}

var iluvatarRules = []resourceRule{
	{"gpu", WholeDevice}, {"*vgpu", DevicePart}, {"vcuda-*", DeviceMeasure}, {"*.vCore", DeviceMeasure}, {"*.vMem", DeviceMeasure},
}

// KindOf returns what one unit of a resource stands for.
func KindOf(resource string) ResourceKind {
	if resource == Resource {
		return WholeDevice
	}
	domain, name, found := strings.Cut(resource, "/")
	switch {
	case !found && !strings.HasPrefix(resource, "gpu"):
		return NoDevice // cpu, memory and the like
	case !found:
		return kindByName(resource)
	}
	for i := range vendors {
		if vendors[i].domain != domain {
			continue
		}
		for _, rule := range vendors[i].rules {
			if matchesPattern(rule.pattern, name) {
				return rule.kind
			}
		}
	}
	return kindByName(name)
}

// IsDevice reports whether a resource counts devices, or parts of devices by the
// piece, so that a sum of it says something.
func IsDevice(resource string) bool {
	kind := KindOf(resource)
	return kind == WholeDevice || kind == DevicePart
}

// TakesDevice reports whether a pod that asks for a resource takes up devices or
// parts of them, however they are counted.
func TakesDevice(resource string) bool { return KindOf(resource) != NoDevice }

// SharesMemory reports whether a resource hands out memory or cores of NVIDIA's GPUs
// beside nvidia.com/gpu, as HAMi does: several pods then get one of these.
func SharesMemory(resource string) bool {
	return strings.HasPrefix(resource, "nvidia.com/") && KindOf(resource) == DeviceMeasure
}

// kindByName goes by the words of a name alone, so that most new vendors need no
// entry: "gpu" and what begins with it as a word is a device, unless another word
// says that it is a measure or a share.
func kindByName(name string) ResourceKind {
	first, rest := "", false
	kind := NoDevice
	for word := range strings.FieldsFuncSeq(strings.ToLower(name), isWordEnd) {
		switch {
		case !rest:
			first, rest = word, true
		case strings.Contains(word, "mem") || strings.Contains(word, "core") || strings.HasPrefix(word, "percent") ||
			word == "ratio" || word == "count" || word == "number" || word == "monitoring":
			kind = DeviceMeasure
		case strings.HasPrefix(word, "share") || word == "slice":
			kind = max(kind, DevicePart)
		}
	}
	switch {
	case first == "gpu" || first == "gpus":
		return max(kind, WholeDevice)
	case first == "mig" || first == "vgpu" || first == "sgpu":
		return max(kind, DevicePart)
	case strings.HasPrefix(first, "gpu"):
		return DeviceMeasure // gpumem, gpucores
	}
	return NoDevice
}

func isWordEnd(r rune) bool { return r == '-' || r == '.' || r == '_' }

// matchesPattern reports whether a text is as the pattern has it, in which "*"
// stands for any text.
func matchesPattern(pattern, text string) bool {
	prefix, rest, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == text
	}
	text, found = strings.CutPrefix(text, prefix)
	if !found {
		return false
	}
	for rest != "" {
		var part string
		part, rest, found = strings.Cut(rest, "*")
		if !found {
			return strings.HasSuffix(text, part)
		}
		if _, text, found = strings.Cut(text, part); !found {
			return false
		}
	}
	return true
}
