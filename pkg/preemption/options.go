// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package preemption

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/muster-scheduler/muster/pkg/topology"
)

const (
	// maxPodsEnumerated is the number of units on one node of which every subset is
	// compared.
	maxPodsEnumerated = 8
	// maxCombineSteps bounds the table in which the options of nodes are combined;
	// beyond it the cheapest options for their gain are taken.
	maxCombineSteps = 1 << 22
)

// loss is what pods cost that stop no gang.
type loss struct {
	excess, work int64
	pods         int
}

func (a loss) compare(b loss) int {
	return cmp.Or(cmp.Compare(a.excess, b.excess), cmp.Compare(a.work, b.work), cmp.Compare(a.pods, b.pods))
}

func (a loss) plus(b loss) loss {
	return loss{a.excess + b.excess, a.work + b.work, a.pods + b.pods}
}

// lossOf is the loss of one unit.
func (s *selector) lossOf(u int) loss {
	l := loss{work: s.table.units[u].work, pods: len(s.table.units[u].pods), excess: int64(s.table.budgetExcess(s.p, []int{u}))}
	if s.p.Ignored[PartWork] {
		l.work = 0
	}
	if s.p.Ignored[PartPods] {
		l.pods = 0
	}
	if s.p.Ignored[PartBudgets] {
		l.excess = 0
	}
	return l
}

// option is a way to make room for gain more members on one node.
type option struct {
	gain  int
	loss  loss
	units []int
}

// cheapestPods returns the units that stop no gang and make the room that is
// still missing for the least loss.
func (s *selector) cheapestPods() []int {
	missing := s.need - s.total
	if missing <= 0 {
		return nil
	}
	var nodes [][]option
	steps := 0
	for n := s.first; n < s.end; n++ {
		if s.room[n-s.first] < 0 {
			continue
		}
		if options := s.optionsOn(n, missing); len(options) > 0 {
			nodes = append(nodes, options)
			steps += len(options) * missing
		}
	}
	if steps > maxCombineSteps {
		s.allCompared = false
		return combineByRatio(nodes, missing)
	}
	return combineExactly(nodes, missing)
}

// optionsOn returns the cheapest way to each gain up to limit on node n.
func (s *selector) optionsOn(n topology.NodeID, limit int) []option {
	var units []int
	for _, pc := range s.table.on(n) {
		unit := &s.table.units[pc.unit]
		if s.admitted[pc.unit] && !unit.stopsGang && s.releasedBy[s.table.firstPod[unit.workload]+pc.pod] == 0 {
			units = append(units, pc.unit)
		}
	}
	if len(units) == 0 {
		return nil
	}
	var options []option
	if len(units) > maxPodsEnumerated {
		s.allCompared = false
		options = s.optionsBySteps(n, units, limit)
	} else {
		options = s.optionsBySubset(n, units, limit)
	}
	return slices.DeleteFunc(options, func(o option) bool { return o.gain == 0 })
}

// optionsBySubset compares every subset of the units on a node.
func (s *selector) optionsBySubset(n topology.NodeID, units []int, limit int) []option {
	losses := make([]loss, len(units))
	for i, u := range units {
		losses[i] = s.lossOf(u)
	}
	base := s.room[n-s.first]
	row := make([]int64, len(s.request))
	var best []option
	for set := uint(1); set < 1<<len(units); set++ {
		copy(row, s.row(n))
		var sum loss
		for rest := set; rest != 0; rest &= rest - 1 {
			i := bits.TrailingZeros(rest)
			sum = sum.plus(losses[i])
			s.addRow(row, units[i])
		}
		gain := min(s.countRow(row)-base, limit)
		if gain <= 0 {
			continue
		}
		at, found := slices.BinarySearchFunc(best, gain, func(o option, g int) int { return cmp.Compare(o.gain, g) })
		if found && sum.compare(best[at].loss) >= 0 {
			continue
		}
		o := option{gain: gain, loss: sum, units: subset(units, set)}
		if found {
			best[at] = o
		} else {
			best = slices.Insert(best, at, o)
		}
	}
	return best
}

