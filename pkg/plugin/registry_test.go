// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// nodes is a picture of the cluster.
type nodes map[string]fwk.NodeInfo

func (n nodes) Get(name string) (fwk.NodeInfo, error) {
	if info, ok := n[name]; ok {
		return info, nil
	}
	return nil, errors.New("not found")
}

// refusal is one that lacks 8 GPUs, on a picture of the given nodes.
func refusal(on nodes) refused {
	return refused{class: "class", why: &verdict{reason: kube.NoFittingDomain, lacks: amounts{"nvidia.com/gpu": 8}}, picture: on}
}

// holder is a pod on a node.
func holder(name string, gpus int64) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)},
		Spec: v1.PodSpec{NodeName: "n", Containers: []v1.Container{{Resources: v1.ResourceRequirements{
			Requests: v1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(gpus, resource.DecimalSI)},
		}}}},
	}
}

// parked returns a registry with gangs of one class, the first the oldest.
func parked(uids ...types.UID) *registry {
	r := newRegistry()
	for i, uid := range uids {
		t := turn{created: epoch.Add(time.Duration(i) * time.Second), key: "ns/" + string(uid)}
		member := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: string(uid) + "-0"}}
		r.enter(uid, t, member, epoch)
	}
	for _, uid := range uids {
		r.park(uid, refusal(nil), epoch)
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
	r.left(holder("p", 8), "n", epoch)
	r.rechecks(epoch)
	assert.Empty(t, due(r), "not at once: more may be freed")
	r.rechecks(soon)
	assert.Equal(t, []string{"old-0"}, due(r))
	r.attempt("old")
	r.left(holder("q", 8), "n", soon)
	r.rechecks(soon)
	assert.Empty(t, due(r), "it is not parked any more, and stands before the other")
}

func TestRegistry_AGangIsTriedOnceWhatItLacksHasComeBack(t *testing.T) {
	r := parked("a")
	for i := range 7 {
		r.left(holder(fmt.Sprint(i), 1), "n", epoch)
		r.rechecks(epoch.Add(time.Second))
		assert.Empty(t, due(r), "%d of 8 are back", i+1)
	}
	r.left(holder("cpu", 0), "n", epoch)
	r.rechecks(epoch.Add(time.Second))
	assert.Empty(t, due(r), "room of another kind")
	r.left(holder("last", 1), "n", epoch)
	r.rechecks(soon)
	assert.Equal(t, []string{"a-0"}, due(r))
}

func TestRegistry_RoomThatThePictureDidNotShowCounts(t *testing.T) {
	going := holder("going", 8)
	for _, test := range []struct {
		name  string
		on    nodes
		wakes bool
	}{
		{"the picture still has the pod", nodes{"n": framework.NewNodeInfo(going)}, true},
		{"the picture has lost the pod", nodes{"n": framework.NewNodeInfo()}, false},
		{"the picture has lost the node", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := parked("a")
			r.left(going, "n", epoch)
			r.rechecks(soon)
			require.Equal(t, []string{"a-0"}, due(r))
			r.attempt("a")
			r.park("a", refusal(test.on), soon)
			r.rechecks(soon.Add(time.Second))
			assert.Equal(t, test.wakes, len(due(r)) == 1)
			r.attempt("a")
			r.park("a", refusal(nil), soon)
			r.rechecks(soon.Add(busy))
			assert.Empty(t, due(r), "seen in the end")
		})
	}
}

func TestRegistry_AReservationThatFellIsRoomUntilItIsMadeAgain(t *testing.T) {
	r := parked("a")
	again := holder("again", 8)
	r.left(again, "n", epoch)
	r.took(again)
	r.attempt("a")
	r.park("a", refusal(nodes{"n": framework.NewNodeInfo(again)}), epoch)
	r.rechecks(epoch.Add(busy))
	assert.Empty(t, due(r), "the pod holds it")
}

func TestRegistry_AGangThatMayPreemptIsTriedForAnyRoom(t *testing.T) {
	r := parked("a")
	r.gangs["a"].turn.priority = 10
	low := holder("low", 1)
	r.left(holder("p", 1), "n", epoch)
	r.rechecks(soon)
	require.Empty(t, due(r), "nobody stands below it")
	r.took(low)
	r.left(holder("q", 1), "n", epoch)
	r.rechecks(soon)
	assert.Equal(t, []string{"a-0"}, due(r))
}

func TestRegistry_ANodeThatChangesWakesWhateverIsLacking(t *testing.T) {
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	old, shown := framework.NewNodeInfo(), framework.NewNodeInfo()
	shown.SetNode(node)
	for _, reason := range []kube.Reason{kube.NoFittingDomain, kube.GangTooLarge} {
		r := parked("a")
		try := func(on nodes, now time.Time) []string {
			r.attempt("a")
			again := refusal(on)
			again.why.reason = reason
			r.park("a", again, now)
			r.rechecks(now.Add(time.Second))
			return due(r)
		}
		r.changed(node, false, epoch)
		assert.Empty(t, try(nodes{"n": old}, epoch), "it changed in nothing that matters")
		r.changed(node, true, epoch)
		r.rechecks(epoch.Add(time.Second))
		assert.Equal(t, []string{"a-0"}, due(r))
		assert.Equal(t, []string{"a-0"}, try(nodes{"n": old}, epoch), "the picture does not show it")
		assert.Empty(t, try(nodes{"n": shown}, epoch.Add(time.Second)))
		r.changed(node, true, epoch)
		r.gone("n")
		assert.Empty(t, try(nil, epoch.Add(2*time.Second)), "the node went again")
	}
}

