// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package preemption

import (
	"cmp"
	"slices"

	"github.com/muster-scheduler/muster/pkg/topology"
)

const (
	// maxGangsTried is the number of gangs of which each is tried as the one that
	// stops, with the cheapest pods beside it.
	maxGangsTried = 16
	// maxLimitRounds is how often a selection is made anew because one gang gave up
	// more than it has to spare, or a budget more than it allows.
	maxLimitRounds = 4
)

// selector finds cheap selections by counting rooms, without a plan.
type selector struct {
	*rooms
	need int
	// admitted says of each unit whether it may be selected.
	admitted []bool
	// strict keeps selections inside the disruption budgets.
	strict bool
	// lowest is the priority below which nothing is enough: no selection is cheaper
	// by its priority than one of this. fewest is the number of gangs that such a
	// selection stops; a domain that needs more is not searched.
	lowest int32
	fewest int
	// allCompared says that every subset of pods was compared so far.
	allCompared bool
	seen        []int // by unit, the search that listed it last
	serial      int
}

// selectIn returns the cheapest units found whose going makes room for need
// members in domain d, and whether there are any. Units beyond the limits of
// their gangs and budgets are put aside, the dearest first, and the rest is
// tried again.
func (s *selector) selectIn(d topology.DomainID) ([]int, bool) {
	var aside []int
	defer func() {
		for _, u := range aside {
			s.admitted[u] = true
		}
	}()
	for range maxLimitRounds {
		selected, ok := s.selectWithin(d)
		if !ok {
			return nil, false
		}
		excess := s.beyondLimits(selected)
		if len(excess) == 0 {
			return selected, true
		}
		for _, u := range excess {
			s.admitted[u] = false
		}
		aside = append(aside, excess...)
	}
	return nil, false
}

// selectWithin is selectIn without the limits.
func (s *selector) selectWithin(d topology.DomainID) ([]int, bool) {
	s.moveTo(d)
	pods, gangs := s.unitsIn()
	s.releaseAll(pods)
	var best []int
	for _, stopped := range s.gangChoices(gangs) {
		if len(stopped) > s.fewest && !s.p.Ignored[PartGangs] {
			break
		}
		s.takeAll(pods)
		s.releaseAll(stopped)
		selected := append(slices.Clone(stopped), s.cheapestPods()...)
		s.takeAll(stopped)
		if !s.isEnough(selected) {
			selected = append(slices.Clone(stopped), pods...)
		}
		selected = s.dropUnneeded(selected)
		if best == nil || s.isCheaper(selected, best) {
			best = selected
		}
		s.releaseAll(pods)
	}
	s.takeAll(pods)
	return best, best != nil
}

func (s *selector) isCheaper(a, b []int) bool {
	return s.table.priceOf(s.p, a).Compare(s.table.priceOf(s.p, b), s.p.Ignored) < 0
}

// unitsIn lists the admitted units of the domain: those that stop no gang, and
// those that do.
func (s *selector) unitsIn() (pods, gangs []int) {
	s.serial++
	for n := s.first; n < s.end; n++ {
		if s.room[n-s.first] < 0 {
			continue
		}
		for _, pc := range s.table.on(n) {
			if !s.admitted[pc.unit] || s.seen[pc.unit] == s.serial {
				continue
			}
			s.seen[pc.unit] = s.serial
			if s.table.units[pc.unit].stopsGang {
				gangs = append(gangs, pc.unit)
			} else {
				pods = append(pods, pc.unit)
			}
		}
	}
	return pods, gangs
}

// gangGain is a gang and the room that its end gives, beyond that of all pods that
// stop no gang.
type gangGain struct {
	unit, gain int
}

// gangChoices returns sets of gangs to stop, each as small as possible, that make
// room for the gang with all pods gone that stop no gang; those have been
// released. One empty set where no gang has to stop, none where nothing helps.
func (s *selector) gangChoices(gangs []int) [][]int {
	missing := s.need - s.total
	if missing <= 0 {
		return [][]int{nil}
	}
	if s.fewest == 0 && !s.p.Ignored[PartGangs] {
		return nil
	}
	gains := s.gainsOf(gangs)
	var alone [][]int
	for _, g := range gains {
		if g.gain >= missing {
			alone = append(alone, []int{g.unit})
		}
	}
	if len(alone) > 0 {
		slices.SortFunc(alone, func(a, b []int) int { return s.table.compareValue(s.p, a[0], b[0]) })
		return alone[:min(len(alone), maxGangsTried)]
	}
	fewest := s.fewestGangs(gains)
	if fewest == nil {
		return nil
	}
	return [][]int{s.exchangeForCheaper(fewest, gains, missing)}
}

// gainsOf returns the gain of each gang, the greatest first; of equal ones the
// one of least value.
func (s *selector) gainsOf(gangs []int) []gangGain {
	gains := make([]gangGain, 0, len(gangs))
	for _, u := range gangs {
		before := s.total
		s.release(u)
		gains = append(gains, gangGain{u, s.total - before})
		s.take(u)
	}
	slices.SortFunc(gains, func(a, b gangGain) int {
		return cmp.Or(cmp.Compare(b.gain, a.gain), s.table.compareValue(s.p, a.unit, b.unit))
	})
	return gains
}

