// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package preemption

import (
	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// rooms counts how many members of one shape fit on the nodes of a domain while
// units come and go. The counts of nodes add up, which is exact for a gang of
// one shape without slices.
type rooms struct {
	p       *Problem
	table   *unitTable
	request []int64
	filter  *gang.Filter
	first   topology.NodeID
	end     topology.NodeID
	free    []int64 // nodes of the domain x resources
	room    []int   // by node of the domain; -1 where no member may run
	total   int
	// releasedBy is the unit that gave a pod's room back, plus one, by pod.
	releasedBy []int
}

// newRooms returns the rooms for members of role r.
func newRooms(p *Problem, table *unitTable, r *gang.Role) *rooms {
	return &rooms{p: p, table: table, request: r.Request, filter: r.Filter, releasedBy: make([]int, table.podCount)}
}

// moveTo counts the rooms of domain d as the cluster is. What was released must
// have been taken back.
func (r *rooms) moveTo(d topology.DomainID) {
	domain := &r.p.tree().Domains[d]
	r.first, r.end = domain.First, domain.End
	r.free, r.room, r.total = r.free[:0], r.room[:0], 0
	for n := r.first; n < r.end; n++ {
		r.free = append(r.free, r.p.Usage.FreeRow(n)...)
		room := -1
		if r.isEligible(n) {
			room = r.countRow(r.row(n))
			r.total += room
		}
		r.room = append(r.room, room)
	}
}

func (r *rooms) isEligible(n topology.NodeID) bool {
	if r.p.Usage.Cordoned != nil && r.p.Usage.Cordoned[n] {
		return false
	}
	return r.filter == nil || r.filter.Exclusions[n] == gang.Eligible
}

// row returns what is free on node n of the domain.
func (r *rooms) row(n topology.NodeID) []int64 {
	width := len(r.p.Usage.Resources)
	at := int(n-r.first) * width
	return r.free[at : at+width]
}

// countRow returns how many members fit into a row.
func (r *rooms) countRow(row []int64) int {
	count := gang.MaxMembers
	for i, want := range r.request {
		if want > 0 {
			count = min(count, int(max(0, row[i])/want))
		}
	}
	return count
}

// release gives the room of a unit back, but for pods whose room is given back
// already.
func (r *rooms) release(u int) { r.move(u, 0, u+1, 1) }

// take takes back what release of the same unit gave.
func (r *rooms) take(u int) { r.move(u, u+1, 0, -1) }

// move changes the pods of unit u that are in state from to state to.
func (r *rooms) move(u, from, to int, sign int64) {
	unit := &r.table.units[u]
	w := &r.p.Workloads[unit.workload]
	for _, pod := range unit.pods {
		state := &r.releasedBy[r.table.firstPod[unit.workload]+pod]
		if *state != from {
			continue
		}
		*state = to
		n := w.Pods[pod].Node
		if n < r.first || n >= r.end || r.room[n-r.first] < 0 {
			continue
		}
		row := r.row(n)
		for i, amount := range w.Pods[pod].Request {
			row[i] += sign * amount
		}
		r.total -= r.room[n-r.first]
		r.room[n-r.first] = r.countRow(row)
		r.total += r.room[n-r.first]
	}
}

// releaseAll releases units in order, and takeAll takes them back in the reverse.
func (r *rooms) releaseAll(units []int) {
	for _, u := range units {
		r.release(u)
	}
}

func (r *rooms) takeAll(units []int) {
	for i := len(units) - 1; i >= 0; i-- {
		r.take(units[i])
	}
}
