// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// history is the life of the gang train as a controller and a kubelet make it.
type history struct {
	*world
	spelling
	objects []*unstructured.Unstructured
	// bare pods have no controller. run counts the workloads that had the name.
	bare bool
	run  int
	// pods are those that exist, by name, of any run.
	pods map[string]*v1.Pod
	// done counts the pods of the run that have done their work, counted those that its Job has
	// counted.
	done, counted int
	created       int
	clock         time.Duration
}

func newHistory(t testing.TB, s spelling, bare bool) *history {
	h := &history{world: newWorld(), spelling: s, objects: s.objects(t), bare: bare && s.name != string(kube.DialectAuto), pods: map[string]*v1.Pod{}}
	h.setObjects(h.objects, h.SetObject)
	h.countDone(t)
	return h
}

// countDone has the Job of the run count the pods that have done their work.
func (h *history) countDone(t testing.TB) {
	if h.counted = h.done; !h.bare {
		h.setObjects(h.job(t), h.SetObject)
	}
}

// job is the Job of the run, of which there is none for bare pods.
func (h *history) job(t testing.TB) []*unstructured.Unstructured {
	if h.bare {
		return nil
	}
	return []*unstructured.Unstructured{jobFor(t, fmt.Sprint("run", h.run), h.counted)}
}

// select returns the pods in one of the states, in order.
func (h *history) inState(states ...kube.MemberState) []*v1.Pod {
	var all []*v1.Pod
	for _, name := range slices.Sorted(maps.Keys(h.pods)) {
		if slices.Contains(states, kube.MemberStateOf(h.pods[name])) {
			all = append(all, h.pods[name])
		}
	}
	return all
}

// living are the pods that have not ended.
func (h *history) living() []*v1.Pod {
	return h.inState(kube.MemberWaiting, kube.MemberGated, kube.MemberBound, kube.MemberTerminating)
}

// change has one of the pods in a state become something else.
func (h *history) change(pick int, apply func(*v1.Pod), states ...kube.MemberState) {
	if from := h.inState(states...); len(from) > 0 {
		p := from[pick%len(from)].DeepCopy()
		apply(p)
		h.pods[p.Name] = p
		h.putPod(p)
	}
}

// remove has one of the pods in a state be gone.
func (h *history) remove(pick int, states ...kube.MemberState) {
	if from := h.inState(states...); len(from) > 0 {
		p := from[pick%len(from)]
		delete(h.pods, p.Name)
		h.assigner.Forget(p.UID)
		h.DeletePod(p.UID)
		h.DeleteFinished(p.UID)
	}
}

// create adds a pod to the run. Once nothing of a run lives, the next begins where
// asked.
func (h *history) create(t testing.TB, nextRun bool, gates ...string) {
	living := len(h.living())
	if living >= 6 {
		return
	}
	if nextRun && living == 0 {
		h.run++
		h.done = 0
		h.countDone(t)
	}
	run := fmt.Sprint("run", h.run)
	if h.bare {
		run = ""
	}
	p := gated(h.member(fmt.Sprintf("p%03d", h.created), run, h.clock), gates...)
	h.created++
	h.pods[p.Name] = p
	p.Annotations["run"] = fmt.Sprint(h.run)
	h.putPod(p)
}

// step plays one event of a life.
func (h *history) step(t testing.TB, what, pick int) {
	h.clock += time.Minute
	now := metav1.NewTime(dialecttest.Epoch.Add(h.clock))
	switch what % 13 {
	case 0, 1, 2:
		h.create(t, pick%2 == 0)
	case 3:
		h.create(t, false, "quota")
	case 4:
		h.change(pick, func(p *v1.Pod) { p.Spec.SchedulingGates = nil }, kube.MemberGated)
	case 5, 6:
		h.change(pick, func(p *v1.Pod) {
			p.Spec.NodeName = "n1"
			p.Status.Conditions = []v1.PodCondition{{Type: v1.PodScheduled, Status: v1.ConditionTrue, LastTransitionTime: now}}
		}, kube.MemberWaiting)
	case 7: // deleted: one with a node has its time to end
		if pick%2 == 0 {
			h.remove(pick/2, kube.MemberWaiting, kube.MemberGated)
			return
		}
		h.change(pick/2, func(p *v1.Pod) { p.DeletionTimestamp = &now }, kube.MemberBound)
	case 8:
		h.remove(pick, kube.MemberTerminating)
	case 9:
		h.change(pick, func(p *v1.Pod) {
			endPod(p, v1.PodSucceeded, h.clock)
			h.done++
		}, kube.MemberBound, kube.MemberTerminating)
	case 10:
		phase := []v1.PodPhase{v1.PodRunning, v1.PodUnknown, v1.PodFailed}[pick%3]
		h.change(pick/3, func(p *v1.Pod) {
			if p.Status.Phase = phase; phase == v1.PodFailed {
				endPod(p, phase, h.clock)
			}
		}, kube.MemberBound)
	case 11: // a Job counts its pods before it lets them go
		h.countDone(t)
		h.remove(pick, kube.MemberFinished, kube.MemberFailed)
	case 12:
		h.countDone(t)
	}
}

