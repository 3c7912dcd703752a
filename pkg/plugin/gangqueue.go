// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"errors"
	"hash/maphash"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/types"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/util"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/plugin/config"
	"github.com/muster-scheduler/muster/pkg/queue"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// gangQueue runs the queue's core beside kube-scheduler's own queue: it turns
// what it reads of gangs into events and carries out the effects. It is safe for
// concurrent use.
//
// Lock order: kube-scheduler calls step under the lock of its own queue, so
// effects that call that queue are left to the worker. gangQueue.mu is taken
// after barrier.mu; only the reporter's is taken after it, and never while it is
// held.
type gangQueue struct {
	handle  fwk.Handle
	levels  kube.Levels
	reports *reporter
	evictor *evictor
	calls   apiCalls
	now     func() time.Time
	wake    chan struct{} // the worker has something to do
	// constraintChanges counts the changes of what other plugins look at beside nodes
	// and pods: volumes and their claims.
	constraintChanges atomic.Uint64

	mu      sync.Mutex
	core    *queue.Queue
	groups  map[queue.GangID]*schedulingapi.PodGroup // to report on
	pending []queue.Effect                           // for the worker
	// heldBack are single pods that met room which is kept for a gang.
	heldBack map[string]*v1.Pod // by namespace/name
}

// queueConfig is how the queue is configured.
func queueConfig(args *config.Args) queue.Config {
	share := *args.NamespaceSharePercent
	if share == 100 {
		share = 0 // no bound
	}
	return queue.Config{PartialGrace: args.PartialGangGracePeriod.Duration, NamespaceShare: share}
}

func newGangQueue(handle fwk.Handle, levels kube.Levels, reports *reporter, cfg queue.Config) *gangQueue {
	q := &gangQueue{
		handle: handle, levels: levels, reports: reports, now: time.Now, wake: make(chan struct{}, 1),
		core:   queue.New(cfg),
		groups: map[queue.GangID]*schedulingapi.PodGroup{}, heldBack: map[string]*v1.Pod{},
	}
	q.evictor = &evictor{handle: handle, reports: reports, grace: cfg.PartialGrace}
	return q
}

