// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/muster-scheduler/muster/pkg/queue"
)

// watching is a cluster watch, and the events that it has made.
func watching() (*clusterWatch, *[]queue.Event) {
	var events []queue.Event
	return &clusterWatch{
		step:    func(e queue.Event) { events = append(events, e) },
		groupOf: func(pod *v1.Pod) string { return pod.Labels["gang"] },
	}, &events
}

// gated holds a pod of the gang train back. It has no group until its gate goes.
func gated(p *v1.Pod) *v1.Pod {
	p.Labels = map[string]string{"gang": "train"}
	p.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "quota"}}
	return p
}

// ofGang makes a pod a member of the gang train.
func ofGang(p *v1.Pod) *v1.Pod {
	group := "train"
	p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &group}
	return p
}

// waiting takes the node from a pod.
func waiting(p *v1.Pod) *v1.Pod {
	p.Spec.NodeName = ""
	return p
}

func TestClusterWatch_Pods(t *testing.T) {
	had2 := queue.Quantities{"pods": 1, "nvidia.com/gpu": 2}
	generation := func(p *v1.Pod, n int64) *v1.Pod {
		p.Generation = n
		return p
	}
	nominated := func(p *v1.Pod, node string) *v1.Pod {
		p.Status.NominatedNodeName = node
		return p
	}
	ending := func(p *v1.Pod) *v1.Pod {
		p.DeletionTimestamp = &metav1.Time{Time: epoch}
		return p
	}
	changed := queue.GangChanged{Gang: "ns/train"}
	for _, test := range []struct {
		name          string
		before, after *v1.Pod // nil for a pod that is new, or gone
		want          []queue.Event
	}{
		{"a single pod that waits", nil, waiting(holder("p", 2)), nil},
		{"a new member", nil, ofGang(waiting(holder("p", 2))), []queue.Event{changed}},
		{"a new member that a gate holds back", nil, gated(waiting(holder("p", 2))), []queue.Event{changed}},
		{"a member that goes while a gate holds it back", gated(waiting(holder("p", 2))), nil, []queue.Event{queue.PodDeleted{Pod: "p"}, changed}},
		{"a member of which only the status changed", ofGang(waiting(holder("p", 2))), ofGang(waiting(holder("p", 2))), nil},
		{"a member of which the spec changed", ofGang(waiting(holder("p", 2))), generation(ofGang(waiting(holder("p", 2))), 2), []queue.Event{changed}},
		{"a member that got a node", ofGang(waiting(holder("p", 2))), ofGang(holder("p", 2)), []queue.Event{queue.PodAssigned{Pod: "p"}, changed}},
		{"a member that runs", ofGang(holder("p", 2)), ofGang(holder("p", 2)), nil},
		{"a pod that shrinks gives back the difference", holder("p", 8), holder("p", 5), []queue.Event{queue.PodResized{Gave: queue.Quantities{"nvidia.com/gpu": 3}}}},
		{"a pod that grows gives back nothing", holder("p", 5), holder("p", 8), nil},
		{"a pod that is told to end", holder("p", 2), ending(holder("p", 2)), []queue.Event{queue.PodTerminating{Pod: "p", Node: "n", Name: "ns/p", Gives: had2, Until: epoch}}},
		{"a pod that ends still", ending(holder("p", 2)), ending(holder("p", 2)), nil},
		{"a pod that is gone gives back what it had", holder("p", 2), nil, []queue.Event{queue.PodDeleted{Pod: "p", Node: "n", Gave: had2}}},
		{"one that had no node gives back nothing", ofGang(waiting(holder("p", 2))), nil, []queue.Event{queue.PodDeleted{Pod: "p", Gang: "ns/train"}}},
		{"a pod that is promised a node", waiting(holder("p", 2)), nominated(waiting(holder("p", 2)), "m"), []queue.Event{queue.PodNominated{Pod: "p", Node: "m", Needs: had2}}},
		{"a promise that is taken back", nominated(waiting(holder("p", 2)), "m"), waiting(holder("p", 2)), []queue.Event{queue.PodNominated{Pod: "p", Needs: had2}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, events := watching()
			switch {
			case test.after == nil:
				w.onPodDelete(test.before)
			case test.before == nil:
				w.onPodUpsert(nil, test.after)
			default:
				w.onPodUpsert(test.before, test.after)
			}
			assert.Equal(t, test.want, *events)
		})
	}
}

func TestClusterWatch_APodThatWentUnseenMayHaveHadANode(t *testing.T) {
	w, events := watching()
	w.onPodDelete(cache.DeletedFinalStateUnknown{Obj: waiting(holder("p", 2))})
	assert.Equal(t, []queue.Event{queue.PodDeleted{Pod: "p", Gave: queue.Quantities{"pods": 1, "nvidia.com/gpu": 2}}}, *events)
}

func TestClusterWatch_APreemptedPodIsToldFromOthers(t *testing.T) {
	p := holder("p", 2)
	p.DeletionTimestamp = &metav1.Time{Time: epoch}
	assert.False(t, terminatingEvent(p).Preempted)
	p.Status.Conditions = []v1.PodCondition{{Type: v1.DisruptionTarget, Status: v1.ConditionTrue, Reason: v1.PodReasonPreemptionByScheduler}}
	assert.True(t, terminatingEvent(p).Preempted)
}

func TestClusterWatch_NodesAreRelevantWhenPlansLookAtWhatChanged(t *testing.T) {
	node := func(change func(*v1.Node)) *v1.Node {
		n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: v1.NodeSpec{Unschedulable: true}}
		change(n)
		return n
	}
	plain := node(func(*v1.Node) {})
	for _, test := range []struct {
		name     string
		before   any
		after    *v1.Node
		relevant bool
	}{
		{"new", nil, plain, true},
		{"nothing", plain, node(func(*v1.Node) {}), false},
		{"a heartbeat", plain, node(func(n *v1.Node) {
			n.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, LastHeartbeatTime: metav1.NewTime(epoch)}}
		}), false},
		{"a label", plain, node(func(n *v1.Node) { n.Labels = map[string]string{"rack": "r"} }), true},
		{"a taint", plain, node(func(n *v1.Node) { n.Spec.Taints = []v1.Taint{{Key: "k"}} }), true},
		{"uncordoned", plain, node(func(n *v1.Node) { n.Spec.Unschedulable = false }), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, events := watching()
			w.onNodeUpsert(test.before, test.after)
			assert.Equal(t, test.relevant, (*events)[0].(queue.NodeChanged).Relevant)
		})
	}
}
