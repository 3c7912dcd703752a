// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"context"
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
)

// commit is the barrier of one plan: its members wait until each of them is
// reserved, then bind together. A member that falls before that releases the
// others at once.
type commit struct {
	pl      *Plugin
	group   *schedulingapi.PodGroup
	plan    *planned
	timeout time.Duration

	mu sync.Mutex
	// expected are the members that the scheduler's simulation found a node
	// for, arrived those that were reserved for good.
	expected, arrived sets.Set[types.UID]
	open              bool
	failed            string
	course            course
}

func newCommit(pl *Plugin, group *schedulingapi.PodGroup, plan *planned) *commit {
	return &commit{
		pl: pl, group: group, plan: plan,
		timeout:  pl.reports.groups.DeclarationOf(group).TimeoutOr(pl.args.BarrierTimeout.Duration),
		expected: sets.New[types.UID](),
		arrived:  sets.New[types.UID](),
	}
}

// Permit holds a member until its siblings are reserved as well.
func (pl *Plugin) Permit(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ string) (*fwk.Status, time.Duration) {
	plan := planOf(state)
	if plan == nil {
		return nil, 0
	}
	return plan.commit.arrive(pod)
}

func (c *commit) expect(pod *v1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expected.Insert(pod.UID)
}

// passed is the number of members that found a node in the simulation.
func (c *commit) passed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.expected)
}

func (c *commit) arrive(pod *v1.Pod) (*fwk.Status, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != "" {
		return fwk.NewStatus(fwk.Unschedulable, c.failed), 0
	}
	c.arrived.Insert(pod.UID)
	c.course.arrived(pod, c.pl.now())
	if len(c.arrived) == 1 {
		c.pl.gangs.commit(c.group.UID, c)
	}
	if len(c.arrived) < len(c.expected) {
		return fwk.NewStatus(fwk.Wait, "waiting for the other members of the gang to be reserved"), c.timeout
	}
	if moved := cmp.Or(c.pl.nodesGone(c.plan), c.memberGone(pod)); moved != "" {
		c.release(moved)
		return fwk.NewStatus(fwk.Unschedulable, moved), 0
	}
	c.open = true
	c.course.ended("opened", c.pl.now())
	for uid := range c.arrived {
		if waiting := c.pl.handle.GetWaitingPod(uid); waiting != nil {
			waiting.Allow(Name)
		}
	}
	c.pl.gangs.placed(c.group.UID)
	c.pl.gangs.needs(c.group.UID, c.plan.spec.Whole, c.plan.spec.Whole)
	c.pl.reports.placed(c.group, c.plan, len(c.arrived))
	return nil, 0
}

// fall is called when a member loses its reservation. Before the barrier is
// open that releases every sibling; after it they are binding already, and the
// gang pauses before the member is tried again.
func (c *commit) fall(pod *v1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.failed != "":
		return
	case c.open && c.pl.stands(pod):
		c.pl.bindFailed(c.group, pod)
		return
	case c.open:
		return // it was deleted while it was being bound
	}
	c.release(fmt.Sprintf("member %s could not be reserved, so the whole gang is released", pod.Name))
}

// memberGone names a member that was deleted while it waited for the last one,
// or "": the others would start without it.
func (c *commit) memberGone(last *v1.Pod) string {
	for uid := range c.arrived {
		pod := last
		if uid != last.UID {
			waiting := c.pl.handle.GetWaitingPod(uid)
			if waiting == nil {
				return "a member was deleted while the gang was being placed"
			}
			pod = waiting.GetPod()
		}
		if !c.pl.stands(pod) {
			return fmt.Sprintf("member %s was deleted while the gang was being placed", pod.Name)
		}
	}
	return ""
}

// stands reports whether a pod is still there and is to stay.
func (pl *Plugin) stands(pod *v1.Pod) bool {
	now, err := pl.handle.SharedInformerFactory().Core().V1().Pods().Lister().Pods(pod.Namespace).Get(pod.Name)
	return err == nil && now.UID == pod.UID && now.DeletionTimestamp == nil
}

// held counts the members that are still reserved for a plan that has come to
// nothing. The scheduler's cache takes them for members with a node until they
// are released: the others of the gang must not be planned beside them.
func (c *commit) held(assumed sets.Set[types.UID]) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open {
		return 0
	}
	held := c.arrived.Intersection(assumed).Len()
	if held > 0 && c.failed == "" {
		// The cycle is over, and somebody fell without a word.
		c.release("a member could not be reserved, so the whole gang is released")
	}
	return held
}

// release rejects everyone who waits. The caller holds the lock.
func (c *commit) release(why string) {
	c.failed = why
	c.course.ended("released", c.pl.now())
	for uid := range c.arrived {
		if waiting := c.pl.handle.GetWaitingPod(uid); waiting != nil {
			// Reject ends in Unreserve, which calls fall: not under our lock.
			go waiting.Reject(Name, why)
		}
	}
}

func (pl *Plugin) bindFailed(group *schedulingapi.PodGroup, pod *v1.Pod) {
	refusal := func(pause time.Duration) *verdict {
		return &verdict{reason: kube.BindDenied, message: fmt.Sprintf(
			"gang %s had its nodes, but pod %s could not be bound; the pod's PodScheduled condition has the answer of the API server; trying again in %s",
			kube.GangName(group), pod.Name, pause)}
	}
	pause := pl.gangs.pause(group.UID, refusal, pl.now())
	pl.reports.refused(group, refusal(pause))
}

// nodesGone checks the plan against the newest nodes just before it is
// committed: it names the first planned node that went away, was cordoned, moved
// to other domains or was tainted since the snapshot, as one that fails is, or
// returns "".
func (pl *Plugin) nodesGone(plan *planned) string {
	lister := pl.handle.SharedInformerFactory().Core().V1().Nodes().Lister()
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
		if node != planned && pl.ladder.Moved(planned, node) {
			return fmt.Sprintf("the topology labels of node %s changed while the gang was being placed", planned.Name)
		}
	}
	return ""
}

// released is why a gang may not be planned yet: members of it are still
// reserved for an earlier plan. It is tried again at once.
func (pl *Plugin) released(pg *schedulingapi.PodGroup, state fwk.PodGroupState) *verdict {
	before := pl.gangs.last(pg.UID)
	if before == nil {
		return nil
	}
	held := before.held(state.AssumedPods())
	if held == 0 {
		pl.gangs.commit(pg.UID, nil)
		return nil
	}
	return &verdict{reason: kube.GangIncomplete, message: fmt.Sprintf(
		"gang %s could not start, and %d of its pods are still being released; trying again when they are", kube.GangName(pg), held)}
}

// commit notes the plan that a gang is at the barrier with.
func (r *registry) commit(uid types.UID, c *commit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gang(uid).committed = c
}

// last is the last plan of a gang that came to the barrier and did not open it,
// as far as is known, or nil.
func (r *registry) last(uid types.UID) *commit {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g, ok := r.gangs[uid]; ok {
		return g.committed
	}
	return nil
}
