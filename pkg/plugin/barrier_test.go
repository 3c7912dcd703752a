// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// permitHandle is the part of a scheduler that a barrier looks at.
type permitHandle struct {
	fwk.Handle
	factory informers.SharedInformerFactory

	mu      sync.Mutex
	waiting map[types.UID]*waitingPod
}

type waitingPod struct {
	fwk.WaitingPod
	pod      *v1.Pod
	allowed  bool
	rejected chan string
}

func (w *waitingPod) GetPod() *v1.Pod { return w.pod }

func (w *waitingPod) Allow(string) { w.allowed = true }

func (w *waitingPod) Reject(_, why string) bool {
	w.rejected <- why
	return true
}

func (b *permitHandle) SharedInformerFactory() informers.SharedInformerFactory { return b.factory }

func (b *permitHandle) GetWaitingPod(uid types.UID) fwk.WaitingPod {
	b.mu.Lock()
	defer b.mu.Unlock()
	if w, ok := b.waiting[uid]; ok {
		return w
	}
	return nil
}

// node and pod are what the informers know.
func (b *permitHandle) node(n *v1.Node) {
	_ = b.factory.Core().V1().Nodes().Informer().GetStore().Update(n)
}

func (b *permitHandle) pod(p *v1.Pod) {
	_ = b.factory.Core().V1().Pods().Informer().GetStore().Update(p)
}

// nodeOf is a node that offers devices.
func nodeOf(name string, gpus int64) *v1.Node {
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status:     v1.NodeStatus{Allocatable: v1.ResourceList{"nvidia.com/gpu": *resource.NewQuantity(gpus, resource.DecimalSI)}},
	}
}

// undeclared are groups of which nothing is declared.
type undeclared struct{ Groups }

func (undeclared) NoteStart(*schedulingapi.PodGroup)                       {}
func (undeclared) SetSentence(*schedulingapi.PodGroup, string, string) int { return 0 }

func (undeclared) DeclarationOf(*schedulingapi.PodGroup) *kube.Declaration {
	return &kube.Declaration{}
}

// planOfThree is a gang of three that is planned on a node.
func planOfThree() (*permitHandle, *barrier, []*v1.Pod) {
	h := &permitHandle{factory: informers.NewSharedInformerFactory(fake.NewClientset(), 0), waiting: map[types.UID]*waitingPod{}}
	gangs := newGangQueue(h, kube.DefaultLevels(), newReporter(h, undeclared{}), queue.Config{PartialGrace: time.Minute})
	gangs.now = func() time.Time { return epoch }
	_ = indexByNode(h.factory.Core().V1().Pods().Informer()) // fails only once it runs
	node := nodeOf("n", 4)
	h.node(node)
	info := framework.NewNodeInfo()
	info.SetNode(node)
	pg := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "train", UID: "g"}}
	plan := &gangPlan{placement: &fwk.Placement{Nodes: []fwk.NodeInfo{info}}, nodes: map[types.UID]string{}, spec: &kube.Spec{MinCount: 3, RunningMinimum: 3}}
	b := newBarriers(gangs, time.Minute).newBarrier(pg, plan, epoch)
	plan.barrier = b
	var pods []*v1.Pod
	for _, name := range []string{"a", "b", "c"} {
		p := holder(name, 1)
		p.Spec.NodeName = ""
		h.pod(p)
		b.expectMember(p)
		pods = append(pods, p)
	}
	return h, b, pods
}

// lastOfGang is the barrier that the gang is remembered to be at.
func (b *barrier) lastOfGang() *barrier { return b.all.last["g"] }

// reserve has a member reserved, and waiting if it has to.
func (b *permitHandle) reserve(c *barrier, pod *v1.Pod) fwk.Code {
	status, _ := c.onReserved(pod, "n")
	if status.Code() == fwk.Wait {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.waiting[pod.UID] = &waitingPod{pod: pod, rejected: make(chan string, 1)}
	}
	return status.Code()
}