func subset(units []int, set uint) []int {
	var in []int
	for i, u := range units {
		if set&(1<<i) != 0 {
			in = append(in, u)
		}
	}
	return in
}

// addRow adds what the pods of a unit ask for to a row.
func (s *selector) addRow(row []int64, u int) {
	unit := &s.table.units[u]
	for _, pod := range unit.pods {
		for i, amount := range s.p.Workloads[unit.workload].Pods[pod].Request {
			row[i] += amount
		}
	}
}

// optionsBySteps releases the units of a node one after the other, the cheapest
// first, and leaves out of each gain the units that it does not need.
func (s *selector) optionsBySteps(n topology.NodeID, units []int, limit int) []option {
	order := slices.Clone(units)
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(s.lossOf(a).compare(s.lossOf(b)), cmp.Compare(a, b))
	})
	base, reached := s.room[n-s.first], 0
	row := slices.Clone(s.row(n))
	var options []option
	for i, u := range order {
		s.addRow(row, u)
		gain := min(s.countRow(row)-base, limit)
		if gain <= reached {
			continue
		}
		reached = gain
		o := option{gain: gain, units: s.withoutUnneeded(n, order[:i+1], base+gain)}
		for _, u := range o.units {
			o.loss = o.loss.plus(s.lossOf(u))
		}
		options = append(options, o)
	}
	return options
}

// withoutUnneeded returns the units of a node, in rising order of their loss, that
// a room of want members needs.
func (s *selector) withoutUnneeded(n topology.NodeID, units []int, want int) []int {
	kept := slices.Clone(units)
	for i := len(kept) - 1; i >= 0; i-- {
		without := slices.Delete(slices.Clone(kept), i, i+1)
		row := slices.Clone(s.row(n))
		for _, u := range without {
			s.addRow(row, u)
		}
		if s.countRow(row) >= want {
			kept = without
		}
	}
	return kept
}

// combineExactly picks at most one option of each node so that the gains reach
// missing for the least loss; nil if they cannot.
func combineExactly(nodes [][]option, missing int) []int {
	unreached := loss{excess: math.MaxInt64}
	least := make([]loss, missing+1)
	for j := range least[1:] {
		least[j+1] = unreached
	}
	picked := make([][]int16, len(nodes))
	for i, options := range nodes {
		picked[i] = make([]int16, missing+1)
		for j := missing; j > 0; j-- {
			for k, o := range options {
				before := least[max(0, j-o.gain)]
				if before == unreached {
					continue
				}
				if sum := before.plus(o.loss); sum.compare(least[j]) < 0 {
					least[j], picked[i][j] = sum, int16(k+1)
				}
			}
		}
	}
	if least[missing] == unreached {
		return nil
	}
	var units []int
	for i, j := len(nodes)-1, missing; i >= 0 && j > 0; i-- {
		if k := picked[i][j]; k > 0 {
			units = append(units, nodes[i][k-1].units...)
			j = max(0, j-nodes[i][k-1].gain)
		}
	}
	return units
}

// combineByRatio takes the options of least loss for their gain, one of each
// node, until they reach missing.
func combineByRatio(nodes [][]option, missing int) []int {
	type choice struct {
		node int
		option
	}
	var all []choice
	for i, options := range nodes {
		for _, o := range options {
			all = append(all, choice{i, o})
		}
	}
	slices.SortStableFunc(all, func(a, b choice) int {
		return cmp.Or(cmp.Compare(a.loss.excess, b.loss.excess),
			cmp.Compare(float64(a.loss.work)/float64(a.gain), float64(b.loss.work)/float64(b.gain)),
			cmp.Compare(a.loss.pods*b.gain, b.loss.pods*a.gain))
	})
	used := make([]bool, len(nodes))
	var units []int
	for _, c := range all {
		if missing > 0 && !used[c.node] {
			used[c.node], missing = true, missing-c.gain
			units = append(units, c.units...)
		}
	}
	return units
}
