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
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// Groups is where a gang came from: it finds the object that stands for a gang
// in the API, and writes what is told of a gang to it and to the members.
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
	// SetSentence gives the condition PodScheduled of every waiting member this
	// reason and message, whatever kube-scheduler has to say of it, until
	// another one is set; "" and "" for none. It does not block, and returns how
	// many pods are to be written for it.
	SetSentence(pg *schedulingapi.PodGroup, reason, message string) int
	// NoteStart has the members of a gang that are bound from now on say with how
	// many it had to start. It does not block.
	NoteStart(pg *schedulingapi.PodGroup)
	// FollowNominations has the nodes told that members of gangs are promised, "" for
	// none any more, before that is written. PendingNominations returns for how many
	// members of a gang it is not written yet.
	FollowNominations(follow func(pod *v1.Pod, node string))
	PendingNominations(pg *schedulingapi.PodGroup) int
	// Listen notes from now on what kube-scheduler objects to members. Objections
	// returns it, sorted, and ends that.
	Listen(pg *schedulingapi.PodGroup)
	Objections(pg *schedulingapi.PodGroup) []string
	// GroupOf returns the name of the group of a pod as it stands in the API
	// server, or "".
	GroupOf(pod *v1.Pod) string
	// GatedMembers returns how many members of a gang may not be scheduled before
	// somebody removes their scheduling gates, and the names of the gates. To the
	// scheduler they are single pods until then.
	GatedMembers(pg *schedulingapi.PodGroup) (count int, gates []string)
	// Leading is closed when this replica begins to schedule. BeforeLeading has
	// something done first: nothing is scheduled until it returns.
	Leading() <-chan struct{}
	BeforeLeading(do func())
}

// flushInterval is how often due verdicts are looked for.
const flushInterval = 100 * time.Millisecond

// reporter tells users what becomes of their gangs: one sentence, which stands in the
// condition of every waiting pod and in the status of the group, and one event for
// each change of it.
type reporter struct {
	handle fwk.Handle
	groups Groups
	events eventWriter
	now    func() time.Time
	// incompleteDelay is how long a verdict on a gang that is still being
	// created must stand before it is told; see config.Args.
	incompleteDelay time.Duration

	// mu is held while a sentence is set, so that the last one stays.
	mu    sync.Mutex
	gangs map[types.UID]*gangReport
	// writes is, by namespace, how many pods show the verdicts of gangs.
	writes map[string]int
}

func newReporter(handle fwk.Handle, groups Groups) *reporter {
	return &reporter{handle: handle, groups: groups, events: eventWriter{handle, groups}, now: time.Now, gangs: map[types.UID]*gangReport{}, writes: map[string]int{}}
}

// refreshInterval is the least time between two sentences of a gang that differ in
// numbers only. The caller holds the lock.
func (r *reporter) refreshInterval(entry *gangReport) time.Duration {
	pods := r.writes[entry.group.Namespace]
	return min(max(conditionRefreshInterval, time.Duration(pods)*refreshTimePerPod), longestRefreshInterval)
}

// setWrites notes how many pods show the verdict of a gang. The caller holds the lock.
func (r *reporter) setWrites(entry *gangReport, pods int) {
	namespace := entry.group.Namespace
	r.writes[namespace] += pods - entry.writes
	if entry.writes = pods; r.writes[namespace] == 0 {
		delete(r.writes, namespace)
	}
}

// reportVerdict tells a verdict. One that may be a passing state must stand for a while
// first.
func (r *reporter) reportVerdict(pg *schedulingapi.PodGroup, why *queue.Verdict, settle bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry := r.reportOf(pg)
	switch {
	case settle:
		entry.setSettling(why, r.incompleteDelay, r.now())
	case entry.held == why: // it is not complete yet
	case why.Reason == string(kube.BindDenied):
		r.hold(entry, why) // kube-scheduler has the answer of the API server
	case helpedByRoomOrNodes(why):
		entry.held, entry.settling = nil, nil
		r.show(entry, why)
	default:
		entry.setNext(newNotice(why), r.now())
	}
}

