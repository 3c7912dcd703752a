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
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

var (
	leadingDesc = newDesc("muster_leading", "1 where this replica schedules, 0 where it stands by.")
	gangsDesc   = newDesc("muster_gangs", "Gangs with pods that are not done, by phase and by the reason for which they wait.", "phase", "reason")
	partialDesc = newDesc("muster_partial_gangs", "Gangs of which some members are bound, fewer than they need, while others wait.")
	oldestDesc  = newDesc("muster_oldest_waiting_seconds", "Age of the gang that has waited longest, by the reason for which it waits and the number of its pods.", "reason", "size")
	waitingDesc = newDesc("muster_waiting_gpus", "GPUs that the members of waiting gangs ask for, by the reason for which they wait and the number of their pods.", "reason", "size")

	gangDescs = []*metrics.Desc{leadingDesc, gangsDesc, partialDesc, oldestDesc, waitingDesc}
)

func newDesc(name, help string, labels ...string) *metrics.Desc {
	return metrics.NewDesc(name, help, labels, nil, metrics.ALPHA, "")
}

// profileCollector counts gangs and GPUs when it is asked, from what the scheduler
// has in memory: nothing is kept up to date between two scrapes, a scrape changes
// nothing, and a new leader tells the same as the old one. Replicas that stand by
// tell of no gangs.
type profileCollector struct {
	metrics.BaseStableCollector

	mu       sync.Mutex
	profiles []*gangCollector
}

var collector = &profileCollector{}

// followProfile has a profile counted until ctx ends.
func (c *profileCollector) followProfile(ctx context.Context, profile *gangCollector) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.profiles = append(c.profiles, profile)
	context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.profiles = slices.DeleteFunc(c.profiles, func(one *gangCollector) bool { return one == profile })
	})
}

// DescribeWithStability names the metrics.
func (c *profileCollector) DescribeWithStability(ch chan<- *metrics.Desc) {
	for _, d := range slices.Concat(gangDescs, gpuDescs) {
		ch <- d
	}
}

// CollectWithStability counts.
func (c *profileCollector) CollectWithStability(ch chan<- metrics.Metric) {
	c.mu.Lock()
	leading := slices.DeleteFunc(slices.Clone(c.profiles), func(one *gangCollector) bool { return !one.isLeading() })
	c.mu.Unlock()
	ch <- metrics.NewLazyConstMetric(leadingDesc, metrics.GaugeValue, float64(min(1, len(leading))))
	if len(leading) == 0 {
		return
	}
	count := newGangTally()
	for _, one := range leading {
		one.countGangs(count)
	}
	count.sendMetrics(ch)
	leading[0].gpuTotals().sendMetrics(ch) // all profiles see the same nodes
}

// gangCollector counts the gangs whose pods are of one profile.
type gangCollector struct {
	handle fwk.Handle
	gangs  *gangQueue
	levels kube.Levels
}

func (c *gangCollector) isLeading() bool {
	select {
	case <-c.gangs.reports.groups.Leading():
		return true
	default:
		return false
	}
}

// groupPods is what the pods of one group come to.
type groupPods struct {
	example     *v1.Pod // one with a gate if there is any, else one without a node
	pods, gated int
	waitingGPUs int64
}

// countGangs adds the gangs of this profile.
func (c *gangCollector) countGangs(count *gangTally) {
	now := c.gangs.now()
	for key, pods := range c.podsByGroup() {
		pg, err := c.handle.PodGroupManager().PodGroups().Get(key.Namespace, key.Name)
		switch {
		case err == nil && pg.Spec.SchedulingPolicy.Gang != nil:
			status := c.statusOf(pg, pods)
			count.addGang(status, pods, now.Sub(pg.CreationTimestamp.Time).Seconds())
		case err != nil && pods.example.Spec.NodeName == "":
			count.addGang(queue.Status{Phase: queue.Waiting, Reason: string(kube.GangNotFound)}, pods, now.Sub(pods.example.CreationTimestamp.Time).Seconds())
		}
	}
}

// podsByGroup counts the pods of each group that are not done.
func (c *gangCollector) podsByGroup() map[types.NamespacedName]*groupPods {
	pods, err := c.handle.SharedInformerFactory().Core().V1().Pods().Lister().List(labels.Everything())
	if err != nil {
		return nil // the lister reads memory
	}
	groups := map[types.NamespacedName]*groupPods{}
	for _, pod := range pods {
		group := kube.GroupOf(pod)
		if group == "" || pod.Spec.SchedulerName != c.handle.ProfileName() || kube.MemberStateOf(pod).HasEnded() {
			continue
		}
		key := types.NamespacedName{Namespace: pod.Namespace, Name: group}
		if groups[key] == nil {
			groups[key] = &groupPods{example: pod}
		}
		groups[key].addPod(pod)
	}
	return groups
}