// step takes in an event. It tells verdicts at once, hands the rest to the worker,
// and returns the refusal for a member that asked to be queued, or nil.
func (q *gangQueue) step(event queue.Event) (gate *queue.Verdict) {
	q.mu.Lock()
	effects := q.core.Step(q.now(), event)
	var tell []func()
	for _, effect := range effects {
		switch e := effect.(type) {
		case queue.Gate:
			gate = e.Verdict
		case queue.Report:
			if group := q.groups[e.Gang]; group != nil {
				tell = append(tell, func() { q.reports.reportVerdict(group, e.Verdict, e.Settle) })
			}
		case queue.Decided:
			logDecision(e.Decision)
		case queue.Unreport:
			tell = append(tell, func() { q.reports.dropUnreported(types.UID(e.Gang)) })
		default:
			q.pending = append(q.pending, effect)
		}
	}
	busy := len(q.pending) > 0
	q.mu.Unlock()
	for _, do := range tell {
		do()
	}
	if busy {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return gate
}

// logDecision writes a decision down. Those that end an attempt are logged where
// more is known of them.
func logDecision(d queue.Decision) {
	switch d.Kind {
	case queue.DecisionPlaced, queue.DecisionRefused:
	case queue.DecisionPassed:
		klog.V(4).InfoS("Passed gang", "gang", d.Gang, "reason", d.Reason, "message", d.Message)
	case queue.DecisionPreempted, queue.DecisionEvicted, queue.DecisionBindFailed, queue.DecisionReserved, queue.DecisionReleased:
		klog.V(2).InfoS("Decided on gang", "gang", d.Gang, "decision", d.Kind, "reason", d.Reason, "message", d.Message)
	}
}

// ask reads from the core under the lock.
func ask[T any](q *gangQueue, question func(*queue.Queue) T) T {
	q.mu.Lock()
	defer q.mu.Unlock()
	return question(q.core)
}

// requestEntry asks to queue a member of a gang. It returns why the gang may not be
// tried now, or nil.
func (q *gangQueue) requestEntry(pg *schedulingapi.PodGroup, state fwk.PodGroupState, pod *v1.Pod) *queue.Verdict {
	return q.step(q.readGang(pg, state, pod))
}

// readGang reads a gang as the scheduler's cache has it. asking is the member that
// asks to be queued, nil if none does.
func (q *gangQueue) readGang(pg *schedulingapi.PodGroup, state fwk.PodGroupState, asking *v1.Pod) queue.GangSeen {
	id := queue.GangID(pg.UID)
	q.mu.Lock()
	q.groups[id] = pg
	q.mu.Unlock()
	declaration := q.reports.groups.DeclarationOf(pg)
	event := queue.GangSeen{Gang: id, Key: keyOfGroup(pg), Readiness: q.readinessOf(pg, declaration, state), Asking: asking != nil}
	if why := outdatedGroup(pg, declaration, state, asking); why != nil && event.Readiness.Problem == nil {
		event.Readiness.Problem = why
	}
	if asking == nil {
		if r := &event.Readiness; r.Bound > 0 && r.Bound < r.Required {
			r.ChangedAt = kube.LastChange(state.ScheduledPods(), slices.Collect(maps.Values(state.UnscheduledPods())))
		}
		event.Fingerprint = fingerprintOf(pg, maps.Values(state.UnscheduledPods()), state.ScheduledPodsCount())
	}
	return event
}

// readinessOf counts the members of a gang against its declaration. Pods that
// terminate are no members. The scheduler has no state of a gang of which all
// members are gated.
func (q *gangQueue) readinessOf(pg *schedulingapi.PodGroup, declaration *kube.Declaration, state fwk.PodGroupState) queue.Readiness {
	r := queue.Readiness{Gang: kube.GangName(pg)}
	if state != nil {
		endings := ask(q, func(core *queue.Queue) queue.Endings { return core.Endings(pg.Namespace + "/" + pg.Name) })
		scheduled := state.ScheduledPodsCount()
		r.Bound = max(0, scheduled-endings.Bound)
		r.Waiting = max(0, state.AllPodsCount()-scheduled-endings.Unbound)
	}
	gated, gates := q.reports.groups.GatedMembers(pg)
	r.Gated, r.Gates = gated, strings.Join(gates, ", ")
	countLater(&r, declaration, state)
	r.Required = kube.RunningMinimum(pg, declaration)
	spec, invalid := q.specOf(pg, declaration)
	if invalid != nil {
		r.MinCount = r.Required
		r.Problem = newVerdict(invalid.Reason, "%s", invalid.Message)
		return r
	}
	r.MinCount, r.Required = spec.MinCount, spec.RunningMinimum
	return r
}

// countLater takes the members that wait for another run of their gang out of those
// that wait.
func countLater(r *queue.Readiness, d *kube.Declaration, state fwk.PodGroupState) {
	if d == nil || d.Runs == nil || state == nil {
		return
	}
	for _, pod := range state.UnscheduledPods() {
		if kube.IsMember(pod) && d.Runs.IsLater(pod) {
			r.Later++
		}
	}
	r.Waiting, r.LaterWhy = max(0, r.Waiting-r.Later), d.Runs.Message
}

// outdatedGroup returns why a gang has to wait for a newer version of its group, or
// nil. A group object without members has no priority in memory, and its first
// member may be seen before the version that has it: the scheduler takes the two
// for an error. The first pod of a role that comes later may be seen before the
// version that counts it: it would start without the others.
func outdatedGroup(pg *schedulingapi.PodGroup, declaration *kube.Declaration, state fwk.PodGroupState, asking *v1.Pod) *queue.Verdict {
	waiting := map[string]*v1.Pod{"": asking}
	if asking == nil {
		waiting = state.UnscheduledPods()
	}
	later := false
	for _, pod := range waiting {
		switch {
		case asking == nil && !kube.IsMember(pod):
		case corev1helpers.PodPriority(pod) != priorityOf(pg):
			return newVerdict(kube.GangNotFound, "pod group %s is not known yet with the priority of its pods", pg.Name)
		case declaration != nil && len(declaration.LaterRoles) > 0:
			ref, problem := workload.RefOf(pod)
			later = later || problem == "" && slices.Contains(declaration.LaterRoles, ref.Role)
		}
	}
	if later {
		return newVerdict(kube.GangIncomplete, "gang %s has pods of another role than those that started; they are counted now", kube.GangName(pg))
	}
	return nil
}

// specOf reads what a gang asks for, or why that cannot be read.
func (q *gangQueue) specOf(pg *schedulingapi.PodGroup, declaration *kube.Declaration) (*kube.Spec, *kube.Invalid) {
	if declaration == nil { // a newer version of the group is on the way
		return nil, &kube.Invalid{Reason: kube.GangNotFound, Message: "pod group " + pg.Name + " is not known yet"}
	}
	return kube.ReadSpec(pg, declaration, q.levels)
}

// keyOfGroup is the place of a gang in the queue, by what its group says.
func keyOfGroup(pg *schedulingapi.PodGroup) queue.Key {
	return queue.Key{Priority: priorityOf(pg), Created: pg.CreationTimestamp.Time, Name: pg.Namespace + "/" + pg.Name}
}

func priorityOf(pg *schedulingapi.PodGroup) int32 {
	if pg.Spec.Priority != nil {
		return *pg.Spec.Priority
	}
	return 0
}

var fingerprintSeed = maphash.MakeSeed()

// fingerprintOf hashes what a gang's chances depend on, but for the cluster: the
// UID and version of its group, the UID and generation of each of the given members
// that may be scheduled, and the number of members with a node. Equal fingerprints
// on an unchanged cluster give the same plan. An attempt hashes the members that it
// was made with: one that came since makes another gang of it. It is valid in this
// process.
func fingerprintOf(pg *schedulingapi.PodGroup, waiting iter.Seq[*v1.Pod], scheduled int) uint64 {
	sum := maphash.Comparable(fingerprintSeed, [2]string{string(pg.UID), pg.ResourceVersion})
	for pod := range waiting {
		if kube.IsMember(pod) {
			sum += maphash.Comparable(fingerprintSeed, podVersion{pod.UID, pod.Generation})
		}
	}
	return sum + maphash.Comparable(fingerprintSeed, scheduled)
}

type podVersion struct {
	uid        types.UID
	generation int64
}

// takeOver catches up with what happened while another replica scheduled: nobody
// reads then. The first gang to be tried is the first of all that may be, and what
// the other replica left partly bound is known as such.
func (q *gangQueue) takeOver(ctx context.Context) {
	q.step(queue.Tick{})
	for effects := q.takePending(); len(effects) > 0; effects = q.takePending() {
		for _, effect := range effects {
			q.carryOut(ctx, effect)
		}
	}
	q.step(queue.Leading{})
}

// runWorker carries out effects until ctx ends.
func (q *gangQueue) runWorker(ctx context.Context) {
	tick := time.NewTicker(queue.TickInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			q.step(queue.Tick{})
		case <-q.wake:
		}
		for _, effect := range q.takePending() {
			q.carryOut(ctx, effect)
		}
	}
}

