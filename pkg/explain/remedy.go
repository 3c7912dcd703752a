// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"cmp"
	"slices"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// remedy is one thing that can be changed outside the gang: a node that comes
// back or a workload that ends.
type remedy struct {
	name string
	// cost is the number of pods that have to end, or 1 for a node.
	cost int
	// gain estimates how many more members of the bottleneck role then fit in each
	// domain of the level that has to hold the gang.
	gain  map[topology.DomainID]int64
	apply func(*scenario)
}

// remedySet is remedies that together let the gang in, with the plan that
// proves it.
type remedySet struct {
	remedies []remedy
	members  *kube.Members
	plan     placement.Plan
}

// Bounds on the search: it proposes the changes that are small, and answers at
// once on a large cluster.
const (
	maxDomains      = 4  // domains in which a set is searched for
	maxRemedies     = 16 // remedies in a set
	maxSingleTrials = 24 // single remedies tried
	maxTerminations = 3  // single remedies proposed
)

// tryRemedies asks the engine whether remedies together let the gang in, and
// returns nil if they do not.
func (x *explainer) tryRemedies(remedies []remedy) (*remedySet, error) {
	t := x.gang.currentScenario()
	for _, l := range remedies {
		l.apply(&t)
	}
	members, plan, err := x.view.solveScenario(t)
	if err != nil || plan.Refusal != nil {
		return nil, err
	}
	return &remedySet{slices.Clone(remedies), members, plan}, nil
}

// candidate is a domain, the remedies that help there, and how few of them may be
// enough.
type candidate struct {
	domain   topology.DomainID
	remedies []remedy
	first    int // the number of remedies whose gains cover what is missing
	cost     int // of those
}

// smallestRemedySet returns the smallest set of remedies, searched for in the
// domains that lack least, or nil. The estimate orders the search; the engine
// decides.
func (x *explainer) smallestRemedySet(remedies []remedy) (*remedySet, error) {
	candidates := x.remedyCandidates(remedies)
	for _, c := range candidates[:min(len(candidates), maxDomains)] {
		for n := c.first; n <= min(len(c.remedies), maxRemedies); n++ {
			found, err := x.tryRemedies(c.remedies[:n])
			if err != nil {
				return nil, err
			}
			if found != nil {
				return x.pruneRemedies(found)
			}
		}
	}
	return nil, nil
}

// remedyCandidates lists the domains in which remedies may be enough, those first
// that seem to need the fewest and cheapest.
func (x *explainer) remedyCandidates(remedies []remedy) []candidate {
	var candidates []candidate
	for d, need := range x.missingPerDomain() {
		c := candidate{domain: d, remedies: helpfulRemedies(remedies, d)}
		covered := int64(0)
		for covered < need && c.first < len(c.remedies) {
			covered += c.remedies[c.first].gain[d]
			c.cost += c.remedies[c.first].cost
			c.first++
		}
		if len(c.remedies) == 0 || covered < need && x.estimatesAreExact() {
			continue
		}
		c.first = max(c.first, 1)
		candidates = append(candidates, c)
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.cost, b.cost), cmp.Compare(a.domain, b.domain))
	})
	return candidates
}

// pruneRemedies removes the remedies that turn out not to be needed, the most
// expensive first.
func (x *explainer) pruneRemedies(b *remedySet) (*remedySet, error) {
	for i := len(b.remedies) - 1; i >= 0 && len(b.remedies) > 1; i-- {
		less, err := x.tryRemedies(slices.Delete(slices.Clone(b.remedies), i, i+1))
		if err != nil {
			return nil, err
		}
		if less != nil {
			b = less
		}
	}
	return b, nil
}

// estimatesAreExact reports whether the estimates are what the engine counts:
// one role of equal members without slices. Otherwise a set that looks too
// small may do.
func (x *explainer) estimatesAreExact() bool {
	return len(x.members.Roles) == 1 && len(x.gang.Spec.Slices) == 0 && len(x.gang.Spec.Roles) == 0 && len(x.members.Models) < 2
}

// missingPerDomain returns how many members of the bottleneck role do not fit
// in each domain that could hold the gang.
func (x *explainer) missingPerDomain() map[topology.DomainID]int64 {
	domains := x.usage.Tree.DomainsAt(x.requiredLevel())
	if d, ok := x.pinnedDomain(); ok {
		domains = []topology.DomainID{d}
	}
	needs := map[topology.DomainID]int64{}
	for _, d := range domains {
		needs[d] = int64(x.needed) - x.domainCapacity(d)
	}
	return needs
}

// helpfulRemedies returns the remedies that gain room in a domain, those with
// the largest gain first.
func helpfulRemedies(remedies []remedy, d topology.DomainID) []remedy {
	var kept []remedy
	for _, l := range remedies {
		if l.gain[d] > 0 {
			kept = append(kept, l)
		}
	}
	slices.SortFunc(kept, func(a, b remedy) int {
		return cmp.Or(cmp.Compare(b.gain[d], a.gain[d]), cmp.Compare(a.cost, b.cost), cmp.Compare(a.name, b.name))
	})
	return kept
}

// remedyNames returns the names of remedies.
func remedyNames(remedies []remedy) []string {
	all := make([]string, len(remedies))
	for i, l := range remedies {
		all[i] = l.name
	}
	return all
}
