// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// onRacks is a plugin that has seen pods, on nodes of 8 GPUs, a rack each row.
func onRacks(racks ...[]string) (*Plugin, *snapshot) {
	pl, s := learned(), &snapshot{}
	pl.planner.handle = s
	for r, names := range racks {
		for _, name := range names {
			info := offer(name, "NVIDIA-H100-80GB-HBM3", gpu.Resource, 8, 0)
			info.Node().Labels[v1.LabelHostname] = name
			if r > 0 {
				info.Node().Labels["topology.kubernetes.io/rack"] = fmt.Sprint("r", r)
			}
			s.nodes = append(s.nodes, info)
		}
	}
	return pl, s
}

func TestScore_SparesGangs(t *testing.T) {
	pl, s := onRacks(nil, []string{"a", "b", "c"}, []string{"d", "e"})
	single := want("p", gpu.Resource, 1)
	chosen := func() string { return best(t, scores(t, pl, single, s.nodes...)) }
	assert.Equal(t, "d", chosen(), "the rack with the fewest idle nodes")

	s.nodes[1].(interface{ AddPod(*v1.Pod) }).AddPod(want("q", gpu.Resource, 8))
	s.nodes[2].(interface{ AddPod(*v1.Pod) }).AddPod(want("r", gpu.Resource, 8))
	assert.Equal(t, "a", chosen(), "what changed is seen")

	tree := pl.planner.cluster.Usage().Tree
	n, _ := tree.NodeByName("a")
	rack, _ := tree.LevelByName("rack")
	d, _ := tree.DomainAt(n, rack)
	pl.gangs.step(queue.GangSeen{Gang: "waiting", Readiness: queue.Readiness{MinCount: 1, Waiting: 1}, Asking: true})
	pl.planner.idle.RecordPlan("waiting", placement.Plan{Refusal: &placement.Refusal{Reason: placement.NoFittingDomain, Domain: d}})
	assert.Equal(t, "d", chosen(), "a gang waits in the rack of a")
	pl.gangs.forget("waiting")
	assert.Equal(t, "a", chosen(), "the gang is gone")
}

func TestScore_SparesNothingWithoutTopology(t *testing.T) {
	pl, s := onRacks([]string{"a", "b", "c"})
	assert.Equal(t, "b", best(t, scores(t, pl, want("p", gpu.Resource, 1), s.nodes[1:]...)))
	for _, n := range s.nodes {
		id, _ := pl.planner.cluster.Usage().Tree.NodeByName(n.Node().Name)
		part, _ := pl.planner.idle.BreakupCost(id)
		assert.Zero(t, part)
	}
}
