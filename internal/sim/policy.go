// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Policy decides where pods go: Gang and Singles do, or Loose alone.
type Policy struct {
	// Name is what tables call it.
	Name string
	// Gang plans a gang of more than one pod. It allocates nothing.
	Gang func(*Cluster, *gang.Gang) placement.Plan
	// Singles makes the rule by which pods of no gang are placed.
	Singles func(*Cluster) Singles
	// Loose places pods one at a time: a gang keeps nodes for some of its pods.
	Loose func(*Cluster, []int64) topology.NodeID
}

// AllPolicies are those that the simulator knows.
//
//   - muster: gangs by placement.Solve, single pods by the score of the
//     scheduler plugin;
//   - first-fit: whole gangs, each pod on the first node by place with room;
//   - best-fit: whole gangs, each pod on the node with the fewest free GPUs
//     that has room, the first by place of equals;
//   - spread: whole gangs, each pod on the node with the most free GPUs, as
//     kube-scheduler's default does, ties in an order without topology;
//   - loose: spread, pod by pod, gangs in turn: what a scheduler without gangs does.
//
// Nodes are numbered by place, so that first-fit and best-fit get some locality
// for nothing; real names seldom give it to them.
func AllPolicies() []Policy {
	return []Policy{
		{Name: "muster", Gang: solveGang, Singles: newSparing},
		podByPod("first-fit", firstFit),
		podByPod("best-fit", fullestNode),
		podByPod("spread", emptiestNode),
		{Name: "loose", Loose: emptiestNode},
	}
}

// podByPod returns a policy that places gangs and single pods by one rule.
func podByPod(name string, pod podRule) Policy {
	return Policy{Name: name, Gang: planEachPod(pod), Singles: func(*Cluster) Singles { return pod }}
}

// solveGang plans a gang with the engine of the scheduler.
func solveGang(c *Cluster, g *gang.Gang) placement.Plan { return c.planner.Solve(g) }

// planEachPod returns a plan function that places a gang pod by pod, and
// refuses it unless all fit. It allocates while it plans and frees everything
// again.
func planEachPod(pod podRule) func(*Cluster, *gang.Gang) placement.Plan {
	return func(c *Cluster, g *gang.Gang) placement.Plan {
		request := g.Roles[0].Request
		nodes := make([]topology.NodeID, 0, g.Roles[0].Count)
		for range g.Roles[0].Count {
			n := pod(c, request)
			if n == placement.NoNode {
				break
			}
			c.allocateOn(n, request)
			nodes = append(nodes, n)
		}
		for _, n := range nodes {
			c.releaseOn(n, request)
		}
		if len(nodes) < g.Roles[0].Count {
			return placement.Plan{Refusal: &placement.Refusal{Reason: placement.NoFittingDomain, Gang: g.Name}}
		}
		return placement.Plan{Nodes: [][]topology.NodeID{nodes}}
	}
}

// firstFit returns the first node by place on which the pod fits.
func firstFit(c *Cluster, request []int64) topology.NodeID {
	for n := range c.usage.Tree.Nodes {
		if c.hasRoom(topology.NodeID(n), request) {
			return topology.NodeID(n)
		}
	}
	return placement.NoNode
}

// fullestNode returns the node with the fewest free GPUs on which the pod fits.
func fullestNode(c *Cluster, request []int64) topology.NodeID {
	best, least := placement.NoNode, int64(unlimited)
	for i := range c.usage.Tree.Nodes {
		n := topology.NodeID(i)
		if free := c.usage.FreeRow(n)[gpuColumn]; free < least && c.hasRoom(n, request) {
			best, least = n, free
		}
	}
	return best
}

// emptiestNode returns the node with the most free GPUs.
func emptiestNode(c *Cluster, request []int64) topology.NodeID {
	best, most := placement.NoNode, int64(-1)
	for _, n := range c.scrambled {
		if free := c.usage.FreeRow(n)[gpuColumn]; free > most && c.hasRoom(n, request) {
			best, most = n, free
		}
	}
	return best
}

// PolicyNamed finds a policy. Behind a slash the name may say how single pods
// are placed, see the rules: "muster/most-allocated".
func PolicyNamed(name string) (Policy, error) {
	gangs, singles, ruled := strings.Cut(name, "/")
	policies := AllPolicies()
	i := slices.IndexFunc(policies, func(p Policy) bool { return p.Name == gangs })
	if i < 0 {
		return Policy{}, fmt.Errorf("%q is not known; want some of %s", gangs, strings.Join(PolicyNames(), ", "))
	}
	p := policies[i]
	if !ruled {
		return p, nil
	}
	r := slices.IndexFunc(singlesRules, func(r singlesRule) bool { return r.name == singles })
	if r < 0 || p.Loose != nil {
		return Policy{}, fmt.Errorf("%q is not known; behind %s can stand how single pods are placed: %s",
			name, strings.Join(PolicyNames()[:len(policies)-1], "/, ")+"/", ruleNames())
	}
	p.Name, p.Singles = name, singlesRules[r].make
	return p, nil
}

// PolicyNames returns the names of all policies.
func PolicyNames() []string {
	var names []string
	for _, p := range AllPolicies() {
		names = append(names, p.Name)
	}
	return names
}
