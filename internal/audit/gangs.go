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

// gangRecord counts the members of one gang: the pods that carry its name in
// one namespace, from the first bound one until none is left.
type gangRecord struct {
	minCount int
	bound    int
	whole    bool      // it had minCount members bound
	partial  time.Time // since when it is partly bound; zero when it is not
	domain   string    // the required domain, set by the first member bound
}

// partialWindows are the durations for which gangs were partly bound.
type partialWindows struct {
	all         []time.Duration
	longest     time.Duration
	longestGang string
}

// countMember updates the gang of a pod. A member counts from its bind on, also
// when it has succeeded; one that failed does not count.
func (a *Auditor) countMember(now time.Time, entry *podRecord, p *v1.Pod, before bool) {
	name := p.Labels[gangLabel]
	minCount, err := strconv.Atoi(p.Annotations[minCountAnnotation])
	if entry.gang == "" && (name == "" || err != nil || minCount < 1) {
		return
	}
	if entry.gang == "" {
		entry.gang = p.Namespace + "/" + name
	}
	entry.started = entry.node != "" && p.Status.Phase != v1.PodFailed
	g, known := a.gangs[entry.gang]
	if !known {
		g = &gangRecord{}
		a.gangs[entry.gang] = g
	}
	if err == nil && minCount >= 1 {
		g.minCount = minCount
	}
	if entry.started == before {
		return
	}
	if entry.started {
		g.bound++
		a.checkDomain(now, entry, g, p.Annotations[requiredAnnotation])
	} else {
		g.bound--
	}
	a.updateWindow(now, entry.gang, g)
}

// removeMember takes a deleted pod out of its gang.
func (a *Auditor) removeMember(now time.Time, entry *podRecord) {
	if g := a.gangs[entry.gang]; g != nil && entry.started {
		g.bound--
		a.updateWindow(now, entry.gang, g)
	}
}

// updateWindow opens or closes the window in which the gang is partly bound.
func (a *Auditor) updateWindow(now time.Time, name string, g *gangRecord) {
	switch {
	case g.bound > 0 && g.bound < g.minCount && !g.whole:
		if g.partial.IsZero() {
			g.partial = now
		}
		return
	case g.bound >= g.minCount:
		g.whole = true
	case g.bound == 0:
		delete(a.gangs, name)
	}
	if !g.partial.IsZero() {
		a.endWindow(now, name, g)
	}
}

// endWindow closes the window of a gang and checks its length.
func (a *Auditor) endWindow(now time.Time, name string, g *gangRecord) {
	length := now.Sub(g.partial)
	g.partial = time.Time{}
	a.windows.addWindow(name, length)
	if length > a.opts.CommitWindow {
		a.addViolation(now, GangAtomic, fmt.Sprintf("gang %s was partly bound for %s, allowed are %s", name, length.Round(time.Millisecond), a.opts.CommitWindow))
	}
}

// addWindow adds one window and keeps the longest.
func (w *partialWindows) addWindow(gang string, length time.Duration) {
	w.all = append(w.all, length)
	if length > w.longest {
		w.longest, w.longestGang = length, gang
	}
}

// checkDomain checks that a member is in the domain of the gang's first one.
func (a *Auditor) checkDomain(now time.Time, entry *podRecord, g *gangRecord, word string) {
	if word == "" {
		return
	}
	n := a.recordOf(entry.node)
	if !n.known {
		a.unchecked++
		return
	}
	domain, ok := a.domainOf(n, word)
	switch {
	case !ok:
		a.addViolation(now, RequiredTopology, fmt.Sprintf("gang %s requires one %s; pod %s is on node %s, which is in none", entry.gang, word, entry.name, entry.node))
	case g.bound == 1:
		g.domain = domain
	case g.domain != domain:
		a.addViolation(now, RequiredTopology, fmt.Sprintf("gang %s requires one %s; it stands in %s, and pod %s on node %s of %s",
			entry.gang, word, g.domain, entry.name, entry.node, domain))
	}
}

// domainOf returns the domain of a node at the level that a gang calls word, as
// the path of label values, and false where the node lacks the last label.
func (a *Auditor) domainOf(n *nodeRecord, word string) (string, bool) {
	keys, ok := a.opts.Levels[word]
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
func (a *Auditor) Report(now time.Time) Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := Report{
		Events: a.events, Binds: a.binds, Rejected: a.rejected, Unchecked: a.unchecked,
		Violations: map[Rule]int{}, First: slices.Clone(a.violations), CommitWindow: a.opts.CommitWindow,
	}
	for _, rule := range []Rule{NoOvercommit, GangAtomic, RequiredTopology, BindOnce} {
		r.Violations[rule] = a.counts[rule]
	}
	seen := partialWindows{all: slices.Clone(a.windows.all), longest: a.windows.longest, longestGang: a.windows.longestGang}
	for name, g := range a.gangs {
		if g.partial.IsZero() {
			continue
		}
		length := now.Sub(g.partial)
		seen.addWindow(name, length)
		if length > a.opts.CommitWindow {
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
