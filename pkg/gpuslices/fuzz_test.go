// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gpuslices

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
)

// What a driver says of its devices is read, or the node has none.
func FuzzReadDevices(f *testing.F) {
	for _, seed := range []string{
		`[{"spec":{"driver":"gpu.nvidia.com","nodeName":"n1","pool":{"name":"n1","generation":1,"resourceSliceCount":1},"devices":[{"name":"gpu-0","attributes":{"productName":{"string":"H100"}},"capacity":{"memory":{"value":"80Gi"}}}]}}]`,
		`[{"spec":{"nodeName":"n1","pool":{"name":"p","generation":-1,"resourceSliceCount":9}}}]`,
		`[{}]`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var all []*resourceapi.ResourceSlice
		if json.Unmarshal(text, &all) != nil {
			return
		}
		for _, one := range all {
			if one == nil {
				return
			}
		}
		assert.LessOrEqual(t, len(ReadDevices(all)), len(all))
		var order DeviceOrder
		assert.Len(t, order.OrderSlices(all, []*v1.Node{gpuNode("n1", "")}, nil, 2), len(all))
	})
}
