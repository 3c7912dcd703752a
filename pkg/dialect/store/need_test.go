// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/muster-scheduler/muster/pkg/workload"
)

// step is one moment in the life of a gang: what its workload says, which
// members there are, and how many must then start together.
type step struct {
	what         string
	roles        []workload.Role
	have         tally
	count, whole int
}

func oneRole(replicas, least int, waves bool) []workload.Role {
	return []workload.Role{{Replicas: replicas, MinCount: least, Waves: waves}}
}

func members(live, bound int) tally { return tally{"": {live: live, bound: bound}} }

func done(live, bound int, by ...int) tally {
	return tally{"": {live: live, bound: bound, done: by}}
}

func TestNeed_ThroughTheLifeOfAGang(t *testing.T) {
	driven := func(driver, workers int) []workload.Role {
		return []workload.Role{
			{Name: "driver", Replicas: driver, MinCount: driver},
			{Name: "workers", Replicas: workers, MinCount: workers, CreatedLater: true},
		}
	}
	both := func(driver, workers roleTally) tally { return tally{"driver": driver, "workers": workers} }
	for name, steps := range map[string][]step{
		"a job whose pods are replaced": {
			{"being created", oneRole(8, 8, false), members(3, 0), 8, 8},
			{"complete", oneRole(8, 8, false), members(8, 0), 8, 8},
			{"binding", oneRole(8, 8, false), members(8, 1), 8, 8},
			{"runs", oneRole(8, 8, false), members(8, 8), 8, 8},
			{"one failed, its successor is not there yet", oneRole(8, 8, false), members(7, 7), 7, 7},
			{"its successor waits: the gang is broken", oneRole(8, 8, false), members(8, 7), 8, 8},
			{"whole again", oneRole(8, 8, false), members(8, 8), 8, 8},
			{"three have done their work", oneRole(5, 5, false), members(5, 5), 5, 5},
			{"the same, before the job's status says so", oneRole(8, 8, false), members(5, 5), 5, 5},
			{"one failed late", oneRole(5, 5, false), members(5, 4), 5, 5},
			{"all failed: it starts anew", oneRole(5, 5, false), members(2, 0), 5, 5},
		},
		"an elastic job that grows and shrinks": {
			{"complete", oneRole(4, 4, false), members(4, 0), 4, 4},
			{"runs", oneRole(4, 4, false), members(4, 4), 4, 4},
			{"scaled up: the new ones join as room allows", oneRole(8, 8, false), members(8, 4), 4, 4},
			{"some found room", oneRole(8, 8, false), members(8, 6), 4, 4},
			{"all found room: now it is a gang of eight", oneRole(8, 8, false), members(8, 8), 8, 8},
			{"which is broken when one fails", oneRole(8, 8, false), members(8, 7), 8, 8},
			{"scaled down", oneRole(2, 2, false), members(2, 2), 2, 2},
		},
		"a job with more work than pods": {
			{"first wave", oneRole(4, 4, true), members(4, 0), 4, 4},
			{"runs", oneRole(4, 4, true), members(4, 4), 1, 1},
			{"one ended, the next joins alone", oneRole(4, 4, true), members(4, 3), 1, 1},
			{"two ended, one successor is there", oneRole(4, 1, true), members(3, 2), 1, 1},
			{"all ended at once", oneRole(4, 1, true), members(4, 0), 1, 1},
		},
		"a jobset with more work than pods": {
			{"runs", oneRole(4, 4, true), members(4, 4), 1, 1},
			{"all ended at once, and the workload does not tell", oneRole(4, 4, true), done(1, 0, 4), 1, 1},
		},
		"a jobset that loses a pod after the others are done": {
			{"runs", oneRole(4, 4, false), members(4, 4), 4, 4},
			{"three are done", oneRole(4, 4, false), done(1, 1, 3), 1, 1},
			{"the last one is lost, and re-created", oneRole(4, 4, false), done(1, 0, 3), 1, 1},
			{"a job that tells itself how many are left", []workload.Role{{Replicas: 2, MinCount: 2, PodsCounted: true}}, done(2, 0, 2), 2, 2},
		},
		"a jobset whose workers come after the driver": {
			{"the driver", driven(1, 4), both(roleTally{live: 1, bound: 0}, roleTally{}), 1, 1},
			{"the driver runs", driven(1, 4), both(roleTally{live: 1, bound: 1}, roleTally{}), 1, 1},
			{"the first worker waits for the others", driven(1, 4), both(roleTally{live: 1, bound: 1}, roleTally{live: 1, bound: 0}), 5, 1},
			{"the workers have no room: nothing is broken", driven(1, 4), both(roleTally{live: 1, bound: 1}, roleTally{live: 4, bound: 0}), 5, 1},
			{"the workers bind", driven(1, 4), both(roleTally{live: 1, bound: 1}, roleTally{live: 4, bound: 1}), 5, 5},
			{"the workers run", driven(1, 4), both(roleTally{live: 1, bound: 1}, roleTally{live: 4, bound: 4}), 5, 5},
			{"a worker is replaced", driven(1, 4), both(roleTally{live: 1, bound: 1}, roleTally{live: 4, bound: 3}), 5, 5},
			{"the driver is done", driven(0, 4), both(roleTally{}, roleTally{live: 4, bound: 3}), 4, 4},
		},
		"a job after its initializer": {
			{"the initializer", driven(1, 4), both(roleTally{live: 1, bound: 0}, roleTally{}), 1, 1},
			{"it runs", driven(1, 4), both(roleTally{live: 1, bound: 1}, roleTally{}), 1, 1},
			{"it is done, the first worker is there", driven(0, 4), both(roleTally{}, roleTally{live: 1, bound: 0}), 4, 4},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var began startedWith
			for _, s := range steps {
				shape := &workload.Shape{Roles: s.roles}
				began = began.next(shape, s.have, true, nil)
				n := computeNeed(shape, s.have, began)
				assert.Equal(t, []int{s.count, s.whole}, []int{n.count, n.runningMinimum}, "%s: count and whole", s.what)
			}
		})
	}
}

