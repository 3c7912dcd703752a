// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import "strings"

// IsGPU tells whether a resource name stands for GPUs or parts of them, such
// as "nvidia.com/gpu", "amd.com/gpu" or "nvidia.com/mig-1g.10gb".
func IsGPU(resource string) bool {
	device := resource[strings.LastIndexByte(resource, '/')+1:]
	return strings.HasPrefix(device, "gpu") || strings.HasPrefix(device, "mig-")
}
