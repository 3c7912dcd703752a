// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// workloadOf reads YAML as the workload of a namespace.
func workloadOf(t *testing.T, text string) (*dialect.Kind, *unstructured.Unstructured) {
	t.Helper()
	u := &unstructured.Unstructured{}
	data, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	require.NoError(t, u.UnmarshalJSON(data))
	u.SetNamespace("ns")
	for _, k := range dialect.Enabled(nil, nil).KindsOf(kube.DialectAuto) {
		if k.HasObject(u) {
			return k, u
		}
	}
	t.Fatal("no kind of workload: ", text)
	return nil, nil
}

// owned is a pod whose controller is named as "Kind apiVersion name uid"; more
// words are those of newPod, or labels that begin with "label:".
func owned(name, owner string, words ...string) *v1.Pod {
	var kind, version, controller, uid string
	_, _ = fmt.Sscan(owner, &kind, &version, &controller, &uid)
	var rest []string
	labels := map[string]string{}
	for _, word := range words {
		if label, ok := strings.CutPrefix(word, "label:"); ok {
			key, value, _ := strings.Cut(label, "=")
			labels[key] = value
			continue
		}
		rest = append(rest, word)
	}
	p := newPod(name, rest...)
	maps.Copy(p.Labels, labels)
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: version, Kind: kind, Name: controller, UID: types.UID(uid), Controller: new(true)}}
	return p
}

const (
	asks      = kube.LabelGang + "=" + kube.GangAuto
	trainJob  = "Job batch/v1 train 11111111-aaaa"
	trainUID  = "metadata: {name: train, uid: 11111111-aaaa}"
	jobGroup  = "auto~job~train~11111111"
	eightPods = "{apiVersion: batch/v1, kind: Job, " + trainUID + ", spec: {parallelism: 8, completions: 8}}"
)

func (w *world) workload(t *testing.T, text string) {
	t.Helper()
	w.SetObject(workloadOf(t, text))
}

func TestAuto_AJobIsAGang(t *testing.T) {
	w := newWorld()
	w.pod(owned("train-0-abcde", trainJob, asks))
	assert.Equal(t, "gang job/train: there is no Job train in namespace ns that its pods belong to; delete them if they stay", w.problem(jobGroup).Message)
	assert.Equal(t, kube.GangNotFound, w.problem(jobGroup).Reason)

	w.workload(t, eightPods)
	pg := w.get(jobGroup)
	assert.Empty(t, w.problem(jobGroup))
	assert.EqualValues(t, 8, pg.Spec.SchedulingPolicy.Gang.MinCount)
	assert.EqualValues(t, "11111111-aaaa", pg.UID)
	assert.Equal(t, kube.DialectAuto, w.declared(jobGroup).Dialect)
	assert.Equal(t, "job/train", kube.GangName(pg))
	assert.Empty(t, w.declared(jobGroup).Roles, "one role needs no list")

	w.workload(t, strings.Replace(eightPods, "parallelism: 8, completions: 8", "parallelism: 4, completions: 4", 1))
	assert.EqualValues(t, 4, w.get(jobGroup).Spec.SchedulingPolicy.Gang.MinCount, "it was scaled down")

	k, u := workloadOf(t, eightPods)
	w.DeleteObject(k, u)
	assert.Equal(t, kube.GangNotFound, w.problem(jobGroup).Reason)
	w.DeletePod("uid-train-0-abcde")
	assert.Nil(t, w.get(jobGroup))
	assert.Empty(t, w.workloads)
}

func TestAuto_PodsOfAnEarlierJobOfTheNameAreNoMembers(t *testing.T) {
	w := newWorld()
	w.workload(t, eightPods)
	w.pod(owned("old", "Job batch/v1 train 00000000-aaaa", asks, "node=n1"))
	w.pod(owned("new", trainJob, asks))
	assert.Equal(t, kube.GangNotFound, w.problem("auto~job~train~00000000").Reason)
	assert.Empty(t, w.problem(jobGroup).Message)
	assert.NotEqual(t, w.get("auto~job~train~00000000").UID, w.get(jobGroup).UID)
}

