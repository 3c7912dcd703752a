// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// ReasonRoom is the reason of a gang that preempted others, while those end.
const ReasonRoom = "RoomBeingMade"

// roomDelay is how long victims are given to end before their gang's user hears of
// them: most have ended by then.
const roomDelay = time.Second

// Victim is a pod that ends for a gang that was promised its node.
type Victim struct {
	Namespace, Name string
	// Gang is what users call its gang, "" for a single pod.
	Gang string
	Node string
	// Until is when its grace period ends.
	Until time.Time
	// Beside says that it ends with others of its gang, on a node that was promised to
	// nobody.
	Beside bool
}

// IsExpected reports whether the pod is still expected to end. A kubelet that is dead
// never ends one.
func (v Victim) IsExpected(now time.Time) bool { return isExpected(v.Until, now) }

// isExpected reports whether a pod on a node is still expected to end whose grace
// period is over at a time.
func isExpected(until, now time.Time) bool { return now.Before(until.Add(TerminationSlack)) }

// RoomVerdict says that room is being made for a gang, by whom, where and until
// when. What is in other namespaces is counted and not named: who reads a gang's
// sentence may not be allowed to read those.
func RoomVerdict(namespace, gang string, victims []Victim) *Verdict {
	var there, beside []Victim
	var until time.Time
	for _, v := range victims {
		if v.Beside {
			beside = append(beside, v)
			continue
		}
		there = append(there, v)
		if v.Until.After(until) {
			until = v.Until
		}
	}
	more := ""
	if len(beside) > 0 {
		more = fmt.Sprintf("; with them end %s on %s", listVictims(namespace, beside), listNodes(beside))
	}
	return &Verdict{Reason: ReasonRoom, Remedy: ByRoom, Message: fmt.Sprintf(
		"room is being made for gang %s: waiting for %s to end on %s; the last grace period is over at %s%s",
		gang, listVictims(namespace, there), listNodes(there), until.UTC().Format(time.RFC3339), more)}
}

// listNodes names the nodes on which pods end.
func listNodes(victims []Victim) string {
	nodes := map[string]bool{}
	for _, v := range victims {
		nodes[v.Node] = true
	}
	return shorten("node ", "nodes ", slices.Sorted(maps.Keys(nodes)))
}

// listVictims names what ends: gangs, then single pods, then what is in other
// namespaces.
func listVictims(namespace string, victims []Victim) string {
	gangs := map[string]int{}
	var pods, parts []string
	others := 0
	for _, v := range victims {
		switch {
		case v.Namespace != namespace:
			others++
		case v.Gang != "":
			gangs[v.Gang]++
		default:
			pods = append(pods, v.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(gangs)) {
		parts = append(parts, podCount(gangs[name])+" of gang "+name)
	}
	if most := maxNamed; len(parts) > most {
		parts = append(parts[:most], fmt.Sprintf("those of %d more gangs", len(gangs)-most))
	}
	if len(pods) > 0 {
		slices.Sort(pods)
		parts = append(parts, shorten("pod ", "pods ", pods))
	}
	if others > 0 {
		parts = append(parts, podCount(others)+" of other namespaces")
	}
	return strings.Join(parts, ", ")
}

// maxNamed bounds how many of a kind are named in a sentence.
const maxNamed = 3

// shorten lists the first of some names behind their noun, and counts the others.
func shorten(one, many string, names []string) string {
	switch {
	case len(names) == 1:
		return one + names[0]
	case len(names) > maxNamed:
		return fmt.Sprintf("%s%s and %d more", many, strings.Join(names[:maxNamed], ", "), len(names)-maxNamed)
	}
	return many + strings.Join(names, ", ")
}

// room is what a gang's user hears of the room that is being made for it.
type room struct {
	// since is when victims were first seen, and revision the state of the
	// ledger that verdict is of.
	since    time.Time
	revision uint64
	verdict  *Verdict // nil until roomDelay has passed
}

// followRoom reports that room is being made for a refused gang, while victims end
// on the nodes that it is promised.
func (q *Queue) followRoom(g *gang, nodes map[string]int32, now time.Time) {
	if g.state != unschedulable {
		return
	}
	if g.room == nil {
		g.room = &room{since: now}
	}
	before := g.room.verdict
	if before == nil && now.Sub(g.room.since) < roomDelay {
		return
	}
	q.describeRoom(g, nodes, now)
	if before == nil || before.Message != g.room.verdict.Message {
		q.emit(Report{g.id, g.room.verdict, false})
	}
}

// describeRoom brings up to date what is told of the room for a gang.
func (q *Queue) describeRoom(g *gang, nodes map[string]int32, now time.Time) {
	if g.room.verdict == nil || g.room.revision != q.holds.revision {
		namespace, _, _ := strings.Cut(g.key.Name, "/")
		g.room.verdict, g.room.revision = RoomVerdict(namespace, g.name, q.holds.victims(nodes, now)), q.holds.revision
	}
}

// refusalToReport is what is told of a refused gang: that room is being made for
// it, as long as that is so, or why it was refused.
func (q *Queue) refusalToReport(g *gang, now time.Time) *Verdict {
	if g.room == nil {
		return g.refusal
	}
	nodes := q.holds.nominatedNodes(g.key.Name)
	switch {
	case g.refusal.Remedy != ByRoom || !q.holds.awaited(nodes, now):
		g.room = nil
	case now.Sub(g.room.since) >= roomDelay:
		q.describeRoom(g, nodes, now)
	}
	return g.refusalNow()
}

// endRoom ends what is told of the room that was made for a gang, which comes to
// nothing.
func (q *Queue) endRoom(g *gang) {
	told := g.room != nil && g.room.verdict != nil
	g.room = nil
	if told && g.refusal != nil {
		q.emit(Report{g.id, g.refusal, false})
	}
}

// refusalNow is the refusal that stands for a gang, nil for none.
func (g *gang) refusalNow() *Verdict {
	if g.refusal != nil && g.room != nil && g.room.verdict != nil {
		return g.room.verdict
	}
	return g.refusal
}

// nominatedNodes maps the nodes that a gang is promised to the highest priority that
// it is promised them with.
func (h *holdLedger) nominatedNodes(gang string) map[string]int32 {
	nodes := map[string]int32{}
	for _, n := range h.nominations {
		if most, ok := nodes[n.node]; n.gang == gang && (!ok || n.priority > most) {
			nodes[n.node] = n.priority
		}
	}
	return nodes
}

// victims lists the pods that are still to end on any of a gang's nominated nodes,
// and beside them those of their gangs that end elsewhere, by name.
func (h *holdLedger) victims(nodes map[string]int32, now time.Time) []Victim {
	gangs := map[string]bool{}
	for _, t := range h.terminating {
		if t.gang != "" && t.isVictim(nodes, now) {
			gangs[t.gang] = true
		}
	}
	var victims []Victim
	for _, t := range h.terminating {
		there := t.isVictim(nodes, now)
		if there || gangs[t.gang] && t.expected(now) {
			namespace, name, _ := strings.Cut(t.name, "/")
			victims = append(victims, Victim{namespace, name, t.gangName, t.node, t.until, !there})
		}
	}
	slices.SortFunc(victims, func(a, b Victim) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return victims
}
