// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	tree, u, err := ParseUsage(`
# The second rack is older.
block-a
  rack-1
    n2 8 model=NVIDIA-H100-80GB-HBM3
    n10 4/8 cpu=96
  rack-2
    n1 -1/8 cpu=0/96 cordoned
  lone 2
`)
	require.NoError(t, err)
	assert.Equal(t, []string{"block", "rack"}, tree.Levels)
	assert.Equal(t, []string{"nvidia.com/gpu", "cpu"}, u.Resources)
	var names []string
	for _, n := range tree.Nodes {
		names = append(names, n.Name)
	}
	assert.Equal(t, []string{"lone", "n2", "n10", "n1"}, names)
	assert.Equal(t, []int64{2, 0, 8, 0, 4, 96, -1, 0}, u.Free)
	assert.Equal(t, []int64{2, 0, 8, 0, 8, 96, 8, 96}, u.Capacity)
	assert.Equal(t, []bool{false, false, false, true}, u.Cordoned)
	assert.Equal(t, "NVIDIA-H100-80GB-HBM3", tree.Nodes[1].Model)
}

func TestParse_Refuses(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"an amount on a domain", "rack-1 8\n  n1 8", "domain rack-1 has an amount: amounts belong to nodes"},
		{"what is no amount", "n1 many", `node n1: "many" is no amount: write 8, 4/8 or cpu=4/8`},
		{"more free than there is", "n1 9/8", `node n1: "9/8" is impossible: free is at most the capacity, which is from 0 to 2147483647`},
		{"a negative capacity", "n1 -1", `node n1: "-1" is impossible: free is at most the capacity, which is from 0 to 2147483647`},
		{"a node without a name", "- 8", "a node needs a name"},
		{"two nodes of one name", "rack-1\n  n1 8\nrack-2\n  n1 8", `two nodes are called "n1": nodes need distinct names`},
		{"a tree deeper than its levels", "levels: rack\nblock-a\n  rack-1\n    n1 8", "domain rack-1 is at depth 2, but there are 1 levels"},
		{"a resource named twice", "resources: cpu gpu cpu\nn1 8", "resource cpu is named twice"},
		{"levels below a node", "n1 8\nlevels: rack", `line 2: "levels:" stands below a node or a domain: it must come before them`},
		{"a level named twice", "levels: rack room rack\nn1 8", `level 2 is called "rack": levels need distinct names`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := ParseUsage(tc.text)
			assert.ErrorContains(t, err, tc.want)
		})
	}
}

func TestFormat(t *testing.T) {
	const drawing = `levels: block rack
resources: nvidia.com/gpu cpu
-
  rack-9
    n9 8
block-a
  n0
  rack-1
    n1 4/8 cpu=96 model=NVIDIA-A10 cordoned
`
	_, u, err := ParseUsage(drawing)
	require.NoError(t, err)
	assert.Equal(t, drawing, FormatUsage(u))
}

// FuzzParse checks that no text makes ParseUsage panic and that what it accepts
// survives being drawn and read again.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"", "n1", "n1 8", "n1 8\nn1 8", "levels: a b\n-\n  x\n    n1 1/2 cpu=3 model=m cordoned",
		"block-a\n  rack-1\n    n1 8\n n2 4", "resources: a b\nn1 b=3 2", "# only a comment", "a\n b\n  c\n   d 1",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tree, u, err := ParseUsage(text)
		if err != nil {
			return
		}
		again, v, err := ParseUsage(FormatUsage(u))
		require.NoError(t, err, FormatUsage(u))
		require.Equal(t, tree, again, FormatUsage(u))
		require.Equal(t, u, v)
	})
}
