// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/preemption"
	"github.com/muster-scheduler/muster/pkg/topology"
)

const (
	// AnnotationPreemptible says "false" on pods that are never preempted.
	AnnotationPreemptible = "muster.sh/preemptible"
	// AnnotationMinRuntime is how long a pod runs before it may be preempted, such
	// as "30m".
	AnnotationMinRuntime = "muster.sh/min-runtime"
	// AnnotationCheckpointedAt is when a pod last saved its work, in RFC 3339: what
	// came before is not lost with it.
	AnnotationCheckpointedAt = "muster.sh/checkpointed-at"
)

// RunningGroup is what preemption has to know of the pod group of running pods.
type RunningGroup struct {
	// Minimum is the number of members below which the group is broken.
	Minimum int
	// Whole says that its members go together only.
	Whole bool
}

// RunningGroupOf reads what preemption has to know of a pod group, and reports whether its
// members run together or not at all. Which members of which role could go is not known:
// a gang with roles goes as a whole.
func RunningGroupOf(pg *schedulingapi.PodGroup, d *Declaration) (RunningGroup, bool) {
	mode := pg.Spec.DisruptionMode
	whole := mode != nil && mode.All != nil
	if pg.Spec.SchedulingPolicy.Gang == nil {
		return RunningGroup{Whole: whole}, whole
	}
	return RunningGroup{Minimum: RunningMinimum(pg, d), Whole: whole || d != nil && len(d.Roles) > 0}, true
}

// NeverPreempts reports whether pods that wait leave the room of others alone.
func NeverPreempts(waiting []*v1.Pod) bool {
	return slices.ContainsFunc(waiting, func(pod *v1.Pod) bool {
		return pod.Spec.PreemptionPolicy != nil && *pod.Spec.PreemptionPolicy == v1.PreemptNever
	})
}

// LacksOnlyRoom reports whether the planner knows all that keeps the members off nodes,
// and all of it is room that pods hold: no constraints of other plugins, no devices that
// drivers publish, no host ports.
func (m *Members) LacksOnlyRoom() bool {
	return m.Unmodelled == "" && !m.ClaimsDevices && !m.TakesHostPorts
}

// PreemptionRules decide who may make way.
type PreemptionRules struct {
	// Priority is that of the preemptor.
	Priority int32
	Now      time.Time
	// MinRuntime is how long pods run before they may be preempted that say
	// nothing of it themselves.
	MinRuntime time.Duration
	// GroupName returns the name of the group of a pod, "" for none; nil reads it off
	// the pod.
	GroupName func(*v1.Pod) string
	// GroupOf returns what is known of a pod group, and whether its members run
	// together or not at all.
	GroupOf func(namespace, name string) (RunningGroup, bool)
	// IsBound reports whether the API server knows the node of a pod that no
	// kubelet has started yet.
	IsBound func(*v1.Pod) bool
	Budgets []*policyv1.PodDisruptionBudget
}

// PreemptionCandidates are the workloads of a cluster in the terms of package
// preemption.
type PreemptionCandidates struct {
	Workloads []preemption.Workload
	Budgets   []preemption.Budget
	// Pods are those of each workload, in the order of its pods.
	Pods [][]*v1.Pod
}

// lowestPriority is the lowest priority of the pods of a node that run and were not
// told to end, as of a generation of the node.
type lowestPriority struct {
	generation int64
	read       bool
	priority   int32
}

type runningPod struct {
	pod      *v1.Pod
	priority int32
	row      []int64
	gpus     int64
}

// HasPodsBelow reports whether any pod that runs, and was not told to end, has a lower
// priority. It costs a step a node, and what changed since the last question.
func (c *Cluster) HasPodsBelow(priority int32) bool {
	for id := range c.nodes {
		state := &c.nodes[id]
		if low := &state.lowest; !low.read || low.generation != state.generation {
			*low = lowestPriority{generation: state.generation, read: true, priority: math.MaxInt32}
			for _, info := range state.info.GetPods() {
				if pod := info.GetPod(); MemberStateOf(pod) == MemberBound {
					low.priority = min(low.priority, corev1helpers.PodPriority(pod))
				}
			}
		}
		if state.lowest.priority < priority {
			return true
		}
	}
	return false
}

