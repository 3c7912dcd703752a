// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	"github.com/muster-scheduler/muster/internal/sandbox"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// lifetime is a workload and what happens to it, from its start to its end.
type lifetime struct {
	// object is a file in testdata/strangers: a workload named {{.Name}} whose
	// pods, of 8 GPUs, are to start together.
	object string
	pods   int
	// heldBack says that a workload without room has no pods: its own queue
	// holds it back before Muster can.
	heldBack bool
	steps    []step
}

// step is one thing that happens to a workload.
type step struct {
	// verb is one of verbs.
	verb string
	// patch changes the workload, or the object that of names as KIND/NAME: a
	// merge patch, or a JSON patch where it is a list.
	of, patch string
	// pods is how many run afterwards.
	pods int
	// restarts says that the controller makes all pods anew.
	restarts bool
	// waiting is how the names of those pods begin that wait until more nodes
	// come, if some do.
	waiting string
	nodes   int
	// ending is how the names of those pods begin that have done their work.
	ending string
}

var verbs = map[string]func(*life, step){
	"lose a pod":    (*life).lose,
	"suspend":       (*life).suspend,
	"resume":        (*life).resume,
	"restart":       (*life).restart,
	"scale up":      (*life).scale,
	"scale down":    (*life).scale,
	"roll out":      (*life).update,
	"finish partly": (*life).finishPart,
	"finish":        (*life).finish,
}

// life is a lifetime that goes on, in the cluster of a test.
type life struct {
	t *testing.T
	c *cluster
	k *kubectl
	lifetime
	// now is how many pods of the workload run.
	now int
}

// one is the workload, two another like it for which there is no room.
const one, two = "one", "two"

// run lets everything happen, until something goes wrong.
func (l *life) run(t *testing.T) {
	t.Run("start", func(t *testing.T) {
		l.on(t)
		l.start()
	})
	for _, s := range l.steps {
		if t.Failed() {
			return
		}
		t.Run(s.verb, func(t *testing.T) {
			l.on(t)
			verbs[s.verb](l, s)
		})
	}
}

// on lets a part of the test fail.
func (l *life) on(t *testing.T) {
	l.t, l.k.t = t, t
	l.c.on(t)
}

// start starts the workload.
func (l *life) start() {
	l.k.apply(l.read(one))
	l.awaitWhole(l.pods, nil)
	l.now = l.pods
}

// lose deletes the first pod, then the last. Each comes back, and no other pod
// moves.
func (l *life) lose(s step) {
	for _, at := range []int{0, l.now - 1} {
		before := l.running()
		lost := before[slices.Sorted(maps.Keys(before))[at]]
		require.NoError(l.t, l.c.client.CoreV1().Pods(l.c.namespace).Delete(background, lost.Name, metav1.DeleteOptions{}))
		gone := map[string]v1.Pod{lost.Name: lost}
		if s.restarts {
			gone = before
		}
		after := l.awaitWhole(l.now, gone)
		assert.Len(l.t, kept(before, after), l.now-len(gone), "the other pods stay")
	}
}

// suspend ends all pods.
func (l *life) suspend(s step) {
	l.change(s)
	l.c.awaitGone(one)
}

// resume starts the workload again, first where one node too few is free.
func (l *life) resume(s step) {
	if l.heldBack {
		l.change(s)
		l.awaitWhole(s.pods, nil)
		return
	}
	others := l.leaveNodes(s.pods - 1)
	l.change(s)
	l.c.awaitReason(one, kube.NoFittingDomain)
	assert.Empty(l.t, l.c.bound(one), "a gang that does not fit holds nothing")
	l.c.remove(others...)
	l.awaitWhole(s.pods, nil)
}

