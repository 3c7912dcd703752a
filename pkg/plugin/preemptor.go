// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	schedulerconfig "k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
	"github.com/muster-scheduler/muster/pkg/preemption"
	"github.com/muster-scheduler/muster/pkg/queue"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// preemptor chooses who makes way for a gang that found no room, and has them end.
// What they leave is promised to the gang by nominations, which the queue keeps
// from others. Questions are asked in the scheduling loop, one at a time; mu guards
// what is under way.
type preemptor struct {
	handle   fwk.Handle
	gangs    *gangQueue
	planner  *planner
	settings config.Preemption
	victims  victimEvictor

	mu       sync.Mutex
	underway map[types.UID]*roomMaking // by UID of the group or pod
}

// roomMaking is a preemption of which not all victims have ended.
type roomMaking struct {
	nodes map[types.UID]string
	// victims are expected to end until then.
	victims []victim
	until   time.Time
}

func newPreemptor(args *config.Args, gangs *gangQueue, planner *planner) *preemptor {
	return &preemptor{
		handle: gangs.handle, gangs: gangs, planner: planner, settings: args.Preemption,
		victims: victimEvictor{handle: gangs.handle}, underway: map[types.UID]*roomMaking{},
	}
}

// claimant is who asks for room: a gang, or a pod by itself.
type claimant struct {
	uid types.UID
	// name is its namespace/name, and words what users call it.
	name, words string
	priority    int32
	waiting     []*v1.Pod
	members     *kube.Members
	// held returns what is kept from it for others.
	held func() []queue.NodeAmount
	// retry has it tried again once victims could not be ended.
	retry func(context.Context)
}

// makeRoomForGang answers for a gang that the planner refused: the nodes that it is
// promised once others have ended, or that nobody makes way.
func (p *preemptor) makeRoomForGang(ctx context.Context, group fwk.PodGroupInfo, refused *gangPlan) (*fwk.PodGroupPostFilterResult, *fwk.Status) {
	pg := group.GetPodGroup()
	c := &claimant{
		uid: pg.UID, name: pg.Namespace + "/" + pg.Name, words: fmt.Sprintf("gang %s/%s", pg.Namespace, kube.GangName(pg)),
		priority: priorityOf(pg), waiting: group.GetUnscheduledPods(), members: refused.members,
		held: func() []queue.NodeAmount { return p.planner.heldAgainst(pg) },
	}
	c.retry = func(ctx context.Context) {
		p.gangs.clearNominations(ctx, c.name)
		p.gangs.activateGang(ctx, queue.Activate{Name: c.name})
	}
	if refused.refusal.Reason != string(kube.NoFittingDomain) || !p.mayPreempt(c) {
		return nil, fwk.NewStatus(fwk.Unschedulable)
	}
	nodes, status := p.makeRoom(ctx, c)
	if nodes == nil {
		return nil, status
	}
	return nominations(c.waiting, nodes), status
}

// makeRoomForPod answers for a single pod that fits on no node. Nodes that no room
// makes fit are left out.
func (p *preemptor) makeRoomForPod(ctx context.Context, pod *v1.Pod, demands kube.GPURequirements, statuses fwk.NodeToStatusReader) (*fwk.PostFilterResult, *fwk.Status) {
	if !p.isEnabled() {
		return nil, fwk.NewStatus(fwk.Unschedulable)
	}
	lister := p.handle.SnapshotSharedLister().NodeInfos()
	if short, err := statuses.NodesForStatusCode(lister, fwk.Unschedulable); err == nil && len(short) == 0 && len(pod.Spec.ResourceClaims) == 0 {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable) // no room that is made would help
	}
	nodes, err := lister.List()
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	spec := &kube.Spec{UID: pod.UID, Name: pod.Name, MinCount: 1, Required: topology.NoLevel, Preferred: topology.NoLevel, Models: demands.Models, Memory: demands.Memory, Levels: p.gangs.levels}
	members, err := p.planner.cluster.ReadGang(spec, []*v1.Pod{pod}, nil, nodes)
	if err != nil {
		return nil, fwk.AsStatus(err)
	}
	p.planner.followCluster()
	if members.Invalid != nil {
		return nil, fwk.NewStatus(fwk.Unschedulable)
	}
	members.Roles[0].Filter = p.planner.withoutUnresolvable(members.Roles[0].Filter, statuses)
	c := &claimant{
		uid: pod.UID, name: pod.Namespace + "/" + pod.Name, words: fmt.Sprintf("pod %s/%s", pod.Namespace, pod.Name),
		priority: corev1helpers.PodPriority(pod), waiting: []*v1.Pod{pod}, members: members,
		held: func() []queue.NodeAmount { return p.planner.heldAgainstPod(pod) },
	}
	c.retry = func(ctx context.Context) {
		p.handle.DeleteNominatedPodIfExists(pod)
		p.handle.Activate(klog.FromContext(ctx), map[string]*v1.Pod{c.name: pod})
	}
	if !p.mayPreempt(c) {
		return nil, fwk.NewStatus(fwk.Unschedulable)
	}
	promised, status := p.makeRoom(ctx, c)
	if promised == nil {
		return nil, status
	}
	return &fwk.PostFilterResult{NominatingInfo: nominate(promised[pod.UID])}, status
}