func (q *gangQueue) takePending() []queue.Effect {
	q.mu.Lock()
	defer q.mu.Unlock()
	pending := q.pending
	q.pending = nil
	return pending
}

// carryOut carries out one effect. It never waits for the API server: all gangs are
// woken here.
func (q *gangQueue) carryOut(ctx context.Context, effect queue.Effect) {
	switch e := effect.(type) {
	case queue.Activate:
		q.activateGang(ctx, e)
	case queue.Recheck:
		q.recheckGang(e.Name)
	case queue.Evict:
		q.calls.start(ctx, namespaceOf(e.Name), func(ctx context.Context) { q.evictGang(ctx, e) })
	case queue.ClearNominations:
		q.calls.start(ctx, namespaceOf(e.Name), func(ctx context.Context) { q.clearNominations(ctx, e.Name) })
	case queue.Offer:
		q.activateHeldBack(ctx)
	}
}

// activateGang puts a waiting member, and with it its gang, into the scheduler's
// queue.
func (q *gangQueue) activateGang(ctx context.Context, e queue.Activate) {
	namespace, name, _ := strings.Cut(e.Name, "/")
	state, err := q.handle.PodGroupManager().PodGroupStates().Get(namespace, name)
	if err != nil {
		return // its pods are gone; a Recheck finds out
	}
	for key, pod := range state.UnscheduledPods() {
		if kube.IsMember(pod) {
			q.handle.Activate(klog.FromContext(ctx), map[string]*v1.Pod{key: pod})
			return // any member stands for the gang
		}
	}
}

// recheckGang reads a gang again.
func (q *gangQueue) recheckGang(key string) {
	namespace, name, _ := strings.Cut(key, "/")
	pg, err := q.handle.PodGroupManager().PodGroups().Get(namespace, name)
	if err != nil || pg.Spec.SchedulingPolicy.Gang == nil {
		return
	}
	state, err := q.handle.PodGroupManager().PodGroupStates().Get(namespace, name)
	if err != nil {
		q.step(queue.GangIdle{Gang: queue.GangID(pg.UID), Key: keyOfGroup(pg)})
		return
	}
	seen := q.readGang(pg, state, nil)
	if seen.Readiness.Waiting+seen.Readiness.Later == 0 {
		q.step(queue.GangIdle{Gang: seen.Gang, Key: seen.Key, Readiness: seen.Readiness})
		return
	}
	q.step(seen)
}

