// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"slices"
	"time"

	"github.com/muster-scheduler/muster/pkg/workload"
)

// startedWith is what the members of a workload's gang that have a node began with:
// the number of each role that had to start together. It is nil while none has
// a node.
//
// A gang that has begun is held to what it began with. Pods that a controller
// adds later, since its workload was scaled up, join as room allows and do not
// put those in question that run; pods that ended and are not replaced are not
// waited for.
type startedWith map[string]int

// tally counts the members of each role.
type tally map[string]roleTally

// done counts those that have done their work, beside the live ones, for each of their
// controllers.
type roleTally struct {
	live, bound int
	done        []int
}

func (t tally) total() (live, bound int) {
	for _, r := range t {
		live += r.live
		bound += r.bound
	}
	return live, bound
}

// doneOf counts the pods of a workload that have done their work: as many as are seen,
// or as the workload says.
func (t tally) doneOf(shape *workload.Shape) int {
	total := 0
	for i := range shape.Roles {
		seen := 0
		for _, count := range t[shape.Roles[i].Name].done {
			seen += count
		}
		total += max(seen, shape.Roles[i].Ended)
	}
	return total
}

// need is how many members of a workload's gang start together.
type need struct {
	// roles are those that are there or must be, with the number of each.
	roles []roleNeed
	// later are the roles whose pods are created later and count then.
	later []string
	// count is the number in all, and runningMinimum the number below which a
	// gang that has started is broken.
	count, runningMinimum int
}

// roleNeed is how many of one role start together.
type roleNeed struct {
	*workload.Role
	least int
}

// computeNeed works out how many members must start together now.
func computeNeed(shape *workload.Shape, have tally, began startedWith) need {
	n := need{}
	replicas := 0
	for i := range shape.Roles {
		r := &shape.Roles[i]
		at := have[r.Name]
		first, inStart := began[r.Name]
		if r.CreatedLater && at.live == 0 && !inStart {
			if r.MinCount > 0 {
				n.later = append(n.later, r.Name)
			}
			continue // its controller creates it when the others run
		}
		least := r.LeastAfter(at.done)
		if inStart {
			if least = min(least, first, at.live); r.Waves {
				least = min(least, 1)
			}
			n.runningMinimum += least
		}
		replicas += r.Replicas
		n.count += least
		n.roles = append(n.roles, roleNeed{r, least})
	}
	if shape.MinCount > 0 {
		n.count = min(max(shape.MinCount-have.doneOf(shape), 1), replicas)
		for i := range n.roles {
			n.roles[i].least = 0 // any of them will do
		}
		if began != nil {
			live, _ := have.total()
			n.count = min(n.count, max(live, 1))
			n.runningMinimum = n.count
		}
	}
	n.count = max(n.count, 1)
	if began == nil {
		n.runningMinimum = n.count
	}
	return n
}

// next is what the gang began with, after its members or its workload have
// changed. seen says that it was known before any of its members had a node;
// presentAtFirstBind counts the members of a role that were there when the first
// got one.
func (s startedWith) next(shape *workload.Shape, have tally, seen bool, presentAtFirstBind func(role string) int) startedWith {
	if _, bound := have.total(); bound == 0 {
		return nil
	}
	now := startedWith{}
	for i := range shape.Roles {
		r := &shape.Roles[i]
		at := have[r.Name]
		first, inStart := s[r.Name]
		there := at.live
		if s == nil && !seen {
			there = presentAtFirstBind(r.Name)
		}
		switch {
		case inStart && at.bound < r.MinCount:
			now[r.Name] = min(first, r.MinCount)
		case inStart:
			now[r.Name] = r.MinCount // all of it runs, however it came to that
		case s == nil && there > 0 || at.bound > 0:
			now[r.Name] = min(r.MinCount, there)
		}
	}
	return now
}

// skew is by how much the clocks of API servers may differ that put times on
// the pods of one gang.
const skew = 10 * time.Second

func (n need) equal(o need) bool {
	return n.count == o.count && n.runningMinimum == o.runningMinimum && slices.Equal(n.later, o.later) && slices.EqualFunc(n.roles, o.roles, func(a, b roleNeed) bool {
		return a.least == b.least && *a.Role == *b.Role
	})
}
