// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import "strings"

// IsGPU reports whether a resource name stands for GPUs or parts of them, such
// as "nvidia.com/gpu", "amd.com/gpu" or "nvidia.com/mig-1g.10gb". It goes by the
// name behind the vendor's domain, so that new vendors need no entry here.
func IsGPU(resource string) bool {
	device := resource[strings.LastIndexByte(resource, '/')+1:]
	return strings.HasPrefix(device, "gpu") || strings.HasPrefix(device, "mig-")
}