// makeRoom returns the nodes that a claimant is promised once others have ended; nil
// if nobody makes way. The status is the framework's answer.
func (p *preemptor) makeRoom(ctx context.Context, c *claimant) (map[types.UID]string, *fwk.Status) {
	if nodes := p.promisedNodes(c); nodes != nil {
		return nodes, fwk.NewStatus(fwk.Success, "waiting for preempted pods to end")
	}
	if !p.planner.cluster.HasPodsBelow(c.priority) {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "no pod of lower priority runs")
	}
	candidates := p.candidates(c.priority)
	answer, ending, err := p.chooseVictims(c, candidates)
	switch {
	case err != nil:
		return nil, fwk.AsStatus(err)
	case answer.Plan.Refusal != nil:
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, answer.Summary())
	case len(answer.Victims) == 0 && !ending:
		return nil, fwk.NewStatus(fwk.Unschedulable) // something else than room keeps it off
	}
	nodes := p.planner.buildPlan(c.members, answer.Plan, false).nodes
	p.start(ctx, c, nodes, candidates, &answer)
	return nodes, fwk.NewStatus(fwk.Success, fmt.Sprintf("found a placement, preempting %d pods", answer.Price.Pods))
}

// isEnabled reports whether the profile has gangs preempt at all: disabling
// kube-scheduler's own plugin for it says that nobody is preempted.
func (p *preemptor) isEnabled() bool {
	if p.settings.Mode == config.PreemptionOff {
		return false
	}
	profile, ok := p.handle.(interface {
		ListPlugins() *schedulerconfig.Plugins
	})
	return !ok || slices.ContainsFunc(profile.ListPlugins().PodGroupPostFilter.Enabled, func(one schedulerconfig.Plugin) bool {
		return one.Name == names.DefaultPreemption
	})
}

// mayPreempt reports whether victims are chosen here: the planner knows all that the
// claimant asks for, and it preempts at all.
func (p *preemptor) mayPreempt(c *claimant) bool {
	return p.isEnabled() && c.members != nil && c.members.LacksOnlyRoom() && !kube.NeverPreempts(c.waiting)
}

// promisedNodes returns the nodes of a claimant while its victims end; nil if nothing
// is under way for all of its waiting pods. Then it is forgotten.
func (p *preemptor) promisedNodes(c *claimant) map[types.UID]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	making := p.underway[c.uid]
	if making == nil {
		return nil
	}
	known := !slices.ContainsFunc(c.waiting, func(pod *v1.Pod) bool { return kube.IsMember(pod) && making.nodes[pod.UID] == "" })
	if known && p.gangs.now().Before(making.until) && slices.ContainsFunc(making.victims, p.isThere) && p.areUsable(making.nodes) {
		return making.nodes
	}
	delete(p.underway, c.uid)
	return nil
}

// isThere reports whether a victim has not ended.
func (p *preemptor) isThere(v victim) bool {
	known, err := p.handle.SharedInformerFactory().Core().V1().Pods().Lister().Pods(v.pod.Namespace).Get(v.pod.Name)
	return err == nil && known.UID == v.pod.UID
}

// areUsable reports whether nodes are still there and may be used: room on one that
// was cordoned is made for nothing.
func (p *preemptor) areUsable(nodes map[types.UID]string) bool {
	for _, name := range nodes {
		info, err := p.handle.SnapshotSharedLister().NodeInfos().Get(name)
		if err != nil || info.Node() == nil || info.Node().Spec.Unschedulable {
			return false
		}
	}
	return true
}

// candidates reads what may make way for a priority.
func (p *preemptor) candidates(priority int32) *kube.PreemptionCandidates {
	factory := p.handle.SharedInformerFactory()
	budgets, err := factory.Policy().V1().PodDisruptionBudgets().Lister().List(labels.Everything())
	if err != nil {
		budgets = nil // the lister reads memory
	}
	return p.planner.cluster.PreemptionCandidates(&kube.PreemptionRules{
		Priority: priority, Now: p.gangs.now(), MinRuntime: p.settings.MinRuntime.Duration, Budgets: budgets,
		GroupOf: p.runningGroup,
		IsBound: func(pod *v1.Pod) bool {
			known, err := factory.Core().V1().Pods().Lister().Pods(pod.Namespace).Get(pod.Name)
			return err == nil && known.UID == pod.UID && known.Spec.NodeName != ""
		},
	})
}

