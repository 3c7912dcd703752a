// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package preemption

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

const (
	// maxPlans is the number of plans that one question may cost.
	maxPlans = 256
	// maxPriorities is the number of priorities, from the lowest at which the rooms
	// are enough, at which selections are verified.
	maxPriorities = 4
	// maxDomainsTried is the number of domains that are tried with plans alone, where
	// the rooms of nodes do not add up.
	maxDomainsTried = 16
)

// Victim is a unit that makes way.
type Victim struct {
	// Workload is an index into Problem.Workloads, and Pods into its pods, rising.
	Workload int
	Pods     []int
	// Whole says that nothing is left of the workload.
	Whole bool
}

// Answer is who makes way, and where the gang goes then.
type Answer struct {
	// Victims are in the order of the workloads.
	Victims []Victim
	Price   Price
	// Plan places the gang once the victims are gone. Its refusal is set where
	// nobody's going would help: it is that of the cluster without all that may go.
	Plan placement.Plan
	// Proven says that no cheaper set of victims exists.
	Proven bool
	// Exempt counts the pods of lower priority that make way for nobody, by reason;
	// Higher the pods of equal or higher priority.
	Exempt [NumExemptions]int
	Higher int
}

// Summary says in one sentence why nobody makes way.
func (a *Answer) Summary() string {
	if a.Plan.Refusal == nil {
		return ""
	}
	text := "preemption does not help: without all pods of lower priority that can be preempted, " + a.Plan.Refusal.Error()
	for e := Preemptible + 1; e < NumExemptions; e++ {
		if a.Exempt[e] > 0 {
			text += fmt.Sprintf("; %d pods of lower priority %s", a.Exempt[e], e)
		}
	}
	return text
}

// search is the state of one question.
type search struct {
	p        *Problem
	planner  *placement.Planner
	table    *unitTable
	selector *selector
	plans    int
	applied  []int // by pod: the units that gave its room back
}

// ChooseVictims returns the cheapest victims found for the gang of a problem, and
// its plan. planner is one over p.Usage, which is as before when it returns.
func ChooseVictims(planner *placement.Planner, p *Problem) Answer {
	s := &search{p: p, planner: planner, table: newUnitTable(p)}
	s.applied = make([]int, s.table.podCount)
	s.newSelector()
	answer := s.choose()
	answer.countExempt(p)
	return answer
}

// countExempt fills in who makes way for nobody.
func (a *Answer) countExempt(p *Problem) {
	for i := range p.Workloads {
		w := &p.Workloads[i]
		switch {
		case w.Priority >= p.Priority:
			a.Higher += len(w.Pods)
		default:
			a.Exempt[w.Exempt] += len(w.Pods)
		}
	}
}

// newSelector prepares the count of rooms. It is exact for waiting members that
// ask for the same and keep no rules among one another.
func (s *search) newSelector() {
	g := s.p.Gang
	waiting := -1
	// Domains of levels that cross those of the tree are no ranges of nodes.
	alike := len(g.Bound) == 0 && !g.NamesCrossing(s.p.tree())
	for i := range g.Roles {
		if g.Roles[i].Count == 0 {
			continue
		}
		alike = alike && waiting < 0 && g.Roles[i].MemberRequests == nil
		waiting = i
	}
	if waiting < 0 || !alike {
		return
	}
	role := &g.Roles[waiting]
	s.selector = &selector{
		rooms:    newRooms(s.p, s.table, role),
		need:     max(1, g.MinCount, role.MinCount),
		admitted: make([]bool, len(s.table.units)),
		seen:     make([]int, len(s.table.units)),
	}
}

// choose goes from the mildest rule to the hardest: budgets kept before budgets
// exceeded, and low priorities before higher ones.
func (s *search) choose() Answer {
	if plan := s.solve(); plan.Refusal == nil {
		return Answer{Plan: plan, Price: free, Proven: true}
	}
	for _, strict := range []bool{true, false} {
		if !strict && (s.p.Strict || len(s.p.Budgets) == 0) {
			break
		}
		for i, priority := range s.prioritiesFrom(strict) {
			if i == 0 && s.selector != nil {
				s.selector.lowest = priority
			}
			if answer, ok := s.cheapestUpTo(priority, strict); ok {
				return answer
			}
		}
	}
	return s.refuse()
}

