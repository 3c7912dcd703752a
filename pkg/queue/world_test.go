// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// world is a small cluster with a scheduler that asks the queue: nodes have slots,
// a member takes one. Its events reach the queue and the scheduler's cache late,
// each on its own way.
type world struct {
	t    *testing.T
	q    *Queue
	dice *rand.Rand
	now  time.Time

	gangs map[GangID]*worldGang
	nodes map[string]worldNode
	pods  map[string]worldPod
	// cache is the cluster as attempts see it.
	cache worldCache
	// ready are the gangs in the scheduler's queue, and later what is under way.
	ready  map[GangID]bool
	later  []delivery
	podDue map[string]time.Time

	loses    int  // how many of 4 events never come, of those that may be lost
	large    bool // too large for a check after each step
	attempts int
	created  int
}

type worldGang struct {
	id      GangID
	key     Key
	size    int
	packed  bool // all on one node
	trouble trouble
	pods    []string // that have a node
	denied  bool     // a member could not be bound once
}

// trouble is why a gang that has room is not placed.
type trouble int

const (
	none      trouble = iota
	volume            // other plugins refuse it
	silence           // the framework fails, and nobody answers
	bindOnce          // its first bind fails
	allowance         // the number of troubles
)

type worldNode struct {
	slots   int
	version int
}

type worldPod struct {
	node string
	gang GangID
}

type worldCache struct {
	nodes map[string]worldNode
	pods  map[string]string // node by pod
}

func (c worldCache) HasPod(node, pod string) bool { return c.pods[pod] == node }
func (c worldCache) NodeVersion(node string) string {
	if n, ok := c.nodes[node]; ok {
		return fmt.Sprint(n.version)
	}
	return ""
}

// delivery is something that arrives at a time.
type delivery struct {
	at time.Time
	do func()
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{
		t: t, q: New(Config{PartialGrace: time.Minute}), dice: rand.New(rand.NewPCG(seed, 7)), now: scriptStart,
		gangs: map[GangID]*worldGang{}, nodes: map[string]worldNode{}, pods: map[string]worldPod{},
		cache: worldCache{nodes: map[string]worldNode{}, pods: map[string]string{}},
		ready: map[GangID]bool{}, podDue: map[string]time.Time{},
	}
}

// arrange has something done after a random time; what is about one pod in its
// order.
func (w *world) arrange(pod string, do func()) {
	at := w.now.Add(time.Duration(w.dice.IntN(100)) * time.Millisecond)
	if pod != "" {
		if at.Before(w.podDue[pod]) {
			at = w.podDue[pod]
		}
		w.podDue[pod] = at
	}
	w.later = append(w.later, delivery{at, do})
}

// tell delivers an event about a pod, or "", to the queue, at times twice, and at
// times never.
func (w *world) tell(pod string, event Event, mayBeLost bool) {
	if mayBeLost && w.dice.IntN(4) < w.loses {
		return
	}
	w.arrange(pod, func() { w.step(event) })
	if w.dice.IntN(10) == 0 {
		w.arrange(pod, func() { w.step(event) })
	}
}

// step takes in an event and carries out the effects.
func (w *world) step(event Event) (gate *Verdict) {
	effects := w.q.Step(w.now, event)
	if !w.large {
		require.NoError(w.t, checkInvariants(w.q), "%T%+v", event, event)
	}
	for _, effect := range effects {
		switch e := effect.(type) {
		case Gate:
			gate = e.Verdict
		case Activate:
			if w.dice.IntN(10) > 0 { // or it was on its way back to the queue
				w.enqueue(e.Gang)
			}
		case Recheck:
			w.arrange("", func() { w.read(e.Name) })
		}
	}
	return gate
}

// seen is a gang as it is now.
func (w *world) seen(g *worldGang, asking bool) GangSeen {
	return GangSeen{Gang: g.id, Key: g.key, Asking: asking, Readiness: Readiness{
		Gang: string(g.id), MinCount: g.size, Required: g.size, Bound: len(g.pods), Waiting: g.size - len(g.pods),
	}}
}

