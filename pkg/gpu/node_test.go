// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gpuNode is a node with the given product label and number of GPUs.
func gpuNode(product string, gpus int64) NodeFacts {
	return NodeFacts{
		Labels:      map[string]string{ProductLabel: product},
		Allocatable: map[string]int64{Resource: gpus}, Capacity: map[string]int64{Resource: gpus},
	}
}

func (f NodeFacts) label(key, value string) NodeFacts {
	f.Labels[key] = value
	return f
}

func (f NodeFacts) allocatable(resource string, count int64) NodeFacts {
	f.Allocatable[resource] = count
	return f
}

func (f NodeFacts) offers(resource string, capacity, allocatable int64) NodeFacts {
	f.Capacity[resource], f.Allocatable[resource] = capacity, allocatable
	return f
}

func (f NodeFacts) annotation(value string) NodeFacts {
	f.Annotations = map[string]string{LinksAnnotation: value}
	return f
}

func TestReadNode_Oddities(t *testing.T) {
	for _, tc := range []struct {
		name  string
		facts NodeFacts
		want  []string
	}{
		{"nothing odd", gpuNode("NVIDIA-H100-80GB-HBM3", 8).label(CountLabel, "8"), nil},
		{"no GPUs at all", NodeFacts{}, nil},
		{"unhealthy devices", gpuNode("NVIDIA-H100-80GB-HBM3", 8).allocatable(Resource, 6), []string{"2 of 8 GPUs are not allocatable"}},
		{"the device plugin restarts", gpuNode("NVIDIA-H100-80GB-HBM3", 8).allocatable(Resource, 0), []string{"none of its 8 GPUs is allocatable; the device plugin may be starting again"}},
		{"the device plugin is gone", NodeFacts{Labels: map[string]string{ProductLabel: "Tesla-T4", CountLabel: "4"}},
			[]string{"the label nvidia.com/gpu.count is 4, but no GPU is advertised as nvidia.com/gpu"}},
		{"unhealthy slices", func() NodeFacts {
			f := gpuNode("NVIDIA-H100-80GB-HBM3", 0).allocatable("nvidia.com/mig-1g.10gb", 5)
			f.Capacity["nvidia.com/mig-1g.10gb"] = 7
			return f
		}(), []string{"2 of 7 nvidia.com/mig-1g.10gb are not allocatable"}},
		{"more GPUs than are labelled", gpuNode("Tesla-T4", 4).label(CountLabel, "2"), []string{"the label nvidia.com/gpu.count is 2, but 4 GPUs are advertised; each is taken as shared"}},
		{"more GPUs than are labelled, but no multiple", gpuNode("Tesla-T4", 3).label(CountLabel, "2"), []string{"the label nvidia.com/gpu.count is 2, but 3 GPUs are advertised"}},
		{"another vendor's devices without a label", gpuNode("", 0).offers("habana.ai/gaudi", 8, 6),
			[]string{"2 of 8 habana.ai/gaudi are not allocatable", "6 habana.ai/gaudi are advertised, but no label tells their model"}},
		{"another vendor's devices with one", gpuNode("", 0).offers("amd.com/gpu", 8, 8).label("amd.com/gpu.product-name", "AMD_Instinct_MI300X_OAM").label("amd.com/gpu.vram", "192G"), nil},
		{"measures are no devices", gpuNode("NVIDIA-H100-80GB-HBM3", 8).offers("koordinator.sh/gpu-memory", 1<<39, 1), nil},
		{"time-shared GPUs are more than are labelled", gpuNode("Tesla-T4-SHARED", 8).label(CountLabel, "2").label(ReplicasLabel, "4"), nil},
		{"mixed products", gpuNode("NVIDIA-H100-80GB-HBM3", 2).label(MemoryLabel, "15360"),
			[]string{"the label nvidia.com/gpu.memory is 15360, but NVIDIA-H100-80GB-HBM3 has 80 GB; the node may have GPUs of several kinds"}},
		{"no product label", gpuNode("", 4), []string{"4 GPUs are advertised, but the label nvidia.com/gpu.product is missing"}},
		{"a label that is no number", gpuNode("Tesla-T4", 4).label(MemoryLabel, "16Gi"), []string{`the label nvidia.com/gpu.memory is "16Gi", which is no number`}},
		{"a slice that the board lacks", gpuNode("NVIDIA-A30", 1).allocatable("nvidia.com/mig-3g.20gb", 2),
			[]string{`MIG profile "3g.20gb" does not exist on A30-24GB; it offers 1g.6gb, 1g.6gb+me, 2g.12gb, 2g.12gb+me, 4g.24gb`}},
		{"slices on a device without a table", gpuNode("Tesla-T4", 1).allocatable("nvidia.com/mig-1g.5gb", 2),
			[]string{`MIG profile "1g.5gb": the board of the node has no MIG table`}},
		{"a matrix that cannot be read", gpuNode("Tesla-T4", 4).annotation("NV1,"), []string{`GPU links, row 1: found "NV1,", want 1 links`}},
		{"a matrix of another node", gpuNode("Tesla-T4", 4).annotation("8*NV18"), []string{"the annotation muster.sh/gpu-links has 8 devices, the node 4"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.want, ReadNode(tc.facts).Warnings)
		})
	}
}

