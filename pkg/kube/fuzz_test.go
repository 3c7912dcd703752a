// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
