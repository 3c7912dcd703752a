// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"maps"
	"math"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	resourcehelper "k8s.io/component-helpers/resource"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// room is the book of what was given back in the cluster, so that a refused
// gang is not tried before enough of it is free.
//
// The events arrive here and at the scheduler's own cache in any order. What
// the snapshot behind a refusal did not show yet is therefore counted as given
// back after it: it may be counted twice, but never lost. The registry's lock
// guards the book.
type room struct {
	// freed is the sum of what was given back since the start, by resource.
	freed amounts
	// left are pods that gave up their node, and nodes the nodes that changed
	// in what plans look at, until a snapshot shows it.
	left  map[types.UID]departure
	nodes map[string]changedNode
	// lowest is the lowest priority of a pod that ever had a node: gangs above
	// it may find room by preemption.
	lowest int32
	// shaken is when room was last freed that no snapshot can be searched for.
	shaken time.Time
	// struck is when the book was last rid of old news.
	struck time.Time
}

// settle is how long the scheduler's cache may take to follow an event that is
// known here and cannot be looked for in a snapshot.
const settle = 300 * time.Millisecond

type departure struct {
	node string
	gave amounts
	at   time.Time
}

type changedNode struct {
	node *v1.Node
	at   time.Time
}

// remembered bounds how long the book waits for a snapshot to show a change,
// since there is none while no gang is planned, and none ever in a replica that
// stands by. The scheduler's cache is behind by milliseconds.
const remembered = time.Minute

// picture is the nodes of a snapshot.
type picture interface {
	Get(name string) (fwk.NodeInfo, error)
}

// amounts are quantities by resource, in the units of the planner: milli-cores,
// bytes, pods and counts.
type amounts map[string]int64

func newRoom() room {
	return room{freed: amounts{}, left: map[types.UID]departure{}, nodes: map[string]changedNode{}, lowest: math.MaxInt32}
}

// less returns what a has more than o.
func (a amounts) less(o amounts) amounts {
	more := amounts{}
	for name, amount := range a {
		if amount > o[name] {
			more[name] = amount - o[name]
		}
	}
	return more
}

func (a amounts) add(o amounts) {
	for name, amount := range o {
		a[name] += amount
	}
}

// amountsOf is what a pod takes from its node: the most that the scheduler may
// have counted for it, which during a resize is more than it asks for.
func amountsOf(pod *v1.Pod) amounts {
	took := amounts{string(v1.ResourcePods): 1}
	for name, quantity := range resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{
		UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true,
	}) {
		took[string(name)] = kube.Units(name, quantity)
	}
	return took
}

// leave books a pod that gives up a node; "" if it is not known which.
func (r *room) leave(pod *v1.Pod, node string, now time.Time) {
	r.strike(now)
	gave := amountsOf(pod)
	r.freed.add(gave)
	if node == "" {
		r.shaken = now
	} else {
		r.left[pod.UID] = departure{node, gave, now}
	}
}

// unseen is what was booked and a snapshot does not show: what pods gave back,
// and whether a node changed. What it shows is struck off.
func (r *room) unseen(nodes picture) (given amounts, changed bool) {
	given = amounts{}
	for uid, d := range r.left {
		if info, err := nodes.Get(d.node); err == nil && holds(info, uid) {
			given.add(d.gave)
		} else {
			delete(r.left, uid)
		}
	}
	for name, c := range r.nodes {
		if info, err := nodes.Get(name); err == nil && info.Node() == c.node {
			delete(r.nodes, name)
		}
	}
	return given, len(r.nodes) > 0
}

func holds(info fwk.NodeInfo, uid types.UID) bool {
	for _, pod := range info.GetPods() {
		if pod.GetPod().UID == uid {
			return true
		}
	}
	return false
}

// strike drops, now and then, what is too old to be news.
func (r *room) strike(now time.Time) {
	if now.Sub(r.struck) < remembered {
		return
	}
	r.struck = now
	maps.DeleteFunc(r.left, func(_ types.UID, d departure) bool { return now.Sub(d.at) >= remembered })
	maps.DeleteFunc(r.nodes, func(_ string, c changedNode) bool { return now.Sub(c.at) >= remembered })
}

// left notes that a pod gave up its node. The first gang of each class that
// lacked no more than what has come back is tried for it, at its pace.
func (r *registry) left(pod *v1.Pod, node string, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.room.leave(pod, node, now)
	r.helpAll(now)
}

// shrank notes that a pod gave back some of what it had.
func (r *registry) shrank(gave amounts, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.room.freed.add(gave)
	r.room.shaken = now
	r.helpAll(now)
}

func (r *registry) helpAll(now time.Time) {
	for _, list := range r.parked {
		if g := list[0]; r.helped(g) {
			g.tryAt(now.Add(g.pace()))
		}
	}
}

// took notes that a pod has a node.
func (r *registry) took(pod *v1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.room.left, pod.UID)
	r.room.lowest = min(r.room.lowest, corev1helpers.PodPriority(pod))
}

// changed notes that a node appeared or is another one now. If it matters to
// plans, the first gang of each class is tried for it.
func (r *registry) changed(node *v1.Node, matters bool, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.room.strike(now)
	if before, ok := r.room.nodes[node.Name]; ok || matters {
		r.room.nodes[node.Name] = changedNode{node, cmp.Or(before.at, now)}
	}
	if !matters {
		return
	}
	for _, list := range r.parked {
		if g := list[0]; g.refusal.needsCapacity() {
			g.tryAt(now.Add(g.pace()))
		}
	}
}

// gone notes that a node is no more.
func (r *registry) gone(node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.room.nodes, node)
}

// helped reports whether pods have given back since the gang was refused what
// it lacked then: some of what it asks for, and no less than it was short of,
// unless it may take what is missing from pods of lower priority.
func (r *registry) helped(g *gangState) bool {
	if !g.refusal.needsRoom() {
		return false
	}
	some := false
	for name, lack := range g.refusal.lacking() {
		back := r.room.freed[name] - g.since[name]
		if back < lack && r.room.lowest >= g.turn.priority {
			return false
		}
		some = some || back > 0
	}
	return some
}