func TestReadNode_Slices(t *testing.T) {
	n := ReadNode(gpuNode("NVIDIA-A100-SXM4-40GB", 4).
		allocatable("nvidia.com/mig-3g.20gb", 2).allocatable("nvidia.com/mig-1g.5gb.me", 1).
		allocatable("nvidia.com/mig-2g.10gb.shared", 6).allocatable("nvidia.com/mig-7g.40gb", 0).
		allocatable("nvidia.com/mig-9g.90gb", 1))
	assert.Equal(t, []SliceCount{{"1g.5gb+me", 1, true}, {"2g.10gb", 6, true}, {"3g.20gb", 2, true}, {"9g.90gb", 1, false}}, n.Slices)
	assert.Equal(t, 4, n.GPUs, "whole GPUs beside them")
	assert.True(t, n.Product.IsWhole())
}

func TestReadNode_Links(t *testing.T) {
	for _, tc := range []struct {
		name  string
		facts NodeFacts
		want  string
	}{
		{"from the annotation", gpuNode("NVIDIA-A100-80GB-PCIe", 4).annotation("NV12;SYS,SYS;SYS,SYS,NV12"), "NV12;SYS,SYS;SYS,SYS,NV12"},
		{"from the product", gpuNode("NVIDIA-H100-80GB-HBM3", 8), "8*NV18"},
		{"from the product where the annotation is wrong", gpuNode("NVIDIA-H100-80GB-HBM3", 8).annotation("x"), "8*NV18"},
		{"as many as the node has, not as are healthy", gpuNode("NVIDIA-H100-80GB-HBM3", 8).allocatable(Resource, 7), "8*NV18"},
		{"slices have none", gpuNode("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", 8), ""},
		{"not known", gpuNode("NVIDIA-A100-80GB-PCIe", 4), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := ReadNode(tc.facts)
			if tc.want == "" {
				assert.Nil(t, n.Links)
				return
			}
			require.NotNil(t, n.Links)
			assert.Equal(t, tc.want, n.Links.String())
		})
	}
}

