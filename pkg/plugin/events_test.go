// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

func watching() *Plugin {
	return &Plugin{gangs: newRegistry(), now: func() time.Time { return epoch }}
}

func TestWatch_PodsThatLeaveGiveBackWhatTheyHad(t *testing.T) {
	pl := watching()
	pod := holder("p", 2)
	pl.podWent(pod)
	assert.Equal(t, amounts{"pods": 1, "nvidia.com/gpu": 2}, pl.gangs.room.freed)
	assert.Contains(t, pl.gangs.room.left, pod.UID)

	waiting := holder("q", 2)
	waiting.Spec.NodeName = ""
	pl.podWent(waiting)
	assert.Equal(t, int64(2), pl.gangs.room.freed["nvidia.com/gpu"], "it had no node")
	pl.podWent(cache.DeletedFinalStateUnknown{Obj: waiting})
	assert.Equal(t, int64(4), pl.gangs.room.freed["nvidia.com/gpu"], "it may have had one in the end")
	assert.Equal(t, epoch, pl.gangs.room.shaken)
}

func TestWatch_PodsThatShrinkGiveBackTheDifference(t *testing.T) {
	pl := watching()
	pl.podCame(holder("p", 8), holder("p", 5))
	assert.Equal(t, amounts{"nvidia.com/gpu": 3}, pl.gangs.room.freed)
	pl.podCame(holder("p", 5), holder("p", 6))
	assert.Equal(t, amounts{"nvidia.com/gpu": 3}, pl.gangs.room.freed, "it grew")
}

func TestWatch_AGangIsMarkedWhenAMemberChanges(t *testing.T) {
	group := "train"
	member := func(node string, generation int64) *v1.Pod {
		p := holder("p", 1)
		p.Spec.NodeName, p.Generation = node, generation
		p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &group}
		return p
	}
	for _, test := range []struct {
		name          string
		before, after *v1.Pod
		marked        bool
	}{
		{"a new pod", nil, member("", 1), true},
		{"a pod of which only the status changed", member("", 1), member("", 1), false},
		{"a pod of which the spec changed", member("", 1), member("", 2), true},
		{"a pod that got a node", member("", 1), member("n", 1), true},
		{"a pod that runs", member("n", 1), member("n", 1), false},
		{"a pod that is gone", member("n", 1), nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			pl := watching()
			switch {
			case test.after == nil:
				pl.podWent(test.before)
			case test.before == nil:
				pl.podCame(nil, test.after)
			default:
				pl.podCame(test.before, test.after)
			}
			assert.Equal(t, test.marked, len(pl.gangs.marked(epoch)) == 1)
		})
	}
}

func TestWatch_NodesCountWhenPlansLookAtWhatChanged(t *testing.T) {
	node := func(change func(*v1.Node)) *v1.Node {
		n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: v1.NodeSpec{Unschedulable: true}}
		change(n)
		return n
	}
	plain := node(func(*v1.Node) {})
	for _, test := range []struct {
		name    string
		after   *v1.Node
		matters bool
	}{
		{"nothing", node(func(*v1.Node) {}), false},
		{"a heartbeat", node(func(n *v1.Node) {
			n.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, LastHeartbeatTime: metav1.NewTime(epoch)}}
		}), false},
		{"a label", node(func(n *v1.Node) { n.Labels = map[string]string{"rack": "r"} }), true},
		{"a taint", node(func(n *v1.Node) { n.Spec.Taints = []v1.Taint{{Key: "k"}} }), true},
		{"uncordoned", node(func(n *v1.Node) { n.Spec.Unschedulable = false }), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			pl := watching()
			pl.nodeChanged(plain, test.after)
			assert.Equal(t, test.matters, len(pl.gangs.room.nodes) == 1)
		})
	}
	pl := watching()
	pl.nodeChanged(nil, plain)
	assert.Len(t, pl.gangs.room.nodes, 1, "a new node")
}