// fewestGangs returns the gangs of the greatest gains that together make room; nil
// if all of them do not.
func (s *selector) fewestGangs(gains []gangGain) []int {
	var stopped []int
	for _, g := range gains {
		if s.total >= s.need {
			break
		}
		s.release(g.unit)
		stopped = append(stopped, g.unit)
	}
	enough := s.total >= s.need
	s.takeAll(stopped)
	if !enough {
		return nil
	}
	return stopped
}

// exchangeForCheaper replaces gangs of a set by others of less value, the most
// valuable first, as long as their gains still add up to what is missing.
func (s *selector) exchangeForCheaper(stopped []int, gains []gangGain, missing int) []int {
	gainOf := make(map[int]int, len(gains))
	for _, g := range gains {
		gainOf[g.unit] = g.gain
	}
	sum := 0
	for _, u := range stopped {
		sum += gainOf[u]
	}
	byValue := slices.Clone(gains)
	slices.SortFunc(byValue, func(a, b gangGain) int { return s.table.compareValue(s.p, a.unit, b.unit) })
	result := slices.Clone(stopped)
	slices.SortFunc(result, func(a, b int) int { return s.table.compareValue(s.p, b, a) })
	for i, u := range result {
		for _, g := range byValue {
			if s.table.compareValue(s.p, g.unit, u) >= 0 {
				break
			}
			if g.gain > 0 && sum-gainOf[u]+g.gain >= missing && !slices.Contains(result, g.unit) {
				sum += g.gain - gainOf[u]
				result[i] = g.unit
				break
			}
		}
	}
	return result
}

// isEnough reports whether the rooms reach what is needed once units go.
func (s *selector) isEnough(selected []int) bool {
	s.releaseAll(selected)
	enough := s.total >= s.need
	s.takeAll(selected)
	return enough
}

// dropUnneeded returns a selection without the units that the rooms can do
// without, the most valuable left out first.
func (s *selector) dropUnneeded(selected []int) []int {
	s.releaseAll(selected)
	order := slices.Clone(selected)
	slices.SortFunc(order, func(a, b int) int { return s.table.compareValue(s.p, b, a) })
	kept := make([]int, 0, len(order))
	for _, u := range order {
		s.take(u)
		if s.total < s.need {
			s.release(u)
			kept = append(kept, u)
		}
	}
	s.takeAll(kept)
	slices.Sort(kept)
	return kept
}

// beyondLimits returns the units of a selection that must not go with the rest of
// it: spare members beyond what their gang has to spare, members beside the whole
// of their gang, and where budgets are kept the pods beyond them. The dearest of
// those that share a limit are returned.
func (s *selector) beyondLimits(selected []int) []int {
	order := slices.Clone(selected)
	slices.SortFunc(order, func(a, b int) int { return s.table.compareValue(s.p, a, b) })
	limits := newLimits(s.p, s.strict)
	var excess []int
	for _, u := range order {
		if !limits.admit(s.p, &s.table.units[u]) {
			excess = append(excess, u)
		}
	}
	return excess
}

// limits counts what gangs and budgets can still give up.
type limits struct {
	spare   map[int]int
	ofRole  map[[2]int]int
	whole   map[int]bool
	allowed []int
}

func newLimits(p *Problem, strict bool) *limits {
	l := &limits{spare: map[int]int{}, ofRole: map[[2]int]int{}, whole: map[int]bool{}}
	if strict {
		for _, b := range p.Budgets {
			l.allowed = append(l.allowed, max(0, b.Allowed))
		}
	}
	return l
}

// admit reports whether a unit may go beside those admitted before it, and counts
// it if so.
func (l *limits) admit(p *Problem, u *unit) bool {
	w := &p.Workloads[u.workload]
	if l.whole[u.workload] || u.whole && l.spare[u.workload] > 0 || !l.hasSpare(w, u) || !l.keepsBudgets(w, u) {
		return false
	}
	l.whole[u.workload] = u.whole
	for _, pod := range u.pods {
		for _, b := range w.Pods[pod].Budgets {
			if l.allowed != nil {
				l.allowed[b]--
			}
		}
	}
	if !u.whole {
		l.spare[u.workload]++
		l.ofRole[[2]int{u.workload, w.Pods[u.pods[0]].Role}]++
	}
	return true
}

func (l *limits) hasSpare(w *Workload, u *unit) bool {
	if u.whole {
		return true
	}
	role := w.Pods[u.pods[0]].Role
	return l.spare[u.workload] < w.Spare && (w.SpareOfRole == nil || l.ofRole[[2]int{u.workload, role}] < w.SpareOfRole[role])
}

// keepsBudgets reports whether the budgets allow the pods of a unit to go.
func (l *limits) keepsBudgets(w *Workload, u *unit) bool {
	if l.allowed == nil {
		return true
	}
	going := map[int]int{}
	for _, pod := range u.pods {
		for _, b := range w.Pods[pod].Budgets {
			if going[b]++; going[b] > l.allowed[b] {
				return false
			}
		}
	}
	return true
}
