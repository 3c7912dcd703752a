// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import "github.com/muster-scheduler/muster/pkg/gpu"

// IsGPU reports whether a pod that asks for a resource takes up GPUs or other
// accelerators, or parts of them, such as "nvidia.com/gpu", "amd.com/gpu" or
// "nvidia.com/mig-1g.10gb". Not every such resource counts devices, see
// gpu.KindOf.
func IsGPU(resource string) bool { return gpu.TakesDevice(resource) }
