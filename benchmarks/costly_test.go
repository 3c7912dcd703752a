// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package benchmarks

import (
	"fmt"
	"testing"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// BenchmarkCostly plans gangs that ask for as much work as a gang may: many groups,
// each in a rack or of a shape of its own, of which only some can be placed.
func BenchmarkCostly(b *testing.B) {
	for _, nodes := range []int{200, 5000} {
		u := fleet(nodes)
		for _, c := range []struct {
			groups, size, shapes int
			rack                 topology.Level
		}{{96, 4, 1, 1}, {256, 4, 1, 1}, {512, 8, 64, topology.NoLevel}, {512, 8, 64, 1}} {
			g := costlyGang(c.groups, c.size, c.shapes, c.rack)
			b.Run(fmt.Sprintf("nodes=%d/groups=%d/shapes=%d/level=%d", nodes, c.groups, c.shapes, c.rack), func(b *testing.B) {
				for b.Loop() {
					placement.Solve(u, g)
				}
			})
		}
	}
}

func costlyGang(groups, size, shapes int, level topology.Level) *gang.Gang {
	g := &gang.Gang{Name: "costly", MinCount: groups * size, Required: topology.NoLevel, Preferred: 1}
	for r := range groups {
		g.Roles = append(g.Roles, gang.Role{
			Name: fmt.Sprint(r), Count: size, Request: []int64{int64(5 + r%4), int64(1000 + r%shapes), 1 << 30, 1}, Required: level, NearRole: -1,
		})
	}
	return g
}