// runningOn reads the pods of a node that run and were not told to end, by name.
func (c *Cluster) runningOn(id topology.NodeID) []runningPod {
	var running []runningPod
	for _, info := range c.nodes[id].info.GetPods() {
		pod := info.GetPod()
		if MemberStateOf(pod) != MemberBound {
			continue
		}
		one := runningPod{pod: pod, priority: corev1helpers.PodPriority(pod), row: make([]int64, len(c.usage.Resources))}
		took := info.CalculateResource().Resource
		one.row[0], one.row[1], one.row[2], one.row[3] = took.GetMilliCPU(), took.GetMemory(), took.GetEphemeralStorage(), 1
		for name, amount := range took.GetScalarResources() {
			if column, ok := c.columns[name]; ok {
				one.row[column] = amount
				if gpu.IsDevice(string(name)) {
					one.gpus += amount
				}
			}
		}
		running = append(running, one)
	}
	slices.SortFunc(running, func(a, b runningPod) int {
		return cmp.Or(cmp.Compare(a.pod.Namespace, b.pod.Namespace), cmp.Compare(a.pod.Name, b.pod.Name))
	})
	return running
}

// PreemptionCandidates returns what runs on the cluster: gangs, and pods by
// themselves, by name. Pods that were told to end are not among it.
func (c *Cluster) PreemptionCandidates(rules *PreemptionRules) *PreemptionCandidates {
	b := candidateBuilder{rules: rules, byGroup: map[[2]string]int{}, out: &PreemptionCandidates{}}
	for id := range c.nodes {
		for _, one := range c.runningOn(topology.NodeID(id)) {
			b.addPod(topology.NodeID(id), &one)
		}
	}
	b.finishGangs()
	b.sortByName()
	b.addBudgets()
	return b.out
}

// candidateBuilder gathers pods by gang.
type candidateBuilder struct {
	rules   *PreemptionRules
	byGroup map[[2]string]int // namespace and group -> index into the workloads, -1 for no gang
	groups  []RunningGroup    // by workload
	out     *PreemptionCandidates
}

// addPod adds a pod to the workload of its gang, or as one of its own.
func (b *candidateBuilder) addPod(n topology.NodeID, one *runningPod) {
	at := b.workloadOf(one)
	w := &b.out.Workloads[at]
	w.Priority = max(w.Priority, one.priority)
	w.Exempt = max(w.Exempt, b.exemptionOf(one.pod))
	w.Pods = append(w.Pods, preemption.Pod{Name: one.pod.Name, Node: n, Request: one.row, Work: one.gpus * b.secondsLost(one.pod)})
	b.out.Pods[at] = append(b.out.Pods[at], one.pod)
}

// workloadOf returns the workload that a pod belongs to, a new one where there is
// none yet.
func (b *candidateBuilder) workloadOf(one *runningPod) int {
	pod := one.pod
	key := [2]string{pod.Namespace, b.groupName(pod)}
	known, seen := 0, false
	if key[1] != "" {
		if known, seen = b.byGroup[key]; seen && known >= 0 {
			return known
		}
	}
	w := preemption.Workload{Name: pod.Namespace + "/" + pod.Name, Priority: one.priority}
	group := RunningGroup{}
	if key[1] != "" && !seen {
		var isGang bool
		group, isGang = b.rules.GroupOf(key[0], key[1])
		b.byGroup[key] = -1
		if isGang {
			b.byGroup[key] = len(b.out.Workloads)
			w.Name, w.Gang = key[0]+"/"+key[1], true
		}
	}
	b.out.Workloads = append(b.out.Workloads, w)
	b.out.Pods = append(b.out.Pods, nil)
	b.groups = append(b.groups, group)
	return len(b.out.Workloads) - 1
}

