// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// gangPlan is the answer of one scheduling cycle: a plan, or a refusal. It travels
// in the cycle's state and is shared by the members.
type gangPlan struct {
	placement *fwk.Placement
	domain    string
	// nodes is the planned node of each waiting pod.
	nodes map[types.UID]string
	// unmodelled names the constraint that the plan does not know; members are
	// then steered to their nodes instead of pinned.
	unmodelled string
	// offered are the nodes that other plugins choose among, asks what the gang asked
	// for, and devices says that it claims some.
	offered triedDomain
	asks    uint64
	devices bool
	// exhausted says that the gang is refused because other plugins refused it wherever
	// it has room.
	exhausted bool
	spec      *kube.Spec
	// class names what the gang asks for, and fingerprint is the gang as it was
	// planned.
	class       string
	fingerprint uint64
	// refusal is why there is no plan, retryAfter when to ask again without a
	// reason, and promise where the gang fits once the pods that terminate have
	// ended.
	refusal    *queue.Verdict
	retryAfter time.Duration
	promise    []queue.NodeAmount
	// members are those of a gang that was refused for want of room.
	members *kube.Members
	// boundBefore is the number of members that had a node before.
	boundBefore int
	// answer is what the engine said, if it was asked.
	answer  *placement.Plan
	barrier *barrier
}

// The keys of a plan in the state of a cycle, and of one that was refused.
const (
	planKey    fwk.StateKey = "muster.sh/plan"
	refusedKey fwk.StateKey = "muster.sh/refused"
)

// Clone returns the plan itself: it is shared by the members on purpose.
func (p *gangPlan) Clone() fwk.StateData { return p }

// planOf returns the plan that a member's cycle state carries, or nil.
func planOf(state fwk.CycleState) *gangPlan {
	if data, err := state.Read(planKey); err == nil {
		return data.(*gangPlan)
	}
	cycle := state.GetPodGroupSchedulingCycle()
	if cycle == nil {
		return nil
	}
	data, err := cycle.Read(planKey)
	if err != nil {
		return nil
	}
	return data.(*gangPlan)
}

// otherChecks names what other plugins have to check on this plan.
func (p *gangPlan) otherChecks() string {
	if p.unmodelled != "" {
		return p.unmodelled
	}
	return "the checks of other scheduler plugins"
}

// neededMembers is the number of members that must have a node once the barrier opens:
// those that start together, or those with which a gang that has started is whole.
func (p *gangPlan) neededMembers() int {
	if p.boundBefore > 0 {
		return min(p.spec.MinCount, p.spec.RunningMinimum)
	}
	return p.spec.MinCount
}

// checkNode keeps a member on its planned node. kube-scheduler tries the node that a
// pod is nominated for before it asks PreFilter's choice of nodes.
func (p *gangPlan) checkNode(pod *v1.Pod, node fwk.NodeInfo) *fwk.Status {
	if planned, ok := p.nodes[pod.UID]; p.unmodelled == "" && ok && planned != node.Node().Name {
		return fwk.NewStatus(fwk.Unschedulable, "the gang's plan has another node for this pod")
	}
	return nil
}