// refuse returns the refusal that is left with all gone that may go.
func (s *search) refuse() Answer {
	all := s.admittedUnits(math.MaxInt32, s.p.Strict)
	s.apply(all)
	s.plans = 0
	plan := s.solve()
	s.revert(all)
	if plan.Refusal == nil {
		plan = s.solve()
	}
	return Answer{Plan: plan, Price: free}
}

// admittedUnits lists the units up to a priority; strict leaves out those that
// exceed a budget by themselves.
func (s *search) admittedUnits(priority int32, strict bool) []int {
	var units []int
	for u := range s.table.units {
		if s.table.units[u].priority <= priority && (!strict || s.table.budgetExcess(s.p, []int{u}) == 0) {
			units = append(units, u)
		}
	}
	return units
}

// prioritiesFrom returns the priorities at which a search makes sense, the lowest
// first: from the first at which the gang fits once all units up to it are gone.
func (s *search) prioritiesFrom(strict bool) []int32 {
	priorities := s.table.priorities()
	if len(priorities) == 0 {
		return nil
	}
	if s.p.Ignored[PartPriority] || len(priorities) == 1 {
		return priorities[len(priorities)-1:]
	}
	first := sort.Search(len(priorities), func(i int) bool {
		units := s.admittedUnits(priorities[i], strict)
		s.apply(units)
		defer s.revert(units)
		return s.solve().Refusal == nil
	})
	return priorities[first:min(len(priorities), first+maxPriorities)]
}

// cheapestUpTo returns the cheapest answer found among the units up to a priority,
// and whether there is one.
func (s *search) cheapestUpTo(priority int32, strict bool) (Answer, bool) {
	units := s.admittedUnits(priority, strict)
	if s.selector == nil {
		return s.cheapestByPlans(units, strict)
	}
	clear(s.selector.admitted)
	for _, u := range units {
		s.selector.admitted[u] = true
	}
	s.selector.strict = strict
	candidates := s.candidates()
	for i, c := range candidates {
		if answer, ok := s.verify(c.units, strict); ok {
			answer.Proven = i == 0 && s.isExact(c.units)
			return answer, true
		}
		if s.plans >= maxPlans {
			break
		}
	}
	return s.cheapestByPlans(units, strict)
}

// isExact reports whether a selection that was counted is the cheapest there is:
// no gang stops, the rooms are those of the plan, and every subset was compared.
func (s *search) isExact(selected []int) bool {
	for _, u := range selected {
		if s.table.units[u].stopsGang || !s.table.units[u].whole {
			return false
		}
	}
	g := s.p.Gang
	return len(g.Slices) == 0 && len(g.Models) == 0 && len(s.p.Budgets) == 0 && s.selector.allCompared
}

// candidate is a selection for one domain.
type candidate struct {
	units []int
	price Price
}

// candidates selects in each domain by counting; the cheapest first, of equal ones
// the narrowest domain, and then the order of the tree.
func (s *search) candidates() []candidate {
	var found []candidate
	s.selector.allCompared, s.selector.fewest = true, math.MaxInt
	for _, d := range s.domains() {
		units, ok := s.selector.selectIn(d)
		if !ok {
			continue
		}
		c := candidate{units, s.table.priceOf(s.p, units)}
		if c.price.Budgets == 0 && c.price.Priority <= s.selector.lowest {
			s.selector.fewest = min(s.selector.fewest, c.price.Gangs)
		}
		found = append(found, c)
	}
	slices.SortStableFunc(found, func(a, b candidate) int { return a.price.Compare(b.price, s.p.Ignored) })
	return found
}