// helpedByRoomOrNodes reports whether a gang waits, as it is, for a place. What is told
// of a gang otherwise concerns single pods of it, which have their own words for it.
func helpedByRoomOrNodes(why *queue.Verdict) bool {
	return why.Remedy == queue.ByRoom || why.Remedy == queue.ByNodes
}

// show has a gang's verdict stand in its pods and in its group, and has the change
// told. The caller holds the lock.
func (r *reporter) show(entry *gangReport, why *queue.Verdict) {
	if shown, changed := entry.show(why, r.now(), r.refreshInterval(entry)); changed {
		r.writeShown(entry)
		entry.setNext(newNotice(shown), r.now())
	}
}

// writeShown writes the sentence of a gang. The caller holds the lock.
func (r *reporter) writeShown(entry *gangReport) {
	why, reason := entry.shown, v1.PodReasonUnschedulable
	if !helpedByRoomOrNodes(why) {
		reason = why.Reason
	}
	if pods := r.groups.SetSentence(entry.group, reason, textOf(why)); pods > 0 {
		r.setWrites(entry, pods)
	}
	r.groups.Verdict(entry.group, why.Reason, why.Message)
}

// shownRefusal returns the refusal of an attempt that the pods show: the new one,
// or for a while the one that they show and that differs in numbers only.
func (r *reporter) shownRefusal(pg *schedulingapi.PodGroup, why *queue.Verdict) *queue.Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry := r.reportOf(pg)
	shown, changed := entry.show(why, r.now(), r.refreshInterval(entry))
	if changed {
		r.writeShown(entry)
	}
	return shown
}

// holdRefusal has the refusal of a plan by other plugins wait until their words are
// known.
func (r *reporter) holdRefusal(pg *schedulingapi.PodGroup, why *queue.Verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold(r.reportOf(pg), why)
}

// hold has a verdict wait for what kube-scheduler says of the members. The caller holds
// the lock.
func (r *reporter) hold(entry *gangReport, why *queue.Verdict) {
	entry.held, entry.heldUntil = why, r.now().Add(objectionsDelay)
	r.groups.Listen(entry.group)
	if entry.shown == nil {
		r.groups.Verdict(entry.group, why.Reason, why.Message) // before kube-scheduler writes its own there
	}
}

// withObjections completes a verdict by what others object.
func withObjections(why *queue.Verdict, objections []string) *queue.Verdict {
	if len(objections) == 0 {
		return why
	}
	const most = 2
	more := ""
	if len(objections) > most {
		more = fmt.Sprintf(" and %d more", len(objections)-most)
		objections = objections[:most]
	}
	full := *why
	full.Message += fmt.Sprintf(": \"%s\"%s", strings.Join(objections, "\", \""), more)
	return &full
}

// dropUnreported drops what kept a gang out of the queue and is not told yet: the gang
// may wait there for its turn.
func (r *reporter) dropUnreported(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry, ok := r.gangs[uid]
	if !ok {
		return
	}
	entry.settling = nil
	if entry.next != nil && entry.next.passing {
		entry.next = nil
	}
}

// reportKept reports a gang of which members run on that were to be evicted, and whether
// that is another verdict than the last one of the kind.
func (r *reporter) reportKept(pg *schedulingapi.PodGroup, why *queue.Verdict) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	entry := r.reportOf(pg)
	entry.setNext(newNotice(why), r.now())
	changed := entry.kept != textOf(why)
	entry.kept = textOf(why)
	return changed
}

// reportReleased reports a gang of which members were evicted, on those as well: some
// of them may be its last.
func (r *reporter) reportReleased(ctx context.Context, pg *schedulingapi.PodGroup, evicted []*v1.Pod, why *queue.Verdict) {
	n := newNotice(why)
	n.evicted = evicted
	r.mu.Lock()
	entry := r.reportOf(pg)
	entry.events++
	number := entry.events
	r.mu.Unlock()
	r.publish(ctx, pg, n, number)
}

