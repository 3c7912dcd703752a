// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import "strings"

// MatchesModel tells whether the GPU product of a node, as its label
// nvidia.com/gpu.product spells it, is of the wanted model: want is the whole
// product or some whole parts of it in order, where parts are joined by dashes
// and letters match in either case. "H100" and "h100-80GB" match
// "NVIDIA-H100-80GB-HBM3"; "A10" does not match "NVIDIA-A100-SXM4-40GB".
func MatchesModel(want, product string) bool {
	if want == "" || product == "" {
		return false
	}
	return strings.Contains(dashed(product), dashed(want))
}

// dashed puts a dash round every part of a product name.
func dashed(name string) string {
	return "-" + strings.ToLower(strings.ReplaceAll(name, " ", "-")) + "-"
}

// IsGPU tells whether a resource name stands for GPUs or parts of them, such
// as "nvidia.com/gpu", "amd.com/gpu" or "nvidia.com/mig-1g.10gb".
func IsGPU(resource string) bool {
	device := resource[strings.LastIndexByte(resource, '/')+1:]
	return strings.HasPrefix(device, "gpu") || strings.HasPrefix(device, "mig-")
}
