// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package preemption

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// unit is the smallest thing that makes way: a workload, or one spare member.
type unit struct {
	workload int
	// pods are the indexes of its pods in the workload.
	pods []int
	// whole says that the workload ends with it; stopsGang that it is a gang.
	whole, stopsGang bool
	priority         int32
	work             int64
}

// piece is a pod of a unit on a node.
type piece struct {
	unit, pod int
}

// unitTable holds the units of a problem and where they run.
type unitTable struct {
	units []unit
	// firstPod is the number of the first pod of each workload among all pods.
	firstPod []int
	podCount int
	// identity is 0, 1, 2 and on, shared by the units.
	identity []int
	// pieces are those of node n from start[n] to start[n+1].
	pieces []piece
	start  []int
}

// newUnitTable returns the units of the workloads that may make way.
func newUnitTable(p *Problem) *unitTable {
	t := &unitTable{firstPod: make([]int, len(p.Workloads)), units: make([]unit, 0, len(p.Workloads))}
	for i := range p.Workloads {
		w := &p.Workloads[i]
		t.firstPod[i] = t.podCount
		t.podCount += len(w.Pods)
		if p.isCandidate(w) {
			t.appendUnits(w, i)
		}
	}
	t.indexByNode(p)
	return t
}

// appendUnits adds the whole workload and, where it has members to spare, each of
// them.
func (t *unitTable) appendUnits(w *Workload, index int) {
	for len(t.identity) < len(w.Pods) {
		t.identity = append(t.identity, len(t.identity))
	}
	all := t.identity[:len(w.Pods):len(w.Pods)]
	var work int64
	for i := range w.Pods {
		work += w.Pods[i].Work
	}
	t.units = append(t.units, unit{workload: index, pods: all, whole: true, stopsGang: w.Gang, priority: w.Priority, work: work})
	if !w.Gang || w.Spare <= 0 {
		return
	}
	for i := range w.Pods {
		if w.SpareOfRole == nil || w.SpareOfRole[w.Pods[i].Role] > 0 {
			t.units = append(t.units, unit{workload: index, pods: all[i : i+1], priority: w.Priority, work: w.Pods[i].Work})
		}
	}
}

// indexByNode sorts the pieces of all units by node.
func (t *unitTable) indexByNode(p *Problem) {
	nodes := len(p.Usage.Tree.Nodes)
	t.start = make([]int, nodes+1)
	forEach := func(visit func(n topology.NodeID, pc piece)) {
		for u := range t.units {
			w := &p.Workloads[t.units[u].workload]
			for _, pod := range t.units[u].pods {
				if n := w.Pods[pod].Node; n >= 0 && int(n) < nodes {
					visit(n, piece{unit: u, pod: pod})
				}
			}
		}
	}
	forEach(func(n topology.NodeID, _ piece) { t.start[n+1]++ })
	for n := range nodes {
		t.start[n+1] += t.start[n]
	}
	t.pieces = make([]piece, t.start[nodes])
	next := slices.Clone(t.start)
	forEach(func(n topology.NodeID, pc piece) {
		t.pieces[next[n]] = pc
		next[n]++
	})
}

// on returns the pieces on node n.
func (t *unitTable) on(n topology.NodeID) []piece { return t.pieces[t.start[n]:t.start[n+1]] }

// priorities returns the priorities of the units, the lowest first.
func (t *unitTable) priorities() []int32 {
	seen := map[int32]bool{}
	for i := range t.units {
		seen[t.units[i].priority] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// priceOf returns the price of a set of units.
func (t *unitTable) priceOf(p *Problem, selected []int) Price {
	price := Price{Priority: math.MinInt32, Budgets: t.budgetExcess(p, selected)}
	for _, u := range selected {
		unit := &t.units[u]
		price.Priority = max(price.Priority, unit.priority)
		price.Work += unit.work
		price.Pods += len(unit.pods)
		if unit.stopsGang {
			price.Gangs++
		}
	}
	return price
}

// budgetExcess returns the number of pods that go beyond what budgets allow.
func (t *unitTable) budgetExcess(p *Problem, selected []int) int {
	if len(p.Budgets) == 0 {
		return 0
	}
	going := make([]int, len(p.Budgets))
	for _, u := range selected {
		w := &p.Workloads[t.units[u].workload]
		for _, pod := range t.units[u].pods {
			for _, b := range w.Pods[pod].Budgets {
				going[b]++
			}
		}
	}
	excess := 0
	for b, n := range going {
		excess += max(0, n-max(0, p.Budgets[b].Allowed))
	}
	return excess
}

// compareValue orders units by what is lost with them, the least first.
func (t *unitTable) compareValue(p *Problem, a, b int) int {
	ua, ub := &t.units[a], &t.units[b]
	stops := func(u *unit) int {
		if u.stopsGang && !p.Ignored[PartGangs] {
			return 1
		}
		return 0
	}
	order := cmp.Or(cmp.Compare(t.budgetExcess(p, []int{a}), t.budgetExcess(p, []int{b})),
		cmp.Compare(ua.priority, ub.priority), cmp.Compare(stops(ua), stops(ub)))
	if !p.Ignored[PartWork] {
		order = cmp.Or(order, cmp.Compare(ua.work, ub.work))
	}
	return cmp.Or(order, cmp.Compare(len(ua.pods), len(ub.pods)), cmp.Compare(a, b))
}
