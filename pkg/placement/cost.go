// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import "github.com/muster-scheduler/muster/pkg/topology"

// RankCost is the sum over neighbours in rank of the tree distance between
// their nodes: what a ring through the ranks has to cross. Members without a
// node are left out.
func RankCost(t *topology.Tree, nodes []topology.NodeID) int {
	cost := 0
	last := NoNode
	for _, n := range nodes {
		if n == NoNode {
			continue
		}
		if last != NoNode {
			cost += t.NodeDistance(last, n)
		}
		last = n
	}
	return cost
}