// restart suspends the workload and resumes it at once, while its pods end, one
// of them late. The others' nodes are not enough for the new pods, so that none
// of these starts before the last has ended.
func (l *life) restart(step) {
	others := l.leaveNodes(l.now)
	before := l.running()
	late := slices.Min(slices.Collect(maps.Keys(before)))
	_, err := l.c.client.CoreV1().Pods(l.c.namespace).Patch(background, late, types.MergePatchType,
		[]byte(`{"metadata": {"annotations": {"`+sandbox.StopSecondsAnnotation+`": "1.5"}}}`), metav1.PatchOptions{})
	require.NoError(l.t, err)
	l.change(l.stepOf("suspend"))
	require.Eventually(l.t, func() bool { return len(l.live()) == 0 }, patience, poll, "all pods have to end")
	l.change(l.stepOf("resume"))
	partly := false
	require.Eventually(l.t, func() bool {
		pods := l.c.pods(one + "-")
		started := slices.ContainsFunc(pods, func(p v1.Pod) bool { return before[p.Name].UID != p.UID && p.Spec.NodeName != "" })
		partly = slices.ContainsFunc(pods, func(p v1.Pod) bool { return before[p.Name].UID == p.UID && p.Status.Phase == v1.PodRunning })
		return started
	}, patience, poll, "new pods have to start")
	if !assert.False(l.t, partly, "some of a gang starts before there is room for all of it") {
		l.logPods()
	}
	l.awaitWhole(l.now, before)
	l.c.remove(others...)
}

// stepOf finds the step of a verb.
func (l *life) stepOf(verb string) step {
	at := slices.IndexFunc(l.steps, func(s step) bool { return s.verb == verb })
	return l.steps[at]
}

// leaveNodes takes the nodes beyond so many, and returns what takes them.
func (l *life) leaveNodes(free int) []string {
	nodes, err := l.c.client.CoreV1().Nodes().List(background, metav1.ListOptions{})
	require.NoError(l.t, err)
	var others []*v1.Pod
	var names []string
	for i := range len(nodes.Items) - free {
		others = append(others, pod(fmt.Sprintf("other-%d", i), 8))
		names = append(names, others[i].Name)
	}
	l.c.create(others...)
	l.c.awaitBound("other", len(names))
	return names
}

// scale changes how many pods there are. Those that run go on, and new ones
// join them; what starts together waits together.
func (l *life) scale(s step) {
	before := l.running()
	l.change(s)
	if s.nodes > 0 {
		l.c.awaitPending(s.waiting, kube.NoFittingDomain)
		assert.Len(l.t, l.c.bound(one), len(before), "new pods that do not fit hold nothing")
		var nodes []*v1.Node
		for i := range s.nodes {
			nodes = append(nodes, node(fmt.Sprintf("more-%d", i), map[string]string{"topology.kubernetes.io/rack": "rack-more"}, 8))
		}
		require.NoError(l.t, l.c.box.CreateNodes(background, nodes))
	}
	var gone map[string]v1.Pod
	if s.restarts {
		gone = before
	}
	after := l.awaitWhole(s.pods, gone)
	if !s.restarts {
		assert.Len(l.t, kept(before, after), min(len(before), s.pods), "what runs goes on")
	}
	l.now = s.pods
}

// update changes the pods' template: all pods are made anew.
func (l *life) update(s step) {
	before := l.running()
	l.change(s)
	l.awaitWhole(l.now, before)
}

// finishPart lets some pods do their work. They are not waited for afterwards.
func (l *life) finishPart(s step) {
	l.succeed(s.ending)
	l.awaitWhole(s.pods, nil)
	l.now = s.pods
}