func TestChoice(t *testing.T) {
	h100 := gpuNode("NVIDIA-H100-80GB-HBM3", 8)
	a100 := gpuNode("NVIDIA-A100-80GB-PCIe", 4)
	sliced := gpuNode("NVIDIA-A100-SXM4-40GB-MIG-3g.20gb", 16)
	timed := gpuNode("Tesla-T4-SHARED", 8)
	quiet := gpuNode("Tesla-T4", 8).label(ReplicasLabel, "4")
	for _, tc := range []struct {
		name  string
		facts NodeFacts
		wish  Requirements
		want  int
		why   Mismatch
		text  string
	}{
		{"any GPU", h100, Requirements{}, 0, "", ""},
		{"the first choice", h100, Requirements{Models: []string{"H100", "A100"}}, 0, "", ""},
		{"the second choice", a100, Requirements{Models: []string{"H100", "A100"}}, 1, "", ""},
		{"no choice", timed, Requirements{Models: []string{"H100", "A100"}}, 0, WrongModel,
			"the node has Tesla-T4, each advertised several times; the pod wants H100 or A100"},
		{"a plain GPU is not a slice", sliced, Requirements{}, 0, NotWhole,
			"the node has NVIDIA-A100-SXM4-40GB cut into 3g.20gb; the pod wants whole GPUs"},
		{"nor by its family", sliced, Requirements{Models: []string{"A100"}}, 0, NotWhole,
			"the node has NVIDIA-A100-SXM4-40GB cut into 3g.20gb; the pod wants whole GPUs"},
		{"who asks for the slice gets it", sliced, Requirements{Models: []string{"A100-MIG-3g.20gb"}}, 0, "", ""},
		{"who asks for another slice does not", sliced, Requirements{Models: []string{"A100-MIG-1g.5gb"}}, 0, WrongModel,
			"the node has NVIDIA-A100-SXM4-40GB cut into 3g.20gb; the pod wants A100-MIG-1g.5gb"},
		{"a slice as the second choice", sliced, Requirements{Models: []string{"A100", "MIG-3g.20gb"}}, 1, "", ""},
		{"who accepts any share gets the slice", sliced, Requirements{AnyShare: true}, 0, "", ""},
		{"time-sliced devices are not whole", timed, Requirements{}, 0, NotWhole,
			"the node has Tesla-T4, each advertised several times; the pod wants whole GPUs"},
		{"even if the product label is silent", quiet, Requirements{Models: []string{"T4"}}, 0, NotWhole,
			"the node has Tesla-T4, each advertised several times; the pod wants whole GPUs"},
		{"who asks for shared devices gets them", timed, Requirements{Models: []string{"T4-SHARED"}}, 0, "", ""},
		{"enough memory", h100, Requirements{Memory: 80}, 0, "", ""},
		{"too little memory", h100, Requirements{Memory: 81}, 0, TooLittleMemory,
			"the node has NVIDIA-H100-80GB-HBM3; the pod wants GPUs with >=81Gi"},
		{"too little memory in a slice", sliced, Requirements{Models: []string{"MIG-3g.20gb"}, Memory: 40}, 0, TooLittleMemory,
			"the node has NVIDIA-A100-SXM4-40GB cut into 3g.20gb; the pod wants GPUs with >=40Gi"},
		{"nothing is known of the node", gpuNode("", 8), Requirements{Models: []string{"H100"}}, 0, UnknownModel,
			"the node has GPUs without a product label; the pod wants H100"},
		{"nothing is known of its memory", gpuNode("", 8), Requirements{Memory: 16}, 0, UnknownMemory,
			"the node has GPUs without a product label, of whose memory no label tells; the pod wants GPUs with >=16Gi"},
		{"a node without devices has another model", NodeFacts{}, Requirements{Models: []string{"H100"}}, 0, WrongModel,
			"the node has GPUs without a product label; the pod wants H100"},
		{"a virtual GPU is not whole", gpuNode("GRID-A100-10C", 1), Requirements{Models: []string{"A100"}}, 0, NotWhole,
			"the node has GRID-A100, each a virtual GPU; the pod wants whole GPUs"},
		{"who asks for its type gets it", gpuNode("GRID-A100-10C", 1), Requirements{Models: []string{"GRID-A100-10C"}}, 0, "", ""},
		{"memory by the label of an unknown product", gpuNode("Foo", 8).label(MemoryLabel, "81559"), Requirements{Memory: 80}, 0, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := ReadNode(tc.facts)
			got, why := n.MatchModels(tc.wish)
			if tc.why == "" {
				require.Nil(t, why)
				assert.Equal(t, tc.want, got)
				return
			}
			require.NotNil(t, why)
			assert.Equal(t, tc.why, why.Mismatch)
			assert.EqualError(t, why, tc.text)
		})
	}
}

func TestSliceScore(t *testing.T) {
	// Slices by name: 1g.5gb, 3g.20gb.
	n := ReadNode(gpuNode("NVIDIA-A100-SXM4-40GB", 2).
		allocatable("nvidia.com/mig-3g.20gb", 2).allocatable("nvidia.com/mig-1g.5gb", 7))
	for _, tc := range []struct {
		name          string
		better, worse []int
		whole, beside int
	}{
		{"fewer left", []int{2, 0}, []int{7, 0}, 0, 0},
		{"units count, not instances", []int{3, 0}, []int{0, 1}, 0, 0},
		{"cut to the last before whole devices", []int{7, 2}, []int{1, 0}, 0, 1},
		{"fewer whole devices", []int{1, 0}, []int{1, 0}, 1, 2},
		{"counts that are missing count as none", nil, []int{1}, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Greater(t, n.SliceScore(tc.better, tc.whole), n.SliceScore(tc.worse, tc.beside))
		})
	}
	unknown := ReadNode(gpuNode("Foo", 1).allocatable("nvidia.com/mig-1g.5gb", 7))
	assert.Equal(t, int64(-7), unknown.SliceScore([]int{7}, -1), "an unknown board counts instances")
}

