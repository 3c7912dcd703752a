// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpu

// The sources of the product rows.
const (
	// driverList is the list of compatible GPUs in the README of NVIDIA's open
	// kernel modules (github.com/NVIDIA/open-gpu-kernel-modules): the device
	// names, from which GPU Feature Discovery makes the label.
	driverList = "NVIDIA open-gpu-kernel-modules README, compatible GPUs"
	// migGuide is the table "Supported GPUs" of NVIDIA's MIG user guide: which
	// boards can be cut, and their memory.
	migGuide = "NVIDIA MIG user guide, supported GPUs"
	// labelSeen marks a spelling that was found as a label value in published
	// manifests and documents; the device predates the driver list or is too
	// new for it. Memory and form are those of NVIDIA's data sheet.
	labelSeen = "published node labels; NVIDIA data sheet"
	// gkeName is a value of GKE's own label, which says less than the driver's
	// name: the GKE docs, GPUs in GKE, and the machine series behind it.
	gkeName = "GKE docs, cloud.google.com/gke-accelerator"
	// amdLabel is the labeller's spelling of the names in libdrm's amdgpu.ids, and
	// the memory of AMD's data sheets.
	amdLabel = "ROCm k8s-device-plugin, node labeller and amdgpu.ids; AMD data sheet"
	// tpuName is a value of GKE's label for TPUs with the memory of a chip.
	tpuName = "GKE docs, plan TPUs; Google Cloud TPU system architecture"
	// intelRule is what Intel's rules for Node Feature Discovery write.
	intelRule = "intel-device-plugins-for-kubernetes, NFD rules; Intel data sheet"
)

// productRow is one spelling of the product label.
type productRow struct {
	label    string
	family   string
	memoryGB int
	form     FormFactor
	board    string
	source   string
}