// namespaceOf is the namespace in a namespace/name.
func namespaceOf(key string) string {
	namespace, _, _ := strings.Cut(key, "/")
	return namespace
}

// evictGang gives up a partial gang, and answers what came of it.
func (q *gangQueue) evictGang(ctx context.Context, e queue.Evict) {
	namespace, name, _ := strings.Cut(e.Name, "/")
	pg, err := q.handle.PodGroupManager().PodGroups().Get(namespace, name)
	if err != nil {
		return // the group is gone, and with it the gang
	}
	declaration := q.reports.groups.DeclarationOf(pg)
	if declaration == nil { // a newer version of the group is on the way
		q.step(queue.EvictionFailed{Gang: e.Gang})
		return
	}
	reason, err := q.evictor.releaseGang(ctx, pg, kube.RunningMinimum(pg, declaration), e.Preempted)
	if err != nil {
		if !errors.Is(err, errKept) {
			klog.FromContext(ctx).Error(err, "Could not release a partly started gang; trying again", "gang", e.Name)
		}
		q.step(queue.EvictionFailed{Gang: e.Gang})
		return
	}
	q.step(queue.Evicted{Gang: e.Gang, Reason: reason})
}

// clearNominations takes back the nodes that preemption promised to the members
// of a gang, in the scheduler's memory and in the pods' statuses.
func (q *gangQueue) clearNominations(ctx context.Context, key string) {
	namespace, name, _ := strings.Cut(key, "/")
	state, err := q.handle.PodGroupManager().PodGroupStates().Get(namespace, name)
	if err != nil {
		return
	}
	for _, pod := range state.UnscheduledPods() {
		if pod.Status.NominatedNodeName == "" {
			continue
		}
		q.handle.DeleteNominatedPodIfExists(pod)
		status := pod.Status.DeepCopy()
		status.NominatedNodeName = ""
		patching, cancel := context.WithTimeout(ctx, apiCallTimeout)
		err := util.PatchPodStatus(patching, q.handle.ClientSet(), pod.Name, pod.Namespace, &pod.Status, status)
		cancel()
		if err != nil {
			klog.FromContext(ctx).V(2).Info("Could not clear a nomination; trying again", "pod", klog.KObj(pod), "err", err)
		}
	}
	klog.FromContext(ctx).V(2).Info("Cleared the nominations of a gang that no longer fits there", "gang", key)
}

// forgetGang drops a gang whose group is gone.
func (q *gangQueue) forgetGang(uid types.UID) {
	q.step(queue.GangDeleted{Gang: queue.GangID(uid)})
	q.mu.Lock()
	delete(q.groups, queue.GangID(uid))
	q.mu.Unlock()
	q.reports.forgetGang(uid)
}

// knowsGroup reports whether a gang's group exists, as far as was seen.
func (q *gangQueue) knowsGroup(uid types.UID) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.groups[queue.GangID(uid)] != nil
}

// podAssigned notes that a pod has a node.
func (q *gangQueue) podAssigned(pod *v1.Pod) {
	q.step(queue.PodAssigned{Pod: string(pod.UID), Priority: corev1helpers.PodPriority(pod)})
}

// podArrived numbers a single pod that enters the queue.
func (q *gangQueue) podArrived(pod *v1.Pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.core.Arrived(string(pod.UID))
}

// reservedAgainst is what is kept on nodes from a single pod, by node; nil for
// nothing. The pod is tried again when that ends.
func (q *gangQueue) reservedAgainst(pod *v1.Pod) map[string]queue.Quantities {
	q.mu.Lock()
	defer q.mu.Unlock()
	held := q.core.ReservedAgainst(q.core.KeyOfPod(string(pod.UID), keyOfPod(pod)))
	if held != nil {
		q.heldBack[pod.Namespace+"/"+pod.Name] = pod
	}
	return held
}

// activateHeldBack has the single pods tried again that were kept off room.
func (q *gangQueue) activateHeldBack(ctx context.Context) {
	q.mu.Lock()
	heldBack := q.heldBack
	q.heldBack = map[string]*v1.Pod{}
	q.mu.Unlock()
	if len(heldBack) > 0 {
		q.handle.Activate(klog.FromContext(ctx), heldBack)
	}
}