// finish lets the pods do their work, or removes a workload that has no end. The
// other one, which waits whole until then, takes the room.
func (l *life) finish(s step) {
	var others []string
	if !l.heldBack {
		others = l.leaveNodes(max(l.now, l.pods)) // those that were scaled down leave room
	}
	l.k.apply(l.read(two))
	if !l.heldBack {
		l.c.awaitReason(two, kube.NoFittingDomain)
		assert.Empty(l.t, l.c.bound(two), "a gang that does not fit holds nothing")
	}
	if s.ending == "" {
		l.k.delete(l.read(one))
	} else {
		l.succeed(s.ending)
	}
	require.Eventually(l.t, func() bool { return len(l.live()) == 0 }, patience, poll, "no pod is left that waits or runs")
	l.c.awaitBound(two, l.pods)
	if s.ending != "" {
		l.k.delete(l.read(one))
	}
	l.k.delete(l.read(two))
	l.c.remove(others...)
	l.c.awaitGone(one)
	l.c.awaitGone(two)
}

func (l *life) read(name string) []*unstructured.Unstructured {
	return l.k.read(l.object, strangerData{Name: name})
}

// change applies the patch of a step.
func (l *life) change(s step) {
	kind, name, found := strings.Cut(s.of, "/")
	target := l.read(one)[0]
	if found {
		target = l.k.decode([]byte(`{"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "` + kind + `", "metadata": {"name": "` + name + `"}}`))[0]
	}
	format := types.MergePatchType
	if strings.HasPrefix(s.patch, "[") {
		format = types.JSONPatchType
	}
	resource, err := l.k.resource(target)
	require.NoError(l.t, err)
	_, err = resource.Patch(background, target.GetName(), format, []byte(s.patch), metav1.PatchOptions{})
	require.NoError(l.t, err)
}

// live are the pods of the workload that neither end nor have ended.
func (l *life) live() []v1.Pod {
	return slices.DeleteFunc(l.c.pods(one+"-"), func(p v1.Pod) bool {
		return p.DeletionTimestamp != nil || p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed
	})
}

// running are the pods of the workload that run.
func (l *life) running() map[string]v1.Pod {
	pods := map[string]v1.Pod{}
	for _, p := range l.live() {
		if p.Spec.NodeName != "" && p.Status.Phase == v1.PodRunning {
			pods[p.Name] = p
		}
	}
	return pods
}

// awaitWhole waits until count pods of the workload run, no other waits, and
// none of those that have to go is left.
func (l *life) awaitWhole(count int, gone map[string]v1.Pod) map[string]v1.Pod {
	l.t.Helper()
	var running map[string]v1.Pod
	whole := func() bool {
		running = l.running()
		return len(running) == count && len(l.live()) == count && len(kept(gone, running)) == 0
	}
	if !assert.Eventually(l.t, whole, patience, poll, "%d pods have to run, without %v", count, slices.Sorted(maps.Keys(gone))) {
		l.logPods()
		l.t.FailNow()
	}
	return running
}

func (l *life) logPods() {
	for _, p := range l.c.pods("") {
		l.t.Logf("pod %s (%s) on %q, deleted %v: %s %v", p.Name, p.UID, p.Spec.NodeName, p.DeletionTimestamp, p.Status.Phase, p.Status.Conditions)
	}
}

// kept are the pods that are there before and after.
func kept(before, after map[string]v1.Pod) []string {
	var names []string
	for name, p := range before {
		if after[name].UID == p.UID {
			names = append(names, name)
		}
	}
	return names
}

// succeed lets the containers of running pods end well, as a kubelet reports it.
func (l *life) succeed(prefix string) {
	pods := l.c.client.CoreV1().Pods(l.c.namespace)
	for name := range l.running() {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		require.NoError(l.t, retry.RetryOnConflict(retry.DefaultBackoff, func() error {
			p, err := pods.Get(background, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			p.Status.Phase = v1.PodSucceeded
			for i := range p.Status.ContainerStatuses {
				status := &p.Status.ContainerStatuses[i]
				status.Ready, status.State = false, v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: "Completed"}}
			}
			for i := range p.Status.Conditions {
				if condition := &p.Status.Conditions[i]; condition.Type == v1.PodReady {
					condition.Status = v1.ConditionFalse
				}
			}
			_, err = pods.UpdateStatus(background, p, metav1.UpdateOptions{})
			return err
		}))
	}
}