// enqueue puts a gang into the scheduler's queue, if the core lets it.
func (w *world) enqueue(id GangID) {
	if g := w.gangs[id]; g != nil && len(g.pods) == 0 && w.step(w.seen(g, true)) == nil {
		w.ready[id] = true
	}
}

// read answers a Recheck.
func (w *world) read(name string) {
	g := w.gangs[GangID(strings.TrimPrefix(name, "ns/"))]
	if g == nil {
		return
	}
	seen := w.seen(g, false)
	if seen.Readiness.Waiting == 0 {
		w.step(GangIdle{Gang: g.id, Key: seen.Key, Readiness: seen.Readiness})
		return
	}
	w.step(seen)
}

// addGang creates a gang. What is equal but for trouble is of one class.
func (w *world) addGang(size int, packed bool, what trouble, priority int32) *worldGang {
	w.created++
	id := GangID(fmt.Sprint("gang", w.created))
	g := &worldGang{id: id, size: size, packed: packed, trouble: what}
	g.key = Key{Priority: priority, Created: w.now.Truncate(time.Second), Name: "ns/" + string(id)}
	w.gangs[id] = g
	w.tell("", GangChanged{Gang: g.key.Name}, false)
	w.enqueue(id)
	return g
}

func (g *worldGang) class() string { return fmt.Sprint(g.size, g.packed, g.key.Priority) }

// removeGang deletes the group, and with it its pods.
func (w *world) removeGang(g *worldGang) {
	for len(g.pods) > 0 {
		w.endPod(g)
	}
	delete(w.gangs, g.id)
	delete(w.ready, g.id)
	w.tell("", GangDeleted{Gang: g.id}, false)
}

// endPod deletes a pod of a gang that runs, in one go or with a grace period.
func (w *world) endPod(g *worldGang) {
	pod := g.pods[0]
	g.pods = g.pods[1:]
	node := w.pods[pod].node
	gave := Quantities{"slots": 1, "pods": 1}
	delete(w.pods, pod)
	if w.dice.IntN(2) == 0 {
		w.tell(pod, PodTerminating{Pod: pod, Node: node, Gives: gave, Until: w.now.Add(time.Second)}, true)
	}
	if w.dice.IntN(4) < w.loses {
		w.tell(pod, PodDeleted{Pod: pod}, false) // where it was is not known
	} else {
		w.tell(pod, PodDeleted{Pod: pod, Node: node, Gave: gave}, false)
	}
	w.arrange("", func() { delete(w.cache.pods, pod) })
}

// setNode gives a node a number of slots.
func (w *world) setNode(name string, slots int) {
	node := worldNode{slots, w.nodes[name].version + 1}
	w.nodes[name] = node
	w.tell("node "+name, NodeChanged{Node: name, Version: fmt.Sprint(node.version), Relevant: true}, true)
	w.arrange("cache "+name, func() { w.cache.nodes[name] = node })
}

// freeSlots counts what is free on each node, as attempts see it.
func (w *world) freeSlots() map[string]int {
	free := map[string]int{}
	for name, n := range w.cache.nodes {
		free[name] = n.slots
	}
	for _, node := range w.cache.pods {
		free[node]--
	}
	return free
}

// plan returns where the members of a gang go, or what the gang lacks.
func (g *worldGang) plan(free map[string]int) (nodes []string, lacks int) {
	names := slices.Sorted(maps.Keys(free))
	most := 0
	for _, name := range names {
		most = max(most, free[name])
		if g.packed {
			nodes = nil
		}
		for range min(free[name], g.size-len(nodes)) {
			nodes = append(nodes, name)
		}
		if len(nodes) == g.size {
			return nodes, 0
		}
	}
	if g.packed {
		return nil, g.size - most
	}
	return nil, g.size - len(nodes)
}

