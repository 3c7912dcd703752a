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
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	schedulerconfig "k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
	"github.com/muster-scheduler/muster/pkg/preemption"
	"github.com/muster-scheduler/muster/pkg/queue"
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
	underway map[types.UID]*roomMaking // by group
}

// roomMaking is a preemption of which not all victims have ended.
type roomMaking struct {
	gang  string // namespace/name
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

// makeRoom answers for a gang that the planner refused: the nodes that it is
// promised once others have ended, or that nobody makes way.
func (p *preemptor) makeRoom(ctx context.Context, group fwk.PodGroupInfo, refused *gangPlan) (*fwk.PodGroupPostFilterResult, *fwk.Status) {
	pg := group.GetPodGroup()
	waiting := group.GetUnscheduledPods()
	if !p.mayPreempt(refused, waiting) {
		return nil, fwk.NewStatus(fwk.Unschedulable)
	}
	if nodes := p.promisedNodes(pg, waiting); nodes != nil {
		return nominations(waiting, nodes), fwk.NewStatus(fwk.Success, "waiting for preempted pods to end")
	}
	priority := priorityOf(pg)
	if !p.planner.cluster.HasPodsBelow(priority) {
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, "no pod of lower priority runs")
	}
	candidates := p.candidates(priority)
	answer, err := p.chooseVictims(pg, refused.members, candidates)
	switch {
	case err != nil:
		return nil, fwk.AsStatus(err)
	case answer.Plan.Refusal != nil:
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, answer.Summary())
	}
	nodes := p.planner.buildPlan(refused.members, answer.Plan).nodes
	p.start(ctx, pg, nodes, candidates, &answer)
	return nominations(waiting, nodes), fwk.NewStatus(fwk.Success, fmt.Sprintf("found a placement, preempting %d pods", answer.Price.Pods))
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
// gang asks for, only room is missing, and the gang preempts at all.
func (p *preemptor) mayPreempt(refused *gangPlan, waiting []*v1.Pod) bool {
	if !p.isEnabled() || refused.members == nil || refused.members.Unmodelled != "" || refused.refusal.Reason != string(kube.NoFittingDomain) {
		return false
	}
	return !slices.ContainsFunc(waiting, func(pod *v1.Pod) bool {
		return pod.Spec.PreemptionPolicy != nil && *pod.Spec.PreemptionPolicy == v1.PreemptNever
	})
}

// promisedNodes returns the nodes of a gang while its victims end; nil if nothing is
// under way for all of its waiting members. Then it is forgotten.
func (p *preemptor) promisedNodes(pg *schedulingapi.PodGroup, waiting []*v1.Pod) map[types.UID]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	making := p.underway[pg.UID]
	if making == nil {
		return nil
	}
	known := !slices.ContainsFunc(waiting, func(pod *v1.Pod) bool { return kube.IsMember(pod) && making.nodes[pod.UID] == "" })
	if known && p.gangs.now().Before(making.until) && slices.ContainsFunc(making.victims, p.isThere) && p.areUsable(making.nodes) {
		return making.nodes
	}
	delete(p.underway, pg.UID)
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
	mode := pg.Spec.DisruptionMode
	whole := mode != nil && mode.All != nil
	if pg.Spec.SchedulingPolicy.Gang == nil {
		return kube.RunningGroup{Whole: whole}, whole
	}
	declaration := p.gangs.reports.groups.DeclarationOf(pg)
	if declaration != nil && len(declaration.Roles) > 0 {
		whole = true // which members of which role could go is not known here
	}
	return kube.RunningGroup{Minimum: kube.RunningMinimum(pg, declaration), Whole: whole}, true
}