// A scheduler that starts while a gang runs takes those members for the gang
// that were there when the first of them got its node.
func TestNeed_OfAGangThatRanAlready(t *testing.T) {
	for name, c := range map[string]struct {
		have         tally
		early        int
		count, whole int
	}{
		"half of it was bound when the last scheduler ended": {members(8, 3), 8, 8, 8},
		"it was being scaled up":                             {members(8, 4), 4, 4, 4},
		"some of it has ended":                               {members(5, 5), 5, 5, 5},
	} {
		t.Run(name, func(t *testing.T) {
			shape := &workload.Shape{Roles: oneRole(8, 8, false)}
			began := startedWith(nil).next(shape, c.have, false, func(string) int { return c.early })
			n := computeNeed(shape, c.have, began)
			assert.Equal(t, []int{c.count, c.whole}, []int{n.count, n.runningMinimum})
		})
	}
}

// A minimum that the workload itself gives stands, as far as there are pods.
func TestNeed_AMinimumOfItsOwn(t *testing.T) {
	shape := &workload.Shape{MinCount: 5, Roles: []workload.Role{
		{Name: "worker", Replicas: 8, MinCount: 8}, {Name: "launcher", Replicas: 1, MinCount: 1, CreatedLater: true},
	}}
	have := func(live, bound int) tally { return tally{"worker": {live: live, bound: bound}} }
	var began startedWith
	for _, c := range []struct{ live, bound, count int }{{8, 0, 5}, {8, 8, 5}, {8, 7, 5}, {4, 4, 4}, {8, 0, 5}} {
		began = began.next(shape, have(c.live, c.bound), true, nil)
		assert.Equal(t, c.count, computeNeed(shape, have(c.live, c.bound), began).count, "%d live, %d bound", c.live, c.bound)
	}
	shape.MinCount = 9
	assert.Equal(t, 8, computeNeed(shape, have(8, 0), nil).count, "the launcher comes later")
}