// attempt tries the first gang in the scheduler's queue.
func (w *world) attempt() {
	var first *worldGang
	var key Key
	for id := range w.ready {
		g := w.gangs[id]
		if k := w.q.KeyOf(id, g.key); first == nil || k.Before(key) {
			first, key = g, k
		}
	}
	if first == nil {
		return
	}
	delete(w.ready, first.id)
	w.attempts++
	w.step(Attempted{Gang: first.id})
	nodes, lacks := first.plan(w.freeSlots())
	refused := Refused{Gang: first.id, Class: first.class(), Snapshot: w.cache, Verdict: &Verdict{Reason: "NoRoom", Remedy: ByRoom, Deficit: Quantities{"slots": int64(lacks)}}}
	switch {
	case nodes == nil:
		w.step(refused)
	case first.trouble == volume:
		refused.ByPlugins, refused.RetryAfter = true, 5*time.Second
		refused.Verdict = &Verdict{Reason: "NoVolume", Remedy: ByTime}
		w.step(refused)
	case first.trouble == silence:
		w.later = append(w.later, delivery{w.now.Add(time.Second), func() { w.enqueue(first.id) }})
	default:
		w.place(first, nodes)
	}
}

// place binds a gang.
func (w *world) place(g *worldGang, nodes []string) {
	for i, node := range nodes {
		pod := fmt.Sprint(g.id, "-", i)
		if g.denied {
			pod += "-again"
		}
		g.pods = append(g.pods, pod)
		w.pods[pod] = worldPod{node, g.id}
		w.cache.pods[pod] = node
		w.step(PodAssigned{Pod: pod, Priority: 1000})
	}
	w.step(Placed{Gang: g.id})
	if g.trouble != bindOnce || g.denied {
		return
	}
	g.denied = true
	for _, pod := range g.pods {
		delete(w.pods, pod)
		delete(w.cache.pods, pod)
		w.step(PodReleased{Pod: pod, Node: nodes[0], Gave: Quantities{"slots": 1, "pods": 1}})
	}
	g.pods = nil
	w.step(BindFailed{Gang: g.id, Verdict: func(time.Duration) *Verdict { return &Verdict{Reason: "BindDenied", Remedy: ByTime} }})
}

// pass lets time go by: what is due arrives, ticks come, and the scheduler works.
func (w *world) pass(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(TickInterval)
		var due []delivery
		w.later = slices.DeleteFunc(w.later, func(d delivery) bool {
			if d.at.After(w.now) {
				return false
			}
			due = append(due, d)
			return true
		})
		slices.SortStableFunc(due, func(a, b delivery) int { return a.at.Compare(b.at) })
		for _, d := range due {
			d.do()
		}
		w.step(Tick{})
		for range 4 {
			w.attempt()
		}
	}
}

// twinPlaces lists the gangs that a scheduler would place which tries everybody
// who waits, in the order of the queue.
func (w *world) twinPlaces() []GangID {
	free := map[string]int{}
	for name, n := range w.nodes {
		free[name] = n.slots
	}
	for _, pod := range w.pods {
		free[pod.node]--
	}
	waiting := slices.SortedFunc(maps.Values(w.gangs), func(a, b *worldGang) int {
		return cmp.Or(w.q.KeyOf(a.id, a.key).Compare(w.q.KeyOf(b.id, b.key)))
	})
	var placed []GangID
	for _, g := range waiting {
		if len(g.pods) > 0 || g.trouble == volume || g.trouble == silence {
			continue
		}
		nodes, _ := g.plan(free)
		for _, node := range nodes {
			free[node]--
		}
		if nodes != nil {
			placed = append(placed, g.id)
		}
	}
	return placed
}

// running lists the gangs that are placed.
func (w *world) running() []*worldGang {
	var out []*worldGang
	for _, id := range slices.Sorted(maps.Keys(w.gangs)) {
		if g := w.gangs[id]; len(g.pods) > 0 {
			out = append(out, g)
		}
	}
	return out
}
