// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"slices"
	"time"

	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// GeneratePlacements plans the whole gang and offers the scheduler exactly one
// placement: the nodes of the plan. A gang without room is refused here, with
// numbers, before any of its members is tried.
func (pl *Plugin) GeneratePlacements(ctx context.Context, state fwk.PodGroupCycleState, group fwk.PodGroupInfo, parent *fwk.Placement) (*fwk.GeneratePlacementsResult, *fwk.Status) {
	pg := group.GetPodGroup()
	if pg == nil || pg.Spec.SchedulingPolicy.Gang == nil {
		return &fwk.GeneratePlacementsResult{Placements: []*fwk.Placement{parent}}, nil
	}
	first := pl.gangs.attempt(pg.UID)
	start := pl.now()
	result, err := pl.planner.plan(pl, group, parent.Nodes)
	planSeconds.Observe(pl.now().Sub(start).Seconds())
	if err != nil {
		return nil, fwk.AsStatus(fmt.Errorf("planning gang %s/%s: %w", pg.Namespace, pg.Name, err))
	}
	if first && result.answer != nil {
		pl.planner.idle.RecordPlan(string(pg.UID), *result.answer)
	}
	if result.refusal != nil {
		if !first {
			return nil, result.refusal.status()
		}
		pl.refuse(ctx, pg, result, start)
		return nil, pl.reports.show(pg, result.refusal).status()
	}
	attempts.WithLabelValues("planned").Inc()
	klog.FromContext(ctx).V(2).Info("Planned gang", "gang", klog.KObj(pg), "domain", result.domain, "pods", len(result.nodes), "nodes", len(result.placement.Nodes), "took", pl.now().Sub(start))
	result.commit = newCommit(pl, pg, result)
	result.commit.course.planned = start
	state.Write(planKey, result)
	return &fwk.GeneratePlacementsResult{Placements: []*fwk.Placement{result.placement}}, nil
}

// refuse reports a refusal and parks the gang until something can help it.
func (pl *Plugin) refuse(ctx context.Context, pg *schedulingapi.PodGroup, result *planned, start time.Time) {
	attempts.WithLabelValues("refused").Inc()
	klog.FromContext(ctx).V(2).Info("Refused gang", "gang", klog.KObj(pg), "reason", result.refusal.reason, "message", result.refusal.message)
	if !result.refusal.needsCapacity() {
		// The gang changed since it was queued. It is looked at anew on its way
		// back to the queue, and told then if something is wrong with it.
		pl.gangs.wakeUp(pg.UID, start)
		return
	}
	pl.gangs.park(pg.UID, refused{
		class: result.class, why: result.refusal, gang: result.gang, picture: pl.handle.SnapshotSharedLister().NodeInfos(),
	}, start)
	pl.reports.refused(pg, result.refusal)
}

// planned is the plan of one scheduling cycle. It travels in the cycle's state.
type planned struct {
	placement *fwk.Placement
	domain    string
	// nodes is the planned node of each waiting pod.
	nodes map[types.UID]string
	// open names the constraint that the plan does not know; members are then
	// steered to their nodes instead of pinned.
	open  string
	class string
	// gang is what was planned, as it was then.
	gang    likeness
	spec    *kube.Spec
	refusal *verdict
	// running is the number of members that had a node before.
	running int
	// answer is what the engine said, if it was asked.
	answer *placement.Plan
	commit *commit
}

const planKey fwk.StateKey = "muster.sh/plan"

// Clone returns the plan itself: it is shared by the members on purpose.
func (p *planned) Clone() fwk.StateData { return p }

// planOf returns the plan that a member's cycle state carries, or nil.
func planOf(state fwk.CycleState) *planned {
	if data, err := state.Read(planKey); err == nil {
		return data.(*planned)
	}
	cycle := state.GetPodGroupSchedulingCycle()
	if cycle == nil {
		return nil
	}
	data, err := cycle.Read(planKey)
	if err != nil {
		return nil
	}
	return data.(*planned)
}

// planner owns the picture of the cluster that plans are made on. The scheduler
// plans one gang at a time, so it needs no lock.
type planner struct {
	cluster *kube.Cluster
	// engine remembers what it counted of the cluster; it is told which nodes
	// changed.
	engine *placement.Planner
	// idle is what single pods spare for gangs, rows what Score has read of the
	// nodes, by NodeID.
	idle *placement.IdleIndex
	rows []row
}

func newPlanner(args *config.Args) *planner {
	cluster := kube.NewCluster(args.Ladder())
	cluster.Sharing = args.GPUs.SharingPolicy()
	return &planner{cluster: cluster}
}

func (p *planner) plan(pl *Plugin, group fwk.PodGroupInfo, nodes []fwk.NodeInfo) (*planned, error) {
	pg := group.GetPodGroup()
	spec, why := pl.specOf(pg)
	if why != nil {
		return &planned{refusal: why}, nil
	}
	state, err := pl.handle.SnapshotSharedLister().PodGroupStates().Get(pg.Namespace, pg.Name)
	if err != nil {
		return nil, err
	}
	if why := incomplete(spec, state); why != nil {
		return &planned{refusal: why}, nil // a member went since it was queued
	}
	if why := pl.released(pg, state); why != nil {
		return &planned{refusal: why}, nil
	}
	members, err := p.cluster.Gang(spec, group.GetUnscheduledPods(), state.ScheduledPods(), nodes)
	if err != nil {
		return nil, err
	}
	if bad := members.Invalid; bad != nil {
		why := &verdict{reason: bad.Reason, message: "gang " + spec.Name + ": " + bad.Message}
		return &planned{refusal: why, class: members.Class(), gang: likenessOf(pg, state)}, nil
	}
	plan := p.solve(&members.Gang)
	if err := placement.Check(p.cluster.Usage(), &members.Gang, plan); err != nil {
		return nil, fmt.Errorf("the plan is not used, since it breaks a rule: %w", err)
	}
	if plan.Refusal != nil {
		why := &verdict{reason: kube.Reason(plan.Refusal.Reason), message: plan.Refusal.Error(), lacks: shortage(p.cluster.Usage(), &members.Gang)}
		return &planned{refusal: why, class: members.Class(), gang: likenessOf(pg, state), answer: &plan}, nil
	}
	out := p.result(members, plan)
	out.spec, out.gang, out.answer, out.running = spec, likenessOf(pg, state), &plan, len(members.Bound)
	return out, nil
}

func (p *planner) solve(g *gang.Gang) placement.Plan {
	p.follow()
	plan := p.engine.Solve(g)
	planDomains.Observe(float64(p.engine.EvaluatedDomains()))
	return plan
}

// result turns a plan into the placement that the scheduler evaluates: the
// planned nodes, or every node of the domain when the plan is open.
func (p *planner) result(members *kube.Members, plan placement.Plan) *planned {
	tree := p.cluster.Usage().Tree
	out := &planned{
		nodes:  map[types.UID]string{},
		open:   members.Open,
		domain: tree.DomainPath(plan.Domain),
	}
	var used []topology.NodeID
	for uid, id := range members.Assignments(plan) {
		out.nodes[uid] = tree.Nodes[id].Name
		used = append(used, id)
	}
	if members.Open != "" {
		domain := tree.Domains[plan.Domain]
		for id := domain.First; id < domain.End; id++ {
			used = append(used, id)
		}
	}
	slices.Sort(used)
	out.placement = &fwk.Placement{Name: out.domain}
	for _, id := range slices.Compact(used) {
		out.placement.Nodes = append(out.placement.Nodes, p.cluster.Info(id))
	}
	return out
}
