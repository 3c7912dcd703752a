// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// barrier holds the members of one plan in Permit until all members that passed
// the scheduling simulation are reserved, then allows all. If any is unreserved
// first, every waiting member is rejected.
//
// Lock order: barrier.mu before gangQueue.mu and the reporter's;
// WaitingPod.Reject only without it.
type barrier struct {
	all     *barriers
	group   *schedulingapi.PodGroup
	plan    *gangPlan
	timeout time.Duration

	mu sync.Mutex
	// expected are the members that the scheduler's simulation found a node
	// for, filled by Reserve during it; reserved those that came to Permit.
	expected, reserved sets.Set[types.UID]
	placed             map[string][]*v1.Pod // the reserved ones, by node
	open               bool
	failure            string // why everyone was released
	timings            timings
}

// timings is when the steps of one barrier came about, for metrics.
type timings struct {
	planned time.Time
	// reserved is when the first member was, and youngest when the youngest of
	// the reserved ones was created.
	reserved, youngest time.Time
	bound              int
}

// expectMember notes, in the scheduler's simulation, that a member found its node.
func (b *barrier) expectMember(pod *v1.Pod) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected.Insert(pod.UID)
}

// expectedCount is the number of members that found a node in the simulation.
func (b *barrier) expectedCount() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.expected)
}

// onReserved holds a member until its siblings are reserved as well. The last one
// opens the barrier for all, or releases all if the plan does not hold any more.
func (b *barrier) onReserved(pod *v1.Pod, node string) (*fwk.Status, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failure != "" {
		return fwk.NewStatus(fwk.Unschedulable, b.failure), 0
	}
	b.reserved.Insert(pod.UID)
	b.placed[node] = append(b.placed[node], pod)
	b.timeReserved(pod)
	if len(b.reserved) == 1 {
		b.all.setBarrier(b.group.UID, b)
	}
	if len(b.reserved) < len(b.expected) {
		return fwk.NewStatus(fwk.Wait, "waiting for the other members of the gang to be reserved"), b.timeout
	}
	moved := cmp.Or(b.all.nodesChanged(b.plan), b.memberDeleted(pod), b.tooFew(), roomTaken(b.all.handle.SharedInformerFactory(), b.plan, b.placed))
	if moved != "" {
		b.rejectAll(moved)
		return fwk.NewStatus(fwk.Unschedulable, moved), 0
	}
	b.allowAll()
	return nil, 0
}

// allowAll opens the barrier. The caller holds the lock.
func (b *barrier) allowAll() {
	b.open = true
	b.timeEnd("opened")
	b.all.gangs.reports.groups.NoteStart(b.group)
	for uid := range b.reserved {
		if waiting := b.all.handle.GetWaitingPod(uid); waiting != nil {
			waiting.Allow(Name)
		}
	}
	b.all.setBarrier(b.group.UID, nil)
	b.all.gangs.step(queue.Placed{Gang: queue.GangID(b.group.UID), Message: b.all.gangs.reports.reportPlaced(b.group, b.plan, len(b.reserved))})
}

// tooFew names what is missing where the scheduler took members that terminate
// for ones that run, or "".
func (b *barrier) tooFew() string {
	have := b.plan.boundBefore + len(b.reserved)
	if have >= b.plan.neededMembers() {
		return ""
	}
	return fmt.Sprintf("only %d of the %d pods that must start together found a node", have, b.plan.neededMembers())
}

// onUnreserved is called when a member loses its reservation. Before the barrier
// is open that releases every sibling; after it they are binding already, and the
// gang backs off before the member is tried again.
func (b *barrier) onUnreserved(pod *v1.Pod) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.failure != "":
		return
	case b.open && b.all.stillExists(pod):
		b.all.gangs.step(queue.BindFailed{Gang: queue.GangID(b.group.UID), Verdict: func(pause time.Duration) *queue.Verdict {
			return bindDenied(b.group, pod, pause)
		}})
		return
	case b.open:
		return // it was deleted while it was being bound
	}
	b.rejectAll(fmt.Sprintf("member %s could not be reserved, so the whole gang is released", pod.Name))
}

func bindDenied(group *schedulingapi.PodGroup, pod *v1.Pod, pause time.Duration) *queue.Verdict {
	why := newVerdict(kube.BindDenied,
		"gang %s had its nodes and is tried again in %s, because pod %s could not be bound", kube.GangName(group), pause, pod.Name)
	why.Remedy = queue.ByTime
	return why
}

// memberDeleted names a member that was deleted while it waited for the last one,
// or "": the others would start without it.
func (b *barrier) memberDeleted(last *v1.Pod) string {
	for uid := range b.reserved {
		pod := last
		if uid != last.UID {
			waiting := b.all.handle.GetWaitingPod(uid)
			if waiting == nil {
				return "a member was deleted while the gang was being placed"
			}
			pod = waiting.GetPod()
		}
		if !b.all.stillExists(pod) {
			return fmt.Sprintf("member %s was deleted while the gang was being placed", pod.Name)
		}
	}
	return ""
}

// stillReserved counts the members that are still reserved for a plan that has
// come to nothing. The scheduler's cache takes them for members with a node until
// they are released: the others of the gang must not be planned beside them.
func (b *barrier) stillReserved(assumed sets.Set[types.UID]) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open {
		return 0
	}
	count := b.reserved.Intersection(assumed).Len()
	if count > 0 && b.failure == "" {
		// The cycle is over, and a member failed without a call of Unreserve.
		b.rejectAll("a member could not be reserved, so the whole gang is released")
	}
	return count
}