// A Job that is suspended and resumed at once has new pods while the old ones
// end. Those neither count towards the new start nor make it one of a part.
func TestAuto_PodsThatTerminateAreNoMembers(t *testing.T) {
	w := newWorld()
	w.workload(t, eightPods)
	old := make([]*v1.Pod, 8)
	for i := range old {
		old[i] = owned(fmt.Sprintf("train-%d-old", i), trainJob, asks, "node=n1")
		w.pod(old[i])
	}
	for _, p := range old {
		p = p.DeepCopy()
		p.DeletionTimestamp = new(metav1.Now())
		w.pod(p)
	}
	for _, p := range old[1:] {
		w.DeletePod(p.UID)
	}
	w.pod(owned("train-0-new", trainJob, asks))
	pg := w.get(jobGroup)
	assert.EqualValues(t, 8, pg.Spec.SchedulingPolicy.Gang.MinCount)
	assert.Equal(t, 8, kube.RunningMinimum(pg, w.declared(jobGroup)))
}

func TestAuto_PodsThatCannotBeAGangAreToldWhy(t *testing.T) {
	var end = "; that works for the pods of " + workload.SupportedText() + "; else give the gang a name in that label, and the annotation muster.sh/min-count"
	for want, pod := range map[string]*v1.Pod{
		"pod p asks for muster.sh/gang: auto, but it has no controller" + end:                  newPod("p", asks),
		"pod p asks for muster.sh/gang: auto, but its controller is ReplicaSet web-5d4f" + end: owned("p", "ReplicaSet apps/v1 web-5d4f 1", asks),
		`pod p asks for muster.sh/gang: auto, but its label jobset.sigs.k8s.io/jobset-name says "other", but its controller is Job train` + end: owned("p", trainJob, asks,
			"label:jobset.sigs.k8s.io/jobset-name=other"),
		`pod p asks for muster.sh/gang: auto, but the name of its Job is "a~b"` + end: owned("p", "Job batch/v1 a~b 1", asks),
	} {
		w := newWorld()
		w.pod(pod)
		require.NotNil(t, w.get("conflict~p"), want)
		assert.Equal(t, kube.Invalid{Reason: kube.InvalidGangSpec, Message: want}, w.problem("conflict~p"))
	}
}

func TestAuto_AWorkloadThatCannotStartTogetherIsRefused(t *testing.T) {
	const set = "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: serve, uid: abcd2222}, spec: {replicas: 4}}"
	const owner, group = "StatefulSet apps/v1 serve abcd2222", "auto~statefulset~serve~abcd2222"
	w := newWorld()
	w.workload(t, set)
	w.pod(owned("serve-0", owner, asks))
	assert.Equal(t, "gang statefulset/serve: its StatefulSet starts its pods one after another (podManagementPolicy OrderedReady), so that they cannot start together; "+
		"create it again with podManagementPolicy: Parallel", w.problem(group).Message)

	// Where a namespace makes gangs by default nobody asked for one.
	w = openWorld("ns")
	w.workload(t, set)
	w.pod(owned("serve-0", owner))
	assert.Empty(t, w.problem(group).Message)
	assert.EqualValues(t, 1, w.get(group).Spec.SchedulingPolicy.Gang.MinCount)
}

