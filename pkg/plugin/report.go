// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
	"k8s.io/kubernetes/pkg/scheduler/util"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// Groups is where a gang came from: it finds the object that stands for a gang
// in the API and writes verdicts to its status.
type Groups interface {
	// DeclarationOf returns what the user declared of a gang, as it belongs to
	// the version of its group that the caller holds; nil if that version is too
	// old to be known.
	DeclarationOf(pg *schedulingapi.PodGroup) *kube.Declaration
	// Source returns the object behind a group, or nil when the gang exists
	// only as labels on its pods.
	Source(pg *schedulingapi.PodGroup) runtime.Object
	// Verdict writes a verdict to the status of the object behind a group, if
	// it has one. It does not block.
	Verdict(pg *schedulingapi.PodGroup, reason, message string)
	// GroupOf returns the name of the group of a pod as it stands in the API
	// server, or "".
	GroupOf(pod *v1.Pod) string
	// GatedMembers returns how many members of a gang may not be scheduled before
	// somebody removes their scheduling gates, and the names of the gates. To the
	// scheduler they are single pods until then.
	GatedMembers(pg *schedulingapi.PodGroup) (count int, gates []string)
	// Leading is closed when this replica begins to schedule.
	Leading() <-chan struct{}
}

// flushInterval is how often due verdicts are looked for.
const flushInterval = 100 * time.Millisecond

// reporter tells users what becomes of their gangs: one event for each changed
// verdict, the status of the group, and the condition of pods that the
// scheduler itself never gets to see because they wait before the queue.
type reporter struct {
	handle fwk.Handle
	groups Groups
	events eventWriter
	now    func() time.Time
	// incompleteDelay is how long a verdict on a gang that is still being
	// created must stand before it is told; see config.Args.
	incompleteDelay time.Duration

	mu    sync.Mutex
	gangs map[types.UID]*report
}

// conditionRefreshInterval is how often the conditions of a gang's pods follow a verdict of
// which only the numbers change: each time is a write for each pod. The event
// and the group's status have the newest.
const conditionRefreshInterval = 10 * time.Second

// report is the last verdict on one gang, told or about to be.
type report struct {
	group    *schedulingapi.PodGroup
	reported string
	next     *notice
	due      time.Time
	// shown is the refusal in the conditions of the pods, and newer the one
	// that is to take its place conditionRefreshInterval after it was written.
	shown, newer *queue.Verdict
	shownAt      time.Time
	// reportedNotes is what was told of what the gang asks for and does not get.
	reportedNotes string
}

// notice is one verdict to be told.
type notice struct {
	kind, reason, message string
	// pods says that the conditions of the waiting pods are to be written too.
	pods bool
	// evicted are members that have an event of their own about it.
	evicted []*v1.Pod
}

func newReporter(handle fwk.Handle, groups Groups) *reporter {
	return &reporter{handle: handle, groups: groups, events: eventWriter{handle, groups}, now: time.Now, gangs: map[types.UID]*report{}}
}

// reportVerdict tells a verdict. One that may be a passing state must stand for a while
// first, and the pods' conditions carry it too: the scheduler itself never gets to
// see pods that wait before its queue.
func (r *reporter) reportVerdict(pg *schedulingapi.PodGroup, why *queue.Verdict, settle bool) {
	if !settle {
		r.reportRefused(pg, why)
		return
	}
	r.setPending(pg, &notice{kind: v1.EventTypeWarning, reason: why.Reason, message: why.Message, pods: true}, r.incompleteDelay)
}

// dropUnreported drops what kept a gang out of the queue and is not told yet: the gang
// may wait there for its turn.
func (r *reporter) dropUnreported(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if entry, ok := r.gangs[uid]; ok && entry.next != nil && entry.next.pods {
		entry.next = nil
	}
}

// reportRefused reports a gang for which there is no room.
func (r *reporter) reportRefused(pg *schedulingapi.PodGroup, why *queue.Verdict) {
	r.setPending(pg, &notice{kind: v1.EventTypeWarning, reason: why.Reason, message: why.Message}, 0)
}

// shownRefusal returns the refusal that the pods' conditions are to carry: the new one,
// or for a while the one that they carry and that differs in numbers only.
func (r *reporter) shownRefusal(pg *schedulingapi.PodGroup, why *queue.Verdict) *queue.Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry, now := r.reportOf(pg), r.now()
	if entry.shown == nil || entry.shown.Reason != why.Reason || now.Sub(entry.shownAt) >= conditionRefreshInterval {
		entry.shown, entry.newer, entry.shownAt = why, nil, now
		return why
	}
	entry.newer = why
	if why.Message == entry.shown.Message {
		entry.newer = nil
	}
	return entry.shown
}

// reportReleased reports a gang of which members were evicted, on those as well: some
// of them may be its last.
func (r *reporter) reportReleased(ctx context.Context, pg *schedulingapi.PodGroup, evicted []*v1.Pod, why *queue.Verdict) {
	r.publish(ctx, pg, &notice{kind: v1.EventTypeWarning, reason: why.Reason, message: why.Message, evicted: evicted})
}

