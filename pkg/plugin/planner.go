// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/dra"
	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/placement"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
	"github.com/muster-scheduler/muster/pkg/queue"
	"github.com/muster-scheduler/muster/pkg/topology"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// planner owns the view of the cluster that plans are made on. The scheduler
// plans one gang at a time, so it needs no lock.
type planner struct {
	handle   fwk.Handle
	gangs    *gangQueue
	barriers *barriers
	cluster  *kube.Cluster
	// engine remembers what it counted of the cluster; it is told which nodes
	// changed.
	engine *placement.Planner
	// idle is what single pods spare for gangs, rows what Score has read of the
	// nodes, by NodeID.
	idle *placement.IdleIndex
	rows []nodeRow
	// trials are the domains in which other plugins refused gangs.
	trials domainTrials
}

func newPlanner(args *config.Args, gangs *gangQueue, barriers *barriers) *planner {
	cluster := kube.NewCluster(args.TopologyLevels())
	cluster.Sharing = args.GPUs.SharingPolicy()
	return &planner{handle: gangs.handle, gangs: gangs, barriers: barriers, cluster: cluster, trials: domainTrials{gangs, cluster, map[types.UID]*gangTrials{}}}
}

// countDevices has the planner count the devices that drivers publish.
func (p *planner) countDevices(manager fwk.SharedDRAManager) {
	p.cluster.CountDevices(dra.FromManager(manager))
}

// planAttempt plans a gang for an attempt of the scheduler. One that was refused in all
// domains with room for it begins anew with those in which something changed.
func (p *planner) planAttempt(group fwk.PodGroupInfo, nodes []fwk.NodeInfo, whatIf bool) (*gangPlan, error) {
	plan, err := p.planGang(group, nodes, whatIf)
	if err != nil || !plan.exhausted || whatIf {
		return plan, err
	}
	p.trials.startRound(group.GetPodGroup().UID)
	return p.planGang(group, nodes, false)
}

// noteRefusal notes that other plugins refused a gang in the domain of a plan. It returns
// in how many they did, and whether there is another one to try.
func (p *planner) noteRefusal(group fwk.PodGroupInfo, plan *gangPlan) (tried int, more bool) {
	if plan.unmodelled == "" {
		return 1, false
	}
	tried = p.trials.add(group.GetPodGroup().UID, plan)
	nodes, err := p.handle.SnapshotSharedLister().NodeInfos().List()
	if err != nil {
		return tried, false
	}
	next, err := p.planGang(group, nodes, false)
	return tried, err == nil && next.refusal == nil
}

// planGang plans a whole gang on the given nodes. The answer is a plan or a refusal.
func (p *planner) planGang(group fwk.PodGroupInfo, nodes []fwk.NodeInfo, whatIf bool) (*gangPlan, error) {
	pg := group.GetPodGroup()
	state, err := p.handle.SnapshotSharedLister().PodGroupStates().Get(pg.Namespace, pg.Name)
	if err != nil {
		return nil, err
	}
	fingerprint := fingerprintOf(pg, slices.Values(group.GetUnscheduledPods()), state.ScheduledPodsCount())
	spec, invalid := p.gangs.specOf(pg, p.gangs.reports.groups.DeclarationOf(pg))
	if invalid != nil {
		return &gangPlan{refusal: newVerdict(invalid.Reason, "%s", invalid.Message), fingerprint: fingerprint}, nil
	}
	waiting, bound := kube.MembersAmong(spec.Runs.WithoutLater(group.GetUnscheduledPods())), kube.MembersAmong(state.ScheduledPods())
	ready := queue.Readiness{Gang: spec.Name, MinCount: spec.MinCount, Required: spec.RunningMinimum, Bound: len(bound), Waiting: len(waiting)}
	if obstacle := ready.Obstacle(); obstacle != nil {
		return &gangPlan{refusal: obstacle, fingerprint: fingerprint}, nil // a member went since it was queued
	}
	if why := unknownRuns(pg, spec, waiting, bound); why != nil {
		return &gangPlan{refusal: why, fingerprint: fingerprint, retryAfter: releaseRetry}, nil
	}
	if why := p.barriers.stillHeld(pg, state); why != nil {
		return &gangPlan{refusal: why, fingerprint: fingerprint, retryAfter: releaseRetry}, nil
	}
	if why := p.stillNominated(pg); why != nil {
		return &gangPlan{refusal: why, fingerprint: fingerprint, retryAfter: releaseRetry}, nil
	}
	members, err := p.cluster.ReadGang(spec, waiting, bound, nodes)
	if err != nil {
		return nil, err
	}
	if bad := members.Invalid; bad != nil {
		return &gangPlan{refusal: newVerdict(bad.Reason, "gang %s: %s", spec.Name, bad.Message), class: members.EquivalenceClass(), fingerprint: fingerprint}, nil
	}
	out, err := p.solveGang(pg, members, whatIf)
	if err != nil {
		return nil, err
	}
	out.spec, out.fingerprint, out.boundBefore = spec, fingerprint, len(bound)
	return out, nil
}