// domains lists the domains that may hold the gang, the preferred level first.
func (s *search) domains() []topology.DomainID {
	tree, g := s.p.tree(), s.p.Gang
	widest := max(g.Required, topology.ClusterLevel)
	if tree.IsCrossing(g.Required) || tree.IsCrossing(g.Preferred) {
		return tree.DomainsAt(widest)
	}
	var all []topology.DomainID
	for level := max(g.Preferred, widest); level >= widest; level-- {
		all = append(all, tree.DomainsAt(level)...)
	}
	return all
}

// verify plans the gang on what a selection leaves, and gives back what the plan
// does not need.
func (s *search) verify(selected []int, strict bool) (Answer, bool) {
	if limits := newLimits(s.p, strict); slices.ContainsFunc(selected, func(u int) bool { return !limits.admit(s.p, &s.table.units[u]) }) {
		return Answer{}, false
	}
	s.apply(selected)
	plan := s.solve()
	if plan.Refusal != nil {
		s.revert(selected)
		return Answer{}, false
	}
	kept := selected
	if !s.countIsPlan(selected) {
		kept, plan = s.giveBack(selected, plan)
	}
	s.revert(kept)
	return s.answer(kept, plan), true
}

// countIsPlan reports whether the count of rooms in one domain decides what the
// plan needs: members without rules of their own, and no unit that also runs
// elsewhere, where a part of it could be enough for another domain.
func (s *search) countIsPlan(selected []int) bool {
	g := s.p.Gang
	if s.selector == nil || len(g.Slices) > 0 || len(g.Models) > 0 {
		return false
	}
	if len(s.p.tree().DomainsAt(max(g.Required, topology.ClusterLevel))) == 1 {
		return true
	}
	for _, u := range selected {
		unit := &s.table.units[u]
		home := topology.DomainID(-1)
		for _, pod := range unit.pods {
			d, ok := s.p.tree().DomainAt(s.p.Workloads[unit.workload].Pods[pod].Node, g.Required)
			if !ok || home >= 0 && d != home {
				return false
			}
			home = d
		}
	}
	return true
}

// giveBack takes units back, the most valuable first, halves of them at a time, as
// long as the gang has a plan without them. The units that are left are applied.
func (s *search) giveBack(selected []int, plan placement.Plan) ([]int, placement.Plan) {
	order := slices.Clone(selected)
	slices.SortFunc(order, func(a, b int) int { return s.table.compareValue(s.p, b, a) })
	var kept []int
	var try func(units []int)
	try = func(units []int) {
		if len(units) == 0 {
			return
		}
		s.revert(units)
		if without := s.solve(); without.Refusal == nil {
			plan = without
			return
		}
		s.apply(units)
		if len(units) == 1 || s.plans >= maxPlans {
			kept = append(kept, units...)
			return
		}
		try(units[:len(units)/2])
		try(units[len(units)/2:])
	}
	if len(order) > 1 {
		try(order[:1])
		try(order[1:])
	} else {
		try(order)
	}
	slices.Sort(kept)
	return kept, plan
}

// cheapestByPlans tries domains with plans alone: everything goes that may, and
// what is not needed is given back.
func (s *search) cheapestByPlans(units []int, strict bool) (Answer, bool) {
	var best Answer
	found := false
	for _, d := range s.domainsByPressure() {
		for _, wholeFirst := range []bool{false, true} {
			if s.plans >= maxPlans {
				return best, found
			}
			units := s.withinLimits(s.unitsOn(units, d), strict, wholeFirst)
			if answer, ok := s.verify(units, strict); ok && (!found || answer.Price.Compare(best.Price, s.p.Ignored) < 0) {
				best, found = answer, true
			}
		}
	}
	return best, found
}

// withinLimits keeps of the units those that may go together, the cheapest first. A
// gang goes as a whole or gives up what it has to spare: wholeFirst says which.
func (s *search) withinLimits(units []int, strict, wholeFirst bool) []int {
	order := slices.Clone(units)
	slices.SortFunc(order, func(a, b int) int {
		if wholeFirst && s.stopsGang(a) != s.stopsGang(b) {
			return cmp.Compare(s.stopsGang(b), s.stopsGang(a))
		}
		return s.table.compareValue(s.p, a, b)
	})
	limits := newLimits(s.p, strict)
	return slices.DeleteFunc(order, func(u int) bool { return !limits.admit(s.p, &s.table.units[u]) })
}

