// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// A gang is held to no more than what one of its members was started with, which its
// pods say: the process that asks may never have seen it start.
func TestRunningMinimum_IsWhatTheGangWasStartedWith(t *testing.T) {
	const min4, min6 = kube.AnnotationMinCount + "=4", kube.AnnotationMinCount + "=6"
	started := func(n string) string { return kube.AnnotationStartedWith + "=" + n }
	four := []*v1.Pod{
		train("a", min4, "node=n1", started("4")), train("b", min4, "node=n1", started("4")),
		train("c", min4, "node=n1", started("4")), train("d", min4, "node=n1", started("4")),
	}
	plus := func(pods ...*v1.Pod) []*v1.Pod { return append(append([]*v1.Pod(nil), four...), pods...) }
	ending := train("z", min4, "node=n1", started("2"))
	ending.DeletionTimestamp = &metav1.Time{Time: dialecttest.Epoch}
	for name, c := range map[string]struct {
		pods     []*v1.Pod
		minCount int32
		running  int
	}{
		"as it is declared":                        {four, 4, 4},
		"raised, the new pods wait":                {plus(train("e", min6, "after=1m"), train("f", min6, "after=1m")), 6, 4},
		"raised, and all of it runs":               {plus(train("e", min6, "after=1m", "node=n1", started("6"))), 6, 4},
		"raised, the old pods are gone":            {[]*v1.Pod{train("e", min6, "node=n1", started("6"))}, 6, 6},
		"lowered":                                  {plus(train("e", kube.AnnotationMinCount+"=2", "after=1m")), 2, 2},
		"one who ends does not count":              {append([]*v1.Pod{ending}, four...), 4, 4},
		"bound by somebody else":                   {[]*v1.Pod{train("a", min4, "node=n1")}, 4, 4},
		"what a pod that waits says of it is void": {[]*v1.Pod{train("a", min4, started("1"))}, 4, 4},
		"what cannot be read is void":              {[]*v1.Pod{train("a", min4, "node=n1", started("-1"))}, 4, 4},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			for _, p := range c.pods {
				w.pod(p)
			}
			assert.Equal(t, c.minCount, w.get("label~train").Spec.SchedulingPolicy.Gang.MinCount)
			assert.Equal(t, c.running, kube.RunningMinimum(w.get("label~train"), w.declared("label~train")))
			assert.Empty(t, w.declared("label~train").Ignored)
		})
	}
}

// The minimum of a group object is raised while its pods run, and one of them finishes.
func TestRunningMinimum_OfAGroupObject(t *testing.T) {
	w := newWorld()
	k := key("crd~train")
	w.setGroup(k, crdGroup("train", "g", 2))
	member := func(name string, words ...string) *v1.Pod {
		p := ofRun(name, "run", append(words, kube.LabelPodGroup+"=train")...)
		if len(words) == 0 {
			p.Spec.NodeName = ""
		}
		return p
	}
	running := func() int { return kube.RunningMinimum(w.get("crd~train"), w.declared("crd~train")) }
	w.pod(member("a"))
	w.NoteStart(k, w.declared("crd~train").MinCount)
	assert.Equal(t, 2, w.StartOf("uid-a"))
	assert.Zero(t, w.StartOf("uid-other"))
	w.pod(member("a", kube.AnnotationStartedWith+"=2"))
	w.pod(member("b", kube.AnnotationStartedWith+"=2"))
	w.setGroup(k, crdGroup("train", "g", 4))
	require.Equal(t, int32(4), w.get("crd~train").Spec.SchedulingPolicy.Gang.MinCount)
	assert.Equal(t, 2, running())
	assert.Equal(t, 4, w.declared("crd~train").MinCount)

	w.finish(member("b", kube.AnnotationStartedWith+"=2"))
	assert.Equal(t, 1, running(), "what is done is not waited for")

	w.DeletePod("uid-a")
	w.pod(member("c"))
	assert.Equal(t, 4, w.declared("crd~train").MinCount, "a new start")
}

// A replica that takes over learns from the pods of a Job whether one that was created
// late takes the place of another, which is waited for, or came with a larger number.
func TestRunningMinimum_OfAJobThatRan(t *testing.T) {
	for name, c := range map[string]struct {
		parallelism int
		started     string
		waiting     int
		running     int
	}{
		"a pod was replaced":                    {4, "4", 1, 4},
		"its pods do not say":                   {4, "", 1, 3},
		"it was made larger":                    {6, "3", 3, 3},
		"one ended, and nobody takes its place": {4, "4", 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := closedWorld()
			for _, k := range w.dialects.Kinds() {
				w.SetKind(k, Served)
			}
			w.workload(t, fmt.Sprintf("{apiVersion: batch/v1, kind: Job, %s, spec: {parallelism: %d, completions: %d}}", trainUID, c.parallelism, c.parallelism))
			for i := range 3 {
				p := owned(fmt.Sprint("a", i), trainJob, asks, "node=n1")
				if c.started != "" {
					p.Annotations[kube.AnnotationStartedWith] = c.started
				}
				p.Status.Conditions = []v1.PodCondition{{Type: v1.PodScheduled, Status: v1.ConditionTrue, LastTransitionTime: metav1.NewTime(dialecttest.Epoch)}}
				w.pod(p)
			}
			for i := range c.waiting {
				w.pod(owned(fmt.Sprint("b", i), trainJob, asks, "after=1h"))
			}
			w.Open()
			require.NotNil(t, w.get(jobGroup))
			assert.Equal(t, c.running, kube.RunningMinimum(w.get(jobGroup), w.declared(jobGroup)))
		})
	}
}
