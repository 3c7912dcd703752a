// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// event reads the line of an event, nil if its word means none.
func (s *script) event(word string) Event {
	switch word {
	case "lead":
		return Leading{}
	case "gang", "read", "idle", "changed", "attempt", "refuse", "place", "bindfail", "evicted", "evictfailed", "plan":
		return s.gangEvent(word, s.line.next())
	case "assign", "release", "delete", "terminate", "nominate", "resize":
		return s.podEvent(word)
	case "node":
		return NodeChanged{Node: s.line.next(), Version: s.line.option("version"), Relevant: !s.line.flag("irrelevant")}
	case "volumes":
		require.Equal(s.line.t, "changed", s.line.next(), s.line.where)
		return VolumesChanged{}
	}
	return nil
}

// gangEvent is what happens to a gang.
func (s *script) gangEvent(word, name string) Event {
	id := GangID(name)
	switch word {
	case "gang", "read":
		seen := s.readGang(name)
		seen.Asking = word == "gang"
		return seen
	case "idle":
		seen := s.readGang(name)
		return GangIdle{Gang: id, Key: seen.Key, Readiness: seen.Readiness}
	case "changed":
		return GangChanged{Gang: "ns/" + name}
	case "attempt":
		return Attempted{Gang: id}
	case "plan":
		return Planned{Gang: id, Cost: s.line.duration(s.line.option("cost"))}
	case "refuse":
		return s.refusal(id)
	case "place":
		return Placed{Gang: id}
	case "bindfail":
		return BindFailed{Gang: id, Verdict: func(pause time.Duration) *Verdict {
			return &Verdict{Reason: "BindDenied", Message: "trying again in " + pause.String(), Remedy: ByTime}
		}}
	case "evicted":
		return Evicted{Gang: id, Reason: s.line.option("for")}
	}
	return EvictionFailed{Gang: id}
}

// readGang reads what a gang is now; what the line does not say is as before.
func (s *script) readGang(name string) GangSeen {
	seen := s.gangs[name]
	if seen == nil {
		seen = &GangSeen{Gang: GangID(name), Key: Key{Name: "ns/" + name, Created: scriptStart}, Readiness: Readiness{Gang: name}}
		s.gangs[name] = seen
	}
	r := &seen.Readiness
	seen.Key.Priority = int32(s.line.number("priority", int(seen.Key.Priority)))
	if created := s.line.option("created"); created != "" {
		seen.Key.Created = scriptStart.Add(s.line.duration(created))
	}
	if needs := s.line.number("needs", r.MinCount); needs != r.MinCount {
		r.MinCount, r.Required = needs, needs
	}
	r.Required = s.line.number("started", r.Required)
	r.ChangedAt = time.Time{}
	if changed := s.line.option("changed"); changed != "" {
		r.ChangedAt = s.now.Add(-s.line.duration(changed))
	}
	r.Waiting, r.Bound, r.Gated = s.line.number("has", r.Waiting), s.line.number("bound", r.Bound), s.line.number("gated", r.Gated)
	if s.line.flag("misdeclared") {
		r.Problem = &Verdict{Reason: "Misdeclared", Message: "as another gang"}
	}
	seen.Fingerprint = uint64(s.line.number("fingerprint", int(seen.Fingerprint)))
	return *seen
}

// refusal reads what a gang is told by the planner or by other plugins.
func (s *script) refusal(id GangID) Event {
	l := s.line
	v := &Verdict{Reason: "NoRoom", Remedy: ByRoom, Deficit: l.amounts(l.option("lacks"))}
	switch by := l.option("help"); by {
	case "", "room":
	case "nodes":
		v.Remedy = ByNodes
	case "user":
		v.Remedy = ByUser
	case "time":
		v.Remedy = ByTime
	default:
		require.Fail(l.t, "unknown help", l.where)
	}
	v.Reason = cmp.Or(l.option("reason"), v.Reason)
	e := Refused{Gang: id, Class: l.option("class"), Verdict: v, Snapshot: s.snapshot, ByPlugins: l.flag("byplugins"), TryElsewhere: l.flag("elsewhere")}
	v.Volumes = l.flag("volumes")
	e.Fingerprint = s.gangs[string(id)].Fingerprint
	e.RetryAfter = l.duration(l.option("retry"))
	if node := l.option("promise"); node != "" {
		e.Promise = []NodeAmount{{node, l.amounts(l.next())}}
	}
	return e
}

