// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// job is one gang of a replay. Its times count from the start of the replay and
// are negative until they have come.
type job struct {
	trace.Gang

	submitted, created, placed, started, ended, gone time.Duration

	seen, bound, running int            // pods
	leaves               map[string]int // bound pods by leaf

	whole chan struct{} // closed when every pod runs
}

// tracker derives the state of the gangs from the events of their pods, and
// integrates GPU use over time. Times are from the start of the replay.
type tracker struct {
	leafOf map[string]string // by node
	gpus   int               // of the fleet

	mu      sync.Mutex
	jobs    []*job
	byName  map[string]*job
	pods    map[types.UID]podState
	held    int // GPUs of pods that have a node
	working int // GPUs of gangs that work
	// heldTime and workTime are GPU-seconds up to now.
	heldTime, workTime float64
	now                time.Duration
	lastChange         time.Duration // the last bind or end of a gang
	binds              int
	bindsBySecond      []int
}

// podState is what the tracker remembers of a pod, to notice changes.
type podState struct {
	bound, running bool
}

// newTracker returns a tracker of gangs of which none was submitted yet.
func newTracker(gangs []trace.Gang, hosts []trace.Node) *tracker {
	t := &tracker{
		leafOf: map[string]string{}, gpus: len(hosts) * trace.GPUsPerNode,
		byName: map[string]*job{}, pods: map[types.UID]podState{},
	}
	for _, host := range hosts {
		t.leafOf[host.Name] = host.Leaf
	}
	for _, g := range gangs {
		j := &job{Gang: g, submitted: -1, created: -1, placed: -1, started: -1, ended: -1, gone: -1, leaves: map[string]int{}, whole: make(chan struct{})}
		t.jobs = append(t.jobs, j)
		t.byName[g.Name] = j
	}
	return t
}

// addGPUTime adds the GPU time since the last event. The lock is held.
func (t *tracker) addGPUTime(now time.Duration) {
	if now <= t.now {
		return
	}
	seconds := (now - t.now).Seconds()
	t.heldTime += float64(t.held) * seconds
	t.workTime += float64(t.working) * seconds
	t.now = now
}

// submitGang records that the pods of a gang are about to be created.
func (t *tracker) submitGang(now time.Duration, j *job) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addGPUTime(now)
	j.submitted = now
}

// setPod records a pod that was added or changed.
func (t *tracker) setPod(now time.Duration, p *v1.Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	j := t.byName[p.Labels[kube.LabelGang]]
	if j == nil {
		return
	}
	t.addGPUTime(now)
	before, seen := t.pods[p.UID]
	if !seen {
		j.seen++
	}
	if j.seen == j.Pods && j.created < 0 {
		j.created = now
	}
	after := podState{
		bound:   p.Spec.NodeName != "" && p.Status.Phase != v1.PodFailed && p.Status.Phase != v1.PodSucceeded,
		running: p.Status.Phase == v1.PodRunning,
	}
	t.pods[p.UID] = after
	if after.bound != before.bound {
		t.countBound(j, after.bound, t.leafOf[p.Spec.NodeName])
	}
	if after.running != before.running {
		j.running += signOf(after.running)
	}
	if j.bound == j.Pods && j.placed < 0 {
		j.placed = now
	}
	if j.running == j.Pods && j.started < 0 {
		j.started = now
		t.working += j.TotalGPUs()
		close(j.whole)
	}
}

// removePod records that a pod is gone.
func (t *tracker) removePod(now time.Duration, p *v1.Pod) {
	t.mu.Lock()
	defer t.mu.Unlock()
	state, seen := t.pods[p.UID]
	j := t.byName[p.Labels[kube.LabelGang]]
	if !seen || j == nil {
		return
	}
	t.addGPUTime(now)
	delete(t.pods, p.UID)
	j.seen--
	if j.seen == 0 && j.ended >= 0 {
		j.gone = now
	}
	if state.bound {
		t.countBound(j, false, t.leafOf[p.Spec.NodeName])
	}
	if state.running {
		j.running--
	}
}

// endGang records that a gang has finished its work; its pods hold their GPUs
// until they are deleted.
func (t *tracker) endGang(now time.Duration, j *job) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addGPUTime(now)
	j.ended = now
	t.lastChange = now
	t.working -= j.TotalGPUs()
}

// countBound adds a pod to those that hold GPUs, or takes it out. Leaves are
// counted until the gang is placed. The lock is held.
func (t *tracker) countBound(j *job, bound bool, leaf string) {
	j.bound += signOf(bound)
	t.held += signOf(bound) * j.GPUs
	if !bound {
		return
	}
	if j.placed < 0 {
		j.leaves[leaf]++
	}
	t.lastChange = t.now
	t.binds++
	second := int(t.now / time.Second)
	for len(t.bindsBySecond) <= second {
		t.bindsBySecond = append(t.bindsBySecond, 0)
	}
	t.bindsBySecond[second]++
}

// signOf returns 1 or -1.
func signOf(up bool) int {
	if up {
		return 1
	}
	return -1
}

// sample is the state of the replay at one moment.
type sample struct {
	at time.Duration
	// total = coming + waiting + partial + running + done, in gangs. Partial
	// gangs have some pods bound, but not all.
	coming, waiting, partial, running, done int
	held, working                           int // GPUs
	heldTime, workTime                      float64
	binds                                   int
	quiet                                   time.Duration // since the last bind or end of a gang
}

// takeSample returns the state of the replay now.
func (t *tracker) takeSample(now time.Duration) sample {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addGPUTime(now)
	s := sample{
		at: now, held: t.held, working: t.working, heldTime: t.heldTime, workTime: t.workTime,
		binds: t.binds, quiet: now - t.lastChange,
	}
	for _, j := range t.jobs {
		switch {
		case j.ended >= 0:
			s.done++
		case j.placed >= 0:
			s.running++
		case j.bound > 0:
			s.partial++
		case j.submitted >= 0:
			s.waiting++
		default:
			s.coming++
		}
	}
	return s
}
