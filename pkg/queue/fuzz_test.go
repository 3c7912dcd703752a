// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FuzzStep feeds events in any order, at any time, and checks the queue after
// each of them. Two queues that are fed alike do alike. Once all is gone nothing
// is remembered.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 11, 0, 0, 0, 12, 0, 8, 1, 4, 1, 200, 2, 19, 0, 0, 3})
	f.Add([]byte{0, 0, 0, 0, 0, 1, 0, 0, 12, 0, 0, 1, 12, 1, 0, 1, 3, 0, 9, 0, 19, 0, 0, 9, 11, 0, 0, 0, 13, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 0, 0, 1, 0, 0, 14, 0, 0, 1, 12, 1, 0, 1, 10, 0, 0, 0, 19, 0, 0, 99, 18, 0, 0, 9})
	f.Fuzz(stepThrough)
}

func TestStep_RandomEvents(t *testing.T) {
	for seed := range uint64(60) {
		dice := rand.New(rand.NewPCG(seed, 0))
		data := make([]byte, 4*400)
		for i := range data {
			data[i] = byte(dice.Uint32())
			if i%4 == 3 {
				data[i] %= 60 + 20*byte(seed%10) // from quick to slow
			}
		}
		stepThrough(t, data)
		require.False(t, t.Failed(), "seed %d", seed)
	}
}

// stepThrough feeds the events that bytes stand for, four each, and then the end
// of everything.
func stepThrough(t *testing.T, data []byte) {
	config := Config{PartialGrace: time.Minute, HistorySize: 5}
	q, twin := New(config), New(config)
	now := scriptStart
	step := func(event Event) {
		effects := q.Step(now, event)
		what := fmt.Sprintf("%T%+v", event, event)
		require.NoError(t, checkInvariants(q), what)
		requireKnown(t, q, effects, what)
		require.Equal(t, describeAll(effects), describeAll(twin.Step(now, event)), what)
	}
	for len(data) >= 4 {
		now = now.Add(fuzzPause(data[3]))
		step(fuzzEvent(data[0], data[1], data[2]))
		data = data[4:]
	}
	for i := range 8 {
		step(PodDeleted{Pod: fmt.Sprint("pod", i)})
		step(NodeDeleted{Node: fmt.Sprint("n", i)})
		step(GangDeleted{Gang: GangID(fmt.Sprint("gang", i))})
	}
	for range 130 {
		now = now.Add(time.Second)
		step(Tick{})
	}
	assertEmpty(t, q)
	assert.LessOrEqual(t, len(q.History("")), 5)
}

// fuzzPause is the time before an event: some milliseconds, some seconds, some
// minutes, or less than none.
func fuzzPause(b byte) time.Duration {
	switch {
	case b < 100:
		return time.Duration(b) * 5 * time.Millisecond
	case b < 200:
		return time.Duration(b-99) * time.Second
	case b < 250:
		return time.Duration(b-199) * time.Minute
	}
	return -time.Second
}