// start has the victims end and notes that room is being made.
func (p *preemptor) start(ctx context.Context, pg *schedulingapi.PodGroup, nodes map[types.UID]string, candidates *kube.PreemptionCandidates, answer *preemption.Answer) {
	making := &roomMaking{gang: pg.Namespace + "/" + pg.Name, nodes: nodes, until: p.gangs.now()}
	for _, v := range answer.Victims {
		for _, i := range v.Pods {
			pod := candidates.Pods[v.Workload][i]
			making.victims = append(making.victims, victim{pod: pod, gang: candidates.Workloads[v.Workload].Gang, name: candidates.Workloads[v.Workload].Name, whole: v.Whole})
			making.until = latest(making.until, p.gangs.now().Add(gracePeriodOf(pod)+victimSlack))
		}
	}
	countPreemption(candidates, answer)
	klog.FromContext(ctx).V(2).Info("Preempting for gang", "gang", klog.KObj(pg), "priority", priorityOf(pg), "pods", answer.Price.Pods,
		"gangs", answer.Price.Gangs, "gpuSecondsLost", answer.Price.Work, "budgetsExceeded", answer.Price.Budgets, "cheapest", answer.Proven, "victims", victimNames(making.victims))
	if len(making.victims) == 0 {
		return // what ends already is enough
	}
	p.mu.Lock()
	p.underway[pg.UID] = making
	p.mu.Unlock()
	why := preemptionNote(pg, priorityOf(pg))
	p.gangs.calls.start(context.WithoutCancel(ctx), pg.Namespace, func(ctx context.Context) {
		if err := p.victims.evictAll(ctx, pg, making.victims, why); err != nil {
			klog.FromContext(ctx).Error(err, "Could not preempt; the gang is planned again", "gang", klog.KObj(pg))
			p.forget(pg.UID)
			p.gangs.clearNominations(ctx, making.gang)
			p.gangs.activateGang(ctx, queue.Activate{Name: making.gang})
		}
	})
}

// forget ends what is under way for a gang: it starts, or is gone.
func (p *preemptor) forget(group types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.underway, group)
}

// forgetEnded drops what is over: groups that are gone, and times that have passed.
func (p *preemptor) forgetEnded(alive sets.Set[types.UID]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.underway, func(group types.UID, making *roomMaking) bool {
		return !alive.Has(group) || p.gangs.now().After(making.until)
	})
}

// nominations names the planned nodes of the members.
func nominations(waiting []*v1.Pod, nodes map[types.UID]string) *fwk.PodGroupPostFilterResult {
	infos := make(map[types.NamespacedName]*fwk.NominatingInfo, len(waiting))
	for _, pod := range waiting {
		if node := nodes[pod.UID]; node != "" {
			infos[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] = &fwk.NominatingInfo{NominatingMode: fwk.ModeOverride, NominatedNodeName: node}
		}
	}
	return &fwk.PodGroupPostFilterResult{NominatingInfos: infos}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// chooseVictims asks who makes way for a refused gang: beside what is held for
// others, and with the room of pods that end already.
func (p *preemptor) chooseVictims(pg *schedulingapi.PodGroup, members *kube.Members, candidates *kube.PreemptionCandidates) (preemption.Answer, error) {
	planner := p.planner
	held := planner.rowsOf(planner.heldAgainst(pg))
	ending := planner.rowsOf(ask(p.gangs, func(core *queue.Queue) []queue.NodeAmount { return core.Terminating(p.gangs.now()) }))
	for _, row := range held {
		planner.engine.AllocateOn(row.node, row.amounts)
	}
	for _, row := range ending {
		planner.engine.ReleaseOn(row.node, row.amounts)
	}
	defer func() {
		for _, row := range ending {
			planner.engine.AllocateOn(row.node, row.amounts)
		}
		for _, row := range held {
			planner.engine.ReleaseOn(row.node, row.amounts)
		}
	}()
	problem := &preemption.Problem{
		Usage: planner.cluster.Usage(), Gang: &members.Gang, Priority: priorityOf(pg),
		Workloads: candidates.Workloads, Budgets: candidates.Budgets, Strict: p.settings.Budgets == config.BudgetsStrict,
	}
	answer := preemption.ChooseVictims(planner.engine, problem)
	if err := preemption.CheckRules(problem, answer); err != nil {
		return answer, fmt.Errorf("nobody is preempted, since the choice breaks a rule: %w", err)
	}
	return answer, nil
}