// stillNominated is why a gang may not be planned yet: kube-scheduler reads in the pods
// whether preemption goes on for them, and would preempt more where that is still to be
// written.
func (p *planner) stillNominated(pg *schedulingapi.PodGroup) *queue.Verdict {
	count := p.gangs.reports.groups.PendingNominations(pg)
	if count == 0 {
		return nil
	}
	why := newVerdict(kube.GangIncomplete, "gang %s: the nodes that preemption promised to %d of its pods are being written; trying again when they are", kube.GangName(pg), count)
	why.Remedy = queue.ByTime
	return why
}

// unknownRuns returns why a gang has to wait for a newer version of its group, or nil:
// a pod of another run may be seen before the version that knows of it, and makes
// up the number with pods that are not of its gang.
func unknownRuns(pg *schedulingapi.PodGroup, spec *kube.Spec, waiting, bound []*v1.Pod) *queue.Verdict {
	name, _ := kube.SplitGroupName(pg.Name)
	if len(waiting) == 0 || spec.MinCount < 2 || len(spec.Roles) > 0 || name == kube.DialectAuto {
		return nil
	}
	// A group of Kubernetes' own may have pods of another scheduler on nodes.
	ours := slices.DeleteFunc(slices.Concat(waiting, bound), func(pod *v1.Pod) bool { return pod.Spec.SchedulerName != waiting[0].Spec.SchedulerName })
	if spec.Runs.Know(workload.ControllersOfRuns(ours)) {
		return nil
	}
	return newVerdict(kube.GangNotFound, "pod group %s is not known yet with all workloads of its pods", pg.Name)
}

// stepCost is what a step of a plan costs, roughly: the clock would make the queue
// depend on what else the machine does.
const stepCost = 6 * time.Nanosecond

// solveGang asks the engine, with what is held for others out of its reach.
func (p *planner) solveGang(pg *schedulingapi.PodGroup, members *kube.Members, whatIf bool) (*gangPlan, error) {
	p.followCluster()
	held := p.rowsOf(p.heldAgainst(pg))
	p.allocate(held)
	defer p.release(held)
	var trials *gangTrials
	if !whatIf { // without those who make way, other plugins may take what they refused
		trials = p.trials.trialsOf(pg.UID, members)
	}
	plan, whole := p.trials.solveElsewhere(p.engine, members, trials)
	planDomains.Observe(float64(p.engine.EvaluatedDomains()))
	p.gangs.step(queue.Planned{Gang: queue.GangID(pg.UID), Cost: time.Duration(p.engine.SpentSteps()) * stepCost})
	usage := p.cluster.Usage()
	if err := placement.Check(usage, &members.Gang, plan); err != nil {
		return nil, fmt.Errorf("the plan is not used, since it breaks a rule: %w", err)
	}
	if plan.Refusal == nil {
		out := p.buildPlan(members, plan, whole)
		out.answer = &plan
		return out, nil
	}
	why := newVerdict(kube.Reason(plan.Refusal.Reason), "%s%s", plan.Refusal.Error(), members.DeviceNote())
	why.Devices = members.ClaimsDevices
	why.Deficit = minDeficit(usage, &members.Gang)
	if members.TakesHostPorts { // the pod that has the port may hold nothing else
		why.Deficit[string(v1.ResourcePods)] = min(why.Deficit[string(v1.ResourcePods)], 0)
	}
	out := &gangPlan{refusal: why, class: members.EquivalenceClass(), answer: &plan, members: members}
	if trials != nil && len(trials.domains) > 0 {
		out.exhausted, out.class, out.retryAfter = true, "", refusedElsewhereRetry // others of the class were not refused there
		why.Volumes = members.Unmodelled == kube.UnmodelledVolumes
	}
	if why.Remedy == queue.ByRoom {
		out.promise = p.promisedNodes(pg, members)
	}
	return out, nil
}

