// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"slices"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Policy chooses nodes. Exactly one of Gang and Pod is used.
type Policy struct {
	// Name is what tables call it.
	Name string
	// Gang returns the node of each pod of the gang, or nil where not all fit.
	Gang func(*Cluster, *gang.Gang) ([]topology.NodeID, error)
	// Loose places pods one at a time with Pod: gangs hold what they got.
	Loose bool
	Pod   func(*Cluster, []int64) (topology.NodeID, bool)
}

// Policies are those that the simulator knows.
//
//   - muster: placement.Solve, checked by placement.Check;
//   - first-fit: whole gangs, each pod on the first node by name with room;
//   - spread: whole gangs, each pod on the node with the most free GPUs, as
//     kube-scheduler's default does, ties in an order without topology;
//   - loose: spread, pod by pod, gangs in turn: what a scheduler without gangs does.
func Policies() []Policy {
	return []Policy{
		{Name: "muster", Gang: solve},
		{Name: "first-fit", Gang: eachBy(firstFit)},
		{Name: "spread", Gang: eachBy(emptiest)},
		{Name: "loose", Loose: true, Pod: emptiest},
	}
}

func solve(c *Cluster, g *gang.Gang) ([]topology.NodeID, error) {
	plan := c.planner.Solve(g)
	if err := placement.Check(c.usage, g, plan); err != nil {
		return nil, err
	}
	if plan.Refusal != nil {
		return nil, nil
	}
	return plan.Nodes[0], nil
}

// eachBy places a gang pod by pod, and takes nothing unless all fit.
func eachBy(pod func(*Cluster, []int64) (topology.NodeID, bool)) func(*Cluster, *gang.Gang) ([]topology.NodeID, error) {
	return func(c *Cluster, g *gang.Gang) ([]topology.NodeID, error) {
		request := g.Roles[0].Request
		var nodes []topology.NodeID
		for range g.Roles[0].Count {
			n, ok := pod(c, request)
			if !ok {
				break
			}
			c.take(n, request)
			nodes = append(nodes, n)
		}
		for _, n := range nodes {
			c.give(n, request)
		}
		if len(nodes) < g.Roles[0].Count {
			return nil, nil
		}
		return nodes, nil
	}
}

// firstFit is the first node by name; the tree numbers nodes by place, so that
// a fleet named along its fabric gets some locality for nothing.
func firstFit(c *Cluster, request []int64) (topology.NodeID, bool) {
	for n := range c.usage.Tree.Nodes {
		if c.room(topology.NodeID(n), request) {
			return topology.NodeID(n), true
		}
	}
	return placement.NoNode, false
}

// emptiest is the node with the most free GPUs.
func emptiest(c *Cluster, request []int64) (topology.NodeID, bool) {
	best, most := placement.NoNode, int64(-1)
	for _, n := range c.scrambled {
		if free := c.usage.FreeRow(n)[gpuColumn]; free > most && c.room(n, request) {
			best, most = n, free
		}
	}
	return best, best != placement.NoNode
}

// PolicyNamed finds a policy.
func PolicyNamed(name string) (Policy, bool) {
	policies := Policies()
	i := slices.IndexFunc(policies, func(p Policy) bool { return p.Name == name })
	if i < 0 {
		return Policy{}, false
	}
	return policies[i], true
}
