// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
		r.park(uid, "class", &verdict{reason: kube.NoFittingDomain, short: "nvidia.com/gpu"}, time.Time{})
	}
	return r
}

func due(r *registry) []string {
	var names []string
	for _, pod := range r.takeDue() {
		names = append(names, pod.Name)
	}
	return names
}

func TestRegistry_OnlyTheFirstOfAClassIsWokenByRoom(t *testing.T) {
	r := parked("old", "young")
	assert.False(t, r.help("young", anything))
	assert.True(t, r.help("old", anything))
	assert.False(t, r.help("old", anything), "woken once, not parked any more")
}

func TestRegistry_RoomOfAnotherKindWakesNobody(t *testing.T) {
	r := parked("a")
	assert.False(t, r.help("a", func(resource string) bool { return resource == "cpu" }))
	assert.True(t, r.help("a", func(resource string) bool { return resource == "nvidia.com/gpu" }))
}

func TestRegistry_APlacedGangWakesTheNextOfItsClass(t *testing.T) {
	r := parked("a", "b", "c")
	require.True(t, r.help("a", anything))
	assert.Empty(t, due(r))
	r.placed("a")
	assert.Equal(t, []string{"b-0"}, due(r))
	r.placed("b")
	assert.Equal(t, []string{"c-0"}, due(r))
}

func TestRegistry_ARefusedGangWakesNobody(t *testing.T) {
	r := parked("a", "b")
	require.True(t, r.help("a", anything))
	r.park("a", "class", &verdict{}, time.Time{})
	assert.Empty(t, due(r))
	assert.False(t, r.help("b", anything), "a stands before b again")
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
	r.park("a", "class", &verdict{}, epoch.Add(time.Second))
	r.rechecks(epoch)
	assert.Empty(t, due(r))
	r.rechecks(epoch.Add(time.Second))
	assert.Equal(t, []string{"a-0"}, due(r))
	r.rechecks(epoch.Add(2 * time.Second))
	assert.Empty(t, due(r), "once")
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
	r.park("a", "", &verdict{}, time.Time{})
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
