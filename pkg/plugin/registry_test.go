// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func anything(string) bool { return true }

// parked returns a registry with gangs of one class, the first the oldest.
func parked(uids ...types.UID) *registry {
	r := newRegistry()
	for i, uid := range uids {
		t := turn{created: epoch.Add(time.Duration(i) * time.Second), key: "ns/" + string(uid)}
		member := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: string(uid) + "-0"}}
		r.enter(uid, t, member, epoch)
	}
	for _, uid := range uids {
		r.park(uid, "class", &verdict{reason: kube.NoFittingDomain, wants: []string{"nvidia.com/gpu"}}, epoch, 0)
	}
	return r
}

// soon is after the first pace of a gang that is helped at epoch.
var soon = epoch.Add(firstPace)

func due(r *registry) []string {
	var names []string
	for _, pod := range r.takeDue() {
		names = append(names, pod.Name)
	}
	return names
}

func TestRegistry_OnlyTheFirstOfAClassIsWokenByRoom(t *testing.T) {
	r := parked("old", "young")
	assert.False(t, r.help("young", anything, epoch))
	assert.True(t, r.help("old", anything, epoch))
	r.rechecks(epoch)
	assert.Empty(t, due(r), "not at once: more may be freed")
	r.rechecks(soon)
	assert.Equal(t, []string{"old-0"}, due(r))
	assert.False(t, r.help("old", anything, epoch), "it is not parked any more")
}

func TestRegistry_RoomOfAnotherKindWakesNobody(t *testing.T) {
	r := parked("a")
	assert.False(t, r.help("a", func(resource string) bool { return resource == "cpu" }, epoch))
	assert.True(t, r.help("a", func(resource string) bool { return resource == "nvidia.com/gpu" }, epoch))
}

func TestRegistry_APlacedGangWakesTheNextOfItsClass(t *testing.T) {
	r := parked("a", "b", "c")
	r.unpark("a")
	assert.Equal(t, []string{"a-0"}, due(r))
	r.placed("a")
	assert.Equal(t, []string{"b-0"}, due(r))
	r.placed("b")
	assert.Equal(t, []string{"c-0"}, due(r))
}

func TestRegistry_ARefusedGangWakesNobody(t *testing.T) {
	r := parked("a", "b")
	r.unpark("a")
	due(r)
	r.park("a", "class", &verdict{reason: kube.NoFittingDomain}, epoch, 0)
	assert.Empty(t, due(r))
	assert.False(t, r.help("b", anything, epoch), "a stands before b again")
}

func TestRegistry_EachRefusalInABusyTimeDoublesThePace(t *testing.T) {
	r := parked("a")
	now := epoch
	var paces []time.Duration
	for range 7 {
		paces = append(paces, r.gangs["a"].pace())
		now = now.Add(time.Second)
		r.park("a", "class", &verdict{}, now, 0)
	}
	ms := time.Millisecond
	assert.Equal(t, []time.Duration{25 * ms, 50 * ms, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 800 * ms}, paces)
	r.park("a", "class", &verdict{}, now.Add(busy+1), 0)
	assert.Equal(t, 25*ms, r.gangs["a"].pace())
}

func TestRegistry_AGangThatLeavesOrGoesWakesTheNext(t *testing.T) {
	r := parked("a", "b", "c")
	r.leave("a")
	assert.Equal(t, []string{"b-0"}, due(r))
	r.forget("b")
	assert.Equal(t, []string{"c-0"}, due(r))
	r.forget("c")
	assert.Empty(t, r.parked, "no class outlives its gangs")
}

func TestRegistry_AGangRefusedWhileTheClusterMovedIsTriedOnceMore(t *testing.T) {
	r := parked("a")
	r.park("a", "class", &verdict{}, epoch, settle)
	r.rechecks(soon)
	assert.Empty(t, due(r))
	r.rechecks(epoch.Add(settle))
	assert.Equal(t, []string{"a-0"}, due(r))
	r.attempt("a")
	r.rechecks(epoch.Add(2 * settle))
	assert.Empty(t, due(r), "once")
}

func TestRegistry_AGangIsWokenUntilItIsTried(t *testing.T) {
	r := parked("a")
	r.park("a", "class", &verdict{reason: kube.NoFittingDomain}, epoch, settle)
	now := epoch.Add(settle)
	for range 3 {
		r.rechecks(now)
		assert.Equal(t, []string{"a-0"}, due(r))
		r.rechecks(now.Add(again - 1))
		assert.Empty(t, due(r))
		now = now.Add(again)
	}
	r.leave("a")
	r.rechecks(now)
	assert.Empty(t, due(r), "it may not be tried any more")
}

func TestRegistry_AGangThatCannotBePausesLongerEachTime(t *testing.T) {
	r := parked("a")
	denied := func(time.Duration) *verdict { return &verdict{reason: kube.BindDenied} }
	now := epoch
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
		assert.Equal(t, want, r.pause("a", denied, now))
		r.pause("a", denied, now) // the other members of the same attempt
		assert.False(t, r.help("a", anything, now), "room does not help")
		r.rechecks(now.Add(want - 1))
		assert.Empty(t, due(r))
		r.leave("a")
		assert.NotNil(t, r.enter("a", turn{}, nil, now), "a member that comes back late does not end the pause")
		r.enter("a", turn{}, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a-0"}}, now)
		r.rechecks(now.Add(want))
		assert.Equal(t, []string{"a-0"}, due(r))
		r.attempt("a")
		now = now.Add(want)
	}
	for range 30 {
		r.pause("a", denied, now)
		now = now.Add(mostPause)
		r.rechecks(now)
	}
	assert.Equal(t, mostPause, r.pause("a", denied, now))
}

func TestRegistry_FurtherPlansOfACycleAreWhatIfs(t *testing.T) {
	r := parked("a")
	assert.True(t, r.attempt("a"))
	assert.False(t, r.attempt("a"))
	r.enter("a", turn{}, nil, epoch)
	assert.True(t, r.attempt("a"))
}

func TestRegistry_ThePartialGangIsStaleAfterItsGracePeriod(t *testing.T) {
	r := newRegistry()
	partial := turn{partial: true, key: "ns/a"}
	r.enter("a", partial, nil, epoch)
	assert.Empty(t, r.stale(epoch.Add(time.Hour)), "it has not been refused yet")
	r.park("a", "", &verdict{}, epoch, 0)
	r.enter("a", partial, nil, epoch.Add(30*time.Second))
	assert.Empty(t, r.stale(epoch), "the period counts from the first sight")
	assert.Equal(t, []string{"ns/a"}, r.stale(epoch.Add(time.Second)))
	r.enter("a", turn{key: "ns/a"}, nil, epoch)
	assert.Empty(t, r.stale(epoch.Add(time.Hour)), "it is whole again")
}

func TestTurn_PartlyBoundGangsThenPriorityThenAge(t *testing.T) {
	ordered := []turn{
		{partial: true, priority: -1, created: epoch.Add(time.Hour), key: "z"},
		{priority: 10, created: epoch.Add(time.Hour), key: "y"},
		{priority: 1, created: epoch, key: "b"},
		{priority: 1, created: epoch, key: "c"},
		{priority: 1, created: epoch.Add(time.Second), key: "a"},
	}
	for i := range ordered {
		for j := range ordered {
			assert.Equal(t, i < j, ordered[i].before(ordered[j]), "%v before %v", ordered[i], ordered[j])
		}
	}
}
