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

// lever is one thing that can be changed for the gang.
type lever struct {
	name string
	// weight is the effort: pods that have to end, or 1 for a node.
	weight int
	// gain estimates how many members of the scarce role more then fit in each
	// domain of the level that has to hold the gang.
	gain  map[topology.DomainID]int64
	apply func(*trial)
}

// bunch is a set of levers that together let the gang in.
type bunch struct {
	levers  []lever
	members *kube.Members
	plan    placement.Plan
}

// Bounds on the search: it proposes the changes that are small, and answers at
// once on a large cluster.
const (
	maxDomains = 4  // domains in which a set of levers is looked for
	maxLevers  = 16 // levers in a set
	maxTrials  = 24 // single levers tried
	maxEnds    = 3  // single levers proposed
)

// pull asks the engine whether levers together let the gang in.
func (x *explainer) pull(levers []lever) (*bunch, error) {
	t := x.g.trial()
	for _, l := range levers {
		l.apply(&t)
	}
	members, plan, err := x.p.solve(t)
	if err != nil || plan.Refusal != nil {
		return nil, err
	}
	return &bunch{slices.Clone(levers), members, plan}, nil
}

// fewest looks for the smallest set of levers, in the domains that lack least,
// or returns nil. The estimate orders the search; the engine decides.
func (x *explainer) fewest(levers []lever) (*bunch, error) {
	type lead struct {
		domain topology.DomainID
		levers []lever
		first  int // the number of levers whose gains cover what is lacking
		weight int
	}
	var leads []lead
	for d, need := range x.needs() {
		l := lead{domain: d, levers: helpful(levers, d)}
		covered := int64(0)
		for covered < need && l.first < len(l.levers) {
			covered += l.levers[l.first].gain[d]
			l.weight += l.levers[l.first].weight
			l.first++
		}
		if len(l.levers) == 0 || covered < need && x.exact() {
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
		for n := l.first; n <= min(len(l.levers), maxLevers); n++ {
			found, err := x.pull(l.levers[:n])
			if err != nil {
				return nil, err
			}
			if found != nil {
				return x.prune(found)
			}
		}
	}
	return nil, nil
}

// prune takes out the levers that turn out not to be needed, the heaviest
// first.
func (x *explainer) prune(b *bunch) (*bunch, error) {
	for i := len(b.levers) - 1; i >= 0 && len(b.levers) > 1; i-- {
		less, err := x.pull(slices.Delete(slices.Clone(b.levers), i, i+1))
		if err != nil {
			return nil, err
		}
		if less != nil {
			b = less
		}
	}
	return b, nil
}

// exact reports whether the estimates are what the engine counts: one role of
// equal members without slices.
func (x *explainer) exact() bool {
	return len(x.members.Roles) == 1 && len(x.g.Spec.Slices) == 0 && len(x.g.Spec.Roles) == 0 && len(x.members.Models) < 2
}

// needs is how many members of the scarce role each domain lacks room for.
func (x *explainer) needs() map[topology.DomainID]int64 {
	domains := x.usage.Tree.DomainsAt(x.level())
	if d, ok := x.pinned(); ok {
		domains = []topology.DomainID{d}
	}
	needs := map[topology.DomainID]int64{}
	for _, d := range domains {
		needs[d] = int64(x.want) - x.roomIn(d)
	}
	return needs
}

// helpful are the levers that gain room in a domain, the most helpful first.
func helpful(levers []lever, d topology.DomainID) []lever {
	var kept []lever
	for _, l := range levers {
		if l.gain[d] > 0 {
			kept = append(kept, l)
		}
	}
	slices.SortFunc(kept, func(a, b lever) int {
		return cmp.Or(cmp.Compare(b.gain[d], a.gain[d]), cmp.Compare(a.weight, b.weight), cmp.Compare(a.name, b.name))
	})
	return kept
}

func names(levers []lever) []string {
	all := make([]string, len(levers))
	for i, l := range levers {
		all[i] = l.name
	}
	return all
}
