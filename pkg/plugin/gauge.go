// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-base/metrics"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// The phases of gangs. Only those that wait, or began without all of their
// members, have a reason.
const (
	// phaseQueued: it may be tried, or is being planned.
	phaseQueued = "queued"
	// phaseGated: a member has a scheduling gate, as Kueue sets it.
	phaseGated = "gated"
	// phaseWaiting: it is kept out of the queue; the reason says why.
	phaseWaiting = "waiting"
	// phaseBinding: members are reserved or being bound.
	phaseBinding = "binding"
	// phasePartial: some members are bound, fewer than it needs, and others
	// wait.
	phasePartial = "partial"
	// phaseRunning: it has the members that it needs, or those that are left
	// of it wait for nothing.
	phaseRunning = "running"
)

var (
	leadingDesc = desc("muster_leading", "1 where this replica schedules, 0 where it stands by.")
	gangsDesc   = desc("muster_gangs", "Gangs with pods that are not done, by phase and by the reason for which they wait.", "phase", "reason")
	partialDesc = desc("muster_partial_gangs", "Gangs of which some members are bound, fewer than they need, while others wait.")
)

func desc(name, help string, labels ...string) *metrics.Desc {
	return metrics.NewDesc(name, help, labels, nil, metrics.ALPHA, "")
}

// collector counts gangs and room when it is asked, from what the scheduler has
// in memory: nothing is kept up to date between two scrapes, and a new leader
// tells the same as the old one. Replicas that stand by tell of no gangs.
type collector struct {
	metrics.BaseStableCollector

	mu      sync.Mutex
	plugins []*Plugin // one for each profile
}

var observed = &collector{}

// follow has a plugin counted until ctx ends.
func (c *collector) follow(ctx context.Context, pl *Plugin) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.plugins = append(c.plugins, pl)
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.plugins = slices.DeleteFunc(c.plugins, func(one *Plugin) bool { return one == pl })
	})
}

// DescribeWithStability names the metrics.
func (c *collector) DescribeWithStability(ch chan<- *metrics.Desc) {
	for _, d := range slices.Concat([]*metrics.Desc{leadingDesc, gangsDesc, partialDesc}, fleetDescs) {
		ch <- d
	}
}

// CollectWithStability counts.
func (c *collector) CollectWithStability(ch chan<- metrics.Metric) {
	c.mu.Lock()
	leading := slices.DeleteFunc(slices.Clone(c.plugins), func(pl *Plugin) bool { return !pl.leads() })
	c.mu.Unlock()
	ch <- metrics.NewLazyConstMetric(leadingDesc, metrics.GaugeValue, float64(min(1, len(leading))))
	if len(leading) == 0 {
		return
	}
	count := tally{}
	for _, pl := range leading {
		pl.countGangs(count)
	}
	count.send(ch)
	leading[0].fleet().send(ch) // all profiles see the same nodes
}

func (pl *Plugin) leads() bool {
	select {
	case <-pl.reports.groups.Leading():
		return true
	default:
		return false
	}
}

// standing is where a gang stands.
type standing struct{ phase, reason string }

// tally is a number of gangs by where they stand.
type tally map[standing]int

func (t tally) send(ch chan<- metrics.Metric) {
	for _, phase := range []string{phaseQueued, phaseGated, phaseBinding, phasePartial, phaseRunning} {
		t[standing{phase: phase}] += 0
	}
	for _, reason := range waitReasons {
		t[standing{phaseWaiting, string(reason)}] += 0
	}
	partial := 0
	for s, n := range t {
		ch <- metrics.NewLazyConstMetric(gangsDesc, metrics.GaugeValue, float64(n), s.phase, s.reason)
		if s.phase == phasePartial {
			partial += n
		}
	}
	ch <- metrics.NewLazyConstMetric(partialDesc, metrics.GaugeValue, float64(partial))
}

// countGangs adds the gangs whose pods are of this plugin's profile.
func (pl *Plugin) countGangs(count tally) {
	for key, pod := range pl.oneOfEach() {
		pg, err := pl.handle.PodGroupManager().PodGroups().Get(key.Namespace, key.Name)
		switch {
		case err == nil && pg.Spec.SchedulingPolicy.Gang != nil:
			count[pl.standing(pg, pod)]++
		case err != nil && pod.Spec.NodeName == "":
			count[standing{phaseWaiting, string(kube.GangNotFound)}]++
		}
	}
}

// oneOfEach finds a pod of each group: one with a scheduling gate if there is
// any, else one without a node if there is any.
func (pl *Plugin) oneOfEach() map[types.NamespacedName]*v1.Pod {
	pods, err := pl.handle.SharedInformerFactory().Core().V1().Pods().Lister().List(labels.Everything())
	if err != nil {
		return nil // the lister reads memory
	}
	one := map[types.NamespacedName]*v1.Pod{}
	for _, pod := range pods {
		group := kube.GroupOf(pod)
		if group == "" || pod.Spec.SchedulerName != pl.handle.ProfileName() || podutil.IsPodTerminal(pod) {
			continue
		}
		key := types.NamespacedName{Namespace: pod.Namespace, Name: group}
		if one[key] == nil || pod.Spec.NodeName == "" && len(one[key].Spec.SchedulingGates) == 0 {
			one[key] = pod
		}
	}
	return one
}

// standing tells where a gang stands, as the scheduler's cache knows it; pod is
// the member that oneOfEach found.
func (pl *Plugin) standing(pg *schedulingapi.PodGroup, pod *v1.Pod) standing {
	state, err := pl.handle.PodGroupManager().PodGroupStates().Get(pg.Namespace, pg.Name)
	if err != nil {
		return standing{phase: phaseQueued} // its first pod is on the way to the cache
	}
	have := state.ScheduledPodsCount()
	switch {
	case state.AssumedPods().Len() > 0:
		return standing{phase: phaseBinding}
	case have >= max(kube.RunningMinimum(pg, pl.reports.groups.DeclarationOf(pg)), 1), have > 0 && have == state.AllPodsCount():
		return standing{phase: phaseRunning}
	}
	var reason string
	if _, why := pl.fit(pg, state); why != nil {
		reason = reasonLabel(why.reason)
	} else if why := pl.gangs.refusal(pg.UID); why != nil {
		reason = reasonLabel(why.reason)
	}
	switch {
	case have > 0:
		return standing{phasePartial, reason}
	case reason == "" && len(pod.Spec.SchedulingGates) > 0:
		return standing{phase: phaseGated}
	case reason == "":
		return standing{phase: phaseQueued}
	}
	return standing{phaseWaiting, reason}
}

// refusal is why a gang was last refused, nil if it may be tried.
func (r *registry) refusal(uid types.UID) *verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g, ok := r.gangs[uid]; ok {
		return g.refusal
	}
	return nil
}
