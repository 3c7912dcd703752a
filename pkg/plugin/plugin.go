// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// Name is the plugin's name in a scheduler profile.
const Name = "Muster"

// Plugin places pod groups all-or-nothing. Its methods are the extension points of
// the framework, in the order in which a gang meets them: each reads its arguments,
// asks the part that knows, and maps the answer to a status.
type Plugin struct {
	handle    fwk.Handle
	gangs     *gangQueue
	barriers  *barriers
	planner   *planner
	preemptor *preemptor
	scorer    *podScorer
	metrics   *gangCollector
}

var (
	_ fwk.QueueSortPlugin          = &Plugin{}
	_ fwk.PreEnqueuePlugin         = &Plugin{}
	_ fwk.EnqueueExtensions        = &Plugin{}
	_ fwk.PlacementGeneratePlugin  = &Plugin{}
	_ fwk.PreFilterPlugin          = &Plugin{}
	_ fwk.FilterPlugin             = &Plugin{}
	_ fwk.PostFilterPlugin         = &Plugin{}
	_ fwk.PreScorePlugin           = &Plugin{}
	_ fwk.ScorePlugin              = &Plugin{}
	_ fwk.PodGroupPostFilterPlugin = &Plugin{}
	_ fwk.ReservePlugin            = &Plugin{}
	_ fwk.PermitPlugin             = &Plugin{}
	_ fwk.PostBindPlugin           = &Plugin{}
)

// Factory returns what the scheduler's registry needs to build the plugin.
// Groups is where verdicts on groups are written.
func Factory(groups Groups) frameworkruntime.PluginFactory {
	return func(ctx context.Context, obj runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		args, err := config.Decode(obj)
		if err != nil {
			return nil, err
		}
		return New(ctx, args, handle, groups)
	}
}

// New builds the plugin. Its background work ends with ctx.
func New(ctx context.Context, args *config.Args, handle fwk.Handle, groups Groups) (*Plugin, error) {
	registerMetrics()
	reports := newReporter(handle, groups)
	reports.incompleteDelay = args.IncompleteDelay.Duration
	gangs := newGangQueue(handle, args.TopologyLevels(), reports, queueConfig(args))
	barriers := newBarriers(gangs, args.BarrierTimeout.Duration)
	gpus := newGPUInventory(&args.GPUs, handle.SharedDRAManager())
	planner := newPlanner(args, gangs, barriers)
	preemptor := newPreemptor(args, gangs, planner)
	pl := &Plugin{
		handle: handle, gangs: gangs, barriers: barriers, planner: planner, preemptor: preemptor,
		scorer:  &podScorer{handle: handle, gpus: gpus, planner: planner, reports: reports},
		metrics: &gangCollector{handle: handle, gangs: gangs, levels: args.TopologyLevels()},
	}
	if err := indexByNode(handle.SharedInformerFactory().Core().V1().Pods().Informer()); err != nil {
		return nil, err
	}
	if err := watchCluster(gangs); err != nil {
		return nil, err
	}
	if err := watchVolumes(gangs, handle.SharedInformerFactory()); err != nil {
		return nil, err
	}
	if manager := handle.SharedDRAManager(); manager != nil {
		planner.countDevices(manager)
		if err := watchDevices(gangs, handle.SharedInformerFactory()); err != nil {
			return nil, err
		}
	}
	if err := gpus.watchNodesAndPods(handle.SharedInformerFactory()); err != nil {
		return nil, err
	}
	collector.followProfile(ctx, pl.metrics)
	work := &background{gangs: gangs, barriers: barriers, gpus: gpus, preemptor: preemptor}
	groups.BeforeLeading(func() { gangs.takeOver(ctx) })
	go work.runWhileLeading(ctx, groups.Leading())
	return pl, nil
}

// Name returns the plugin's name.
func (pl *Plugin) Name() string { return Name }

// Less orders the queue: see queue.Key.
func (pl *Plugin) Less(a, b fwk.QueuedEntityInfo) bool {
	return keyOfEntity(pl.gangs, a).Before(keyOfEntity(pl.gangs, b))
}

