// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
)

// The markers of a gang, written out here so that the auditor does not depend
// on how the scheduler reads them.
const (
	gangLabel          = "muster.sh/gang"
	minCountAnnotation = "muster.sh/min-count"
	requiredAnnotation = "muster.sh/topology-required"
)

// gang is the auditor's record of one gang: the pods that carry its name in
// one namespace, from the first bound one until none is left.
type gang struct {
	minCount int
	bound    int
	whole    bool      // it had minCount members bound
	partial  time.Time // since when it is partly bound; zero when it is not
	domain   string    // the required domain, set by the first member bound
}

// windows are the times that gangs were partly bound.
type windows struct {
	all         []time.Duration
	longest     time.Duration
	longestGang string
}

// countMember brings the gang of a pod up to date. A member counts from its
// bind on, also when it has succeeded; one that failed does not count.
func (b *Book) countMember(now time.Time, entry *pod, p *v1.Pod, before bool) {
	name := p.Labels[gangLabel]
	minCount, err := strconv.Atoi(p.Annotations[minCountAnnotation])
	if entry.gang == "" && (name == "" || err != nil || minCount < 1) {
		return
	}
	if entry.gang == "" {
		entry.gang = p.Namespace + "/" + name
	}
	entry.started = entry.node != "" && p.Status.Phase != v1.PodFailed
	g, known := b.gangs[entry.gang]
	if !known {
		g = &gang{}
		b.gangs[entry.gang] = g
	}
	if err == nil && minCount >= 1 {
		g.minCount = minCount
	}
	if entry.started == before {
		return
	}
	if entry.started {
		g.bound++
		b.checkDomain(now, entry, g, p.Annotations[requiredAnnotation])
	} else {
		g.bound--
	}
	b.settle(now, entry.gang, g)
}

// leave takes a deleted pod out of its gang.
func (b *Book) leave(now time.Time, entry *pod) {
	if g := b.gangs[entry.gang]; g != nil && entry.started {
		g.bound--
		b.settle(now, entry.gang, g)
	}
}

// settle opens or closes the window in which the gang is partly bound.
func (b *Book) settle(now time.Time, name string, g *gang) {
	switch {
	case g.bound > 0 && g.bound < g.minCount && !g.whole:
		if g.partial.IsZero() {
			g.partial = now
		}
		return
	case g.bound >= g.minCount:
		g.whole = true
	case g.bound == 0:
		delete(b.gangs, name)
	}
	if !g.partial.IsZero() {
		b.endWindow(now, name, g)
	}
}

func (b *Book) endWindow(now time.Time, name string, g *gang) {
	length := now.Sub(g.partial)
	g.partial = time.Time{}
	b.windows.add(name, length)
	if length > b.opts.CommitWindow {
		b.violate(now, GangAtomic, fmt.Sprintf("gang %s was partly bound for %s, allowed are %s", name, length.Round(time.Millisecond), b.opts.CommitWindow))
	}
}

func (w *windows) add(gang string, length time.Duration) {
	w.all = append(w.all, length)
	if length > w.longest {
		w.longest, w.longestGang = length, gang
	}
}

// checkDomain holds a member to the domain in which the gang's first one stands.
func (b *Book) checkDomain(now time.Time, entry *pod, g *gang, word string) {
	if word == "" {
		return
	}
	n := b.node(entry.node)
	if !n.known {
		b.unchecked++
		return
	}
	domain, ok := b.domain(n, word)
	switch {
	case !ok:
		b.violate(now, RequiredTopology, fmt.Sprintf("gang %s requires one %s; pod %s is on node %s, which is in none", entry.gang, word, entry.name, entry.node))
	case g.bound == 1:
		g.domain = domain
	case g.domain != domain:
		b.violate(now, RequiredTopology, fmt.Sprintf("gang %s requires one %s; it stands in %s, and pod %s on node %s of %s",
			entry.gang, word, g.domain, entry.name, entry.node, domain))
	}
}

// domain is where a node stands at the level that a user calls word.
func (b *Book) domain(n *node, word string) (string, bool) {
	keys, ok := b.opts.Levels[word]
	if !ok {
		keys = []string{word}
	}
	path := make([]string, len(keys))
	for i, key := range keys {
		path[i] = n.labels[key]
	}
	return strings.Join(path, "/"), path[len(path)-1] != ""
}

// Report is what the auditor found.
type Report struct {
	// Events is the number of events after each of which the rules were
	// checked; Binds those in which a pod got its node.
	Events int `json:"events"`
	Binds  int `json:"binds"`
	// Violations counts violations by rule; First lists the first of them.
	Violations map[Rule]int `json:"violations"`
	First      []Violation  `json:"first,omitempty"`
	// Partial is the number of times that a gang was partly bound for longer
	// than the commit window. Open names the gangs that are so now.
	Partial int      `json:"partlyStarted"`
	Open    []string `json:"partlyStartedAtEnd,omitempty"`
	// CommitWindow is the window allowed; Windows are those seen, sorted, open
	// ones included; LongestGang had the last of them.
	CommitWindow time.Duration   `json:"commitWindow"`
	Windows      []time.Duration `json:"-"`
	Longest      time.Duration   `json:"longestWindow"`
	LongestGang  string          `json:"longestWindowGang,omitempty"`
	// Rejected is the number of pods that a kubelet refused for want of room.
	Rejected int `json:"rejectedByKubelet"`
	// Unchecked is the number of binds to nodes that the auditor did not know.
	Unchecked int `json:"unchecked"`
}

// Report returns what was found until now. Gangs that are partly bound at the
// moment count with the time that they have been so.
func (b *Book) Report(now time.Time) Report {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := Report{
		Events: b.events, Binds: b.binds, Rejected: b.rejected, Unchecked: b.unchecked,
		Violations: map[Rule]int{}, First: slices.Clone(b.violations), CommitWindow: b.opts.CommitWindow,
	}
	for _, rule := range []Rule{NoOvercommit, GangAtomic, RequiredTopology, BindOnce} {
		r.Violations[rule] = b.counts[rule]
	}
	seen := windows{all: slices.Clone(b.windows.all), longest: b.windows.longest, longestGang: b.windows.longestGang}
	for name, g := range b.gangs {
		if g.partial.IsZero() {
			continue
		}
		length := now.Sub(g.partial)
		seen.add(name, length)
		if length > b.opts.CommitWindow {
			r.Violations[GangAtomic]++
			r.Open = append(r.Open, name)
		}
	}
	slices.Sort(r.Open)
	slices.Sort(seen.all)
	r.Windows, r.Longest, r.LongestGang = seen.all, seen.longest, seen.longestGang
	r.Partial = r.Violations[GangAtomic]
	return r
}
