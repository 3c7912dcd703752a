// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"strconv"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// FormatQuantity returns an amount of a resource in Kubernetes notation. n is
// in the unit of a Usage: milli-cores of CPU, bytes of memory and storage, else
// a count.
func FormatQuantity(name string, n int64) string {
	switch v1.ResourceName(name) {
	case v1.ResourceCPU:
		if n%1000 != 0 {
			return strconv.FormatInt(n, 10) + "m"
		}
		return strconv.FormatInt(n/1000, 10)
	case v1.ResourceMemory, v1.ResourceEphemeralStorage:
		return resource.NewQuantity(n, resource.BinarySI).String()
	}
	return strconv.FormatInt(n, 10) // not 40k beside 39936
}

// roundQuantity rounds down to an amount that people would write: whole cores
// and GiB where it is more than one.
func roundQuantity(name string, n int64) int64 {
	unit := int64(1)
	switch v1.ResourceName(name) {
	case v1.ResourceCPU:
		unit = 1000
	case v1.ResourceMemory, v1.ResourceEphemeralStorage:
		unit = 1 << 30
	}
	if n < unit {
		return n
	}
	return n - n%unit
}
