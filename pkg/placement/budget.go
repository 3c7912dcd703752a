// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"

	"github.com/muster-scheduler/muster/pkg/gang"
)

// stepBudget is the number of steps that one Solve may take, the explanation of a
// refusal included: what a gang costs depends on how many nodes there are and how
// many members it has, and never on what its user wrote. A step reads one node,
// domain or role, some 2 to 5 ns. The scheduler plans all gangs in one loop, so that a
// plan without a bound would hold up everybody.
func stepBudget(nodes, members int) int {
	return 750_000 + 5000*nodes + 150*min(members, 4096)
}

// explainShare is the part of the budget, one in so many, that is kept for explaining
// a refusal.
const explainShare = 4

// startBudget gives the solver the steps for one gang.
func (s *solver) startBudget(nodes int, g *gang.Gang) {
	budget := stepBudget(nodes, g.MemberCount())
	if hasClaims(g) {
		budget += deviceBudget
	}
	s.stepsKept = budget / explainShare
	s.stepsLeft = budget - s.stepsKept
	s.stepsGiven = budget
}

// releaseReserve adds the steps that were kept for the explanation.
func (s *solver) releaseReserve() {
	s.stepsLeft += s.stepsKept
	s.stepsKept = 0
}

// spend takes steps from the budget.
func (s *solver) spend(steps int) { s.stepsLeft -= steps }

// isExhausted reports whether the budget is spent: what is under way is finished, and
// nothing else is tried.
func (s *solver) isExhausted() bool { return s.stepsLeft < 0 }

// complexRefusal is the refusal of a gang whose budget is spent before it is known
// whether it fits.
func (s *solver) complexRefusal() *Refusal {
	shapes := map[*headroom]bool{}
	for r := range s.roles {
		shapes[s.roles[r].headroom] = true
	}
	r := s.describeRequest()
	r.Reason = GangTooComplex
	r.Detail = fmt.Sprintf("no placement was found within %d steps for its %s of %s; fewer roles, different requests, slices or models make it simpler",
		s.stepsGiven, countNoun(len(s.roles), "group"), countNoun(len(shapes), "shape"))
	return r
}