// podEvent is what happens to a pod.
func (s *script) podEvent(word string) Event {
	l := s.line
	if word == "resize" {
		return PodResized{Gave: l.amounts(l.next())}
	}
	pod := l.next()
	if word == "delete" && pod == "gang" {
		return GangDeleted{Gang: GangID(l.next())}
	}
	if word == "delete" && pod == "node" {
		return NodeDeleted{Node: l.next()}
	}
	gang, node, priority := l.option("of"), l.option("on"), int32(l.number("priority", 0))
	if gang != "" {
		gang = "ns/" + gang
	}
	switch word {
	case "assign":
		return PodAssigned{Pod: pod, Priority: priority}
	case "release":
		return PodReleased{Pod: pod, Node: node, Gave: l.amounts(l.next())}
	case "terminate":
		until := scriptStart.Add(l.duration(l.option("until")))
		preempted := l.flag("preempted")
		return PodTerminating{Pod: pod, Name: "ns/" + pod, Gang: gang, GangName: strings.TrimPrefix(gang, "ns/"), Node: node, Priority: priority, Until: until, Preempted: preempted, Gives: l.amounts(l.next())}
	case "nominate":
		if l.flag("nowhere") {
			return PodNominated{Pod: pod, Gang: gang, Priority: priority}
		}
		return PodNominated{Pod: pod, Gang: gang, Node: node, Priority: priority, Needs: l.amounts(l.next())}
	}
	gone := PodDeleted{Pod: pod, Gang: gang, Node: node, Preempted: l.flag("preempted")}
	if len(l.words) > 0 {
		gone.Gave = l.amounts(l.next())
	}
	return gone
}

// expect reads an expectation. Those of effects are compared when their block
// ends, others at once.
func (s *script) expect() {
	l := s.line
	word := l.next()
	if !slices.Contains([]string{"nothing", "no", "at", "activate", "gate", "evict", "clear", "recheck", "report", "unreport", "offer"}, word) {
		s.expectState(word)
		return
	}
	s.expectedAt = cmp.Or(s.expectedAt, l.where)
	switch word {
	case "nothing":
	case "no":
		s.mentioned = append(s.mentioned, l.next())
	case "at": // at most 5 recheck train
		assert.Equal(s.t, "most", l.next(), l.where)
		l.words = append([]string{"most"}, l.words...)
		most := l.number("most", 0)
		effect := l.rest()
		s.counted = append(s.counted, effect)
		count := 0
		for _, happened := range s.happened {
			if happened == effect {
				count++
			}
		}
		assert.LessOrEqual(s.t, count, most, l.where)
		assert.NotZero(s.t, count, "%s: there is none at all", l.where)
	default:
		s.mentioned = append(s.mentioned, word)
		s.expected = append(s.expected, strings.TrimSpace(word+" "+l.rest()))
	}
}

// expectState checks what the queue answers when it is asked.
func (s *script) expectState(word string) {
	l := s.line
	var got []string
	switch word {
	case "waiting":
		for _, name := range s.q.KeptOut() {
			got = append(got, strings.TrimPrefix(name, "ns/"))
		}
	case "order":
		got = s.order()
	case "held": // against x: n1 8xgpu for y
		got = s.heldAgainst(l.option("against"), int32(l.number("priority", 0)))
	case "terminating":
		for _, row := range s.q.Terminating(s.now) {
			got = append(got, row.Node, writeAmounts(row.Amounts))
		}
	case "history":
		for _, d := range s.q.History("") {
			got = append(got, strings.TrimPrefix(d.Gang, "ns/"), string(d.Kind))
		}
	case "interrupted":
		for _, name := range s.order() {
			if s.q.KeyOf(GangID(name), Key{}).Interrupted {
				got = append(got, name)
			}
		}
	case "endings": // of old bound 1
		name := l.option("of")
		if e := s.q.Endings("ns/" + name); e != (Endings{}) {
			got = []string{"bound", strconv.Itoa(e.Bound)}
		}
	case "refusal": // train NoRoom
		if v := s.q.Refusal(GangID(l.words[0])); v != nil {
			got = []string{l.words[0], v.Reason}
		}
	case "reservable":
		for _, name := range s.order() {
			if s.q.MayReserve(GangID(name), s.now) {
				got = append(got, name)
			}
		}
	default:
		require.Fail(s.t, "unknown expectation", l.where)
	}
	want := l.rest()
	if want == "none" {
		want = ""
	}
	assert.Equal(s.t, want, strings.Join(got, " "), l.where)
}

// rest takes all words that are left.
func (l *scriptLine) rest() string {
	words := l.words
	l.words = nil
	return strings.Join(words, " ")
}

// order lists the gangs that are known, in queue order.
func (s *script) order() []string {
	var seen []Key
	for name, g := range s.gangs {
		if slices.Contains(s.q.Known(), GangID(name)) {
			seen = append(seen, s.q.KeyOf(GangID(name), g.Key))
		}
	}
	slices.SortFunc(seen, Key.Compare)
	var names []string
	for _, key := range seen {
		names = append(names, strings.TrimPrefix(key.Name, "ns/"))
	}
	return names
}

func (s *script) heldAgainst(name string, priority int32) []string {
	key := Key{Priority: priority, Created: s.now, Name: "ns/" + name}
	if g := s.gangs[name]; g != nil {
		key = s.q.KeyOf(GangID(name), g.Key)
	}
	var got []string
	for _, hold := range s.q.HeldAgainst("ns/"+name, key) {
		got = append(got, hold.Node, writeAmounts(hold.Amounts), "for", strings.TrimPrefix(hold.Holder, "ns/"))
	}
	return got
}

func writeAmounts(q Quantities) string {
	var parts []string
	for name, amount := range q {
		parts = append(parts, fmt.Sprintf("%dx%s", amount, name))
	}
	slices.Sort(parts)
	return strings.Join(parts, ",")
}
