// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// What it costs to read a gang, and the nodes that changed since the last one,
// does not grow with the nodes that there are.
func TestCluster_AllocatesNothingForEachNode(t *testing.T) {
	reading := func(count int) float64 {
		var nodes []*v1.Node
		for i := range count {
			nodes = append(nodes, node(fmt.Sprintf("n%d", i), fmt.Sprintf("r%d", i/16), 8))
		}
		list := infos(nodes...)
		c := NewCluster(DefaultLevels())
		spec := &Spec{Name: "train", MinCount: 4, Required: 3, Preferred: topology.NoLevel}
		pods := []*v1.Pod{pod("train-0", 8), pod("train-1", 8), pod("train-2", 8), pod("train-3", 8)}
		next := 0
		read := func() {
			changed := list[next%4].(*framework.NodeInfo)
			changed.SetNode(changed.Node()) // of another generation from now on
			next++
			_, err := c.ReadGang(spec, pods, nil, list)
			require.NoError(t, err)
		}
		read()
		return testing.AllocsPerRun(50, read)
	}
	few, many := reading(64), reading(2048)
	assert.InDelta(t, few, many, 2, "for 64 nodes and for 2048")
}