func TestReadNode_WholeMeansWhole(t *testing.T) {
	const v100 = "Tesla-V100-PCIE-32GB"
	device := func(count string) string { return "GPU-0," + count + ",32768,100,NVIDIA-" + v100 + ",0,true:" }
	hami := func(text string) NodeFacts {
		f := gpuNode(v100, 8)
		f.Annotations = map[string]string{HAMiAnnotation: text}
		return f
	}
	gke := func(key, value string) NodeFacts {
		return gpuNode("", 8).label("cloud.google.com/gke-accelerator", "nvidia-tesla-a100").label(key, value)
	}
	amd := func(style string) NodeFacts {
		return gpuNode("", 0).offers("amd.com/gpu", 64, 64).label("amd.com/gpu.product-name", "AMD_Instinct_MI300X_OAM").label(amdPartitionLabel, style)
	}
	for _, tc := range []struct {
		name  string
		facts NodeFacts
		whole bool
		model string
	}{
		{"plain", gpuNode(v100, 8), true, v100},
		{"one replica", gpuNode(v100, 8).label(ReplicasLabel, "1").label(strategyLabel, "none"), true, v100},
		{"time-slicing by its suffix", gpuNode(v100+"-SHARED", 8), false, v100 + "-SHARED"},
		{"by its replicas", gpuNode(v100, 8).label(ReplicasLabel, "2"), false, v100 + "-SHARED"},
		{"by its strategy", gpuNode(v100, 8).label(strategyLabel, "mps"), false, v100 + "-SHARED"},
		{"vGPU by its product", gpuNode("GRID-A100-10C", 1), false, "GRID-A100-10C"},
		{"vGPU by its label", gpuNode("NVIDIA-A40", 1).label(virtualLabel, "true"), false, "NVIDIA-A40-SHARED"},
		{"no vGPU", gpuNode("NVIDIA-A40", 1).label(virtualLabel, "false"), true, "NVIDIA-A40"},
		{"MIG, strategy single", gpuNode("NVIDIA-A30-MIG-1g.6gb", 4), false, "NVIDIA-A30-MIG-1g.6gb"},
		{"GKE time-sharing", gke(gkeStrategyLabel, "time-sharing"), false, "nvidia-tesla-a100-SHARED"},
		{"GKE MPS", gke(gkeStrategyLabel, "mps"), false, "nvidia-tesla-a100-SHARED"},
		{"GKE, one client for each", gke(gkeStrategyLabel, "time-sharing").label(gkeClientsLabel, "1"), true, "nvidia-tesla-a100"},
		{"GKE by its clients", gke(gkeClientsLabel, "8"), false, "nvidia-tesla-a100-SHARED"},
		{"HAMi by the memory that it hands out", gpuNode(v100, 8).offers("nvidia.com/gpumem", 8<<15, 8<<15), false, v100 + "-SHARED"},
		{"Koordinator hands out memory by itself", gpuNode(v100, 8).offers("koordinator.sh/gpu-memory", 8<<35, 8<<35), true, v100},
		{"Intel, multiplied", gpuNode("", 0).offers("gpu.intel.com/i915", 20, 20).label("gpu.intel.com/product", "Flex_170").label("gpu.intel.com/device.count", "2"), false, "Flex_170-SHARED"},
		{"Intel, not multiplied", gpuNode("", 0).offers("gpu.intel.com/i915", 2, 2).label("gpu.intel.com/product", "Flex_170").label("gpu.intel.com/device.count", "2"), true, "Flex_170"},
		{"GKE partitions", gke(gkePartitionLabel, "1g.5gb"), false, "nvidia-tesla-a100-MIG-1g.5gb"},
		{"GKE partitions, shared", gke(gkePartitionLabel, "1g.5gb").label(gkeStrategyLabel, "time-sharing"), false, "nvidia-tesla-a100-MIG-1g.5gb-SHARED"},
		{"GKE, neither", gke("cloud.google.com/gke-nodepool", "a"), true, "nvidia-tesla-a100"},
		{"HAMi, in its older form", hami(device("10")), false, v100 + "-SHARED"},
		{"HAMi in JSON", hami(`[{"id":"GPU-0","count":10,"devmem":32768,"type":"NVIDIA"}]`), false, v100 + "-SHARED"},
		{"HAMi, not multiplied", hami(`[{"id":"GPU-0","count":1}]`), true, v100},
		{"HAMi, not multiplied, in its older form", hami(device("1") + device("1")), true, v100},
		{"HAMi, not to be read", hami("x"), true, v100},
		{"HAMi by the number of devices", gpuNode(v100, 80).label(CountLabel, "8"), false, v100 + "-SHARED"},
		{"as many as are labelled", gpuNode(v100, 8).label(CountLabel, "8"), true, v100},
		{"AMD's partitions", amd("cpx_nps4"), false, "AMD_Instinct_MI300X_OAM-cpx_nps4"},
		{"AMD, one partition", amd("spx_nps1"), true, "AMD_Instinct_MI300X_OAM"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := ReadNode(tc.facts)
			assert.Equal(t, tc.whole, n.Product.IsWhole())
			assert.Equal(t, tc.model, n.ModelName())
			told := ParseProduct(n.ModelName())
			assert.Equal(t, tc.whole, told.IsWhole(), "the name alone says as much")
			assert.Equal(t, n.Product.Profile, told.Profile)
		})
	}
}

