// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The markers that the checker reads, written out here.
const (
	gangLabel          = "muster.sh/gang"
	groupLabel         = "scheduling.x-k8s.io/pod-group"
	minCountAnnotation = "muster.sh/min-count"
	requiredAnnotation = "muster.sh/topology-required"
	rackLabel          = "topology.kubernetes.io/rack"
)

// keptViolations bounds the list of violations; all of them are counted.
const keptViolations = 100

// Checker is the state of the cluster as its events showed it. Its methods may be
// called from several goroutines.
type Checker struct {
	own    string // the scheduler's name on its pods
	limits Limits

	mu         sync.Mutex
	nodes      map[string]*nodeRecord
	pods       map[types.UID]*podRecord
	names      map[string]types.UID
	gangs      map[string]*gangRecord
	minimums   map[string]int // of groups, by namespace/name
	log        faultLog
	leaders    tenures
	expected   map[types.UID]bool // pods that the bench deletes
	windows    map[string][]time.Duration
	longest    map[string]string // which gang had the longest of them
	crashed    []crash
	recoveries []time.Duration
	counts     Counts
	broken     map[Rule]int
	violations []Violation
}

// Counts are how much was checked.
type Counts struct {
	Events, Binds, Checks, Created, Deleted, Preempted, Rejected, RivalBinds, RivalOvercommits, BindsSent, Unchecked, Gangs int
	// OwnOvercommits are those of RivalOvercommits of which the scheduler's own binding
	// was the second one.
	OwnOvercommits int
}

// podRecord is the last version of one pod, reduced to what the rules need.
type podRecord struct {
	name, scheduler, node, gang, required string
	min                                   int
	held                                  amounts
	bound                                 time.Time
	created                               time.Time
	phase                                 v1.PodPhase
	terminating, disrupted, gated         bool
	scheduled                             v1.ConditionStatus
	reason                                string
}

// New returns a checker of an empty cluster. own is the scheduler's name.
func New(own string, limits Limits) *Checker {
	return &Checker{
		own: own, limits: limits, log: faultLog{tail: limits.Tail},
		nodes: map[string]*nodeRecord{}, pods: map[types.UID]*podRecord{}, names: map[string]types.UID{}, gangs: map[string]*gangRecord{},
		minimums: map[string]int{}, expected: map[types.UID]bool{}, windows: map[string][]time.Duration{}, longest: map[string]string{}, broken: map[Rule]int{},
	}
}

// BeginFault records something that the bench does. The fault lasts until the
// function is called that it returns.
func (c *Checker) BeginFault(now time.Time, class Class, kind string) (end func(time.Time)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.log.add(now, class, kind)
	return func(at time.Time) {
		c.mu.Lock()
		defer c.mu.Unlock()
		f.end = at
	}
}

// crash is the end of a leader that no other one has followed yet.
type crash struct {
	at     time.Time
	leader string
}

// LeaderCrashed records the end of a leader. The time of recovery ends with the first
// binding that another one sends.
func (c *Checker) LeaderCrashed(now time.Time, leader string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crashed = append(c.crashed, crash{now, leader})
}

// endRecovery ends the times of recovery that a binding ends.
func (c *Checker) endRecovery(now time.Time, writer string) {
	c.crashed = slices.DeleteFunc(c.crashed, func(was crash) bool {
		if writer == "" || writer == was.leader {
			return false
		}
		c.recoveries = append(c.recoveries, now.Sub(was.at))
		return true
	})
}

// ExpectDeletion records that the bench deletes a pod.
func (c *Checker) ExpectDeletion(uid types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expected[uid] = true
}

// SetPod records a pod that was added or changed, and checks its binding.
func (c *Checker) SetPod(now time.Time, p *v1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Events++
	old, seen := c.pods[p.UID]
	entry := readPod(p)
	if !seen {
		old = &podRecord{}
		c.counts.Created++
		if entry.scheduler == c.own {
			entry.created = now
		}
	} else {
		entry.created, entry.bound = old.created, old.bound
	}
	c.pods[p.UID], c.names[entry.name] = entry, p.UID
	c.recordOf(old.node).take(old.held, -1)
	c.recordOf(entry.node).take(entry.held, 1)
	switch {
	case entry.node == old.node:
	case old.node != "":
		c.addViolation(now, BindOnce, "pod %s moved from node %s to %q", entry.name, old.node, entry.node)
	default:
		entry.bound = now
		c.onBound(now, entry, old)
	}
	c.counts.Checks++ // BindOnce
	if p.Status.Phase == v1.PodFailed && old.phase != v1.PodFailed && strings.HasPrefix(p.Status.Reason, "OutOf") {
		c.counts.Rejected++
	}
	c.updateGang(now, p.UID, entry)
}

// readPod reduces a pod.
func readPod(p *v1.Pod) *podRecord {
	r := &podRecord{
		name: p.Namespace + "/" + p.Name, scheduler: p.Spec.SchedulerName, node: p.Spec.NodeName, phase: p.Status.Phase,
		terminating: p.DeletionTimestamp != nil, gated: len(p.Spec.SchedulingGates) > 0, required: p.Annotations[requiredAnnotation],
	}
	if p.Status.Phase != v1.PodFailed && p.Status.Phase != v1.PodSucceeded {
		r.held = requestsOf(p)
	}
	if name := p.Labels[gangLabel]; name != "" {
		r.gang = p.Namespace + "/" + name
		r.min = parseMinimum(p.Annotations[minCountAnnotation])
	} else if name := p.Labels[groupLabel]; name != "" {
		r.gang = p.Namespace + "/" + name
	}
	for _, condition := range p.Status.Conditions {
		switch condition.Type {
		case v1.PodScheduled:
			r.scheduled, r.reason = condition.Status, condition.Message
		case v1.DisruptionTarget:
			r.disrupted = condition.Status == v1.ConditionTrue
		}
	}
	return r
}