// check holds the rules that no history may break.
func (h *history) check(t testing.TB) {
	t.Helper()
	const declared = 4
	if len(h.living()) == 0 {
		if len(h.objects) == 0 || h.name == string(kube.DialectAuto) {
			require.Empty(t, h.published, "a gang without pods is published")
		}
		return
	}
	require.Len(t, h.published, 1)
	require.Empty(t, h.problem(h.group))
	done := 0
	for _, p := range h.inState(kube.MemberFinished) {
		done += oneIf(p.Annotations["run"] == fmt.Sprint(h.run))
	}
	if !h.bare {
		done = max(done, h.counted)
	}
	bound := len(h.inState(kube.MemberBound))
	have := h.count(t, h.group)
	needed := max(declared-done, 1)
	switch {
	case h.name == string(kube.DialectAuto) && bound > 0: // held to what it has begun with
		require.LessOrEqual(t, have.needed, needed, "it waits for work that is done")
	case h.bare: // of pods without a controller those count that lived at one time
		require.GreaterOrEqual(t, have.needed, needed, "a part of it starts")
		require.LessOrEqual(t, have.needed, declared)
	default:
		require.Equal(t, needed, have.needed, "%d of the run are done", done)
	}
	require.Equal(t, counted{have.needed, len(h.inState(kube.MemberWaiting)), len(h.inState(kube.MemberGated)), bound}, have)
	if h.name != string(kube.DialectAuto) { // what that began with, a store that starts has to guess
		h.compareWithFresh(t)
	}
}

// compareWithFresh compares what is published with what is by a store that finds the pods
// as they are.
func (h *history) compareWithFresh(t testing.TB) {
	t.Helper()
	pods := slices.SortedFunc(maps.Values(h.pods), func(a, b *v1.Pod) int { return cmp.Compare(b.Name, a.Name) })
	fresh := freshWorld(pods, append(h.job(t), h.objects...))
	a, b := h.get(h.group).DeepCopy(), fresh.get(h.group).DeepCopy()
	require.NotNil(t, b)
	for _, pg := range []*metav1.ObjectMeta{&a.ObjectMeta, &b.ObjectMeta} { // of the first member that it had
		pg.UID, pg.CreationTimestamp, pg.ResourceVersion = "", metav1.Time{}, ""
	}
	require.Equal(t, b, a)
	require.Equal(t, fresh.declared(h.group), h.declared(h.group))
}

// play plays a script of events and the end of everything.
func (h *history) play(t testing.TB, script []byte) {
	t.Helper()
	for i := 0; i+1 < len(script); i += 2 {
		h.step(t, int(script[i]), int(script[i+1]))
		h.check(t)
	}
	for len(h.pods) > 0 {
		h.remove(0, kube.MemberWaiting, kube.MemberGated, kube.MemberBound, kube.MemberTerminating)
		h.countDone(t)
		h.remove(0, kube.MemberFinished, kube.MemberFailed)
		h.check(t)
	}
	h.setObjects(append(h.job(t), h.objects...), h.DeleteObject)
	left := []int{len(h.gangs), len(h.world.pods), len(h.finished), len(h.finishedIn), len(h.workloads), len(h.contested), len(h.published)}
	assert.Equal(t, make([]int, len(left)), left, "something is held when everything is gone")
}

// TestHistories plays lives of pods that are made up: whatever their order, no part of
// a gang is enough for a new run, nobody waits for work that is done, and nothing is
// held for ever.
func TestHistories(t *testing.T) {
	for i, s := range spellings {
		t.Run(s.name, func(t *testing.T) {
			d := rand.New(rand.NewPCG(11, uint64(i)))
			for range 40 {
				script := make([]byte, 120)
				for j := range script {
					script[j] = byte(d.Uint32())
				}
				bare := d.IntN(3) == 0
				if newHistory(t, s, bare).play(t, script); t.Failed() {
					t.Fatalf("bare %v, script %v", bare, script)
				}
			}
		})
	}
}

// FuzzHistories plays any life of pods.
func FuzzHistories(f *testing.F) {
	f.Add(byte(0), []byte{0, 0, 0, 1, 0, 1, 0, 1, 5, 0, 5, 0, 5, 0, 5, 0, 9, 0, 9, 0, 9, 0, 7, 1, 8, 0, 0, 1})
	f.Add(byte(3), []byte{0, 0, 3, 1, 5, 0, 7, 1, 0, 1, 9, 0, 8, 0, 0, 0, 11, 0})
	f.Fuzz(func(t *testing.T, how byte, script []byte) {
		if len(script) > 400 {
			return
		}
		newHistory(t, spellings[int(how)%len(spellings)], how >= 128).play(t, script)
	})
}
