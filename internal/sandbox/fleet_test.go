// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sandbox_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/internal/sandbox"
)

// offer is what a node offers, in one line.
func offer(node *v1.Node) string {
	get := func(name v1.ResourceName) string {
		quantity := node.Status.Allocatable[name]
		return quantity.String()
	}
	return strings.Join([]string{
		node.Name, get(sandbox.GPUResource), get(v1.ResourceCPU), get(v1.ResourceMemory),
		node.Labels[sandbox.ProductLabel], node.Labels[sandbox.RackLabel], node.Labels[sandbox.BlockLabel],
	}, " ")
}

func TestFleet(t *testing.T) {
	nodes, err := sandbox.Fleet{Nodes: 9, GPUs: 8, Product: "H100", NodesPerRack: 2, RacksPerBlock: 3}.BuildNodes()
	require.NoError(t, err)
	require.Len(t, nodes, 9)
	assert.Equal(t, "node-1 8 128 2Ti H100 rack-1 block-1", offer(nodes[0]))
	assert.Equal(t, "node-7 8 128 2Ti H100 rack-4 block-2", offer(nodes[6]))
	assert.Equal(t, "node-9 8 128 2Ti H100 rack-5 block-2", offer(nodes[8]))

	nodes, err = sandbox.Fleet{Nodes: 1}.BuildNodes()
	require.NoError(t, err)
	assert.Equal(t, "node-1 0 64 512Gi   ", offer(nodes[0]))

	_, err = sandbox.Fleet{Nodes: 1, GPUs: -8}.BuildNodes()
	assert.ErrorContains(t, err, "cannot be negative")
}

func TestReadInventory(t *testing.T) {
	nodes, err := sandbox.ReadInventory(strings.NewReader(`node,gpu_model,gpus,cpus,memory_gib,network.topology.nvidia.com/leaf
A1,H100,8,192,1500,leaf-3
a2,H100,4,,,
0,,0,96,,leaf-3
`))
	require.NoError(t, err)
	require.Len(t, nodes, 3)
	assert.Equal(t, "a1 8 192 1500Gi H100 leaf-3 ", offer(nodes[0]))
	assert.Equal(t, "a2 4 64 1Ti H100  ", offer(nodes[1]))
	assert.Equal(t, "0 0 96 512Gi  leaf-3 ", offer(nodes[2]))
}

func TestReadInventory_Refuses(t *testing.T) {
	for _, test := range []struct{ name, csv, want string }{
		{"an empty file", "", "read the header row"},
		{"a file without node names", "gpus,cpus\n8,64\n", "no column node"},
		{"a column nobody knows", "node,colour\n", `column "colour" is unknown`},
		{"a row that is too short", "node,gpus\na\n", "wrong number of fields"},
		{"GPUs that are no number", "node,gpus\na,eight\n", `line 2: gpus is "eight"`},
		{"fewer than no GPUs", "node,gpus\na,-1\n", `gpus is "-1"`},
		{"a name that no node may have", "node,gpus\na_b,1\n", `"a_b" is not a node name`},
		{"a node without a name", "node,gpus\n,1\n", `"" is not a node name`},
		{"one node twice", "node\na\nb\nA\n", "line 4: node a stands in line 2 already"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := sandbox.ReadInventory(strings.NewReader(test.csv))
			assert.ErrorContains(t, err, test.want)
		})
	}
}