// onBound checks a pod that has got its node.
func (c *Checker) onBound(now time.Time, entry, before *podRecord) {
	if entry.scheduler != c.own {
		c.counts.RivalBinds++
		c.recordOf(entry.node).rivalBound = now
		if c.recordOf(entry.node).exceeded(entry.held, time.Time{}) != "" {
			c.counts.RivalOvercommits++
		}
		return
	}
	c.counts.Binds++
	if before.terminating || before.gated {
		c.addViolation(now, OwnPodsOnly, "pod %s was bound while it was ending or gated", entry.name)
	}
	c.checkRoom(now, entry)
}

// checkRoom checks the node of a pod that was bound there.
func (c *Checker) checkRoom(now time.Time, entry *podRecord) {
	n := c.recordOf(entry.node)
	if len(n.versions) == 0 {
		c.counts.Unchecked++
		return
	}
	c.counts.Checks++
	since := now.Add(-c.staleness(now))
	what := n.exceeded(entry.held, since)
	switch {
	case what == "":
	case n.rivalBound.After(since):
		c.counts.RivalOvercommits++
		c.counts.OwnOvercommits++
	default:
		c.addViolation(now, NoOvercommit, "pod %s on node %s: %s", entry.name, entry.node, what)
	}
}

// staleness is how old the scheduler's picture of a node may be now.
func (c *Checker) staleness(now time.Time) time.Duration {
	class, _ := c.log.worstBetween(now.Add(-c.limits.Stale[Healthy]), now)
	return c.limits.Stale[class]
}

// DeletePod records that a pod is gone.
func (c *Checker) DeletePod(now time.Time, p *v1.Pod) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Events++
	entry, seen := c.pods[p.UID]
	if !seen {
		return
	}
	c.counts.Deleted++
	c.counts.Checks++ // NothingLost
	last := readPod(p)
	c.recordOf(entry.node).take(entry.held, -1)
	switch {
	case c.expected[p.UID], entry.phase == v1.PodFailed, entry.phase == v1.PodSucceeded, entry.node != "" && !c.recordOf(entry.node).known():
	case entry.disrupted || last.disrupted:
		c.counts.Preempted++
	default:
		c.addViolation(now, NothingLost, "pod %s is gone, and nobody says why", entry.name)
	}
	delete(c.pods, p.UID)
	delete(c.expected, p.UID)
	if c.names[entry.name] == p.UID {
		delete(c.names, entry.name)
	}
	c.removeMember(now, p.UID, entry)
}

// SendBind records a binding that a scheduler sends, by the part of its identity
// that is in its lease; "" if it was never seen to hold one.
func (c *Checker) SendBind(now time.Time, writer, pod string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.BindsSent++
	c.endRecovery(now, writer)
	c.counts.Checks++ // OwnPodsOnly
	c.leaders.sent = append(c.leaders.sent, sentBind{now, writer, pod})
	if p := c.pods[c.names[pod]]; p != nil && p.scheduler != c.own {
		c.addViolation(now, OwnPodsOnly, "pod %s is for %s, and a binding was sent", pod, p.scheduler)
	}
}

// SetLease records who holds the lease, and since when.
func (c *Checker) SetLease(holder string, acquired time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaders.add(holder, acquired)
}

// Holder is who holds the lease, "" for nobody.
func (c *Checker) Holder() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leaders.last()
}

// Tick checks what depends on time. It is called about once a second.
func (c *Checker) Tick(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.leaders.due(now) {
		c.counts.Checks++
		if !c.leaders.held(s.writer, s.at.Add(-c.limits.Handover), s.at.Add(c.limits.Handover)) {
			c.addViolation(now, OneWriter, "the binding of %s was sent at %s by %q, which did not lead: %s", s.pod, s.at.Format(stamp), s.writer, c.leaders.text(s.at))
		}
	}
	for name, g := range c.gangs {
		c.checkWindow(now, name, g, false)
	}
}

const stamp = "15:04:05.000"

// Violate records a violation that somebody else has found.
func (c *Checker) Violate(now time.Time, rule Rule, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.addViolation(now, rule, format, args...)
}

// CountCheck records that a rule was checked elsewhere.
func (c *Checker) CountCheck() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.Checks++
}

// addViolation records a violation. The caller holds the lock.
func (c *Checker) addViolation(now time.Time, rule Rule, format string, args ...any) {
	c.broken[rule]++
	if len(c.violations) < keptViolations {
		_, kind := c.log.worstBetween(now.Add(-c.limits.Tail), now)
		c.violations = append(c.violations, Violation{rule, now, fmt.Sprintf(format, args...) + " (fault: " + kind + ")"})
	}
}

// Report is what was found.
type Report struct {
	Counts
	Broken     map[Rule]int
	Violations []Violation
	// Windows are the times for which gangs were partly bound, by the fault of the
	// time, sorted.
	Windows map[string][]time.Duration
	// Longest are the gangs that had the longest of them.
	Longest map[string]string
	// Recoveries are the times from the end of a leader to the first binding that another
	// one sends, sorted.
	Recoveries []time.Duration
	Leaders    int
}

// Report returns what was found until now.
func (c *Checker) Report() Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := Report{
		Counts: c.counts, Broken: maps.Clone(c.broken), Violations: slices.Clone(c.violations),
		Windows: map[string][]time.Duration{}, Longest: maps.Clone(c.longest), Recoveries: slices.Sorted(slices.Values(c.recoveries)), Leaders: len(c.leaders.terms),
	}
	for kind, all := range c.windows {
		r.Windows[kind] = slices.Sorted(slices.Values(all))
	}
	return r
}
