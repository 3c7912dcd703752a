// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestKindOf(t *testing.T) {
	for kind, resources := range map[ResourceKind][]string{
		WholeDevice: {
			"nvidia.com/gpu", "nvidia.com/pgpu", "nvidia.com/GH100_H100_SXM5_80GB", "nvidia.com/TU104GL_TESLA_T4",
			"amd.com/gpu", "amd.com/spx_nps1", "gpu.intel.com/i915", "gpu.intel.com/xe", "habana.ai/gaudi",
			"google.com/tpu", "aws.amazon.com/neuron", "aws.amazon.com/neurondevice",
			"huawei.com/Ascend910", "huawei.com/Ascend910B3", "huawei.com/Ascend310P-IPro", "huawei.com/ascend-1980",
			"cambricon.com/mlu", "cambricon.com/mlu370", "hygon.com/dcu", "metax-tech.com/gpu", "mthreads.com/gpu",
			"iluvatar.ai/gpu", "iluvatar.com/gpu", "enflame.com/gcu", "kunlunxin.com/xpu", "birentech.com/gpu",
			"example.com/gpu", "example.com/gpu-r100", "gpu",
		},
		DevicePart: {
			"nvidia.com/gpu.shared", "nvidia.com/mig-1g.10gb", "nvidia.com/mig-1g.10gb.me.shared", "nvidia.com/GRID_A100D-10C", "nvidia.com/NVIDIA_A10-12Q",
			"amd.com/cpx_nps4", "amd.com/dpx_nps1", "huawei.com/Ascend910-2c", "huawei.com/Ascend310P-4c.3cpu",
			"cambricon.com/vmlu", "cambricon.com/mlu370.share", "cambricon.com/mlu370.mim-2m.8gb",
			"hygon.com/dcunum", "hygon.com/dcu-share-30c-16g", "hygon.com/dcu-mig-2g-15gb", "metax-tech.com/sgpu", "mthreads.com/vgpu",
			"iluvatar.ai/vgpu", "iluvatar.ai/BI-V150-vgpu", "enflame.com/shared-gcu", "birentech.com/1-4-gpu", "volcano.sh/vgpu-number",
			"example.com/vgpu", "example.com/gpu-shared",
		},
		DeviceMeasure: {
			"koordinator.sh/gpu-core", "koordinator.sh/gpu-memory", "koordinator.sh/gpu-memory-ratio", "koordinator.sh/gpu", "koordinator.sh/gpu.shared",
			"aliyun.com/gpu-mem", "aliyun.com/gpu-count", "tencent.com/vcuda-core", "nvidia.com/gpumem", "nvidia.com/gpumem-percentage", "nvidia.com/gpucores",
			"volcano.sh/vgpu-memory", "volcano.sh/vgpu-cores", "volcano.sh/gpu-memory", "volcano.sh/gpu-number", "aws.amazon.com/neuroncore",
			"gpu.intel.com/i915_monitoring", "gpu.intel.com/xe_monitoring", "gpu.intel.com/millicores", "gpu.intel.com/memory.max",
			"huawei.com/Ascend910B3-memory", "huawei.com/npu-core", "cambricon.com/mlu370.smlu.vmemory", "cambricon.com/mlu.smlu.vcore",
			"hygon.com/dcumem", "metax-tech.com/vmemory", "mthreads.com/sgpu-memory", "iluvatar.ai/vcuda-memory", "amd.com/gpumem",
			"example.com/gpu-memory", "example.com/gpu_mem", "example.com/gpumem", "example.com/gpu.cores-percentage",
		},
		NoDevice: {
			"cpu", "memory", "pods", "hugepages-2Mi", "ephemeral-storage", "nvidia.com/hostdev", "nvidia.com/GH100_H100_NVSWITCH", "rdma/hca",
			"vpc.amazonaws.com/efa", "aws.amazon.com/efa", "google.com/rdma", "hygon.com/other", "",
		},
	} {
		for _, resource := range resources {
			assert.Equal(t, kind, KindOf(resource), resource)
			assert.Equal(t, kind == WholeDevice || kind == DevicePart, IsDevice(resource), resource)
			assert.Equal(t, kind != NoDevice, TakesDevice(resource), resource)
		}
	}
}

func TestVendorTable(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range vendors {
		assert.NotEmpty(t, v.name)
		assert.NotEmpty(t, v.source, v.name)
		assert.NotEmpty(t, v.rules, v.name)
		assert.False(t, seen[v.domain], "%s stands twice", v.domain)
		seen[v.domain] = true
	}
}
