// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// gated holds a pod back.
func gated(p *v1.Pod, gates ...string) *v1.Pod {
	for _, gate := range gates {
		p.Spec.SchedulingGates = append(p.Spec.SchedulingGates, v1.PodSchedulingGate{Name: gate})
	}
	return p
}

func TestGatedMembers(t *testing.T) {
	w := newWorld()
	have := func() (int, []string) { return w.GatedMembers(key("label~train")) }
	count, gates := have()
	assert.Zero(t, count)
	assert.Empty(t, gates)
	w.pod(train("a"))
	w.pod(gated(train("b"), "quota", "license"))
	w.pod(gated(train("c"), "quota"))
	ending := gated(train("d"), "quota")
	ending.DeletionTimestamp = &metav1.Time{Time: dialecttest.Epoch}
	w.pod(ending)
	count, gates = have()
	assert.Equal(t, 2, count)
	assert.Equal(t, []string{"license", "quota"}, gates)
	w.pod(gated(train("b"), "quota"))
	w.pod(train("c"))
	count, gates = have()
	assert.Equal(t, 1, count)
	assert.Equal(t, []string{"quota"}, gates)
	w.DeletePod("uid-b")
	count, gates = have()
	assert.Zero(t, count)
	assert.Empty(t, gates)
}

// ofRevision is a pod of one version of a Deployment's template, which asks for a
// level.
func ofRevision(name, hash, level string, words ...string) *v1.Pod {
	p := train(name, append([]string{kube.AnnotationTopologyRequired + "=" + level}, words...)...)
	p.Labels["pod-template-hash"] = hash
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "train-" + hash, UID: types.UID(hash), Controller: new(true)}}
	return p
}

// TestRollingUpdate changes what the pods of a gang ask for while some of the old
// ones are there.
func TestRollingUpdate(t *testing.T) {
	ending := func(p *v1.Pod) *v1.Pod {
		p.DeletionTimestamp = &metav1.Time{Time: dialecttest.Epoch}
		return p
	}
	rack, block := kube.AnnotationTopologyRequired+"=rack", kube.AnnotationTopologyRequired+"=block"
	for name, c := range map[string]struct {
		pods   []*v1.Pod
		level  string
		reason kube.Reason
	}{
		"the new pods wait, the old ones run": {[]*v1.Pod{train("a", rack, "node=n1"), train("b", rack, "node=n2"), train("c", block)}, "block", ""},
		"an old one is replaced as it was":    {[]*v1.Pod{train("a", rack), train("b", block, "node=n2", "after=1m")}, "rack", ""},
		"all run, the update is half done":    {[]*v1.Pod{train("a", block, "node=n1", "after=1m"), train("b", rack, "node=n2")}, "block", ""},
		"the old ones end":                    {[]*v1.Pod{ending(train("a", rack)), ending(train("b", rack, "node=n2")), train("c", block)}, "block", ""},
		"old and new ones of a Deployment wait": {
			[]*v1.Pod{ofRevision("a", "old", "rack"), ofRevision("b", "old", "rack"), ofRevision("c", "new", "block", "after=1m")}, "block", ""},
		"those of one revision differ": {
			[]*v1.Pod{ofRevision("a", "new", "rack"), ofRevision("b", "new", "block", "after=1m")}, "rack", kube.GangConfigConflict},
		"those that wait differ, and tell of no revision": {[]*v1.Pod{train("a", rack), train("b", block), train("c", block, "node=n1")}, "rack", kube.GangConfigConflict},
		"another priority": {[]*v1.Pod{train("a", block, "node=n1", "priority=5"), train("b", block, "priority=7")}, "block", kube.PriorityMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			for _, p := range c.pods {
				w.pod(p)
			}
			assert.Equal(t, c.level, w.declared("label~train").Terms[kube.AnnotationTopologyRequired].Value)
			assert.Equal(t, c.reason, w.problem("label~train").Reason, w.problem("label~train").Message)
		})
	}
}

