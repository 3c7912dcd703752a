// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/muster-scheduler/muster/pkg/topology"
)

func TestRankCost(t *testing.T) {
	u := parse(t, twoBlocks)
	for _, tc := range []struct {
		name  string
		nodes []topology.NodeID
		want  int
	}{
		{"one node costs nothing", []topology.NodeID{0, 0, 0}, 0},
		{"one rack", []topology.NodeID{0, 1, 2}, 2},
		{"two racks, then two blocks", []topology.NodeID{0, 4, 7}, 2 + 3},
		{"members without a node are left out", []topology.NodeID{0, NoNode, 1, NoNode}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.want, RankCost(u.Tree, tc.nodes))
		})
	}
}