func (g *groupPods) addPod(pod *v1.Pod) {
	g.pods++
	if pod.Spec.NodeName != "" {
		return
	}
	state := kube.MemberStateOf(pod)
	if state.IsMember() {
		g.waitingGPUs += gpusOf(pod)
	}
	if state == kube.MemberGated {
		g.gated++
	}
	if !kube.IsGated(g.example) {
		g.example = pod
	}
}

// statusOf says what a gang does, as the scheduler's cache knows it.
func (c *gangCollector) statusOf(pg *schedulingapi.PodGroup, pods *groupPods) queue.Status {
	state, err := c.handle.PodGroupManager().PodGroupStates().Get(pg.Namespace, pg.Name)
	declaration := c.gangs.reports.groups.DeclarationOf(pg)
	var ready queue.Readiness
	switch {
	case err == nil:
		ready = c.gangs.readinessOf(pg, declaration, state)
		ready.Assumed = state.AssumedPods().Len()
	case pods.gated > 0: // all of them, as a rule
		ready = c.gangs.readinessOf(pg, declaration, nil)
	default:
		return queue.Status{Phase: queue.Queued} // its first pod is on the way to the cache
	}
	return queue.StatusOf(ready, ask(c.gangs, func(core *queue.Queue) *queue.Verdict { return core.Refusal(queue.GangID(pg.UID)) }))
}

// gangTally is a number of gangs by what they do, and of those that wait the
// oldest and the GPUs that they ask for, by reason and size.
type gangTally struct {
	gangs   map[queue.Status]int // without messages
	oldest  map[waitingClass]float64
	waiting map[waitingClass]int64
}

type waitingClass struct{ reason, size string }

func newGangTally() *gangTally {
	t := &gangTally{gangs: map[queue.Status]int{}, oldest: map[waitingClass]float64{}, waiting: map[waitingClass]int64{}}
	for _, phase := range queue.Phases() {
		if phase != queue.Waiting {
			t.gangs[queue.Status{Phase: phase}] = 0
		}
	}
	for _, reason := range waitReasons {
		t.gangs[queue.Status{Phase: queue.Waiting, Reason: string(reason)}] = 0
	}
	return t
}

func (t *gangTally) addGang(s queue.Status, pods *groupPods, age float64) {
	reason := s.Reason
	if reason != "" {
		reason = reasonLabel(kube.Reason(reason))
	}
	switch s.Phase {
	case queue.Queued, queue.Gated, queue.Binding, queue.Running:
		t.gangs[queue.Status{Phase: s.Phase}]++
	case queue.Waiting, queue.Partial:
		t.gangs[queue.Status{Phase: s.Phase, Reason: reason}]++
	}
	if s.Phase == queue.Running || s.Phase == queue.Binding {
		return
	}
	if reason == "" || s.Phase == queue.Gated {
		reason = string(s.Phase)
	}
	class := waitingClass{reason, sizeLabel(pods.pods)}
	t.oldest[class] = max(t.oldest[class], age)
	t.waiting[class] += pods.waitingGPUs
}

func (t *gangTally) sendMetrics(ch chan<- metrics.Metric) {
	partial := 0
	for s, n := range t.gangs {
		ch <- metrics.NewLazyConstMetric(gangsDesc, metrics.GaugeValue, float64(n), string(s.Phase), s.Reason)
		if s.Phase == queue.Partial {
			partial += n
		}
	}
	ch <- metrics.NewLazyConstMetric(partialDesc, metrics.GaugeValue, float64(partial))
	for class, age := range t.oldest {
		ch <- metrics.NewLazyConstMetric(oldestDesc, metrics.GaugeValue, age, class.reason, class.size)
	}
	for class, gpus := range t.waiting {
		ch <- metrics.NewLazyConstMetric(waitingDesc, metrics.GaugeValue, float64(gpus), class.reason, class.size)
	}
}

// gpuTotals counts the GPUs from the nodes and pods in the scheduler's memory.
func (c *gangCollector) gpuTotals() *gpuTotals {
	factory := c.handle.SharedInformerFactory().Core().V1()
	nodes, err := factory.Nodes().Lister().List(labels.Everything())
	if err != nil {
		return nil // the lister reads memory
	}
	pods, err := factory.Pods().Lister().List(labels.Everything())
	if err != nil {
		return nil
	}
	// Fleets have thousands of nodes and pods without GPUs: those are passed by.
	nodes = slices.DeleteFunc(nodes, func(node *v1.Node) bool { return gpusOffered(node) == 0 })
	used := make(map[string]int64, len(nodes))
	for _, node := range nodes {
		used[node.Name] = 0
	}
	for _, pod := range pods {
		if _, ok := used[pod.Spec.NodeName]; ok && !kube.MemberStateOf(pod).HasEnded() {
			used[pod.Spec.NodeName] += gpusOf(pod)
		}
	}
	return newGPUTotals(c.levels, nodes, used)
}