func TestAuto_OfANamespace(t *testing.T) {
	for _, c := range []struct {
		namespaces []string
		pod        *v1.Pod
		want       string
	}{
		{[]string{"ns"}, owned("p", trainJob), jobGroup},
		{[]string{"*"}, owned("p", trainJob), jobGroup},
		{[]string{"ns"}, owned("p", trainJob, kube.AnnotationMinCount+"=4"), jobGroup},
		{[]string{"ns"}, owned("p", trainJob, kube.LabelGang+"=mine", kube.AnnotationMinCount+"=4"), "label~mine"},
		{[]string{"elsewhere"}, owned("p", trainJob), ""},
		{nil, owned("p", trainJob), ""},
		{[]string{"*"}, owned("p", "ReplicaSet apps/v1 web 1"), ""},
		{[]string{"*"}, newPod("p"), ""},
	} {
		assert.Equal(t, c.want, dialect.Enabled(nil, c.namespaces).GroupOf(c.pod), "%v %v", c.namespaces, c.pod.Labels)
	}
	assert.Empty(t, dialect.Enabled([]kube.Dialect{kube.DialectLabel}, []string{"*"}).GroupOf(owned("p", trainJob)), "the dialect is left out")
	pod := owned("p", trainJob, asks)
	assert.Equal(t, "conflict~p", dialect.Enabled([]kube.Dialect{kube.DialectLabel}, nil).GroupOf(pod), "it never runs as a single pod")
	m, _ := dialect.Enabled([]kube.Dialect{kube.DialectLabel}, nil).ReadMarker(pod)
	assert.Contains(t, m.Problem.Message, "argument dialects leaves auto out")
}

func TestAuto_AnotherMinimum(t *testing.T) {
	w := newWorld()
	w.workload(t, eightPods)
	w.pod(owned("a", trainJob, asks, kube.AnnotationMinCount+"=2"))
	assert.EqualValues(t, 2, w.get(jobGroup).Spec.SchedulingPolicy.Gang.MinCount, "the pods know better")
	w.pod(owned("b", trainJob, asks, kube.AnnotationMinCount+"=3"))
	assert.Contains(t, w.problem(jobGroup).Message, "disagree on muster.sh/min-count")

	w = newWorld()
	w.workload(t, strings.Replace(eightPods, "{name: train,", `{name: train, annotations: {muster.sh/min-count: "5", muster.sh/topology-required: rack},`, 1))
	w.pod(owned("a", trainJob, asks))
	assert.EqualValues(t, 5, w.get(jobGroup).Spec.SchedulingPolicy.Gang.MinCount, "the workload says it for all of them")
	assert.Equal(t, "rack", w.declared(jobGroup).Terms[kube.AnnotationTopologyRequired].Value)

	w.workload(t, strings.Replace(eightPods, "{name: train,", "{name: train, annotations: {muster.sh/min-count: lots},", 1))
	assert.Equal(t, `gang job/train: annotation muster.sh/min-count: found "lots", want a number from 1 to 100000 in plain digits, such as "8"`, w.problem(jobGroup).Message)
	w.workload(t, strings.Replace(eightPods, "parallelism: 8", "parallelism: -8", 1))
	assert.Equal(t, "gang job/train: its Job spec.parallelism: found -8, want a number from 0 to 100000", w.problem(jobGroup).Message)
}

const jobSet = `
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata: {name: train, uid: abcd3333}
spec:
  replicatedJobs:
  - {name: driver, template: {spec: {}}}
  - {name: workers, replicas: 2, template: {spec: {parallelism: 4, completions: 4}}}
`

func childOf(role string, job int, words ...string) *v1.Pod {
	name := fmt.Sprintf("train-%s-%d", role, job)
	return owned(name+"-x", "Job batch/v1 "+name+" 9", append([]string{asks, "label:jobset.sigs.k8s.io/jobset-name=train",
		"label:jobset.sigs.k8s.io/replicatedjob-name=" + role, fmt.Sprintf("label:jobset.sigs.k8s.io/job-index=%d", job)}, words...)...)
}

func TestAuto_AJobSetHasRoles(t *testing.T) {
	w := newWorld()
	w.workload(t, jobSet)
	w.pod(childOf("driver", 0, kube.AnnotationSliceTopology+"=rack"))
	w.pod(childOf("workers", 1, kube.AnnotationSliceTopology+"=rack"))
	pg := w.get("auto~jobset~train")
	require.NotNil(t, pg)
	assert.Empty(t, w.problem("auto~jobset~train"))
	assert.EqualValues(t, 9, pg.Spec.SchedulingPolicy.Gang.MinCount)
	of := func(role string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchLabels: map[string]string{"jobset.sigs.k8s.io/replicatedjob-name": role}}
	}
	assert.Equal(t, []kube.Role{
		{Name: "driver", Selector: of("driver"), MinCount: 1, SliceSize: 1, SliceTopology: "rack"},
		{Name: "workers", Selector: of("workers"), MinCount: 8, SliceSize: 4, SliceTopology: "rack"},
	}, w.declared("auto~jobset~train").Roles)
	_, invalid := kube.ReadSpec(pg, w.declared("auto~jobset~train"), kube.DefaultLevels())
	assert.Nil(t, invalid)
}

