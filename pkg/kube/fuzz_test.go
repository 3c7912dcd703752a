// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	resourceapi "k8s.io/api/resource/v1"
)

func FuzzParseRoles(f *testing.F) {
	for _, seed := range []string{
		`[{"name":"prefill","selector":{"matchLabels":{"role":"prefill"}},"minCount":2,"topologyRequired":"rack"}]`,
		`[{"name":"shard","each":["shard"],"sliceSize":4,"sliceTopology":"clique"}]`,
		`[{"name":"a","slices":[{"size":16,"topology":"rack"},{"size":4,"topology":"clique","preferred":true}],"beside":"b"},{"name":"b"}]`,
		`[{"name":"a","selector":{"matchExpressions":[{"key":"k","operator":"In","values":[]}]}}]`,
		`[]`, `null`, `{}`, `[null]`, `[{"name":"a"},{"name":"a"}]`, `[{"name":"a","minCount":-1}]`, `[{"name":"a","minCount":1e400}]`,
		`[{"name":"a","sliceSize":9223372036854775807}]`, `[{"name":"\u202e"}]`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		roles, err := ParseRoles(text)
		if err != nil {
			assert.NotEmpty(t, err.Error())
			return
		}
		assert.GreaterOrEqual(t, TotalMinimum(roles), 0)
		again, err := ParseRoles(FormatRoles(roles))
		require.NoError(t, err, "%s became %s", text, FormatRoles(roles))
		assert.Equal(t, FormatRoles(roles), FormatRoles(again))
		for i := range roles {
			roles[i].SliceAnnotations()
		}
	})
}

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
	})
}
