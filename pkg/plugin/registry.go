// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// registry remembers, for each gang by the UID of its group, what the queue
// cannot: whether it was refused and nothing has changed since. Such a gang is
// parked: it costs no attempt until an event that can help it.
//
// Gangs that ask for exactly the same are of one class and share a fate, since
// a plan depends on nothing else. Only the first of a class, in queue order, is
// woken by an event; when it is placed, it wakes the next. The attempts that a
// freed slot costs do therefore not grow with the number of gangs that wait.
type registry struct {
	mu     sync.Mutex
	gangs  map[types.UID]*gangState
	parked map[string][]*gangState // by class, in queue order
	room   room
	marks  map[string]mark // by namespace/name: see look.go
	swept  time.Time       // when old marks were last dropped
	wake   chan struct{}
	due    []*v1.Pod // a member of each gang that is to be activated
}

// gangState is the registry's memory of one gang.
type gangState struct {
	uid     types.UID
	turn    turn
	class   string
	member  *v1.Pod // any waiting member, through which the gang is activated
	refusal *verdict
	// barred says that the gang may not be tried as it is: it is incomplete or
	// invalid.
	barred bool
	// seen is the gang as it was refused, and since what had been freed by then
	// of the resources that it asks for.
	seen  likeness
	since amounts
	// attempted is set by the first plan of a scheduling cycle; further plans
	// in it are the what-ifs of preemption.
	attempted bool
	// recheck is when a parked gang is tried again, at the latest.
	recheck time.Time
	// parkedAt is when the gang was last refused, and tries how often that
	// came about within busy of one another.
	parkedAt time.Time
	tries    int
	// awake is when the gang was last handed to the waker, until it is tried:
	// it may have been on its way back to the queue then, and is handed over
	// again. Zero when it is not to be woken.
	awake time.Time
	// ran is the number of members that the gang ran whole with; zero when it
	// did not yet, as far as this process knows.
	ran int
	// committed is the last plan that came to the barrier, until it opens.
	committed *commit
	// bindFailures is how often in a row a member could not be bound.
	bindFailures int
	// partialSince is when the gang was first seen below its minimum with
	// members bound; zero when it is not.
	partialSince time.Time
}

func newRegistry() *registry {
	return &registry{
		gangs: map[types.UID]*gangState{}, parked: map[string][]*gangState{},
		room: newRoom(), marks: map[string]mark{}, wake: make(chan struct{}, 1),
	}
}

func (r *registry) gang(uid types.UID) *gangState {
	g, ok := r.gangs[uid]
	if !ok {
		g = &gangState{uid: uid}
		r.gangs[uid] = g
	}
	return g
}

// enter notes the gang's place in the queue and returns the refusal that still
// stands, or nil when the gang may be tried.
func (r *registry) enter(uid types.UID, t turn, member *v1.Pod, now time.Time) *verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.gang(uid)
	g.turn, g.member, g.attempted, g.barred = t, member, false, false
	if t.partial && g.partialSince.IsZero() {
		g.partialSince = now
	} else if !t.partial {
		g.partialSince = time.Time{}
	}
	return g.refusal
}

func (r *registry) isPartial(uid types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, ok := r.gangs[uid]
	return ok && g.turn.partial
}

// attempt reports whether this plan is the scheduling cycle's own, and not a
// what-if within it.
func (r *registry) attempt(uid types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.gang(uid)
	first := !g.attempted
	g.attempted, g.awake = true, time.Time{}
	return first
}

// The pace at which a gang is tried while room is being freed: a gang that ends
// gives its pods back one by one, and each of them could be the last that
// another one needs. A refusal doubles the time to the next try, up to most;
// after busy without one, it starts anew.
const (
	firstPace = 25 * time.Millisecond
	mostPace  = 800 * time.Millisecond
	busy      = 5 * time.Second
)

func (g *gangState) pace() time.Duration {
	return min(firstPace<<min(g.tries, 10), mostPace)
}

// refused is one refusal, as the registry has to know it.
type refused struct {
	class string
	why   *verdict
	// gang is what was refused, and picture the nodes that it was planned on.
	gang    likeness
	picture picture
	// recheck is when to try again without a reason; zero for seldom.
	recheck time.Duration
}

// seldom is when a refused gang is tried again that nothing seems to help, like
// kube-scheduler does with pods (podMaxInUnschedulablePodsDuration).
const seldom = 5 * time.Minute

// park keeps a refused gang out of the queue until something can help it.
func (r *registry) park(uid types.UID, p refused, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.gang(uid)
	r.unlist(g)
	g.tries++
	if now.Sub(g.parkedAt) > busy {
		g.tries = 0
	}
	g.class = cmp.Or(p.class, string(uid))
	g.refusal, g.seen, g.parkedAt, g.recheck = p.why, p.gang, now, now.Add(max(cmp.Or(p.recheck, seldom), g.pace()))
	list := r.parked[g.class]
	at, _ := slices.BinarySearchFunc(list, g, func(a, b *gangState) int {
		if a.turn.before(b.turn) {
			return -1
		}
		return 1
	})
	r.parked[g.class] = slices.Insert(list, at, g)
	unseen, changed := r.room.unseen(p.picture)
	g.since = amounts{}
	for name := range p.why.lacking() {
		g.since[name] = r.room.freed[name] - unseen[name]
	}
	if changed || r.helped(g) {
		g.tryAt(now.Add(g.pace()))
	}
	if now.Sub(r.room.shaken) < settle {
		g.tryAt(now.Add(max(settle, g.pace())))
	}
}