func TestBarrier_OpensWhenTheLastMemberIsReserved(t *testing.T) {
	b, c, pods := planOfThree()
	assert.Equal(t, fwk.Wait, b.reserve(c, pods[0]))
	assert.Equal(t, fwk.Wait, b.reserve(c, pods[1]))
	assert.False(t, b.waiting["a"].allowed)
	assert.Same(t, c, c.lastOfGang())
	assert.Equal(t, fwk.Success, b.reserve(c, pods[2]))
	assert.True(t, b.waiting["a"].allowed && b.waiting["b"].allowed)
	assert.Nil(t, c.lastOfGang(), "it is not remembered for longer than needed")
	assert.Zero(t, c.stillReserved(sets.New[types.UID]("a", "b", "c")), "they are being bound")
}

// Whatever changed since the plan was made, nobody starts, and the gang is not
// planned again beside those of its members that are still reserved.
func TestBarrier_StaysShutWhenSomethingIsGone(t *testing.T) {
	rows := []struct {
		name   string
		change func(*permitHandle)
		says   string
	}{
		{"a node is gone", func(b *permitHandle) {
			_ = b.factory.Core().V1().Nodes().Informer().GetStore().Delete(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}})
		}, "node n went away"},
		{"a node is cordoned", func(b *permitHandle) {
			b.node(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: v1.NodeSpec{Unschedulable: true}})
		}, "node n was cordoned"},
		{"a node is not ready", func(b *permitHandle) {
			b.node(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}, Spec: v1.NodeSpec{Taints: []v1.Taint{{Key: v1.TaintNodeNotReady, Effect: v1.TaintEffectNoSchedule}}}})
		}, "the taints of node n changed"},
		{"a node is in another rack", func(b *permitHandle) {
			b.node(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{"topology.kubernetes.io/rack": "r2"}}})
		}, "the topology labels of node n changed"},
		{"a member is gone, and nobody noticed yet", func(b *permitHandle) {
			_ = b.factory.Core().V1().Pods().Informer().GetStore().Delete(holder("a", 1))
		}, "member a was deleted"},
		{"a member is another one of its name", func(b *permitHandle) {
			p := holder("a", 1)
			p.UID = "another"
			b.pod(p)
		}, "member a was deleted"},
		{"a member is to go", func(b *permitHandle) {
			p := holder("a", 1)
			p.DeletionTimestamp = &metav1.Time{Time: epoch}
			b.pod(p)
		}, "member a was deleted"},
		{"others came and left too little room", func(b *permitHandle) { b.pod(holder("rival", 2)) }, "node n has too little nvidia.com/gpu left"},
		{"a node lost devices", func(b *permitHandle) { b.node(nodeOf("n", 2)) }, "node n has too little nvidia.com/gpu left"},
		{"a member waits no more", func(b *permitHandle) { delete(b.waiting, "a") }, "a member was deleted"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b, c, pods := planOfThree()
			b.reserve(c, pods[0])
			b.reserve(c, pods[1])
			row.change(b)
			status, _ := c.onReserved(pods[2], "n")
			require.Equal(t, fwk.Unschedulable, status.Code())
			assert.Contains(t, status.Message(), row.says)
			assert.Contains(t, <-b.waiting["b"].rejected, row.says)
			assert.False(t, b.waiting["b"].allowed)
			assert.Same(t, c, c.lastOfGang())
			assert.Equal(t, 1, c.stillReserved(sets.New[types.UID]("b", "someone else's")))
			assert.Zero(t, c.stillReserved(sets.New[types.UID]("someone else's")))
		})
	}
}