// reportPlaced reports a gang whose members are about to bind, and returns what it says.
func (r *reporter) reportPlaced(pg *schedulingapi.PodGroup, plan *gangPlan, pods int) string {
	message := placedMessage(plan, pods)
	r.mu.Lock()
	defer r.mu.Unlock()
	entry := r.reportOf(pg)
	told := &notice{kind: v1.EventTypeNormal, reason: string(ReasonPlaced), message: message, placed: maps.Clone(plan.nodes)}
	if start := entry.next; start != nil && start.placed != nil {
		told.addJoined(start, pods)
	}
	entry.clear()
	r.setWrites(entry, 0)
	r.groups.SetSentence(pg, "", "")
	entry.setNext(told, r.now())
	return message
}

// placedMessage says where the members of a plan are.
func placedMessage(plan *gangPlan, pods int) string {
	hosts := map[string]struct{}{}
	for _, node := range plan.nodes {
		hosts[node] = struct{}{}
	}
	if pods == 1 {
		return fmt.Sprintf("1 pod placed on 1 node in %s", plan.domain)
	}
	return fmt.Sprintf("%d pods placed together on %d nodes in %s", pods, len(hosts), plan.domain)
}

// reportOf is the report on a gang. The caller holds the lock.
func (r *reporter) reportOf(pg *schedulingapi.PodGroup) *gangReport {
	entry, ok := r.gangs[pg.UID]
	if !ok {
		entry = &gangReport{}
		r.gangs[pg.UID] = entry
	}
	entry.group = pg
	return entry
}

func (r *reporter) forgetGang(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if entry, ok := r.gangs[uid]; ok {
		r.setWrites(entry, 0)
		r.groups.SetSentence(entry.group, "", "")
	}
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
		number int
		notes  string
	}
	var tasks []task
	r.mu.Lock()
	now := r.now()
	for _, entry := range r.gangs {
		r.updateShown(entry, now)
		if n := entry.takeDue(now); n != nil {
			entry.events++
			tasks = append(tasks, task{entry.group, n, entry.events, entry.newNotes(r.groups.DeclarationOf(entry.group))})
		}
	}
	r.mu.Unlock()
	for _, t := range tasks {
		r.publish(ctx, t.group, t.notice, t.number)
		if t.notes != "" {
			ignored := &notice{kind: v1.EventTypeWarning, reason: ReasonFieldsIgnored, message: t.notes}
			r.events.recordEvent(ctx, t.group, ignored, t.number)
		}
	}
}

// updateShown shows what has waited for its time. The caller holds the lock.
func (r *reporter) updateShown(entry *gangReport, now time.Time) {
	if why := entry.held; why != nil && !now.Before(entry.heldUntil) {
		entry.held = nil
		r.show(entry, withObjections(why, r.groups.Objections(entry.group)))
	}
	if entry.showNewer(now, r.refreshInterval(entry)) {
		r.writeShown(entry)
		entry.setNext(newNotice(entry.shown), now)
	}
	if entry.showSettled(now) {
		r.writeShown(entry)
		n := newNotice(entry.shown)
		n.passing = true
		entry.setNext(n, now)
	}
}

// publish tells a verdict by an event and in the group's status.
func (r *reporter) publish(ctx context.Context, pg *schedulingapi.PodGroup, n *notice, number int) {
	verdicts.WithLabelValues(reasonLabel(kube.Reason(n.reason))).Inc()
	r.groups.Verdict(pg, n.reason, n.message)
	r.events.recordEvent(ctx, pg, n, number)
}

// ReasonFieldsIgnored is the reason of the event that tells what a gang asks for,
// in its dialect or in a key that does not exist, and does not get.
const ReasonFieldsIgnored = "FieldsIgnored"

// longestNote is the length of the text of an event that the API takes, in
// bytes. Source: the validation of events.k8s.io/v1.
const longestNote = 1024

// truncateNote returns as much of a text as an event takes.
func truncateNote(text string) string {
	return strings.ToValidUTF8(text[:min(len(text), longestNote)], "")
}

// reportedGangs lists the gangs that were reported on.
func (r *reporter) reportedGangs() []types.UID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.gangs))
}