// The roles that members name are known as long as one is there that names them.
func TestRollingUpdate_KeepsTheRolesOfThoseThatRun(t *testing.T) {
	w := newWorld()
	podSet := func(name, set, level string, words ...string) *v1.Pod {
		return newPod(name, append(words, "kueue.x-k8s.io/pod-group-name=train", "kueue.x-k8s.io/pod-group-total-count=4",
			"kueue.x-k8s.io/podset="+set, "kueue.x-k8s.io/podset-required-topology="+level)...)
	}
	levels := func() map[string]string {
		byRole := map[string]string{}
		for _, r := range w.declared("kueue~train").Roles {
			byRole[r.Name] = r.Required
		}
		return byRole
	}
	w.pod(podSet("a", "leader", "rack", "node=n1"))
	w.pod(podSet("b", "worker", "rack", "node=n1"))
	w.pod(podSet("c", "worker", "rack"))
	before := levels()
	assert.Len(t, before, 2)
	w.pod(podSet("c", "worker", "block"))
	assert.Empty(t, w.problem("kueue~train"))
	after := levels()
	assert.Len(t, after, 2)
	assert.NotEqual(t, before, after)
}

// nightly is a pod of a Job in the gang train, of which four start together; more
// words as for owned.
func nightly(name, job string, words ...string) *v1.Pod {
	return owned(name, "Job batch/v1 "+job+" "+job+"-uid-of-it", append([]string{kube.LabelGang + "=train", kube.AnnotationMinCount + "=4"}, words...)...)
}

// jobOf is a Job with so many pods.
func jobOf(name string, pods int, created string) string {
	return fmt.Sprintf("{apiVersion: batch/v1, kind: Job, metadata: {name: %s, uid: %s-uid-of-it, creationTimestamp: %q}, spec: {parallelism: %d, completions: %d}}", name, name, created, pods, pods)
}

const (
	firstNight  = "2026-01-01T00:00:00Z"
	secondNight = "2026-01-02T00:00:00Z"
)

// TestRuns has the pods of two Jobs in one gang.
func TestRuns(t *testing.T) {
	const roles = kube.AnnotationRoles + `=[{"name":"all","minCount":4}]`
	for name, c := range map[string]struct {
		jobs  []string
		pods  []*v1.Pod
		later []types.UID
	}{
		"each starts alone": {
			[]string{jobOf("run1", 4, firstNight), jobOf("run2", 4, secondNight)},
			[]*v1.Pod{nightly("a", "run1"), nightly("b", "run2"), nightly("c", "run2")}, []types.UID{"run2-uid-of-it"}},
		"the later one runs already": {
			[]string{jobOf("run1", 4, firstNight), jobOf("run2", 4, secondNight)},
			[]*v1.Pod{nightly("a", "run1"), nightly("b", "run2", "node=n1"), nightly("c", "run2")}, []types.UID{"run1-uid-of-it"}},
		"of one second, the name counts": {
			[]string{jobOf("run2", 4, firstNight), jobOf("run1", 4, firstNight)},
			[]*v1.Pod{nightly("a", "run2"), nightly("b", "run1")}, []types.UID{"run2-uid-of-it"}},
		"a launcher and its workers": {
			[]string{jobOf("launcher", 1, firstNight), jobOf("workers", 4, firstNight)},
			[]*v1.Pod{nightly("a", "launcher"), nightly("b", "workers")}, nil},
		"two halves of one gang": {
			[]string{jobOf("left", 2, firstNight), jobOf("right", 2, firstNight)},
			[]*v1.Pod{nightly("a", "left"), nightly("b", "right")}, nil},
		"their parts are declared": {
			[]string{jobOf("run1", 4, firstNight), jobOf("run2", 4, secondNight)},
			[]*v1.Pod{nightly("a", "run1", roles), nightly("b", "run2", roles)}, nil},
		"the Jobs of one JobSet": {nil, []*v1.Pod{
			nightly("a", "set-r-0", "label:jobset.sigs.k8s.io/jobset-name=set", "label:jobset.sigs.k8s.io/replicatedjob-name=r", "label:jobset.sigs.k8s.io/job-index=0"),
			nightly("b", "set-r-1", "label:jobset.sigs.k8s.io/jobset-name=set", "label:jobset.sigs.k8s.io/replicatedjob-name=r", "label:jobset.sigs.k8s.io/job-index=1"),
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			for _, p := range c.pods {
				w.pod(p)
			}
			for _, text := range c.jobs {
				w.workload(t, text)
			}
			assert.Empty(t, w.problem("label~train"))
			runs := w.declared("label~train").Runs
			if c.later == nil {
				assert.True(t, runs == nil || runs.Later == nil && runs.Message == "")
				return
			}
			require.NotNil(t, runs)
			assert.Equal(t, c.later, runs.Later)
			assert.Contains(t, runs.Message, "they are two runs under one name")
			for _, p := range c.pods {
				assert.Equal(t, p.Spec.NodeName == "" && slices.Contains(c.later, p.OwnerReferences[0].UID), runs.IsLater(p), p.Name)
				assert.True(t, runs.Know([]types.UID{p.OwnerReferences[0].UID}))
			}
			assert.False(t, runs.Know([]types.UID{"run3"}))
		})
	}
}

