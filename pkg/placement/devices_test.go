// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// pairedDevices are devices in pairs, of which a claim takes whole pairs or singles:
// what is left of broken pairs is of no use to a claim for pairs.
type pairedDevices struct{ states, empty []pairs }

// pairs is how many pairs are whole, and how many devices are single.
type pairs struct{ whole, single int }

// pairClaims is so many devices, of whole pairs or of any.
type pairClaims struct {
	count int
	whole bool
}

func (c pairClaims) String() string { return "devices of class pairs" }

func (d pairedDevices) StateOf(n topology.NodeID) topology.DeviceState      { return d.states[n] }
func (d pairedDevices) EmptyStateOf(n topology.NodeID) topology.DeviceState { return d.empty[n] }

func (d pairedDevices) Fit(s topology.DeviceState, c topology.Claims) (members, steps int) {
	for after, ok := d.Take(s, c, 1); ok; after, ok = d.Take(after, c, 1) {
		members++
	}
	return members, 10
}

func (d pairedDevices) Take(s topology.DeviceState, c topology.Claims, members int) (topology.DeviceState, bool) {
	left, claim := s.(pairs), c.(pairClaims)
	for range members {
		switch {
		case claim.whole && left.whole < claim.count/2 || !claim.whole && 2*left.whole+left.single < claim.count:
			return s, false
		case claim.whole:
			left.whole -= claim.count / 2
			continue
		}
		for range claim.count {
			if left.single == 0 {
				left.whole, left.single = left.whole-1, 2
			}
			left.single--
		}
	}
	return left, true
}

// withPairs gives the nodes of three racks devices.
func withPairs(t *testing.T, states ...pairs) *topology.Usage {
	t.Helper()
	u := parse(t, threeRacks)
	d := pairedDevices{states: states}
	for range u.Tree.Nodes {
		d.empty = append(d.empty, pairs{whole: 4})
	}
	for len(d.states) < len(u.Tree.Nodes) {
		d.states = append(d.states, pairs{whole: 4})
	}
	u.Devices = d
	for i := range u.Free { // columns that do not bind
		u.Free[i], u.Capacity[i] = 100, 100
	}
	return u
}

func claiming(r gang.Role, c pairClaims) gang.Role {
	r.Request, r.Claims = make([]int64, 1), c
	return r
}

func TestSolve_CountsDevices(t *testing.T) {
	inRack := func(g *gang.Gang) *gang.Gang { g.Required = rack; return g }
	for _, tc := range []struct {
		name   string
		states []pairs
		gang   *gang.Gang
		want   string
	}{
		{
			"a rack whose devices are taken is left out", []pairs{{}, {}}, inRack(roles(claiming(part("", 6, 0, 0, -1), pairClaims{8, true}))),
			"b1 b2 b3 b4 b5 b6",
		},
		{
			"the room is that of the devices", []pairs{{}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}}, inRack(roles(claiming(part("", 6, 0, 0, -1), pairClaims{8, true}))),
			"gang train needs 6 pods in one rack; the best, rack-3, has room for 5 (short of devices of class pairs)",
		},
		{
			"what is taken does not count for what is too large", []pairs{{}, {}}, inRack(roles(claiming(part("", 7, 0, 0, -1), pairClaims{8, true}))),
			"gang train needs 7 pods in one rack; the largest, rack-1, would hold 6 if it were empty",
		},
		{
			"two roles share the devices of a node", nil,
			roles(claiming(part("a", 1, 0, 0, -1), pairClaims{6, true}), claiming(part("b", 2, 0, 0, -1), pairClaims{1, false})),
			"a1 | 2*a1",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := withPairs(t, tc.states...)
			p := Solve(u, tc.gang)
			require.NoError(t, Check(u, tc.gang, p))
			assert.Equal(t, tc.want, names(u, p))
		})
	}
}

func TestCheck_RefusesDevicesThatAreNotThere(t *testing.T) {
	u := withPairs(t)
	g := roles(claiming(part("", 2, 0, 0, -1), pairClaims{8, true}))
	err := Check(u, g, Plan{Nodes: [][]topology.NodeID{{0, 0}}})
	assert.EqualError(t, err, "gang train: member 1 of role 0 does not find its devices of class pairs on node a1")
	u.Devices = nil
	assert.ErrorContains(t, Check(u, g, Plan{Nodes: [][]topology.NodeID{{0, 1}}}), "of which nothing is known")
}

// TestPlanner_FollowsDevices compares a planner that remembers with one that counts
// afresh, for random claims, while devices come and go; every plan keeps the rules, and
// a gang of one role is refused only if the devices of no rack hold it.
func TestPlanner_FollowsDevices(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	u := withPairs(t)
	p := NewPlanner(u)
	d := u.Devices.(pairedDevices)
	placed, refused := 0, 0
	for range 300 {
		for range rng.IntN(4) {
			n := topology.NodeID(rng.IntN(len(u.Tree.Nodes)))
			d.states[n] = pairs{rng.IntN(4), rng.IntN(3)}
			p.MarkChanged(n)
		}
		var parts []gang.Role
		for i := range 1 + rng.IntN(3) {
			whole := rng.IntN(2) == 0
			parts = append(parts, claiming(part(fmt.Sprint("r", i), 1+rng.IntN(8), 0, 0, -1), pairClaims{2 * (1 + rng.IntN(3)), whole}))
		}
		g := roles(parts...)
		if rng.IntN(2) == 0 {
			g.Required = rack
		}
		plan := p.Solve(g)
		assert.Equal(t, Solve(u, g), plan)
		require.NoError(t, Check(u, g, plan))
		if plan.Refusal == nil {
			placed++
			continue
		}
		refused++
		if len(parts) == 1 {
			most := 0
			for _, domain := range u.Tree.DomainsAt(max(g.Required, topology.ClusterLevel)) {
				sum := 0
				for n := u.Tree.Domains[domain].First; n < u.Tree.Domains[domain].End; n++ {
					fit, _ := d.Fit(d.states[n], parts[0].Claims)
					sum += fit
				}
				most = max(most, sum)
			}
			assert.Less(t, most, g.MinCount)
		}
	}
	assert.NotZero(t, placed)
	assert.NotZero(t, refused)
}
