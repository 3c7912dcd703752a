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

// smallestRemedySet returns the smallest set of remedies, searched for in the
// domains that lack least, or nil. The estimate orders the search; the engine
// decides.
func (x *explainer) smallestRemedySet(remedies []remedy) (*remedySet, error) {
	type lead struct {
		domain   topology.DomainID
		remedies []remedy
		first    int // the number of remedies whose gains cover what is missing
		weight   int
	}
	var leads []lead
	for d, need := range x.missingPerDomain() {
		l := lead{domain: d, remedies: helpfulRemedies(remedies, d)}
		covered := int64(0)
		for covered < need && l.first < len(l.remedies) {
			covered += l.remedies[l.first].gain[d]
			l.weight += l.remedies[l.first].cost
			l.first++
		}
		if len(l.remedies) == 0 || covered < need && x.estimatesAreExact() {
			continue
		}
		l.first = max(l.first, 1)
		leads = append(leads, l)
	}
	slices.SortFunc(leads, func(a, b lead) int {
		return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.weight, b.weight), cmp.Compare(a.domain, b.domain))
	})
	for i, l := range leads {
		if i == maxDomains {
			break
		}
		for n := l.first; n <= min(len(l.remedies), maxRemedies); n++ {
			found, err := x.tryRemedies(l.remedies[:n])
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