// EventsToRegister names the events that can help a single pod that Muster kept
// off every node. The queue asks about each pending pod at each such event: what
// helps gangs is followed by watchCluster instead, and single pods that met room
// which is kept for a gang are activated when that ends.
func (pl *Plugin) EventsToRegister(context.Context) ([]fwk.ClusterEventWithHint, error) {
	return []fwk.ClusterEventWithHint{
		{Event: fwk.ClusterEvent{Resource: fwk.Node, ActionType: nodeChanges}, QueueingHintFn: hintSingle},
		{Event: fwk.ClusterEvent{Resource: fwk.TargetPod, ActionType: fwk.UpdatePodLabel}, QueueingHintFn: hintSingle},
	}, nil
}

// PreEnqueue lets a gang into the queue once it is valid and has all the members
// it needs, and keeps one out that was refused while nothing changed. A pod whose
// gang cannot be told stays out too: it never runs on its own.
func (pl *Plugin) PreEnqueue(_ context.Context, pod *v1.Pod) *fwk.Status {
	group := kube.GroupOf(pod)
	if group == "" {
		pl.gangs.podArrived(pod)
		return nil
	}
	pg, err := pl.handle.PodGroupManager().PodGroups().Get(pod.Namespace, group)
	if err != nil {
		return statusOf(newVerdict(kube.GangNotFound, "pod group %s is not known yet", group))
	}
	if pg.Spec.SchedulingPolicy.Gang == nil {
		return nil
	}
	state, err := pl.handle.PodGroupManager().PodGroupStates().Get(pod.Namespace, group)
	if err != nil {
		return fwk.AsStatus(err)
	}
	return statusOf(pl.gangs.requestEntry(pg, state, pod))
}

// GeneratePlacements plans the whole gang and offers the scheduler exactly one
// placement: the nodes of the plan, or all nodes of its domain where other plugins choose
// among them. A gang without room is refused here, with
// numbers, before any of its members is tried.
//
// kube-scheduler calls it once for the attempt, and again within the same attempt
// for each what-if of preemption; those leave no trace.
func (pl *Plugin) GeneratePlacements(ctx context.Context, state fwk.PodGroupCycleState, group fwk.PodGroupInfo, parent *fwk.Placement) (*fwk.GeneratePlacementsResult, *fwk.Status) {
	pg := group.GetPodGroup()
	if pg == nil || pg.Spec.SchedulingPolicy.Gang == nil {
		return &fwk.GeneratePlacementsResult{Placements: []*fwk.Placement{parent}}, nil
	}
	attempt := newAttempt(pl.gangs, pl.planner, pg)
	plan, err := pl.planner.planAttempt(group, parent.Nodes, attempt.whatIf)
	if err != nil {
		return nil, fwk.AsStatus(fmt.Errorf("planning gang %s/%s: %w", pg.Namespace, pg.Name, err))
	}
	if refusal := attempt.reportAnswer(ctx, plan); refusal != nil {
		state.Write(refusedKey, plan)
		return nil, statusOf(refusal)
	}
	pl.preemptor.forget(pg.UID)
	plan.barrier = pl.barriers.newBarrier(pg, plan, attempt.start)
	state.Write(planKey, plan)
	return &fwk.GeneratePlacementsResult{Placements: []*fwk.Placement{plan.placement}}, nil
}

// PreFilter pins a member to its planned node. For a single pod it reads what the
// pod demands of its node.
func (pl *Plugin) PreFilter(_ context.Context, state fwk.CycleState, pod *v1.Pod, nodes []fwk.NodeInfo) (*fwk.PreFilterResult, *fwk.Status) {
	plan := planOf(state)
	if plan == nil {
		return pl.scorer.preFilterSingle(state, pod, nodes)
	}
	state.Write(planKey, plan)
	return pl.scorer.preFilterMember(plan, pod)
}

// PreFilterExtensions returns nil: nothing here depends on other pods.
func (pl *Plugin) PreFilterExtensions() fwk.PreFilterExtensions { return nil }

// Filter keeps a member of a gang on its planned node, and a single pod off nodes
// that are not what it demands or are kept for others.
func (pl *Plugin) Filter(_ context.Context, state fwk.CycleState, pod *v1.Pod, node fwk.NodeInfo) *fwk.Status {
	if plan := planOf(state); plan != nil {
		return plan.checkNode(pod, node)
	}
	return pl.scorer.filterSingle(state, node)
}

// PreScore reads what the nodes are scored by.
func (pl *Plugin) PreScore(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ []fwk.NodeInfo) *fwk.Status {
	return pl.scorer.preScore(state, pod)
}

// Score is how well a node suits a pod.
func (pl *Plugin) Score(_ context.Context, state fwk.CycleState, _ *v1.Pod, node fwk.NodeInfo) (int64, *fwk.Status) {
	return pl.scorer.scoreNode(state, node)
}

