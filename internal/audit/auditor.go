// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Rule is the name of a rule that a scheduler must keep.
type Rule string

// The rules that are checked.
const (
	NoOvercommit     Rule = "NoOvercommit"
	GangAtomic       Rule = "GangAtomic"
	RequiredTopology Rule = "RequiredTopology"
	BindOnce         Rule = "BindOnce"
)

// Options are the limits that a scheduler is held to.
type Options struct {
	// CommitWindow is how long a gang may be partly bound while its binds are
	// under way.
	CommitWindow time.Duration
	// Levels maps the word with which a gang requires a topology level to the
	// node labels that must agree, widest first. The last one must be there. A
	// word that is missing here is itself taken for a label key.
	Levels map[string][]string
}

// Violation is one event at which a rule was broken.
type Violation struct {
	Rule Rule      `json:"rule"`
	Time time.Time `json:"time"`
	// What says which object, and both numbers or names.
	What string `json:"what"`
}

// keptViolations bounds the list of violations; all of them are counted.
const keptViolations = 50

// Auditor holds the state of the cluster as its events showed it, and the
// violations found so far. Its methods may be called from several goroutines;
// the events of one kind must come in order.
type Auditor struct {
	opts Options

	mu         sync.Mutex
	nodes      map[string]*nodeRecord
	pods       map[types.UID]*podRecord
	gangs      map[string]*gangRecord
	devices    deviceHolders
	events     int
	binds      int
	rejected   int
	unchecked  int
	counts     map[Rule]int
	violations []Violation
	windows    partialWindows
}

// nodeRecord is what the auditor knows of one node. A pod may be bound to a
// node that was not seen yet; known is false until it is.
type nodeRecord struct {
	known       bool
	labels      map[string]string
	allocatable resources
	requested   resources
}

// podRecord is the last version of one pod, reduced to what the rules need.
type podRecord struct {
	name         string
	node         string
	held         resources // what it takes from its node now; nil once terminal
	bindObstacle string    // why it must not get a node
	gang         string
	started      bool // counts as a bound member of its gang
}

// NewAuditor returns an auditor of an empty cluster.
func NewAuditor(opts Options) *Auditor {
	return &Auditor{
		opts: opts, nodes: map[string]*nodeRecord{}, pods: map[types.UID]*podRecord{}, gangs: map[string]*gangRecord{},
		devices: deviceHolders{}, counts: map[Rule]int{},
	}
}

// SetNode records a node that was added or changed.
func (a *Auditor) SetNode(now time.Time, n *v1.Node) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events++
	entry := a.recordOf(n.Name)
	entry.labels = n.Labels
	entry.allocatable = resources{}
	for name, quantity := range n.Status.Allocatable {
		entry.allocatable[name] = toAmount(name, quantity)
	}
	if !entry.known {
		entry.known = true
		a.checkCapacity(now, n.Name, "the pods found there")
	}
}

// DeleteNode records that a node is gone. Its record stays: pods that are bound
// to it still count.
func (a *Auditor) DeleteNode(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events++
	a.recordOf(name).known = false
}

// SetPod records a pod that was added or changed, and checks the rules if its
// node changed.
func (a *Auditor) SetPod(now time.Time, p *v1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events++
	entry, seen := a.pods[p.UID]
	if !seen {
		entry = &podRecord{name: p.Namespace + "/" + p.Name}
		a.pods[p.UID] = entry
	}
	before := *entry
	a.moveRequests(entry, p)
	switch {
	case entry.node == before.node:
	case before.node != "":
		a.addViolation(now, BindOnce, fmt.Sprintf("pod %s moved from node %s to %q", entry.name, before.node, entry.node))
	default:
		a.binds++
		a.checkBind(now, entry, &before)
	}
	if p.Status.Phase == v1.PodFailed && strings.HasPrefix(p.Status.Reason, "OutOf") && (!seen || before.held != nil) {
		a.rejected++
	}
	a.countMember(now, entry, p, before.started)
	entry.bindObstacle = bindObstacle(p)
}