// runningGroup reads the group of pods that run, and reports whether they run together
// or not at all.
func (p *preemptor) runningGroup(namespace, name string) (kube.RunningGroup, bool) {
	pg, err := p.handle.PodGroupManager().PodGroups().Get(namespace, name)
	if err != nil {
		return kube.RunningGroup{}, false
	}
	return kube.RunningGroupOf(pg, p.gangs.reports.groups.DeclarationOf(pg))
}

// start has the victims end and notes that room is being made.
func (p *preemptor) start(ctx context.Context, c *claimant, nodes map[types.UID]string, candidates *kube.PreemptionCandidates, answer *preemption.Answer) {
	making := &roomMaking{nodes: nodes, until: p.gangs.now()}
	for _, v := range answer.Victims {
		for _, i := range v.Pods {
			pod := candidates.Pods[v.Workload][i]
			making.victims = append(making.victims, victim{pod: pod, gang: candidates.Workloads[v.Workload].Gang, name: candidates.Workloads[v.Workload].Name, whole: v.Whole})
			if until := p.gangs.now().Add(gracePeriodOf(pod) + queue.TerminationSlack); until.After(making.until) {
				making.until = until
			}
		}
	}
	countPreemption(candidates, answer)
	klog.FromContext(ctx).V(2).Info("Preempting", "for", c.words, "priority", c.priority, "pods", answer.Price.Pods,
		"gangs", answer.Price.Gangs, "gpuSecondsLost", answer.Price.Work, "budgetsExceeded", answer.Price.Budgets, "cheapest", answer.Proven, "victims", victimNames(making.victims))
	if len(making.victims) == 0 {
		return // what ends already is enough
	}
	p.mu.Lock()
	p.underway[c.uid] = making
	p.mu.Unlock()
	why := fmt.Sprintf("%s (priority %d) takes this room", c.words, c.priority)
	p.gangs.calls.start(context.WithoutCancel(ctx), namespaceOf(c.name), func(ctx context.Context) {
		if err := p.victims.evictAll(ctx, making.victims, making.nodes, why); err != nil {
			klog.FromContext(ctx).Error(err, "Could not preempt; trying again", "for", c.words)
			p.forget(c.uid)
			c.retry(ctx)
		}
	})
}

// forget ends what is under way for a claimant: it starts, or is gone.
func (p *preemptor) forget(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.underway, uid)
}

// forgetEnded drops what is over: victims that should have ended by now.
func (p *preemptor) forgetEnded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.underway, func(_ types.UID, making *roomMaking) bool { return p.gangs.now().After(making.until) })
}

// nominations names the planned nodes of the members.
func nominations(waiting []*v1.Pod, nodes map[types.UID]string) *fwk.PodGroupPostFilterResult {
	infos := make(map[types.NamespacedName]*fwk.NominatingInfo, len(waiting))
	for _, pod := range waiting {
		if node := nodes[pod.UID]; node != "" {
			infos[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = nominate(node)
		}
	}
	return &fwk.PodGroupPostFilterResult{NominatingInfos: infos}
}

func nominate(node string) *fwk.NominatingInfo {
	return &fwk.NominatingInfo{NominatingMode: fwk.ModeOverride, NominatedNodeName: node}
}

// chooseVictims asks who makes way for a claimant: beside what is held for others,
// and with the room of pods that end already, if there are any.
func (p *preemptor) chooseVictims(c *claimant, candidates *kube.PreemptionCandidates) (answer preemption.Answer, ending bool, err error) {
	planner := p.planner
	held := planner.rowsOf(c.held())
	freed := planner.rowsOf(ask(p.gangs, func(core *queue.Queue) []queue.NodeAmount { return core.Terminating(p.gangs.now()) }))
	planner.allocate(held)
	planner.release(freed)
	defer func() {
		planner.allocate(freed)
		planner.release(held)
	}()
	problem := &preemption.Problem{
		Usage: planner.cluster.Usage(), Gang: &c.members.Gang, Priority: c.priority,
		Workloads: candidates.Workloads, Budgets: candidates.Budgets, Strict: p.settings.Budgets == config.BudgetsStrict,
	}
	answer = preemption.ChooseVictims(planner.engine, problem)
	if err := preemption.CheckRules(problem, answer); err != nil {
		return answer, false, fmt.Errorf("nobody is preempted, since the choice breaks a rule: %w", err)
	}
	return answer, len(freed) > 0, nil
}
