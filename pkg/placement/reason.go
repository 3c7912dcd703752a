// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"strings"

	"github.com/muster-scheduler/muster/pkg/gang"
)

// Error returns the refusal as one sentence with numbers, such as "gang train needs
// 16 pods in one rack; the best, rack-7, has room for 14 (2 nodes cordoned)".
func (r *Refusal) Error() string {
	switch r.Reason {
	case NoFittingDomain, GangTooLarge:
		if r.Detail != "" {
			return r.needsText() + r.constraintsText() + "; " + r.Detail
		}
	case InvalidGangSpec:
		return fmt.Sprintf("gang %s: %s", r.Gang, r.Detail)
	case GangIncomplete:
		return fmt.Sprintf("%s, but has %d", r.needsText(), r.Room)
	case GangTooComplex:
		return r.needsText() + r.constraintsText() + ", which is too complex to plan: " + r.Detail
	case TopologyDrift:
		return r.needsText() + r.constraintsText() + ", but " + r.Detail
	case TopologyLevelUnused:
		return fmt.Sprintf("%s%s; no node that it may use is in a %s", r.needsText(), r.constraintsText(), r.Level)
	}
	if r.Reason == GangTooLarge {
		return r.needsText() + r.constraintsText() + "; " + r.emptyText() + r.excludedText()
	}
	return r.needsText() + r.constraintsText() + "; " + r.bestText() + r.excludedText() + r.recoverableText()
}

// needsText returns how many members must be placed, and of which gang.
func (r *Refusal) needsText() string {
	pods := countNoun(r.Needed, "pod")
	if r.Role != "" && r.Reason == GangIncomplete {
		pods = countNoun(r.Needed, r.Role+" pod")
	}
	return fmt.Sprintf("gang %s needs %s", r.Gang, pods)
}

// maxNamedRoles is the number of roles that a sentence names.
const maxNamedRoles = 2

// constraintsText returns what must hold them: level, slices, roles, models.
func (r *Refusal) constraintsText() string {
	var b strings.Builder
	if r.Level != "" && r.Level != clusterName {
		b.WriteString(" in one " + r.Level)
	}
	for _, s := range r.Slices {
		fmt.Fprintf(&b, ", every %d in one %s", s.Size, s.Level)
	}
	for i, t := range r.Together {
		if i == maxNamedRoles {
			fmt.Fprintf(&b, " and %d more parts so", len(r.Together)-i)
			break
		}
		fmt.Fprintf(&b, ", %s in one %s", strings.TrimSpace(t.Role+" pods"), t.Level)
	}
	if len(r.Models) > 0 {
		b.WriteString(", all on " + strings.Join(r.Models, " or all on "))
	}
	return b.String()
}

// atLeast stands before a number of members that was not counted to its end.
func (r *Refusal) atLeast() string {
	if r.RoomAtLeast {
		return "at least "
	}
	return ""
}

// clusterName is how the root domain is called.
const clusterName = "cluster"

// bestText returns how near the best domain came.
func (r *Refusal) bestText() string {
	room := fmt.Sprintf("has room for %s%d", r.atLeast(), r.Room)
	if r.Role != "" {
		room = fmt.Sprintf("has no room for %s at the same time", countNoun(r.RoleNeeded, r.Role+" pod"))
	}
	switch {
	case r.Best == "" && r.Level == clusterName:
		return "the cluster has room for none"
	case r.Best == "":
		return "no " + r.Level + " has room for any"
	case r.Best == clusterName:
		return "the cluster " + room
	case r.Pinned:
		runs := "run"
		if r.BoundThere == 1 {
			runs = "runs"
		}
		return fmt.Sprintf("%s, where %d of them %s, %s", r.Best, r.BoundThere, runs, room)
	}
	return fmt.Sprintf("the best, %s, %s", r.Best, room)
}

// emptyText returns how many the largest domain could hold if it were empty.
func (r *Refusal) emptyText() string {
	room := fmt.Sprintf("would hold %s%d if it were empty", r.atLeast(), r.Room)
	if r.Role != "" {
		room = fmt.Sprintf("would not hold %s at the same time if it were empty", countNoun(r.RoleNeeded, r.Role+" pod"))
	}
	switch {
	case r.Unlabelled:
		return "no label tells which nodes have " + strings.Join(r.Models, " or ") + ": leave the model out, or select the nodes by a label"
	case r.NoModel:
		return "no node has " + strings.Join(r.Models, " or ")
	case r.Best == "" && r.Level == clusterName:
		return "the cluster would hold none even if it were empty"
	case r.Best == "":
		return "no " + r.Level + " could hold any even if it were empty"
	case r.Best == clusterName:
		return "the cluster " + room
	}
	return fmt.Sprintf("the largest, %s, %s", r.Best, room)
}

// excludedText returns, in parentheses, why the rest of the best domain is of no use:
// the excluded nodes by reason and the resource that is short; "" if there is nothing.
func (r *Refusal) excludedText() string {
	var parts []string
	for why := gang.Eligible + 1; why < gang.NumExclusions; why++ {
		switch n := r.Excluded[why]; {
		case n == 0:
		case len(parts) == 0:
			parts = append(parts, countNoun(n, "node")+" "+why.String())
		default:
			parts = append(parts, fmt.Sprintf("%d %s", n, why))
		}
	}
	text := strings.Join(parts, ", ")
	if r.Short != "" {
		if text != "" {
			text += "; "
		}
		text += "short of " + r.Short
	}
	if r.Beyond != "" {
		if text != "" {
			text += "; "
		}
		text += r.Beyond
	}
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}

// recoverableText returns what would make room for a pinned gang, or "".
func (r *Refusal) recoverableText() string {
	if r.Missing > 0 {
		return fmt.Sprintf("; %d more %s must be free there", r.Missing, r.Short)
	}
	if len(r.Recoverable) == 0 {
		return ""
	}
	var nodes []string
	for _, h := range r.Recoverable[:min(len(r.Recoverable), maxNamedNodes)] {
		nodes = append(nodes, fmt.Sprintf("%s (%s)", h.Node, h.Exclusion))
	}
	text := strings.Join(nodes, ", ")
	if more := len(r.Recoverable) - maxNamedNodes; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return "; it would fit if it could use " + text
}

// maxNamedNodes is the number of nodes that a sentence names.
const maxNamedNodes = 3

// countNoun returns a count with its noun, in the plural unless it is 1.
func countNoun(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
