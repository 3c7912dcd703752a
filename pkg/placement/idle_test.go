// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// losses spells what gangs lose on each node of u.
func losses(u *topology.Usage, i *IdleIndex) string {
	out := ""
	for n := range u.Tree.Nodes {
		part, whole := i.BreakupCost(topology.NodeID(n))
		out += fmt.Sprintf(" %s:%d/%d", u.Tree.Nodes[n].Name, part, whole)
	}
	return out[1:]
}

func idleOf(u *topology.Usage) *IdleIndex {
	i := NewIdleIndex(u.Tree)
	for n := range u.Tree.Nodes {
		i.SetIdle(topology.NodeID(n), u.IsIdle(topology.NodeID(n)))
	}
	return i
}

func TestIdle_Loss(t *testing.T) {
	u := parse(t, twoBlocks)
	i := idleOf(u)
	assert.Equal(t, "n1:4/5 n2:4/5 n3:4/5 n4:4/5 n5:1/5 n6:0/5 n7:0/5 n8:2/5 n9:2/5 n10:0/5", losses(u, i))

	waiting := pods(3, 8, required(rack))
	for _, name := range []string{"n1", "n2"} {
		n, _ := u.Tree.NodeByName(name)
		u.AllocateOn(n, []int64{8})
		i.SetIdle(n, u.IsIdle(n))
	}
	i.RecordPlan("a", solved(t, u, waiting))
	assert.Equal(t, "n1:3/3 n2:3/3 n3:3/3 n4:3/3 n5:1/3 n6:0/3 n7:0/3 n8:2/3 n9:2/3 n10:0/3", losses(u, i), "a waits in rack-1")
	i.RecordPlan("b", solved(t, u, pods(7, 8, required(block))))
	assert.Equal(t, "n1:3/3 n2:3/3 n3:3/3 n4:3/3 n5:3/3 n6:3/3 n7:3/3 n8:2/3 n9:2/3 n10:0/3", losses(u, i), "and b in block-a")
	i.RetainGangs(func(gang string) bool { return gang == "a" })
	i.RecordPlan("a", solved(t, u, pods(2, 8, required(rack))))
	assert.Equal(t, "n1:0/3 n2:0/3 n3:2/3 n4:2/3 n5:1/3 n6:0/3 n7:0/3 n8:2/3 n9:2/3 n10:0/3", losses(u, i), "b is gone and a has a plan")
	i.RecordPlan("c", solved(t, u, pods(9, 8, required(rack))))
	i.RecordPlan("d", solved(t, u, pods(9, 8)))
	assert.Equal(t, "n1:0/3 n2:0/3 n3:2/3 n4:2/3 n5:1/3 n6:0/3 n7:0/3 n8:2/3 n9:2/3 n10:0/3", losses(u, i), "c can never have a place, and d waits for the cluster")
}

// A level of single nodes is passed over, and without levels gangs lose nothing.
func TestIdle_HostsAreNoDomains(t *testing.T) {
	u := parse(t, "levels: rack host\nr1\n h1\n  n1 8\n h2\n  n2 8\nr2\n h3\n  n3 8")
	assert.Equal(t, "n1:2/3 n2:2/3 n3:1/3", losses(u, idleOf(u)))
	u = parse(t, "levels: host\nh1\n n1 8\nh2\n n2 8")
	assert.Equal(t, "n1:0/1 n2:0/1", losses(u, idleOf(u)))
}

// Following the changes gives what counting afresh does.
func TestIdle_Follows(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 9))
		u := largeUsage(rng)
		i := idleOf(u)
		for range 200 {
			n := topology.NodeID(rng.IntN(len(u.Tree.Nodes)))
			u.FreeRow(n)[0] = int64(rng.IntN(2)) * 8
			i.SetIdle(n, u.IsIdle(n))
		}
		require.Equal(t, losses(u, idleOf(u)), losses(u, i), "seed %d", seed)
	}
}

func BenchmarkIdle_Loss(b *testing.B) {
	u := largeUsage(rand.New(rand.NewPCG(1, 9)))
	i := idleOf(u)
	i.RecordPlan("g", Plan{Refusal: &Refusal{Reason: NoFittingDomain, Domain: u.Tree.DomainsAt(1)[0]}})
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		i.BreakupCost(topology.NodeID(n % len(u.Tree.Nodes)))
	}
}