// productTable holds the known spellings. GH200 is named by the memory of its
// processor (120 or 480 GB); its GPU has 96 GB all the same.
var productTable = []productRow{
	{"NVIDIA-A100-SXM4-40GB", "A100", 40, SXM, "A100-40GB", driverList + "; " + migGuide},
	{"NVIDIA-A100-SXM4-80GB", "A100", 80, SXM, "A100-80GB", driverList + "; " + migGuide},
	{"NVIDIA-A100-SXM-64GB", "A100", 64, SXM, "", driverList},
	{"NVIDIA-A100-PCIE-40GB", "A100", 40, PCIe, "A100-40GB", driverList + "; " + migGuide},
	{"NVIDIA-A100-80GB-PCIe", "A100", 80, PCIe, "A100-80GB", driverList + "; " + migGuide},
	{"NVIDIA-A100-PCIE-80GB", "A100", 80, PCIe, "A100-80GB", "github.com/NVIDIA/go-nvml mock devices; " + migGuide},
	{"NVIDIA-A800-SXM4-40GB", "A800", 40, SXM, "A100-40GB", driverList + "; NVIDIA mig-parted, config-default.yaml"},
	{"NVIDIA-A800-SXM4-80GB", "A800", 80, SXM, "A100-80GB", driverList + "; NVIDIA mig-parted, config-default.yaml"},
	{"NVIDIA-A800-80GB-PCIe", "A800", 80, PCIe, "A100-80GB", driverList + "; NVIDIA mig-parted, config-default.yaml"},
	{"NVIDIA-A800-40GB-Active", "A800", 40, PCIe, "A100-40GB", driverList + "; NVIDIA mig-parted, config-default.yaml"},
	{"NVIDIA-A30", "A30", 24, PCIe, "A30-24GB", driverList + "; " + migGuide},
	{"NVIDIA-A40", "A40", 48, PCIe, "", driverList},
	{"NVIDIA-A10", "A10", 24, PCIe, "", driverList},
	{"NVIDIA-A10G", "A10G", 24, PCIe, "", driverList},
	{"NVIDIA-A16", "A16", 16, PCIe, "", labelSeen},
	{"NVIDIA-A2", "A2", 16, PCIe, "", labelSeen},
	{"NVIDIA-L4", "L4", 24, PCIe, "", labelSeen},
	{"NVIDIA-L40", "L40", 48, PCIe, "", labelSeen},
	{"NVIDIA-L40S", "L40S", 48, PCIe, "", labelSeen},
	{"NVIDIA-H100-80GB-HBM3", "H100", 80, SXM, "H100-80GB", driverList + "; " + migGuide},
	{"NVIDIA-H100-PCIe", "H100", 80, PCIe, "H100-80GB", driverList + "; " + migGuide},
	{"NVIDIA-H100-NVL", "H100", 94, NVL, "H100-94GB", driverList + "; " + migGuide},
	{"NVIDIA-H800", "H800", 80, SXM, "H100-80GB", driverList + "; NVIDIA mig-parted, config-default.yaml"},
	{"NVIDIA-H800-PCIe", "H800", 80, PCIe, "H100-80GB", driverList + "; NVIDIA mig-parted, config-default.yaml"},
	{"NVIDIA-H800-NVL", "H800", 94, NVL, "H100-94GB", driverList + "; NVIDIA mig-parted, config-default.yaml"},
	{"NVIDIA-H20", "H20", 96, SXM, "H100-96GB", driverList + "; " + migGuide},
	{"NVIDIA-H200", "H200", 141, SXM, "H200-141GB", driverList + "; " + migGuide},
	{"NVIDIA-H200-NVL", "H200", 141, NVL, "H200-141GB", driverList + "; " + migGuide},
	{"NVIDIA-GH200-120GB", "GH200", 96, Superchip, "H100-96GB", driverList + "; " + migGuide},
	{"NVIDIA-GH200-480GB", "GH200", 96, Superchip, "H100-96GB", driverList + "; " + migGuide},
	{"NVIDIA-GH200-144G-HBM3e", "GH200", 144, Superchip, "GH200-144GB", driverList + "; NVIDIA mig-parted, config-default.yaml"},
	{"NVIDIA-B200", "B200", 180, SXM, "B200-180GB", labelSeen + "; " + migGuide},
	{"NVIDIA-B300-SXM6-AC", "B300", 288, SXM, "B300-269GB", labelSeen + "; " + gpuOperator},
	{"NVIDIA-GB200", "GB200", 186, Superchip, "GB200-186GB", labelSeen + "; " + migGuide},
	{"NVIDIA-GB300", "GB300", 288, Superchip, "GB300-278GB", labelSeen + "; " + gpuOperator},
	{"NVIDIA-H100-96GB-HBM3", "H100", 96, SXM, "H100-96GB", migParted + " (H100-96GB); spelling as that of the 80 GB board"},
	{"NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", "RTX PRO 6000", 96, PCIe, "RTX-PRO-6000-96GB", labelSeen + "; " + migGuide},
	{"NVIDIA-RTX-PRO-6000-Blackwell-Workstation-Edition", "RTX PRO 6000", 96, PCIe, "RTX-PRO-6000-96GB", labelSeen + "; " + migGuide},
	{"NVIDIA-RTX-PRO-6000-Blackwell-Max-Q-Workstation-Edition", "RTX PRO 6000", 96, PCIe, "RTX-PRO-6000-96GB", labelSeen + "; " + migGuide},
	{"NVIDIA-RTX-PRO-5000-Blackwell", "RTX PRO 5000", 48, PCIe, "RTX-PRO-5000-48GB", labelSeen + "; " + migGuide},
	{"NVIDIA-RTX-PRO-4500-Blackwell", "RTX PRO 4500", 32, PCIe, "RTX-PRO-4500-32GB", labelSeen + "; " + migGuide},
	{"NVIDIA-RTX-PRO-4500-Blackwell-Server-Edition", "RTX PRO 4500", 32, PCIe, "RTX-PRO-4500-32GB", "AWS EC2 G7 announcement; " + migGuide},
	{"NVIDIA-RTX-A6000", "RTX A6000", 48, PCIe, "", driverList},
	{"NVIDIA-RTX-A5000", "RTX A5000", 24, PCIe, "", driverList},
	{"NVIDIA-RTX-6000-Ada-Generation", "RTX 6000 Ada", 48, PCIe, "", labelSeen},
	{"NVIDIA-GeForce-RTX-3090", "RTX 3090", 24, PCIe, "", driverList},
	{"NVIDIA-GeForce-RTX-4090", "RTX 4090", 24, PCIe, "", labelSeen},
	{"NVIDIA-GeForce-RTX-5090", "RTX 5090", 32, PCIe, "", labelSeen},
	{"Tesla-T4", "T4", 16, PCIe, "", labelSeen},
	{"Tesla-V100-SXM2-16GB", "V100", 16, SXM, "", labelSeen},
	{"Tesla-V100-SXM2-32GB", "V100", 32, SXM, "", labelSeen},
	{"Tesla-V100-SXM3-32GB", "V100", 32, SXM, "", labelSeen},
	{"Tesla-V100-PCIE-16GB", "V100", 16, PCIe, "", labelSeen},
	{"Tesla-V100-PCIE-32GB", "V100", 32, PCIe, "", labelSeen},
	{"Tesla-V100S-PCIE-32GB", "V100S", 32, PCIe, "", labelSeen},
	{"Tesla-P100-PCIE-16GB", "P100", 16, PCIe, "", labelSeen},
	{"Tesla-P100-SXM2-16GB", "P100", 16, SXM, "", labelSeen},
	{"Tesla-P40", "P40", 24, PCIe, "", labelSeen},
	{"Tesla-P4", "P4", 8, PCIe, "", labelSeen},

	{"nvidia-tesla-a100", "A100", 40, SXM, "A100-40GB", gkeName},
	{"nvidia-a100-80gb", "A100", 80, SXM, "A100-80GB", gkeName},
	{"nvidia-h100-80gb", "H100", 80, SXM, "H100-80GB", gkeName},
	{"nvidia-h100-mega-80gb", "H100", 80, SXM, "H100-80GB", gkeName},
	{"nvidia-h200-141gb", "H200", 141, SXM, "H200-141GB", gkeName},
	{"nvidia-tesla-v100", "V100", 16, SXM, "", gkeName},
	{"nvidia-tesla-p100", "P100", 16, PCIe, "", gkeName},
	{"nvidia-rtx-pro-6000", "RTX PRO 6000", 96, PCIe, "RTX-PRO-6000-96GB", gkeName},

	// amd.com/gpu counts each of the two dies of an MI250 as a device.
	{"AMD_Instinct_MI100", "MI100", 32, PCIe, "", amdLabel},
	{"AMD_Instinct_MI210", "MI210", 64, PCIe, "", amdLabel},
	{"AMD_Instinct_MI250X", "MI250X", 64, OAM, "", amdLabel},
	{"AMD_Instinct_MI250X_MI250", "MI250X", 64, OAM, "", amdLabel},
	{"AMD_Instinct_MI250", "MI250", 64, OAM, "", amdLabel},
	{"AMD_Instinct_MI300A", "MI300A", 128, Superchip, "", amdLabel},
	{"AMD_Instinct_MI300X", "MI300X", 192, OAM, "", amdLabel},
	{"AMD_Instinct_MI300X_OAM", "MI300X", 192, OAM, "", amdLabel},
	{"AMD_Instinct_MI308X", "MI308X", 192, OAM, "", amdLabel},
	{"AMD_Instinct_MI308X_OAM", "MI308X", 192, OAM, "", amdLabel},
	{"AMD_Instinct_MI325X", "MI325X", 256, OAM, "", amdLabel},
	{"AMD_Instinct_MI325X_OAM", "MI325X", 256, OAM, "", amdLabel},
	{"AMD_Instinct_MI325_OAM", "MI325X", 256, OAM, "", amdLabel},
	{"AMD_Instinct_MI350X", "MI350X", 288, OAM, "", amdLabel},
	{"AMD_Instinct_MI355X", "MI355X", 288, OAM, "", amdLabel},

	{"Max_1550", "Max 1550", 128, OAM, "", intelRule},
	{"Max_1100", "Max 1100", 48, PCIe, "", intelRule},
	{"Flex_170", "Flex 170", 16, PCIe, "", intelRule},
	{"Flex_140", "Flex 140", 12, PCIe, "", intelRule},

	{"tpu-v4-podslice", "TPU v4", 32, "", "", tpuName},
	{"tpu-v5-lite-podslice", "TPU v5e", 16, "", "", tpuName},
	{"tpu-v5-lite-device", "TPU v5e", 16, "", "", tpuName},
	{"tpu-v5p-slice", "TPU v5p", 95, "", "", tpuName},
	{"tpu-v6e-slice", "TPU v6e", 32, "", "", tpuName},
	{"tpu7x", "TPU 7x", 192, "", "", tpuName},

	{"MXC500", "C500", 64, "", "", "MetaX gpu-operator, node labels; MetaX C500 user guide"},
	{"MXC550", "C550", 64, "", "", "MetaX gpu-operator, node labels"},
}

// productRows is productTable by comparable name.
var productRows = indexProducts()

func indexProducts() map[string]productRow {
	rows := make(map[string]productRow, len(productTable))
	for _, row := range productTable {
		rows[productKey(row.label)] = row
	}
	return rows
}