// ScoreExtensions returns the plugin itself, see NormalizeScore.
func (pl *Plugin) ScoreExtensions() fwk.ScoreExtensions { return pl }

// NormalizeScore brings the scores of a pod with devices to the framework's scale.
func (pl *Plugin) NormalizeScore(ctx context.Context, state fwk.CycleState, pod *v1.Pod, scores fwk.NodeScoreList) *fwk.Status {
	return pl.scorer.normalizeScores(ctx, state, pod, scores)
}

// PostFilter makes room for a single pod that fits on no node.
func (pl *Plugin) PostFilter(ctx context.Context, _ fwk.CycleState, pod *v1.Pod, statuses fwk.NodeToStatusReader) (*fwk.PostFilterResult, *fwk.Status) {
	demands, err := pl.scorer.gpus.requirementsOf(pod)
	if err != nil {
		return nil, fwk.NewStatus(fwk.Unschedulable)
	}
	return pl.preemptor.makeRoomForPod(ctx, pod, demands, statuses)
}

// PodGroupPostFilter makes room for a gang that the planner refused, and reports one
// that was planned, but whose plan other plugins refused: they know constraints that
// the planner does not.
func (pl *Plugin) PodGroupPostFilter(ctx context.Context, state fwk.PodGroupCycleState, group fwk.PodGroupInfo, _ fwk.PodGroupSchedulingFunc) (*fwk.PodGroupPostFilterResult, *fwk.Status) {
	data, err := state.Read(planKey)
	if err != nil {
		refused, err := state.Read(refusedKey)
		if err != nil {
			return nil, fwk.NewStatus(fwk.Unschedulable)
		}
		return pl.preemptor.makeRoomForGang(ctx, group, refused.(*gangPlan))
	}
	why, more := refusedByPlugins(ctx, pl.gangs, pl.planner, group, data.(*gangPlan))
	if more { // nobody makes way before the other domains were tried
		return nil, fwk.NewStatus(fwk.UnschedulableAndUnresolvable, textOf(why))
	}
	return nil, fwk.NewStatus(fwk.Unschedulable, textOf(why))
}

// Reserve notes, in the scheduler's simulation of a gang, that a member found its
// node: the barrier will wait for it.
func (pl *Plugin) Reserve(_ context.Context, state fwk.CycleState, pod *v1.Pod, _ string) *fwk.Status {
	pl.gangs.podAssigned(pod)
	if plan := planOf(state); plan != nil && state.IsPodGroupSchedulingCycle() {
		plan.barrier.expectMember(pod)
	}
	return nil
}

// Unreserve releases the siblings of a member that failed after the simulation,
// and notes the room that a pod gives back. The simulation itself takes every
// reservation back, which means nothing.
func (pl *Plugin) Unreserve(_ context.Context, state fwk.CycleState, pod *v1.Pod, node string) {
	if state.IsPodGroupSchedulingCycle() {
		return
	}
	pl.gangs.step(queue.PodReleased{Pod: string(pod.UID), Node: node, Gave: requestsOf(pod)})
	if plan := planOf(state); plan != nil {
		plan.barrier.onUnreserved(pod)
	}
}

// Permit holds a member until its siblings are reserved as well.
func (pl *Plugin) Permit(_ context.Context, state fwk.CycleState, pod *v1.Pod, node string) (*fwk.Status, time.Duration) {
	plan := planOf(state)
	if plan == nil {
		return nil, 0
	}
	return plan.barrier.onReserved(pod, node)
}

// PostBind notes that a member is bound; the last one ends the gang's wait.
func (pl *Plugin) PostBind(_ context.Context, state fwk.CycleState, _ *v1.Pod, _ string) {
	if plan := planOf(state); plan != nil {
		plan.barrier.onBound(pl.gangs.now())
	}
}

// History returns the last decisions on gangs, the oldest first; with a gang, as
// namespace/name of its group, only those on it.
func (pl *Plugin) History(gang string) []queue.Decision {
	return ask(pl.gangs, func(core *queue.Queue) []queue.Decision { return core.History(gang) })
}

func hintSingle(_ klog.Logger, pod *v1.Pod, _, _ any) (fwk.QueueingHint, error) {
	if kube.GroupOf(pod) != "" {
		return fwk.QueueSkip, nil
	}
	return fwk.Queue, nil
}