func (b *candidateBuilder) groupName(pod *v1.Pod) string {
	if b.rules.GroupName != nil {
		return b.rules.GroupName(pod)
	}
	return GroupOf(pod)
}

// exemptionOf returns why a pod makes way for nobody, Preemptible if there is no
// reason. There is nothing to end yet of a pod that is about to be bound.
func (b *candidateBuilder) exemptionOf(pod *v1.Pod) preemption.Exemption {
	if pod.Status.StartTime == nil && !b.rules.IsBound(pod) {
		return preemption.Starting
	}
	if preemptible, err := strconv.ParseBool(pod.Annotations[AnnotationPreemptible]); err == nil && !preemptible {
		return preemption.Protected
	}
	runtime := b.rules.MinRuntime
	if own, err := time.ParseDuration(pod.Annotations[AnnotationMinRuntime]); err == nil && own >= 0 {
		runtime = own
	}
	if b.rules.Now.Sub(startOf(pod)) < runtime {
		return preemption.TooYoung
	}
	return preemption.Preemptible
}

// secondsLost is how much of a pod's run time is lost with it, in seconds.
func (b *candidateBuilder) secondsLost(pod *v1.Pod) int64 {
	since := startOf(pod)
	if saved, err := time.Parse(time.RFC3339, pod.Annotations[AnnotationCheckpointedAt]); err == nil && saved.After(since) {
		since = saved
	}
	return max(0, int64(b.rules.Now.Sub(since)/time.Second))
}

// startOf is when a pod started, or was created where the kubelet has not said so.
func startOf(pod *v1.Pod) time.Time {
	if pod.Status.StartTime != nil {
		return pod.Status.StartTime.Time
	}
	return pod.CreationTimestamp.Time
}

// finishGangs counts what gangs have to spare.
func (b *candidateBuilder) finishGangs() {
	for i := range b.out.Workloads {
		w := &b.out.Workloads[i]
		if w.Gang && !b.groups[i].Whole {
			w.Spare = max(0, len(w.Pods)-b.groups[i].Minimum)
		}
	}
}

// sortByName puts the workloads in an order that does not depend on the snapshot's.
func (b *candidateBuilder) sortByName() {
	order := make([]int, len(b.out.Workloads))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(b.out.Workloads[i].Name, b.out.Workloads[j].Name) })
	workloads, pods := make([]preemption.Workload, len(order)), make([][]*v1.Pod, len(order))
	for to, from := range order {
		workloads[to], pods[to] = b.out.Workloads[from], b.out.Pods[from]
	}
	b.out.Workloads, b.out.Pods = workloads, pods
}

// addBudgets counts which pods each disruption budget protects. One without a valid
// selector protects none.
func (b *candidateBuilder) addBudgets() {
	budgets := map[string][]int{}
	selectors := make([]labels.Selector, len(b.rules.Budgets))
	for i, budget := range b.rules.Budgets {
		b.out.Budgets = append(b.out.Budgets, preemption.Budget{Name: budget.Namespace + "/" + budget.Name, Allowed: int(budget.Status.DisruptionsAllowed)})
		if selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector); err == nil {
			selectors[i] = selector
			budgets[budget.Namespace] = append(budgets[budget.Namespace], i)
		}
	}
	if len(budgets) == 0 {
		return
	}
	for i, pods := range b.out.Pods {
		for j, pod := range pods {
			for _, at := range budgets[pod.Namespace] {
				_, spent := b.rules.Budgets[at].Status.DisruptedPods[pod.Name]
				if !spent && selectors[at].Matches(labels.Set(pod.Labels)) {
					b.out.Workloads[i].Pods[j].Budgets = append(b.out.Workloads[i].Pods[j].Budgets, at)
				}
			}
		}
	}
}
