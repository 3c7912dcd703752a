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
	"k8s.io/apimachinery/pkg/types"
)

// Rule is the name of a promise.
type Rule string

// The rules that are checked.
const (
	NoOvercommit     Rule = "NoOvercommit"
	GangAtomic       Rule = "GangAtomic"
	RequiredTopology Rule = "RequiredTopology"
	BindOnce         Rule = "BindOnce"
)

// Options say what to hold a scheduler to.
type Options struct {
	// CommitWindow is how long a gang may be partly bound while its binds are
	// under way.
	CommitWindow time.Duration
	// Levels maps the word with which a gang requires a topology level to the
	// node labels that must agree, widest first. The last one must be there. A
	// word that is missing here is itself taken for a label key.
	Levels map[string][]string
}

// Violation is one broken promise.
type Violation struct {
	Rule Rule      `json:"rule"`
	Time time.Time `json:"time"`
	// What says which object, and both numbers or names.
	What string `json:"what"`
}

// keptViolations bounds the list of violations; all of them are counted.
const keptViolations = 50

// Book is the state of the cluster as the auditor knows it. Its methods may be
// called from several goroutines; the events of one kind must come in order.
type Book struct {
	opts Options

	mu         sync.Mutex
	nodes      map[string]*node
	pods       map[types.UID]*pod
	gangs      map[string]*gang
	events     int
	binds      int
	rejected   int
	unchecked  int
	counts     map[Rule]int
	violations []Violation
	windows    windows
}

type node struct {
	known       bool
	labels      map[string]string
	allocatable resources
	requested   resources
}

type pod struct {
	name    string
	node    string
	held    resources // what it takes from its node now; nil once terminal
	barred  string    // why it must not get a node
	gang    string
	started bool // counts as a bound member of its gang
}

// NewBook returns the book of an empty cluster.
func NewBook(opts Options) *Book {
	return &Book{
		opts: opts, nodes: map[string]*node{}, pods: map[types.UID]*pod{}, gangs: map[string]*gang{}, counts: map[Rule]int{},
	}
}

// SetNode takes note of a node that was added or changed.
func (b *Book) SetNode(now time.Time, n *v1.Node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events++
	entry := b.node(n.Name)
	entry.labels = n.Labels
	entry.allocatable = resources{}
	for name, quantity := range n.Status.Allocatable {
		entry.allocatable[name] = amount(name, quantity)
	}
	if !entry.known {
		entry.known = true
		b.checkRoom(now, n.Name, "the pods found there")
	}
}

// DeleteNode takes note of a node that is gone.
func (b *Book) DeleteNode(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events++
	b.node(name).known = false
}

// SetPod takes note of a pod that was added or changed, and checks what its
// node means for the promises.
func (b *Book) SetPod(now time.Time, p *v1.Pod) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events++
	entry, seen := b.pods[p.UID]
	if !seen {
		entry = &pod{name: p.Namespace + "/" + p.Name}
		b.pods[p.UID] = entry
	}
	before := *entry
	b.take(entry, p)
	switch {
	case entry.node == before.node:
	case before.node != "":
		b.violate(now, BindOnce, fmt.Sprintf("pod %s moved from node %s to %q", entry.name, before.node, entry.node))
	default:
		b.binds++
		b.checkBind(now, entry, &before)
	}
	if p.Status.Phase == v1.PodFailed && strings.HasPrefix(p.Status.Reason, "OutOf") && (!seen || before.held != nil) {
		b.rejected++
	}
	b.countMember(now, entry, p, before.started)
	entry.barred = barred(p)
}

// DeletePod takes note of a pod that is gone.
func (b *Book) DeletePod(now time.Time, uid types.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events++
	entry, seen := b.pods[uid]
	if !seen {
		return
	}
	if entry.node != "" {
		b.node(entry.node).requested.add(entry.held, -1)
	}
	b.leave(now, entry)
	delete(b.pods, uid)
}

func (b *Book) node(name string) *node {
	entry, ok := b.nodes[name]
	if !ok {
		entry = &node{requested: resources{}}
		b.nodes[name] = entry
	}
	return entry
}

// take moves the pod's requests from its old record to its new one.
func (b *Book) take(entry *pod, p *v1.Pod) {
	if entry.node != "" {
		b.node(entry.node).requested.add(entry.held, -1)
	}
	entry.node, entry.held = p.Spec.NodeName, nil
	if p.Status.Phase != v1.PodSucceeded && p.Status.Phase != v1.PodFailed {
		entry.held = requests(p)
	}
	if entry.node != "" {
		b.node(entry.node).requested.add(entry.held, 1)
	}
}

// checkBind checks a pod that just got its node. A pod that ended before the
// auditor saw it bound holds nothing any more.
func (b *Book) checkBind(now time.Time, entry, before *pod) {
	if before.barred != "" {
		b.violate(now, BindOnce, fmt.Sprintf("pod %s got node %s while it was %s", entry.name, entry.node, before.barred))
	}
	if entry.held != nil {
		b.checkRoom(now, entry.node, "pod "+entry.name)
	}
}

func (b *Book) checkRoom(now time.Time, name, who string) {
	n := b.nodes[name]
	if !n.known {
		b.unchecked++
		return
	}
	for _, resource := range n.requested.names() {
		if sum, room := n.requested[resource], n.allocatable[resource]; sum > room {
			b.violate(now, NoOvercommit, fmt.Sprintf("%s: node %s has %d of %s, its pods ask for %d", who, name, room, resource, sum))
			return
		}
	}
}

// barred says why the pod, as it is now, must not get a node.
func barred(p *v1.Pod) string {
	switch {
	case p.DeletionTimestamp != nil:
		return "being deleted"
	case len(p.Spec.SchedulingGates) > 0:
		return "gated"
	}
	return ""
}

func (b *Book) violate(now time.Time, rule Rule, what string) {
	b.counts[rule]++
	if len(b.violations) < keptViolations {
		b.violations = append(b.violations, Violation{Rule: rule, Time: now, What: what})
	}
}

// resources are whole numbers by name: milli-cores of CPU, bytes or devices of
// all else.
type resources map[v1.ResourceName]int64

func (r resources) add(o resources, sign int64) {
	for name, n := range o {
		r[name] += sign * n
	}
}

func (r resources) names() []v1.ResourceName {
	names := make([]v1.ResourceName, 0, len(r))
	for name := range r {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