// DeletePod records that a pod is gone and takes back what it requested.
func (a *Auditor) DeletePod(now time.Time, uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events++
	entry, seen := a.pods[uid]
	if !seen {
		return
	}
	if entry.node != "" {
		a.recordOf(entry.node).requested.addScaled(entry.held, -1)
	}
	a.removeMember(now, entry)
	delete(a.pods, uid)
}

// SetClaim records a ResourceClaim that was added or changed, and checks that
// no other has a device of its.
func (a *Auditor) SetClaim(now time.Time, c *resourceapi.ResourceClaim) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events++
	a.devices.removeClaim(c.UID)
	for _, twice := range a.devices.addClaim(c) {
		a.addViolation(now, NoOvercommit, twice)
	}
}

// DeleteClaim records that a claim is gone, and its devices are free.
func (a *Auditor) DeleteClaim(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events++
	a.devices.removeClaim(uid)
}

// recordOf returns the record of a node and creates it if there is none.
func (a *Auditor) recordOf(name string) *nodeRecord {
	entry, ok := a.nodes[name]
	if !ok {
		entry = &nodeRecord{requested: resources{}}
		a.nodes[name] = entry
	}
	return entry
}

// moveRequests takes the pod's requests off the node of its old version and
// adds them to the node of the new one. A terminal pod requests nothing.
func (a *Auditor) moveRequests(entry *podRecord, p *v1.Pod) {
	if entry.node != "" {
		a.recordOf(entry.node).requested.addScaled(entry.held, -1)
	}
	entry.node, entry.held = p.Spec.NodeName, nil
	if p.Status.Phase != v1.PodSucceeded && p.Status.Phase != v1.PodFailed {
		entry.held = podRequests(p)
	}
	if entry.node != "" {
		a.recordOf(entry.node).requested.addScaled(entry.held, 1)
	}
}

// checkBind checks a pod that just got its node. A pod that ended before the
// auditor saw it bound holds nothing any more.
func (a *Auditor) checkBind(now time.Time, entry, before *podRecord) {
	if before.bindObstacle != "" {
		a.addViolation(now, BindOnce, fmt.Sprintf("pod %s got node %s while it was %s", entry.name, entry.node, before.bindObstacle))
	}
	if entry.held != nil {
		a.checkCapacity(now, entry.node, "pod "+entry.name)
	}
}

// checkCapacity checks NoOvercommit on one node. It reports the first resource
// by name only: one cause mostly breaks several.
func (a *Auditor) checkCapacity(now time.Time, name, who string) {
	n := a.nodes[name]
	if !n.known {
		a.unchecked++
		return
	}
	for _, resource := range n.requested.sortedNames() {
		if sum, room := n.requested[resource], n.allocatable[resource]; sum > room {
			a.addViolation(now, NoOvercommit, fmt.Sprintf("%s: node %s has %d of %s, its pods ask for %d", who, name, room, resource, sum))
			return
		}
	}
}

// bindObstacle returns why the pod, as it is now, must not get a node, or "".
func bindObstacle(p *v1.Pod) string {
	switch {
	case p.DeletionTimestamp != nil:
		return "being deleted"
	case len(p.Spec.SchedulingGates) > 0:
		return "gated"
	}
	return ""
}

// addViolation counts a violation, and keeps its text while there are few.
func (a *Auditor) addViolation(now time.Time, rule Rule, what string) {
	a.counts[rule]++
	if len(a.violations) < keptViolations {
		a.violations = append(a.violations, Violation{Rule: rule, Time: now, What: what})
	}
}

// resources are whole numbers by name: milli-cores of CPU, bytes or devices of
// all else.
type resources map[v1.ResourceName]int64

// addScaled adds o times sign, which is 1 or -1.
func (r resources) addScaled(o resources, sign int64) {
	for name, n := range o {
		r[name] += sign * n
	}
}

// sortedNames returns the names in order, so that reports do not vary.
func (r resources) sortedNames() []v1.ResourceName {
	names := make([]v1.ResourceName, 0, len(r))
	for name := range r {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
