// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/muster-scheduler/muster/pkg/explain"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// WriteExplanation writes the explanation of one gang.
func WriteExplanation(w io.Writer, e *explain.Explanation) {
	switch e.Phase {
	case queue.Running:
		writeText(w, "gang %s/%s: running, %d of %s placed, waited %s\n", e.Namespace, e.Name, e.Bound, formatCount(e.Pods, "pod"), FormatAge(e.WaitSeconds))
	default: // the wait goes on: it is the gang's age
		writeText(w, "gang %s/%s: %s for %s, %d of %s placed\n", e.Namespace, e.Name, e.Phase, FormatAge(e.AgeSeconds), e.Bound, formatCount(e.Pods, "pod"))
	}
	writeRequest(w, e)
	if e.Reason != "" {
		writeText(w, "\n%s\n", formatReason(e.Status))
	}
	writePassers(w, e)
	writePreemption(w, e.Preemption)
	for _, note := range e.Notes {
		writeText(w, "note: %s\n", note)
	}
	writePlacement(w, e)
	writeLevels(w, e)
	writeNodeGroups(w, e)
	writeChanges(w, e)
}

// writePassers writes who started from behind the gang in the queue.
func writePassers(w io.Writer, e *explain.Explanation) {
	if len(e.PassedBy) == 0 {
		return
	}
	const most = 4
	var parts []string
	for i, p := range e.PassedBy {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d more", len(e.PassedBy)-most))
			break
		}
		about := append([]string{formatCount(int(p.GPUs), "GPU")}, p.Asks...)
		parts = append(parts, fmt.Sprintf("%s/%s (%s)", p.Namespace, p.Name, strings.Join(about, ", ")))
	}
	writeText(w, "passed by %s: %s\n", formatCount(len(e.PassedBy), "later gang"), strings.Join(parts, ", "))
}

// writePreemption writes who would make way for the gang.
func writePreemption(w io.Writer, p *explain.Preemption) {
	switch {
	case p == nil:
	case p.Why != "":
		writeText(w, "preempts nobody: %s\n", p.Why)
	default:
		const most = 6
		var parts []string
		for i, v := range p.Victims {
			if i == most {
				parts = append(parts, fmt.Sprintf("and %d more", len(p.Victims)-most))
				break
			}
			parts = append(parts, describeVictim(v))
		}
		writeText(w, "would preempt %s: %s\n", formatCount(p.Pods, "pod"), strings.Join(parts, ", "))
	}
}

// describeVictim returns a workload that would make way, such as "gang low/train (4
// pods, priority 1, 3 GPU hours)".
func describeVictim(v explain.PreemptedWorkload) string {
	name := "pod " + v.Name
	if v.Gang {
		name = "gang " + v.Name
	}
	pods := formatCount(v.Pods, "pod")
	if !v.Whole {
		pods += " to spare"
	}
	return fmt.Sprintf("%s (%s, priority %d, %.1f GPU hours)", name, pods, v.Priority, float64(v.GPUSeconds)/3600)
}

// writeRequest writes the constraints of the gang and the requests of its
// roles.
func writeRequest(w io.Writer, e *explain.Explanation) {
	// Without roles the gang could not be read; the reason says why.
	if len(e.Asks.Roles) == 0 {
		return
	}
	parts := []string{fmt.Sprintf("%d together", e.MinCount)}
	if e.Asks.Required != "" {
		parts = append(parts, "in one "+e.Asks.Required)
	}
	if e.Asks.Preferred != "" {
		parts = append(parts, "if possible in one "+e.Asks.Preferred)
	}
	for _, s := range e.Asks.Slices {
		part := fmt.Sprintf("every %d in one %s", s.Size, s.Level)
		if s.Preferred {
			part = "if possible " + part
		}
		parts = append(parts, part)
	}
	if len(e.Asks.Models) > 0 {
		parts = append(parts, "all on "+strings.Join(e.Asks.Models, " or all on "))
	}
	if e.Asks.Memory != "" {
		parts = append(parts, "GPU memory "+e.Asks.Memory)
	}
	writeText(w, "asks: %s\n", strings.Join(parts, ", "))
	for _, r := range e.Asks.Roles {
		var amounts []string
		for _, name := range slices.Sorted(maps.Keys(r.Requests)) {
			amounts = append(amounts, r.Requests[name]+" "+name)
		}
		// The only role of a gang has no name.
		who := formatCount(r.Pods, "pod")
		if r.Name != "" {
			who += " " + r.Name
		}
		writeText(w, "      %s with %s each%s\n", who, strings.Join(amounts, ", "), describeConstraints(&r))
	}
}