// tryAt has a parked gang tried at a time, if it would be tried later.
func (g *gangState) tryAt(at time.Time) {
	if at.Before(g.recheck) {
		g.recheck = at
	}
}

// The pause after a member could not be bound: the API server, or a policy in
// it, refuses what the scheduler decided, and asking again at once would only
// take turns and room from others.
const (
	firstPause = time.Second
	mostPause  = 5 * time.Minute
)

// pause keeps a gang out of the queue for a time that doubles with each failure
// to bind, and returns that time. Further failures of the same attempt do not
// count.
func (r *registry) pause(uid types.UID, refusal func(time.Duration) *verdict, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.gang(uid)
	length := min(firstPause<<min(g.bindFailures, 20), mostPause)
	if g.refusal != nil && g.refusal.reason == kube.BindDenied {
		return length
	}
	if now.Sub(g.parkedAt) > 2*mostPause {
		g.bindFailures = 0
	}
	g.bindFailures++
	r.unlist(g)
	g.class = "paused " + string(uid)
	g.refusal, g.parkedAt, g.recheck = refusal(length), now, now.Add(length)
	r.parked[g.class] = []*gangState{g}
	return length
}

// placed forgets the refusal of a gang that got its nodes and lets the next of
// its class try.
func (r *registry) placed(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.gang(uid)
	g.partialSince, g.awake, g.tries, g.committed = time.Time{}, time.Time{}, 0, nil
	r.passOn(g)
}

// bar keeps a gang out of the queue that may not be tried as it is, until it is
// found to be fit.
func (r *registry) bar(uid types.UID, t turn, member *v1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.gang(uid)
	r.retire(g)
	g.turn, g.member, g.barred = t, member, true
}

// leave takes a gang without waiting members out of its class.
func (r *registry) leave(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g, ok := r.gangs[uid]; ok {
		r.retire(g)
	}
}

// retire takes a gang out of its class. A pause goes on: members that could not
// be bound come back to the queue one after the other.
func (r *registry) retire(g *gangState) {
	g.awake, g.barred = time.Time{}, false
	if g.refusal == nil || g.refusal.reason != kube.BindDenied {
		r.passOn(g)
	}
}

// forget drops a gang whose group is gone.
func (r *registry) forget(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g, ok := r.gangs[uid]; ok {
		r.passOn(g)
		delete(r.gangs, uid)
	}
}

// waits reports whether a gang is kept out of the queue.
func (r *registry) waits(uid types.UID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, ok := r.gangs[uid]
	return ok && g.waits()
}

func (g *gangState) waits() bool {
	if g.refusal == nil {
		return g.barred
	}
	return g.refusal.reason != kube.BindDenied
}

// waiting lists, as namespace/name, the gangs that are kept out of the queue.
func (r *registry) waiting() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []string
	for _, g := range r.gangs {
		if g.waits() {
			keys = append(keys, g.turn.key)
		}
	}
	return keys
}

// fit lets a gang be tried that was kept out of the queue and is fit to run as
// it is now, if it was barred or was refused as another one.
func (r *registry) fit(uid types.UID, now likeness, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g, ok := r.gangs[uid]; ok && g.waits() && (g.barred || g.seen != now) {
		r.activate(g, at)
	}
}

// wakeUp brings a gang back that is on its way to the queue.
func (r *registry) wakeUp(uid types.UID, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.activate(r.gang(uid), now)
}

// again is how long a woken gang has to be tried in before it is woken anew.
const again = 100 * time.Millisecond

// rechecks wakes the first gang of each class whose time has come, and those
// that were woken in vain.
func (r *registry) rechecks(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var due []*gangState
	for _, list := range r.parked {
		if g := list[0]; !g.recheck.IsZero() && !now.Before(g.recheck) {
			due = append(due, g)
		}
	}
	for _, g := range r.gangs {
		if !g.awake.IsZero() && !now.Before(g.awake.Add(again)) {
			due = append(due, g)
		}
	}
	slices.SortFunc(due, func(a, b *gangState) int {
		if a.turn.before(b.turn) {
			return -1
		}
		return 1
	})
	for _, g := range due {
		r.activate(g, now)
	}
}

// passOn takes g out of its class and wakes the next one there.
func (r *registry) passOn(g *gangState) {
	r.unlist(g)
	class := g.class
	g.class, g.refusal = "", nil
	if list := r.parked[class]; class != "" && len(list) > 0 {
		r.activate(list[0], g.parkedAt)
	}
}

// activate unparks g and hands it to the waker. Callers may hold the
// scheduling queue's lock, so the queue cannot be called from here.
func (r *registry) activate(g *gangState, now time.Time) {
	r.unlist(g)
	g.refusal, g.barred, g.recheck, g.awake = nil, false, time.Time{}, now
	if g.member == nil {
		return
	}
	r.due = append(r.due, g.member)
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *registry) takeDue() []*v1.Pod {
	r.mu.Lock()
	defer r.mu.Unlock()
	due := r.due
	r.due = nil
	return due
}

func (r *registry) unlist(g *gangState) {
	list := r.parked[g.class]
	if at := slices.Index(list, g); at >= 0 {
		r.parked[g.class] = slices.Delete(list, at, at+1)
	}
	if len(r.parked[g.class]) == 0 {
		delete(r.parked, g.class)
	}
}