func TestRegistry_PodsThatLeaveDoNotHelpAGangThatIsTooLarge(t *testing.T) {
	r := parked("a")
	r.park("a", refused{class: "class", why: &verdict{reason: kube.GangTooLarge}}, epoch)
	r.left(holder("p", 8), "n", epoch)
	r.rechecks(epoch.Add(busy))
	assert.Empty(t, due(r))
	r.rechecks(epoch.Add(seldom))
	assert.Equal(t, []string{"a-0"}, due(r), "but it is tried now and then")
}

func TestRegistry_RoomThatNoPictureShowsIsTriedOnceMore(t *testing.T) {
	r := parked("a")
	r.shrank(amounts{"nvidia.com/gpu": 8}, epoch)
	r.rechecks(soon)
	require.Equal(t, []string{"a-0"}, due(r))
	r.attempt("a")
	r.park("a", refusal(nil), soon)
	r.rechecks(soon.Add(settle))
	assert.Equal(t, []string{"a-0"}, due(r))
	r.attempt("a")
	r.park("a", refusal(nil), soon.Add(settle))
	r.rechecks(soon.Add(busy))
	assert.Empty(t, due(r), "once")
}

func TestRegistry_ABarredGangIsTriedOnceItIsFit(t *testing.T) {
	r := newRegistry()
	member := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a-0"}}
	assert.False(t, r.waits("a"))
	r.bar("a", turn{key: "ns/a"}, member)
	assert.True(t, r.waits("a"))
	assert.Equal(t, []string{"ns/a"}, r.waiting())
	r.fit("a", 1, epoch)
	assert.Equal(t, []string{"a-0"}, due(r))
	r.rechecks(epoch.Add(again))
	assert.Equal(t, []string{"a-0"}, due(r), "until it is tried")
	require.Nil(t, r.enter("a", turn{key: "ns/a"}, member, epoch))
	r.attempt("a")
	r.fit("a", 2, epoch)
	assert.Empty(t, due(r), "it is in the queue")
}

func TestRegistry_ARefusedGangIsTriedWhenItIsAnotherOne(t *testing.T) {
	r := parked("a", "b")
	same := refusal(nil)
	same.gang = 1
	r.park("b", same, epoch)
	r.fit("b", 1, epoch)
	assert.Empty(t, due(r))
	r.fit("b", 2, epoch)
	assert.Equal(t, []string{"b-0"}, due(r), "whatever its place")
	r.pause("a", func(time.Duration) *verdict { return &verdict{reason: kube.BindDenied} }, epoch)
	r.fit("a", 2, epoch)
	assert.Empty(t, due(r), "a pause goes on")
}

func TestRegistry_AReplicaThatStandsByForgets(t *testing.T) {
	r := newRegistry()
	for i := range 100 {
		now, name := epoch.Add(time.Duration(i)*time.Minute), fmt.Sprint(i)
		r.mark("ns/"+name, now)
		r.left(holder(name, 1), "n", now)
		r.changed(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, true, now)
	}
	assert.Less(t, len(r.marks), 5)
	assert.Less(t, len(r.room.left), 5)
	assert.Less(t, len(r.room.nodes), 5)
}

func TestRegistry_AMarkedGangIsLookedAtLessAndLessOften(t *testing.T) {
	r := newRegistry()
	r.mark("ns/a", epoch)
	looks := 0
	for now := epoch; now.Before(epoch.Add(time.Minute)); now = now.Add(firstPace) {
		looks += len(r.marked(now))
	}
	assert.Equal(t, 7, looks)
	assert.Empty(t, r.marks)
}

func TestRegistry_APlacedGangWakesTheNextOfItsClass(t *testing.T) {
	r := parked("a", "b", "c")
	r.fit("a", 1, epoch)
	assert.Equal(t, []string{"a-0"}, due(r))
	r.placed("a")
	assert.Equal(t, []string{"b-0"}, due(r))
	r.placed("b")
	assert.Equal(t, []string{"c-0"}, due(r))
}

func TestRegistry_ARefusedGangWakesNobody(t *testing.T) {
	r := parked("a", "b")
	r.fit("a", 1, epoch)
	due(r)
	r.park("a", refusal(nil), epoch)
	assert.Empty(t, due(r))
	r.left(holder("p", 8), "n", epoch)
	r.rechecks(epoch.Add(2 * firstPace))
	assert.Equal(t, []string{"a-0"}, due(r), "a stands before b again")
}

func TestRegistry_EachRefusalInABusyTimeDoublesThePace(t *testing.T) {
	r := parked("a")
	now := epoch
	var paces []time.Duration
	for range 7 {
		paces = append(paces, r.gangs["a"].pace())
		now = now.Add(time.Second)
		r.park("a", refusal(nil), now)
	}
	ms := time.Millisecond
	assert.Equal(t, []time.Duration{25 * ms, 50 * ms, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 800 * ms}, paces)
	r.park("a", refusal(nil), now.Add(busy+1))
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

func TestRegistry_AGangIsWokenUntilItIsTried(t *testing.T) {
	r := parked("a")
	soonAgain := refusal(nil)
	soonAgain.recheck = settle
	r.park("a", soonAgain, epoch)
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
		r.left(holder("p", 8), "n", now)
		r.rechecks(now.Add(want - 1))
		assert.Empty(t, due(r), "room does not help")
		r.bar("a", turn{}, nil)
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
	r.park("a", refused{why: &verdict{}}, epoch)
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