// followCluster tells the engine, and those who spare gangs, which nodes the last
// update of the cluster changed.
func (p *planner) followCluster() {
	usage := p.cluster.Usage()
	touched, rebuilt := p.cluster.TouchedNodes()
	if rebuilt || p.engine == nil {
		p.engine, p.idle = placement.NewPlanner(usage), placement.NewIdleIndex(usage.Tree)
		p.rows = make([]nodeRow, len(usage.Tree.Nodes))
		for n := range usage.Tree.Nodes {
			p.idle.SetIdle(topology.NodeID(n), usage.IsIdle(topology.NodeID(n)))
		}
	}
	for _, n := range touched {
		p.engine.MarkChanged(n)
		p.idle.SetIdle(n, usage.IsIdle(n))
	}
}

// scoreTable returns what Score reads, for a single pod. What changed since the
// last plan or the last single pod is read again.
func (p *planner) scoreTable(gpus *gpuInventory) (*scoreTable, error) {
	nodes, err := p.handle.SnapshotSharedLister().NodeInfos().List()
	if err != nil {
		return nil, err
	}
	if err := p.cluster.UpdateNodes(nodes); err != nil {
		return nil, err
	}
	p.followCluster()
	p.idle.RetainGangs(func(uid string) bool {
		return ask(p.gangs, func(core *queue.Queue) bool { return core.Admitted(queue.GangID(uid)) })
	})
	return &scoreTable{cluster: p.cluster, idle: p.idle, gpus: gpus, scorer: gpus.currentScorer(), rows: p.rows}, nil
}

// heldAgainst is the room that is kept from a gang for others.
func (p *planner) heldAgainst(pg *schedulingapi.PodGroup) []queue.NodeAmount {
	held := ask(p.gangs, func(core *queue.Queue) []queue.Hold {
		key := core.KeyOf(queue.GangID(pg.UID), keyOfGroup(pg))
		return core.HeldAgainst(key.Name, key)
	})
	return amountsOf(held)
}

// heldAgainstPod is the room that is kept from a single pod for others.
func (p *planner) heldAgainstPod(pod *v1.Pod) []queue.NodeAmount {
	held := ask(p.gangs, func(core *queue.Queue) []queue.Hold {
		return core.HeldAgainst(string(pod.UID), core.KeyOfPod(string(pod.UID), keyOfPod(pod)))
	})
	return amountsOf(held)
}

func amountsOf(held []queue.Hold) []queue.NodeAmount {
	rows := make([]queue.NodeAmount, len(held))
	for i, h := range held {
		rows[i] = h.NodeAmount
	}
	return rows
}

// withoutUnresolvable returns a filter that also excludes the nodes that no room makes
// fit, as the other plugins say.
func (p *planner) withoutUnresolvable(filter *gang.Filter, statuses fwk.NodeToStatusReader) *gang.Filter {
	nodes := p.cluster.Usage().Tree.Nodes
	var unfit []topology.NodeID
	for id, node := range nodes {
		eligible := filter == nil || filter.Exclusions[id] == gang.Eligible
		if eligible && statuses.Get(node.Name).Code() == fwk.UnschedulableAndUnresolvable {
			unfit = append(unfit, topology.NodeID(id))
		}
	}
	if len(unfit) == 0 {
		return filter
	}
	return excludeAlso(filter, len(nodes), unfit, gang.Other)
}

// excludeAlso returns a copy of a filter for so many nodes that also excludes some of
// those that it does not exclude.
func excludeAlso(filter *gang.Filter, count int, nodes []topology.NodeID, why gang.Exclusion) *gang.Filter {
	out := &gang.Filter{Exclusions: make([]gang.Exclusion, count)}
	if filter != nil {
		copy(out.Exclusions, filter.Exclusions)
	}
	for _, id := range nodes {
		if out.Exclusions[id] == gang.Eligible {
			out.Exclusions[id] = why
		}
	}
	return out
}