// stopsGang is 1 for a unit that stops a gang, else 0.
func (s *search) stopsGang(u int) int {
	if s.table.units[u].stopsGang {
		return 1
	}
	return 0
}

// unitsOn keeps of the units those with a pod in domain d.
func (s *search) unitsOn(units []int, d topology.DomainID) []int {
	return slices.DeleteFunc(slices.Clone(units), func(u int) bool {
		unit := &s.table.units[u]
		return !slices.ContainsFunc(unit.pods, func(pod int) bool {
			n := s.p.Workloads[unit.workload].Pods[pod].Node
			return n >= 0 && s.p.tree().ContainsNode(d, n)
		})
	})
}

// domainsByPressure returns the domains to try, those first in which the least has
// to go: the most free of the resource that the gang needs most of.
func (s *search) domainsByPressure() []topology.DomainID {
	domains := s.domains()
	resource := s.scarcest()
	freeOf := make(map[topology.DomainID]int64, len(domains))
	for _, d := range domains {
		for n := range s.p.tree().NodesOf(d) {
			freeOf[d] += max(0, s.p.Usage.FreeRow(n)[resource])
		}
	}
	slices.SortStableFunc(domains, func(a, b topology.DomainID) int { return cmp.Compare(freeOf[b], freeOf[a]) })
	return domains[:min(len(domains), maxDomainsTried)]
}

// scarcest returns the column of which the gang needs the largest part of what the
// cluster has.
func (s *search) scarcest() int {
	width := len(s.p.Usage.Resources)
	needed, capacity := make([]float64, width), make([]float64, width)
	for n := range s.p.Usage.Tree.Nodes {
		for i, amount := range s.p.Usage.CapacityRow(topology.NodeID(n)) {
			capacity[i] += float64(amount)
		}
	}
	for r := range s.p.Gang.Roles {
		role := &s.p.Gang.Roles[r]
		for i, amount := range role.Request {
			needed[i] += float64(amount) * float64(role.Count)
		}
	}
	most, at := -1.0, 0
	for i := range needed {
		if part := needed[i] / max(1, capacity[i]); part > most {
			most, at = part, i
		}
	}
	return at
}

// solve plans the gang on what is free now.
func (s *search) solve() placement.Plan {
	s.plans++
	return s.planner.Solve(s.p.Gang)
}

// apply gives the room of units back, and revert takes it again.
func (s *search) apply(units []int) {
	for _, u := range units {
		s.changePods(u, 1)
	}
}

func (s *search) revert(units []int) {
	for _, u := range units {
		s.changePods(u, -1)
	}
}

// changePods counts a unit that covers its pods in or out. A pod gives its room
// back with the first unit and takes it with the last.
func (s *search) changePods(u, by int) {
	unit := &s.table.units[u]
	w := &s.p.Workloads[unit.workload]
	for _, pod := range unit.pods {
		covered := &s.applied[s.table.firstPod[unit.workload]+pod]
		before := *covered
		*covered += by
		n := w.Pods[pod].Node
		switch {
		case n < 0 || int(n) >= len(s.p.Usage.Tree.Nodes):
		case before == 0:
			s.planner.ReleaseOn(n, w.Pods[pod].Request)
		case *covered == 0:
			s.planner.AllocateOn(n, w.Pods[pod].Request)
		}
	}
}

// answer words the units of a selection as victims.
func (s *search) answer(selected []int, plan placement.Plan) Answer {
	a := Answer{Plan: plan, Price: s.table.priceOf(s.p, selected)}
	for _, u := range selected {
		unit := &s.table.units[u]
		if last := len(a.Victims) - 1; !unit.whole && last >= 0 && a.Victims[last].Workload == unit.workload {
			a.Victims[last].Pods = append(a.Victims[last].Pods, unit.pods...)
			continue
		}
		a.Victims = append(a.Victims, Victim{Workload: unit.workload, Pods: slices.Clone(unit.pods), Whole: unit.whole})
	}
	return a
}