// fuzzEvent is the event of a number, about the gang and the rest that the other
// two choose.
func fuzzEvent(kind, which, arg byte) Event {
	id := GangID(fmt.Sprint("gang", which%5))
	// Two gangs have had the same name.
	name, pod, node := fmt.Sprint("ns/g", which%5%4), fmt.Sprint("pod", arg%8), fmt.Sprint("n", which%3)
	owner := fmt.Sprint("ns/g", arg%4) // a pod never changes its gang
	amounts := Quantities{"gpu": int64(arg % 9)}
	priority := int32(arg % 3)
	key := Key{Priority: priority, Created: scriptStart.Add(time.Duration(arg%4) * time.Second), Name: name}
	ready := Readiness{Gang: string(id), MinCount: 3, Required: 3, Bound: int(arg>>2) % 4, Waiting: int(arg>>4) % 4, Gated: int(arg>>6) % 2}
	switch kind % 20 {
	case 0, 1:
		ready = Readiness{Gang: string(id), MinCount: 3, Required: 3, Waiting: 3}
		return GangSeen{Gang: id, Key: key, Readiness: ready, Asking: true}
	case 2:
		return GangSeen{Gang: id, Key: key, Readiness: ready, Asking: arg%2 == 0, Fingerprint: uint64(arg % 2)}
	case 3:
		return PodReleased{Pod: pod, Node: node, Gave: amounts}
	case 4:
		return PodDeleted{Pod: pod, Gang: owner, Node: node, Gave: amounts}
	case 5:
		return PodTerminating{Pod: pod, Gang: owner, Node: node, Priority: priority, Gives: amounts, Until: scriptStart.Add(time.Duration(arg) * time.Second), Preempted: true}
	case 6:
		return PodNominated{Pod: pod, Gang: owner, Node: node, Priority: priority, Needs: amounts}
	case 7:
		return PodNominated{Pod: pod, Gang: owner, Priority: priority}
	case 8:
		return PodAssigned{Pod: pod, Priority: priority}
	case 9:
		return NodeChanged{Node: node, Version: fmt.Sprint(arg), Relevant: arg%2 == 0}
	case 10:
		return GangIdle{Gang: id, Key: key, Readiness: Readiness{Gang: string(id), MinCount: 3, Required: 3, Bound: int(arg % 4)}}
	case 11:
		return Attempted{Gang: id}
	case 12, 13:
		return fuzzRefusal(id, node, arg)
	case 14:
		return Placed{Gang: id}
	case 15:
		return BindFailed{Gang: id, Verdict: func(time.Duration) *Verdict { return &Verdict{Reason: "BindDenied", Remedy: ByTime} }}
	case 16:
		if arg%2 == 0 {
			return EvictionFailed{Gang: id}
		}
		return Evicted{Gang: id, Reason: "PartialGang"}
	case 17:
		return []Event{GangDeleted{Gang: id}, GangChanged{Gang: name}, Leading{}, NodeDeleted{Node: node}, PodResized{Gave: amounts}}[arg%5]
	}
	return Tick{}
}

func fuzzRefusal(id GangID, node string, arg byte) Event {
	e := Refused{
		Gang: id, Class: fmt.Sprint("class", arg%2), Fingerprint: uint64(arg >> 7), ByPlugins: arg%16 == 15,
		Verdict:  &Verdict{Reason: "NoRoom", Remedy: ByRoom, Deficit: Quantities{"gpu": int64(arg % 9)}},
		Snapshot: scriptSnapshot{},
	}
	if arg%5 == 0 {
		e.Verdict.Remedy = Remedy(arg / 5 % 4)
	}
	if arg%3 == 0 {
		e.Promise = []NodeAmount{{node, Quantities{"gpu": 4}}}
	}
	if arg%7 == 0 {
		e.Snapshot = scriptSnapshot{pods: map[string]string{"pod1": node, "pod2": node}, versions: map[string]string{node: "2"}}
	}
	return e
}

// requireKnown fails for an effect on a gang that nobody knows.
func requireKnown(t *testing.T, q *Queue, effects []Effect, what string) {
	for _, effect := range effects {
		var id GangID
		switch e := effect.(type) {
		case Activate:
			id = e.Gang
			require.NotEmpty(t, e.Name, what)
		case Gate:
			id = e.Gang
			require.NotNil(t, e.Verdict, what)
		case Evict:
			id = e.Gang
			require.NotEmpty(t, e.Name, what)
		case Report:
			id = e.Gang
			require.NotNil(t, e.Verdict, what)
		case Unreport:
			id = e.Gang
		case Recheck:
			require.NotEmpty(t, e.Name, what)
			continue
		default:
			continue
		}
		require.Contains(t, q.gangs, id, "%s: %s", what, describe(effect))
	}
}

func describeAll(effects []Effect) []string {
	var out []string
	for _, effect := range effects {
		out = append(out, describe(effect))
	}
	return out
}
