// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/muster-scheduler/muster/test/chaos/checker"
)

// memory is what a leader says of its memory.
type memory struct {
	Gangs, Goroutines, HeapMiB float64
}

// measure reads the leader's metrics; the heap is the least of some seconds.
func (b *bench) measure() memory {
	var least memory
	for i := range 8 {
		now := b.readMemory()
		if i == 0 || now.HeapMiB < least.HeapMiB && now.HeapMiB > 0 {
			least.HeapMiB = now.HeapMiB
		}
		least.Gangs, least.Goroutines = now.Gangs, now.Goroutines
		time.Sleep(500 * time.Millisecond)
	}
	return least
}

func (b *bench) readMemory() memory {
	sums := b.leader().scrape()
	return memory{sums["muster_gangs"], sums["go_goroutines"], sums["go_memstats_heap_alloc_bytes"] / (1 << 20)}
}

// checkBounds checks that nothing is left of what is gone: within a minute, in which the
// scheduler's garbage collection comes round.
func (b *bench) checkBounds(baseline memory) memory {
	bounded := func(m memory) bool {
		return m.Gangs == 0 && m.Goroutines > 0 && m.Goroutines <= 1.1*baseline.Goroutines+20
	}
	var after memory
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(time.Second) {
		if after = b.readMemory(); bounded(after) {
			break
		}
	}
	b.checker.CountCheck()
	if !bounded(after) {
		b.checker.Violate(time.Now(), checker.BoundedState, "after the drain the leader has %+v, and had %+v before the load", after, baseline)
	}
	b.history("memory %+v, before the load %+v", after, baseline)
	return after
}

// heapTime is longer than Go lets pass without a garbage collection.
const heapTime = 130 * time.Second

// soak runs the load twice without faults, and checks that the second time leaves no
// more in memory than the first one.
func (b *bench) soak() {
	b.awaitLeader(time.Minute)
	leader := b.leader()
	var heaps []float64
	for range 2 {
		b.load.setFill(0.85)
		time.Sleep(*length / 10)
		b.settle()
		b.drain()
		least := 0.0
		for began := time.Now(); time.Since(began) < heapTime; time.Sleep(time.Second) {
			if heap := leader.scrape()["go_memstats_heap_alloc_bytes"] / (1 << 20); least == 0 || heap > 0 && heap < least {
				least = heap
			}
		}
		heaps = append(heaps, least)
		b.history("least heap after a soak: %.1f MiB", least)
	}
	b.checker.CountCheck()
	if leader.leads() && heaps[1] > 1.1*heaps[0] {
		b.checker.Violate(time.Now(), checker.BoundedState, "the heap is %.1f MiB after one soak and %.1f MiB after the next", heaps[0], heaps[1])
	}
}

// record is what a run came to.
type record struct {
	Seed     uint64
	Length   string
	Held     float64 // the share of GPUs that bound pods had, on average under load
	Jobs     int
	Pods     int
	Faults   map[string]int
	Requests map[string]int
	Counts   checker.Counts
	Broken   map[checker.Rule]int
	Longest  map[string]string
	Recovery map[string]string
	Exits    map[string]int
	Leaders  int
	Start    memory
	End      memory
	Errors   map[string]int
}

// report writes the record to the log, and fails the test where a rule was broken. It
// returns what was found.
func (b *bench) report() checker.Report {
	found := b.checker.Report()
	r := b.toRecord(found)
	text, err := json.Marshal(r)
	assert.NoError(b.t, err)
	b.t.Logf("record: %s", text)
	if *recordTo != "" {
		file, err := os.OpenFile(*recordTo, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if assert.NoError(b.t, err) {
			fmt.Fprintf(file, "%s\n", text)
			assert.NoError(b.t, file.Close())
		}
	}
	if len(found.Violations) == 0 {
		return found
	}
	var lines []string
	for _, v := range found.Violations {
		lines = append(lines, fmt.Sprintf("%8.3f %s: %s", v.Time.Sub(b.began).Seconds(), v.Rule, v.What))
	}
	assert.Fail(b.t, "rules were broken", "%v\n%s\nTo repeat it: go test -count=1 -v -run TestChaos ./test/chaos -chaos=%s -seed=%d",
		found.Broken, strings.Join(lines[:min(len(lines), 40)], "\n"), *length, b.seed)
	return found
}

// percentiles writes down sorted times.
func percentiles(all []time.Duration) string {
	if len(all) == 0 {
		return "none"
	}
	at := func(percent int) time.Duration { return all[(len(all)-1)*percent/100].Round(time.Millisecond) }
	return fmt.Sprintf("%d, p50 %s, p99 %s, longest %s", len(all), at(50), at(99), at(100))
}

func (b *bench) toRecord(found checker.Report) record {
	held, jobs, pods := b.load.summary() // before the lock: the load takes them the other way round
	b.mu.Lock()
	defer b.mu.Unlock()
	r := record{
		Seed: b.seed, Length: length.String(), Held: held, Jobs: jobs, Pods: pods, Faults: maps.Clone(b.faults),
		Requests: map[string]int{}, Counts: found.Counts, Broken: found.Broken, Longest: map[string]string{}, Recovery: map[string]string{},
		Exits: map[string]int{}, Leaders: found.Leaders, Start: b.start, End: b.end, Errors: b.errors,
	}
	for _, replica := range b.replicas {
		replica.proxy.mu.Lock()
		for kind, count := range replica.proxy.faulted {
			r.Requests[kind] += count
		}
		replica.proxy.mu.Unlock()
		replica.mu.Lock()
		for why, count := range replica.exits {
			r.Exits[why] += count
		}
		replica.mu.Unlock()
	}
	for kind, windows := range found.Windows {
		r.Longest[kind] = fmt.Sprintf("%s (%s)", percentiles(windows), found.Longest[kind])
	}
	if all := found.Recoveries; len(all) > 0 {
		r.Recovery["count"] = fmt.Sprint(len(all))
		r.Recovery["p50"] = all[len(all)/2].Round(time.Millisecond).String()
		r.Recovery["p99"] = all[len(all)*99/100].Round(time.Millisecond).String()
	}
	return r
}

// summary is the share of the GPUs that was held on average under load, and how many jobs
// and pods were created.
func (l *load) summary() (held float64, jobs, pods int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	busy := slices.DeleteFunc(slices.Clone(l.held), func(held float64) bool { return held < 0.3 })
	sum := 0.0
	for _, held := range busy {
		sum += held
	}
	return sum / float64(max(len(busy), 1)), l.created, l.pods
}