// reportPlaced reports a gang whose members are about to bind, and returns what it says.
func (r *reporter) reportPlaced(pg *schedulingapi.PodGroup, plan *gangPlan, pods int) string {
	hosts := map[string]struct{}{}
	for _, node := range plan.nodes {
		hosts[node] = struct{}{}
	}
	message := fmt.Sprintf("%d pods placed together on %d nodes in %s", pods, len(hosts), plan.domain)
	r.setPending(pg, &notice{kind: v1.EventTypeNormal, reason: string(ReasonPlaced), message: message}, 0)
	return message
}

func (r *reporter) setPending(pg *schedulingapi.PodGroup, n *notice, after time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry := r.reportOf(pg)
	if n.pods || n.kind == v1.EventTypeNormal {
		entry.shown, entry.newer = nil, nil
	}
	if n.reasonAndMessage() == entry.reported {
		entry.next = nil
		return
	}
	if entry.next == nil || entry.next.reasonAndMessage() != n.reasonAndMessage() {
		entry.due = r.now().Add(after)
	}
	entry.next = n
}

// reportOf is the report on a gang. The caller holds the lock.
func (r *reporter) reportOf(pg *schedulingapi.PodGroup) *report {
	entry, ok := r.gangs[pg.UID]
	if !ok {
		entry = &report{}
		r.gangs[pg.UID] = entry
	}
	entry.group = pg
	return entry
}

func (n *notice) reasonAndMessage() string { return n.reason + ": " + n.message }

func (r *reporter) forgetGang(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.gangs, uid)
}

// runFlusher tells verdicts as they fall due.
func (r *reporter) runFlusher(ctx context.Context) {
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.flushDue(ctx)
		}
	}
}

func (r *reporter) flushDue(ctx context.Context) {
	type task struct {
		group  *schedulingapi.PodGroup
		notice *notice
		notes  string
	}
	type renewal struct {
		group *schedulingapi.PodGroup
		why   *queue.Verdict
	}
	var tasks []task
	var renewals []renewal
	r.mu.Lock()
	now := r.now()
	for _, entry := range r.gangs {
		if entry.next != nil && !now.Before(entry.due) {
			tasks = append(tasks, task{entry.group, entry.next, entry.newNotes(r.groups.DeclarationOf(entry.group))})
			entry.reported, entry.next = entry.next.reasonAndMessage(), nil
		}
		if entry.newer != nil && now.Sub(entry.shownAt) >= conditionRefreshInterval {
			renewals = append(renewals, renewal{entry.group, entry.newer})
			entry.shown, entry.newer, entry.shownAt = entry.newer, nil, now
		}
	}
	r.mu.Unlock()
	for _, t := range tasks {
		r.publish(ctx, t.group, t.notice)
		if t.notes != "" {
			r.events.recordEvent(ctx, t.group, r.events.waitingPods(t.group), &notice{kind: v1.EventTypeWarning, reason: ReasonFieldsIgnored, message: t.notes})
		}
	}
	for _, n := range renewals {
		for _, pod := range r.events.waitingPods(n.group) {
			r.setCondition(ctx, pod, v1.PodReasonUnschedulable, textOf(n.why))
		}
	}
}

func (r *reporter) publish(ctx context.Context, pg *schedulingapi.PodGroup, n *notice) {
	verdicts.WithLabelValues(reasonLabel(kube.Reason(n.reason))).Inc()
	r.groups.Verdict(pg, n.reason, n.message)
	pods := r.events.waitingPods(pg)
	r.events.recordEvent(ctx, pg, pods, n)
	if !n.pods {
		return
	}
	for _, pod := range pods {
		r.setCondition(ctx, pod, n.reason, n.reasonAndMessage())
	}
}

// ReasonFieldsIgnored is the reason of the event that tells what a gang asks for,
// in its dialect or in a key that does not exist, and does not get.
const ReasonFieldsIgnored = "FieldsIgnored"

// longestNote is the length of the text of an event that the API takes, in
// bytes. Source: the validation of events.k8s.io/v1.
const longestNote = 1024

// newNotes returns what is ignored of what the gang asks for, in one line, if that
// was not told yet.
func (e *report) newNotes(d *kube.Declaration) string {
	if d == nil {
		return ""
	}
	notes := strings.Join(d.Ignored, ". ")
	if notes == e.reportedNotes {
		return ""
	}
	e.reportedNotes = notes
	return truncateNote(notes)
}

// truncateNote returns as much of a text as an event takes.
func truncateNote(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), longestNote)], "")
}

func (r *reporter) setCondition(ctx context.Context, pod *v1.Pod, reason, message string) {
	status := pod.Status.DeepCopy()
	changed := podutil.UpdatePodCondition(status, &v1.PodCondition{
		Type:               v1.PodScheduled,
		ObservedGeneration: podutil.CalculatePodConditionObservedGeneration(status, pod.Generation, v1.PodScheduled),
		Status:             v1.ConditionFalse,
		Reason:             reason,
		Message:            message,
	})
	if !changed {
		return
	}
	if err := util.PatchPodStatus(ctx, r.handle.ClientSet(), pod.Name, pod.Namespace, &pod.Status, status); err != nil {
		klog.FromContext(ctx).V(2).Info("Could not write a pod's condition; it is written with the next verdict", "pod", klog.KObj(pod), "err", err)
	}
}

// reportedGangs lists the gangs that were reported on.
func (r *reporter) reportedGangs() []types.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.gangs))
}