func TestBarrier_OpensWhereWhatChangedLeavesRoom(t *testing.T) {
	for name, change := range map[string]func(*permitHandle){
		"others came to what was left": func(b *permitHandle) { b.pod(holder("rival", 1)) },
		"others have ended": func(b *permitHandle) {
			p := holder("rival", 4)
			p.Status.Phase = v1.PodFailed
			b.pod(p)
		},
		"others came to another node": func(b *permitHandle) {
			p := holder("rival", 4)
			p.Spec.NodeName = "elsewhere"
			b.pod(p)
		},
		"a member is seen to be bound already": func(b *permitHandle) { b.pod(holder("a", 1)) },
		"a driver offers what the node does not say": func(b *permitHandle) {
			b.node(&v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}})
			b.pod(holder("rival", 4))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, c, pods := planOfThree()
			b.reserve(c, pods[0])
			b.reserve(c, pods[1])
			change(b)
			assert.Equal(t, fwk.Success, b.reserve(c, pods[2]))
		})
	}
}

// What a gang of 64 nodes with 8 pods each costs the scheduling loop.
func BenchmarkBarrier_LooksAtTheNewestPods(b *testing.B) {
	h, barrier, _ := planOfThree()
	barrier.plan.placement = &fwk.Placement{}
	members := map[string][]*v1.Pod{}
	for i := range 64 {
		name := fmt.Sprintf("n%d", i)
		info := framework.NewNodeInfo()
		info.SetNode(nodeOf(name, 8))
		h.node(info.Node())
		for k := range 8 {
			p := holder(fmt.Sprintf("%s-%d", name, k), 1)
			p.Spec.NodeName = name
			h.pod(p)
			if k == 0 {
				members[name] = []*v1.Pod{p}
			} else {
				info.AddPod(p)
			}
		}
		barrier.plan.placement.Nodes = append(barrier.plan.placement.Nodes, info)
	}
	for b.Loop() {
		if why := roomTaken(h.factory, barrier.plan, members); why != "" {
			b.Fatal(why)
		}
	}
}

func TestBarrier_ACycleThatLostAMemberSilentlyIsOver(t *testing.T) {
	b, c, pods := planOfThree()
	b.reserve(c, pods[0])
	b.reserve(c, pods[1])
	// The third never comes; the scheduler plans the gang again.
	assert.Equal(t, 2, c.stillReserved(sets.New[types.UID]("a", "b")))
	assert.Contains(t, <-b.waiting["a"].rejected, "the whole gang is released")
	assert.Contains(t, <-b.waiting["b"].rejected, "the whole gang is released")
	assert.Equal(t, fwk.Unschedulable, b.reserve(c, pods[2]))
}

func TestBarrier_AMemberThatIsDeletedWhileItIsBoundIsNoDenial(t *testing.T) {
	b, c, pods := planOfThree()
	c.all.gangs.step(queue.GangSeen{Gang: "g", Readiness: queue.Readiness{MinCount: 3, Waiting: 3}, Asking: true})
	for _, p := range pods {
		b.reserve(c, p)
	}
	_ = b.factory.Core().V1().Pods().Informer().GetStore().Delete(pods[0])
	refusal := func() *queue.Verdict {
		return ask(c.all.gangs, func(core *queue.Queue) *queue.Verdict { return core.Refusal("g") })
	}
	c.onUnreserved(pods[0])
	assert.Nil(t, refusal(), "the user took it")
	c.onUnreserved(pods[1])
	require.NotNil(t, refusal())
	assert.Equal(t, string(kube.BindDenied), refusal().Reason)
}

// kube-scheduler counts members that terminate as ones that run, so it can take a
// part of the plan for enough.
func TestBarrier_StaysShutForFewerThanMustStartTogether(t *testing.T) {
	b, c, pods := planOfThree()
	c.expected.Delete(pods[2].UID)
	b.reserve(c, pods[0])
	status, _ := c.onReserved(pods[1], "n")
	assert.Equal(t, fwk.Unschedulable, status.Code())
	assert.Equal(t, "only 2 of the 3 pods that must start together found a node", status.Message())
}

func TestBarrier_OpensForWhatARunningGangLacks(t *testing.T) {
	_, c, pods := planOfThree()
	c.expected.Delete(pods[1].UID, pods[2].UID)
	c.plan.boundBefore = 2
	status, _ := c.onReserved(pods[0], "n")
	assert.True(t, status.IsSuccess())
}