// A later run is the gang once the earlier one has ended, whose work is not its own.
func TestRuns_OneAfterTheOther(t *testing.T) {
	w := newWorld()
	w.workload(t, jobOf("run1", 4, firstNight))
	w.workload(t, jobOf("run2", 4, secondNight))
	var first []*v1.Pod
	for _, name := range []string{"a", "b", "c", "d"} {
		p := nightly(name, "run1", "node=n1")
		first = append(first, p)
		w.pod(p)
	}
	w.pod(nightly("e", "run2", "after=1m"))
	later := func() int { return len(w.declared("label~train").Runs.Later) }
	needs := func() int32 { return w.get("label~train").Spec.SchedulingPolicy.Gang.MinCount }
	assert.Equal(t, 1, later())
	w.finish(first[0])
	assert.Equal(t, 1, later())
	assert.EqualValues(t, 3, needs())
	for _, p := range first[1:] {
		w.finish(p)
	}
	assert.Zero(t, later())
	assert.EqualValues(t, 4, needs())
	w.DeletePod("uid-e")
	assert.Empty(t, w.contested)
}

// Until the Jobs are known nobody starts: the first four pods may be of two of them.
func TestRuns_JobsThatCannotBeRead(t *testing.T) {
	w := openWorld()
	w.pod(nightly("a", "run1"))
	assert.Empty(t, w.problem("label~train"))
	w.pod(nightly("b", "run2"))
	assert.Equal(t, kube.GangAPIUnavailable, w.problem("label~train").Reason)
	assert.Equal(t, "gang train: it has pods of several Jobs, which cannot be read yet; if that lasts, allow the scheduler to get, list and watch jobs.batch",
		w.problem("label~train").Message)
	jobs, _ := workloadOf(t, jobOf("run1", 4, firstNight))
	select {
	case <-w.Wanted(jobs.Workload):
	default:
		assert.Fail(t, "nobody reads Jobs")
	}
	w.SetKind(jobs, Served)
	assert.Empty(t, w.problem("label~train"))
	w.SetKind(jobs, Listing)
	w.DeletePod("uid-b")
	assert.Empty(t, w.problem("label~train"), "one Job is one gang, whatever can be read")
}

func TestRuns_Offline(t *testing.T) {
	_, one := workloadOf(t, jobOf("run1", 4, firstNight))
	_, two := workloadOf(t, jobOf("run2", 4, secondNight))
	o := Objects{Pods: []*v1.Pod{nightly("a", "run1")}, Groups: []*unstructured.Unstructured{one, two}}
	assert.Len(t, o.Workloads(), 1, "a Job knows what is done")
	o.Pods = append(o.Pods, nightly("b", "run2"))
	require.Len(t, o.Workloads(), 1)
	assert.Equal(t, []types.UID{"run2-uid-of-it"}, o.Gangs("muster")[0].Declaration.Runs.Later)
}