func TestAuto_SlicesOfAJobSetMayBeAWish(t *testing.T) {
	w := newWorld()
	w.workload(t, jobSet)
	w.pod(childOf("workers", 1, kube.AnnotationSliceTopologyPreferred+"=rack"))
	pg := w.get("auto~jobset~train")
	require.NotNil(t, pg)
	roles := w.declared("auto~jobset~train").Roles
	require.Len(t, roles, 2)
	assert.Equal(t, []kube.RoleSlice{{Size: 4, Topology: "rack", Preferred: true}}, roles[1].Slices)
	_, invalid := kube.ReadSpec(pg, w.declared("auto~jobset~train"), kube.DefaultLevels())
	assert.Nil(t, invalid)
}

func TestAuto_EachGroupOfALeaderWorkerSetIsAGang(t *testing.T) {
	w := newWorld()
	w.workload(t, "{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, metadata: {name: serve, uid: abcd4444}, spec: {replicas: 2, leaderWorkerTemplate: {size: 4}}}")
	for group := range 2 {
		index := fmt.Sprintf("label:leaderworkerset.sigs.k8s.io/group-index=%d", group)
		w.pod(owned(fmt.Sprint("serve-", group), "StatefulSet apps/v1 serve 8", asks, "label:leaderworkerset.sigs.k8s.io/name=serve", index, "label:leaderworkerset.sigs.k8s.io/worker-index=0"))
		w.pod(owned(fmt.Sprintf("serve-%d-1", group), fmt.Sprintf("StatefulSet apps/v1 serve-%d 8", group), asks, "label:leaderworkerset.sigs.k8s.io/name=serve", index, "label:leaderworkerset.sigs.k8s.io/worker-index=1"))
	}
	first, second := w.get("auto~leaderworkerset~serve-0"), w.get("auto~leaderworkerset~serve-1")
	require.NotNil(t, first)
	require.NotNil(t, second)
	assert.NotEqual(t, first.UID, second.UID)
	for _, pg := range []*schedulingapi.PodGroup{first, second} {
		assert.Empty(t, w.problem(pg.Name))
		assert.EqualValues(t, 4, pg.Spec.SchedulingPolicy.Gang.MinCount)
	}
	assert.Len(t, w.published, 2)
}

func TestAuto_MembersThatComeLaterAreNoBrokenGang(t *testing.T) {
	w := newWorld()
	w.workload(t, strings.Replace(jobSet, "{name: workers,", "{name: workers, dependsOn: [{name: driver, status: Ready}],", 1))
	w.pod(childOf("driver", 0))
	check := func(what string, count, runningMinimum int) {
		t.Helper()
		pg := w.get("auto~jobset~train")
		assert.EqualValues(t, count, pg.Spec.SchedulingPolicy.Gang.MinCount, what)
		assert.Equal(t, runningMinimum, kube.RunningMinimum(pg, w.declared("auto~jobset~train")), what)
	}
	check("the driver starts alone", 1, 1)
	assert.Equal(t, []string{"workers"}, w.declared("auto~jobset~train").LaterRoles)
	w.pod(childOf("driver", 0, "node=n1"))
	w.pod(childOf("workers", 0))
	check("the workers start together", 9, 1)
	assert.Empty(t, w.declared("auto~jobset~train").LaterRoles)
	w.pod(childOf("workers", 0, "node=n1"))
	check("they do", 2, 2)
}