// engineRow is an amount on a node in the engine's terms.
type engineRow struct {
	node    topology.NodeID
	amounts []int64
}

// rowsOf lays amounts out in the columns of the usage. Nodes that are gone are
// left out.
func (p *planner) rowsOf(amounts []queue.NodeAmount) []engineRow {
	usage := p.cluster.Usage()
	var rows []engineRow
	for _, a := range amounts {
		id, ok := usage.Tree.NodeByName(a.Node)
		if !ok {
			continue
		}
		row := engineRow{id, make([]int64, len(usage.Resources))}
		for column, name := range usage.Resources {
			row.amounts[column] = a.Amounts[name]
		}
		rows = append(rows, row)
	}
	return rows
}

// allocate takes amounts off what is free for the engine, and release gives them back.
func (p *planner) allocate(rows []engineRow) {
	for _, row := range rows {
		p.engine.AllocateOn(row.node, row.amounts)
	}
}

func (p *planner) release(rows []engineRow) {
	for _, row := range rows {
		p.engine.ReleaseOn(row.node, row.amounts)
	}
}

// promisedNodes is where a refused gang would fit once the pods that terminate now have
// ended: what it may be kept of it. It is empty for a gang that is not the first
// of its priority.
func (p *planner) promisedNodes(pg *schedulingapi.PodGroup, members *kube.Members) []queue.NodeAmount {
	now := p.gangs.now()
	ending := ask(p.gangs, func(core *queue.Queue) []queue.NodeAmount {
		if !core.MayReserve(queue.GangID(pg.UID), now) {
			return nil
		}
		return core.Terminating(now)
	})
	rows := p.rowsOf(ending)
	if len(rows) == 0 {
		return nil
	}
	p.release(rows)
	plan := p.cluster.Solve(p.engine, members)
	p.allocate(rows)
	if plan.Refusal != nil {
		return nil
	}
	return p.requestsOn(members, plan)
}

// requestsOn is what a plan takes of each node, in the order of nodes.
func (p *planner) requestsOn(members *kube.Members, plan placement.Plan) []queue.NodeAmount {
	usage := p.cluster.Usage()
	byNode := map[topology.NodeID]queue.Quantities{}
	for r, nodes := range plan.Nodes {
		for i, id := range nodes {
			if id == placement.NoNode {
				continue
			}
			if byNode[id] == nil {
				byNode[id] = queue.Quantities{}
			}
			for column, amount := range members.Roles[r].RequestOf(i) {
				byNode[id][usage.Resources[column]] += amount
			}
		}
	}
	var rows []queue.NodeAmount
	for id := range usage.Tree.Nodes {
		if amounts := byNode[topology.NodeID(id)]; amounts != nil {
			rows = append(rows, queue.NodeAmount{Node: usage.Tree.Nodes[id].Name, Amounts: amounts})
		}
	}
	return rows
}

// buildPlan turns a plan into the placement that the scheduler evaluates: the
// planned nodes, or every node of the domain where the plan leaves constraints
// to other plugins.
func (p *planner) buildPlan(members *kube.Members, plan placement.Plan, whole bool) *gangPlan {
	tree := members.TreeOn(p.cluster.Usage().Tree)
	out := &gangPlan{
		nodes:      map[types.UID]string{},
		unmodelled: members.Unmodelled,
		domain:     tree.DomainPath(plan.Domain),
		devices:    members.ClaimsDevices,
	}
	var used []topology.NodeID
	for uid, id := range members.Assignments(plan) {
		out.nodes[uid] = tree.Nodes[id].Name
		used = append(used, id)
	}
	if members.Unmodelled != "" {
		used = append(used, p.trials.offerDomain(out, members, plan, whole)...)
	}
	slices.Sort(used)
	out.placement = &fwk.Placement{Name: out.domain}
	for _, id := range slices.Compact(used) {
		out.placement.Nodes = append(out.placement.Nodes, p.cluster.NodeInfo(id))
	}
	return out
}