// rejectAll rejects everyone who waits. The caller holds the lock.
func (b *barrier) rejectAll(why string) {
	b.failure = why
	b.timeEnd("released")
	for uid := range b.reserved {
		if waiting := b.all.handle.GetWaitingPod(uid); waiting != nil {
			// Reject ends in Unreserve, which calls onUnreserved: not under our lock.
			go waiting.Reject(Name, why)
		}
	}
}

// onBound notes one more member that is bound. A gang that ran whole before and
// only grew did not wait.
func (b *barrier) onBound(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timings.bound++
	if b.timings.bound != len(b.reserved) {
		return
	}
	planToBound.Observe(now.Sub(b.timings.planned).Seconds())
	if before := b.plan.boundBefore; before < b.plan.spec.RunningMinimum {
		gangWait.WithLabelValues(sizeLabel(before + len(b.reserved))).Observe(now.Sub(b.timings.youngest).Seconds())
	}
}

// timeReserved notes a member that was reserved for good.
func (b *barrier) timeReserved(pod *v1.Pod) {
	if b.timings.reserved.IsZero() {
		b.timings.reserved = b.all.gangs.now()
	}
	if created := pod.CreationTimestamp.Time; created.After(b.timings.youngest) {
		b.timings.youngest = created
	}
}

// timeEnd notes the end of the barrier: opened or released.
func (b *barrier) timeEnd(result string) {
	if !b.timings.reserved.IsZero() {
		barrierWait.WithLabelValues(result).Observe(b.all.gangs.now().Sub(b.timings.reserved).Seconds())
	}
}

// barriers are the barriers of all gangs that have members waiting at one. It is
// safe for concurrent use.
type barriers struct {
	handle  fwk.Handle
	gangs   *gangQueue
	timeout time.Duration

	mu   sync.Mutex
	last map[types.UID]*barrier // by group: the last one, unless it opened
}

func newBarriers(gangs *gangQueue, timeout time.Duration) *barriers {
	return &barriers{handle: gangs.handle, gangs: gangs, timeout: timeout, last: map[types.UID]*barrier{}}
}

// newBarrier puts up the barrier of a plan.
func (s *barriers) newBarrier(group *schedulingapi.PodGroup, plan *gangPlan, planned time.Time) *barrier {
	return &barrier{
		all: s, group: group, plan: plan, timings: timings{planned: planned},
		timeout:  s.gangs.reports.groups.DeclarationOf(group).TimeoutOr(s.timeout),
		expected: sets.New[types.UID](),
		reserved: sets.New[types.UID](),
		placed:   map[string][]*v1.Pod{},
	}
}

// setBarrier notes the barrier that a gang is at; nil for none.
func (s *barriers) setBarrier(uid types.UID, b *barrier) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b == nil {
		delete(s.last, uid)
		return
	}
	s.last[uid] = b
}

// releaseRetry is when a gang is tried again of which members are still being
// released.
const releaseRetry = 50 * time.Millisecond

// stillHeld is why a gang may not be planned yet: members of it are still
// reserved for an earlier plan.
func (s *barriers) stillHeld(pg *schedulingapi.PodGroup, state fwk.PodGroupState) *queue.Verdict {
	s.mu.Lock()
	before := s.last[pg.UID]
	s.mu.Unlock()
	if before == nil {
		return nil
	}
	count := before.stillReserved(state.AssumedPods())
	if count == 0 {
		s.setBarrier(pg.UID, nil)
		return nil
	}
	why := newVerdict(kube.GangIncomplete, "gang %s could not start, and %d of its pods are still being released; trying again when they are",
		kube.GangName(pg), count)
	why.Remedy = queue.ByTime
	return why
}

// stillExists reports whether a pod is still there and is to stay.
func (s *barriers) stillExists(pod *v1.Pod) bool {
	now, err := s.handle.SharedInformerFactory().Core().V1().Pods().Lister().Pods(pod.Namespace).Get(pod.Name)
	return err == nil && now.UID == pod.UID && kube.IsMember(now)
}

// nodesChanged checks a plan against the newest nodes just before it is
// committed: it names the first planned node that went away, was cordoned, moved
// to other domains or was tainted since the snapshot, as one that fails is, or
// returns "".
func (s *barriers) nodesChanged(plan *gangPlan) string {
	lister := s.handle.SharedInformerFactory().Core().V1().Nodes().Lister()
	for _, info := range plan.placement.Nodes {
		planned := info.Node()
		node, err := lister.Get(planned.Name)
		if err != nil {
			return fmt.Sprintf("node %s went away while the gang was being placed", planned.Name)
		}
		if node.Spec.Unschedulable && !planned.Spec.Unschedulable {
			return fmt.Sprintf("node %s was cordoned while the gang was being placed", planned.Name)
		}
		if node != planned && !equality.Semantic.DeepEqual(node.Spec.Taints, planned.Spec.Taints) {
			return fmt.Sprintf("the taints of node %s changed while the gang was being placed", planned.Name)
		}
		if node != planned && s.gangs.levels.NodeMoved(planned, node) {
			return fmt.Sprintf("the topology labels of node %s changed while the gang was being placed", planned.Name)
		}
	}
	return ""
}

// forgetGone drops barriers of groups that are gone.
func (s *barriers) forgetGone(alive sets.Set[types.UID]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for uid := range s.last {
		if !alive.Has(uid) {
			delete(s.last, uid)
		}
	}
}