// describeConstraints returns the constraints that a role has beyond those of
// the gang, as the end of a sentence.
func describeConstraints(r *explain.Role) string {
	var b strings.Builder
	if r.Required != "" {
		b.WriteString(", in one " + r.Required)
	}
	for _, s := range r.Slices {
		if s.Preferred {
			b.WriteString(", if possible")
		} else {
			b.WriteString(",")
		}
		if s.Size < r.Pods {
			fmt.Fprintf(&b, " every %d", s.Size)
		}
		b.WriteString(" in one " + s.Level)
	}
	if r.MinCount > 0 && r.MinCount != r.Pods {
		fmt.Fprintf(&b, ", at least %d", r.MinCount)
	}
	return b.String()
}

// writePlacement writes where the bound members are: by level, then by node. A
// level at which each node is a domain of its own would repeat the nodes, so
// only its number of domains is written.
func writePlacement(w io.Writer, e *explain.Explanation) {
	if len(e.Hosts) == 0 {
		return
	}
	const most = 8
	t := NewTable("LEVEL", "PLACED IN")
	for _, s := range e.Placements {
		if len(s.Domains) > most || len(s.Domains) == len(e.Hosts) && len(e.Hosts) > 1 {
			t.AddRow(s.Level, fmt.Sprintf("%d domains", len(s.Domains)))
			continue
		}
		parts := make([]string, len(s.Domains))
		for i, d := range s.Domains {
			parts[i] = d.Path
			if len(s.Domains) > 1 {
				parts[i] += fmt.Sprintf(" (%d)", d.Pods)
			}
		}
		t.AddRow(s.Level, strings.Join(parts, ", "))
	}
	if len(e.Placements) > 0 {
		fmt.Fprintln(w)
		t.Write(w, 0)
	}
	t = NewTable("NODE", ">PODS", "NAMES", "GPU LINKS")
	for _, h := range e.Hosts {
		t.AddRow(h.Node, len(h.Pods), listFirst(h.Pods), formatLinks(h.Links))
	}
	fmt.Fprintln(w)
	t.Write(w, 0)
}

// writeLevels writes, for each level, how many members fit in its best domain.
func writeLevels(w io.Writer, e *explain.Explanation) {
	if len(e.Levels) == 0 {
		return
	}
	t := NewTable("LEVEL", ">DOMAINS", "BEST", "ROOM", "")
	for _, l := range e.Levels {
		room := fmt.Sprintf("%d of %d", l.Room, l.Want)
		if l.Fits {
			room = fmt.Sprintf("fits %d", l.Room)
		}
		note := l.Asked
		if note != "" {
			note = "<- " + note
		}
		t.AddRow(l.Level, l.Domains, dashIfEmpty(l.Best), room, note)
	}
	fmt.Fprintln(w)
	t.Write(w, 0)
}

// writeNodeGroups writes the nodes by what excludes them.
func writeNodeGroups(w io.Writer, e *explain.Explanation) {
	if len(e.Nodes) == 0 {
		return
	}
	t := NewTable("NODES", ">IN "+lastElement(e.Nearest), ">IN ALL", "WHICH")
	// In the cluster both counts are the same: the empty column is left out.
	if e.Nearest == "cluster" {
		t = NewTable("NODES", ">", ">COUNT", "WHICH")
	}
	for _, b := range e.Nodes {
		here, which := fmt.Sprint(b.Nearest), listFirst(b.Names)
		if e.Nearest == "cluster" {
			here = ""
		}
		if len(b.Taints) > 0 {
			which += " (" + strings.Join(b.Taints, ", ") + ")"
		}
		t.AddRow(b.Reason, here, b.Cluster, which)
	}
	fmt.Fprintln(w)
	t.Write(w, 0)
}

// writeChanges writes the changes that would let the gang in.
func writeChanges(w io.Writer, e *explain.Explanation) {
	// Silence would look like a search that was not made.
	if len(e.Changes) == 0 {
		if e.Phase != queue.Running && len(e.Nodes) > 0 {
			fmt.Fprintln(w, "\nNo single change of those that were tried would let it in.")
		}
		return
	}
	who := "it"
	if e.Phase == queue.Running {
		who = "the others"
	}
	writeText(w, "\nAny of these would let %s in:\n", who)
	for i, c := range e.Changes {
		writeText(w, "%3d. %s: %s\n", i+1, c.Text, c.Outcome)
		// A command can be pasted; where there is none, the setting says what to
		// write and the user knows where.
		switch {
		case c.Command != "":
			writeText(w, "       %s\n", c.Command)
		case c.Setting != "":
			writeText(w, "       %s\n", c.Setting)
		}
	}
}

// listFirst returns the first of the names, so that a line of a table stays
// short.
func listFirst(names []string) string {
	const most = 6
	return ShortenList(names, most, " ")
}

// ShortenList joins the names with a separator. Of more than most names it
// gives the first ones and the number of the others.
func ShortenList(names []string, most int, separator string) string {
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], separator), len(names)-most)
	}
	return strings.Join(names, separator)
}

// lastElement returns the name at the end of a path.
func lastElement(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