// A driver creates its executors: it never waits for them, and they start together,
// also where the driver itself is no member.
func TestAuto_ExecutorsStartTogetherOnceTheirDriverRuns(t *testing.T) {
	const group = "auto~sparkapplication~etl"
	driver := func(words ...string) *v1.Pod {
		return owned("etl-driver", "SparkApplication sparkoperator.k8s.io/v1beta2 etl 1", append(words, "label:spark-role=driver", "label:sparkoperator.k8s.io/app-name=etl")...)
	}
	executor := func(name string, words ...string) *v1.Pod {
		return owned(name, "Pod v1 etl-driver 2", append(words, asks, "label:spark-role=executor", "label:sparkoperator.k8s.io/app-name=etl")...)
	}
	for name, c := range map[string]struct {
		allocation string
		pods       []*v1.Pod
		count      int
	}{
		"a driver alone":             {"", []*v1.Pod{driver(asks)}, 1},
		"and three executors":        {"", []*v1.Pod{driver(asks, "node=n1"), executor("etl-exec-1")}, 4},
		"three without their driver": {"", []*v1.Pod{driver("node=n1"), executor("etl-exec-1")}, 3},
		"as many as are kept":        {", dynamicAllocation: {enabled: true, minExecutors: 2}", []*v1.Pod{executor("etl-exec-1")}, 2},
		"none of them is kept":       {", dynamicAllocation: {enabled: true}", []*v1.Pod{executor("etl-exec-1")}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.workload(t, "{apiVersion: sparkoperator.k8s.io/v1beta2, kind: SparkApplication, metadata: {name: etl, uid: 1}, spec: {sparkVersion: 4.0.0, executor: {instances: 3}"+c.allocation+"}}")
			for _, pod := range c.pods {
				w.pod(pod)
			}
			require.NotNil(t, w.get(group))
			assert.Empty(t, w.problem(group).Message)
			assert.EqualValues(t, c.count, w.get(group).Spec.SchedulingPolicy.Gang.MinCount)
		})
	}
}

func TestAuto_WhatIsKnownOfAKindIsTold(t *testing.T) {
	w := openWorld()
	w.pod(childOf("workers", 0))
	assert.Equal(t, "gang jobset/train: JobSets cannot be read yet; if that lasts, allow the scheduler to get, list and watch jobsets.jobset.x-k8s.io",
		w.problem("auto~jobset~train").Message, "before the API server was asked")
	k, _ := workloadOf(t, jobSet)
	w.SetKind(k, Absent)
	assert.Equal(t, "gang jobset/train: the API server does not serve JobSets of jobset.x-k8s.io/v1alpha2; install them, or give the gang a name in the label muster.sh/gang, and the annotation muster.sh/min-count",
		w.problem("auto~jobset~train").Message)
	assert.Equal(t, kube.GangAPIUnavailable, w.problem("auto~jobset~train").Reason)
	w.SetKind(k, Served)
	w.workload(t, jobSet)
	assert.Empty(t, w.problem("auto~jobset~train").Message)
	w.SetKind(k, Absent)
	assert.Equal(t, kube.GangAPIUnavailable, w.problem("auto~jobset~train").Reason)
}

func TestAuto_Offline(t *testing.T) {
	_, u := workloadOf(t, eightPods)
	bound := func(name string) *v1.Pod {
		p := owned(name, trainJob, asks, "node=n1")
		p.Status.Conditions = []v1.PodCondition{{Type: v1.PodScheduled, Status: v1.ConditionTrue, LastTransitionTime: metav1.NewTime(dialecttest.Epoch.Add(time.Minute))}}
		return p
	}
	o := Objects{
		Pods:   []*v1.Pod{bound("train-0"), bound("train-1"), owned("train-2", trainJob, asks, "after=1h")},
		Groups: []*unstructured.Unstructured{u},
	}
	assert.Len(t, o.Workloads(), 1)
	assert.Equal(t, "jobs", o.Workloads()[0].Resource)
	gangs := o.Gangs("muster")
	require.Len(t, gangs, 1)
	assert.Len(t, gangs[0].Pods, 3)
	assert.EqualValues(t, 2, gangs[0].Group.Spec.SchedulingPolicy.Gang.MinCount, "the third came an hour after the first two had started")
	o.Groups = nil
	assert.Contains(t, o.Gangs("muster")[0].Declaration.Invalid.Message, "there is no Job train")
}