func TestReadNode_ProductsOfAllVendors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		labels map[string]string
		model  string
		asked  string
		memory MemoryFloor
	}{
		{"AMD", map[string]string{"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G"}, "AMD_Instinct_MI300X_OAM", "MI300X", 192},
		{"AMD, a product that is in no table", map[string]string{"amd.com/gpu.product-name": "AMD_Radeon_8060S_Graphics", "amd.com/gpu.vram": "64G"}, "AMD_Radeon_8060S_Graphics", "8060S", 64},
		{"AMD's beta labels", map[string]string{"beta.amd.com/gpu.product-name": "AMD_Instinct_MI325_OAM"}, "AMD_Instinct_MI325_OAM", "MI325X", 256},
		{"AMD's first labels", map[string]string{"beta.amd.com/gpu.device-id.74a1": "8", "beta.amd.com/gpu.vram.192G": "8", "beta.amd.com/gpu.family.AI": "8"}, "AMD_Instinct_MI300X_OAM", "AMD MI300X", 192},
		{"AMD's product in the key", map[string]string{"beta.amd.com/gpu.product-name.AMD_Instinct_MI210": "4"}, "AMD_Instinct_MI210", "Instinct MI210", 64},
		{"Intel", map[string]string{"gpu.intel.com/product": "Max_1550"}, "Max_1550", "Max 1550", 128},
		{"TPU", map[string]string{"cloud.google.com/gke-tpu-accelerator": "tpu-v6e-slice"}, "tpu-v6e-slice", "TPU v6e", 32},
		{"TPU by the label's own words", map[string]string{"cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice"}, "tpu-v5-lite-podslice", "tpu-v5-lite", 16},
		{"Ascend", map[string]string{"node.kubernetes.io/npu.chip.name": "910B3"}, "910B3", "Ascend910B3", 0},
		{"Hygon", map[string]string{"hygon.com/dcu.name": "K100_AI", "hygon.com/dcu.vram": "64G"}, "K100_AI", "K100-AI", 64},
		{"MetaX", map[string]string{"metax-tech.com/gpu.product": "MXC500", "metax-tech.com/gpu.memory": "64GB"}, "MXC500", "C500", 64},
		{"GKE", map[string]string{"cloud.google.com/gke-accelerator": "nvidia-h100-mega-80gb"}, "nvidia-h100-mega-80gb", "H100-SXM", 80},
		{"GKE beside GPU Feature Discovery", map[string]string{"cloud.google.com/gke-accelerator": "nvidia-l4", ProductLabel: "NVIDIA-L4"}, "NVIDIA-L4", "L4", 24},
		{"Karpenter", map[string]string{"karpenter.k8s.aws/instance-gpu-name": "a10g", "karpenter.k8s.aws/instance-gpu-memory": "24576"}, "a10g", "A10G", 24},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := ReadNode(NodeFacts{Labels: tc.labels})
			assert.Equal(t, tc.model, n.ModelName())
			assert.True(t, MatchesProduct(tc.asked, n.Product))
			assert.True(t, MatchesLabel(tc.asked, n.ModelName()))
			assert.False(t, MatchesProduct("B200", n.Product))
			assert.True(t, tc.memory.IsSatisfiedBy(n.Product, n.MemoryMiB))
			assert.False(t, MemoryFloor(tc.memory+16).IsSatisfiedBy(n.Product, n.MemoryMiB))
			assert.Empty(t, n.Warnings)
		})
	}
}
