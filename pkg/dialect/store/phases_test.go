// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// spelling is one way to declare the gang train, of which four start together.
type spelling struct {
	name, group string
	// words are on each pod; kind and object, if any, are the gang's object.
	words        []string
	kind, object string
}

var spellings = []spelling{
	{"label", "label~train", []string{kube.LabelGang + "=train", kube.AnnotationMinCount + "=4"}, "", ""},
	{"native", "train", []string{"group=train"},
		"scheduling.k8s.io/v1beta1 PodGroup", `"spec":{"schedulingPolicy":{"gang":{"minCount":4}}}`},
	{"crd", "crd~train", []string{kube.LabelPodGroup + "=train"},
		"scheduling.x-k8s.io/v1alpha1 PodGroup", `"spec":{"minMember":4}`},
	{"auto", "auto~jobset~train", []string{asks, "label:jobset.sigs.k8s.io/jobset-name=train", "label:jobset.sigs.k8s.io/replicatedjob-name=w", "label:jobset.sigs.k8s.io/job-index=0"},
		"jobset.x-k8s.io/v1alpha2 JobSet", `"spec":{"replicatedJobs":[{"name":"w","template":{"spec":{"parallelism":4,"completions":4}}}]}`},
	{"koordinator", "koordinator~train", []string{"gang.scheduling.koordinator.sh/name=train", "gang.scheduling.koordinator.sh/min-available=4"}, "", ""},
	{"volcano", "volcano~train", []string{"scheduling.k8s.io/group-name=train"},
		"scheduling.volcano.sh/v1beta1 PodGroup", `"spec":{"minMember":4}`},
	{"kai", "kai~train", []string{"pod-group-name=train"},
		"scheduling.run.ai/v2alpha2 PodGroup", `"spec":{"minMember":4}`},
	{"kueue", "kueue~train", []string{"kueue.x-k8s.io/pod-group-name=train", "kueue.x-k8s.io/pod-group-total-count=4"}, "", ""},
	{"grove", "grove~train", []string{"grove.io/podgang=train", "grove.io/podclique=w"},
		"scheduler.grove.io/v1alpha1 PodGang", `"spec":{"podgroups":[{"name":"w","minReplicas":4,"podReferences":[]}]}`},
}

// objects are the group objects of the gang.
func (s spelling) objects(t testing.TB) []*unstructured.Unstructured {
	if s.kind == "" {
		return nil
	}
	version, kind, _ := strings.Cut(s.kind, " ")
	return []*unstructured.Unstructured{dialecttest.Object(t, version, kind, ","+s.object)}
}

// setObjects puts the gang's objects into a world, or takes them out.
func (w *world) setObjects(objects []*unstructured.Unstructured, apply func(*dialect.Kind, *unstructured.Unstructured)) {
	for _, u := range objects {
		for _, k := range w.dialects.Kinds() {
			if k.HasObject(u) {
				apply(k, u)
			}
		}
	}
}

// member is a pod of the gang, of the Job with a UID; "" for a bare pod.
func (s spelling) member(name, run string, created time.Duration) *v1.Pod {
	owner := ""
	if run != "" {
		owner = "Job batch/v1 train-w-0 " + run
	}
	p := owned(name, owner, append([]string{"after=" + created.String()}, s.words...)...)
	if run == "" {
		p.OwnerReferences = nil
	}
	return p
}

// counted is what the members of a gang come to.
type counted struct{ needed, waiting, gated, bound int }

// count reads what the store counts in a gang.
func (w *world) count(t testing.TB, group string) counted {
	t.Helper()
	g := w.gangs[key(group)]
	require.NotNil(t, g, group)
	c := counted{needed: int(w.get(group).Spec.SchedulingPolicy.Gang.MinCount), gated: g.gated, bound: g.staying}
	for _, m := range g.members {
		c.waiting += oneIf(m.waits() && len(m.gates) == 0)
	}
	return c
}

// phase brings a pod that waits to the end of a part of its life.
var phases = map[string]func(*v1.Pod){
	"waiting": func(*v1.Pod) {},
	"gated":   func(p *v1.Pod) { gated(p, "quota") },
	"bound":   func(p *v1.Pod) { p.Spec.NodeName = "n1" },
	"running": func(p *v1.Pod) { p.Spec.NodeName, p.Status.Phase = "n1", v1.PodRunning },
	"lost":    func(p *v1.Pod) { p.Spec.NodeName, p.Status.Phase = "n1", v1.PodUnknown },
	"ending":  func(p *v1.Pod) { p.Spec.NodeName, p.DeletionTimestamp = "n1", &metav1.Time{Time: dialecttest.Epoch} },
	"leaving": func(p *v1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: dialecttest.Epoch} },
	"resized": func(p *v1.Pod) {
		p.Spec.NodeName, p.Status.Phase = "n1", v1.PodRunning
		p.Spec.Containers = []v1.Container{{Name: "c", Resources: v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse("7")}}}}
	},
	"done":   func(p *v1.Pod) { endPod(p, v1.PodSucceeded, time.Hour) },
	"gone":   func(p *v1.Pod) { endPod(p, v1.PodSucceeded, time.Hour) },
	"failed": func(p *v1.Pod) { endPod(p, v1.PodFailed, time.Hour) },
}

func endPod(p *v1.Pod, phase v1.PodPhase, at time.Duration) {
	p.Spec.NodeName, p.Status.Phase = "n1", phase
	p.Status.ContainerStatuses = []v1.ContainerStatus{{State: v1.ContainerState{
		Terminated: &v1.ContainerStateTerminated{FinishedAt: metav1.NewTime(dialecttest.Epoch.Add(at))}}}}
}

// lifePod is a pod of a row of the table.
type lifePod struct {
	waiting, now *v1.Pod
	// late pods are created when the others are as far as they get, gone ones are
	// deleted after they have ended.
	late, gone bool
	run        string
}

// jobFor is the Job of the pods of a run, which has counted so many as done.
func jobFor(t testing.TB, run string, done int) *unstructured.Unstructured {
	u := dialecttest.Object(t, "batch/v1", "Job", fmt.Sprintf(`,"spec":{"parallelism":4,"completions":4},"status":{"succeeded":%d}`, done))
	u.SetName("train-w-0")
	u.SetUID(types.UID(run))
	return u
}

// lastJob is the Job of the last run of the pods, after it has counted those that are done.
func lastJob(t testing.TB, pods []lifePod) *unstructured.Unstructured {
	run, done := pods[len(pods)-1].run, 0
	for _, p := range pods {
		done += oneIf(p.run == run && p.now.Status.Phase == v1.PodSucceeded)
	}
	return jobFor(t, run, done)
}

// readPods reads the pods of a row: the number of them, their phase, and "again" for
// those that are created when the others are as far as they get, or "second" for
// those of a second run.
func (s spelling) readPods(text string) []lifePod {
	var pods []lifePod
	for part := range strings.SplitSeq(text, ", ") {
		words := strings.Fields(part)
		run, created, late := "run1", time.Duration(0), len(words) > 2
		if late {
			created = 2 * time.Hour
		}
		if late && words[2] == "second" {
			run = "run2"
		}
		n := 0
		_, _ = fmt.Sscan(words[0], &n)
		for range n {
			waiting := s.member(fmt.Sprintf("p%02d", len(pods)), run, created)
			if words[1] == "gated" {
				phases["gated"](waiting)
			}
			now := waiting.DeepCopy()
			if words[1] != "gated" {
				phases[words[1]](now)
			}
			pods = append(pods, lifePod{waiting, now, late, words[1] == "gone", run})
		}
	}
	return pods
}

// putPod has the informers say what a pod is.
func (w *world) putPod(p *v1.Pod) {
	if kube.MemberStateOf(p).HasEnded() {
		p = p.DeepCopy()
		w.assigner.Assign(p)
		w.DeletePod(p.UID)
		w.SetFinished(p)
		return
	}
	w.pod(p)
}

// TestMembers_ThroughTheirPhases is the table of docs/lifecycle.md: what the pods of
// a gang of four count as, and how many of them are needed, in every dialect.
func TestMembers_ThroughTheirPhases(t *testing.T) {
	for _, row := range []struct {
		phase, pods string
		want        counted
		// auto is how many of a workload's gang are needed, where that is fewer:
		// it waits for none that its controller does not create again.
		auto int
	}{
		{phase: "pending", pods: "4 waiting", want: counted{4, 4, 0, 0}},
		{phase: "pending, one is still to come", pods: "3 waiting", want: counted{4, 3, 0, 0}},
		{phase: "gated", pods: "2 waiting, 2 gated", want: counted{4, 2, 2, 0}},
		{phase: "gated beside those that run", pods: "3 running, 1 gated", want: counted{4, 0, 1, 3}},
		{phase: "bound", pods: "4 bound", want: counted{4, 0, 0, 4}},
		{phase: "running", pods: "4 running", want: counted{4, 0, 0, 4}},
		{phase: "terminating", pods: "2 running, 2 ending", want: counted{4, 0, 0, 2}, auto: 2},
		{phase: "terminating without a node", pods: "3 waiting, 1 leaving", want: counted{4, 3, 0, 0}},
		{phase: "terminating, with those that replace them", pods: "2 running, 2 ending, 2 waiting again", want: counted{4, 2, 0, 2}},
		{phase: "all terminate, and are replaced", pods: "4 ending, 4 waiting again", want: counted{4, 4, 0, 0}},
		{phase: "all terminate, and half of them are replaced", pods: "4 ending, 2 waiting again", want: counted{4, 2, 0, 0}},
		{phase: "succeeded", pods: "3 done, 1 running", want: counted{1, 0, 0, 1}},
		{phase: "succeeded, two run", pods: "2 done, 2 running", want: counted{2, 0, 0, 2}},
		{phase: "succeeded, the last is created again", pods: "3 done, 1 failed, 1 waiting again", want: counted{1, 1, 0, 0}},
		{phase: "succeeded, all of them, and one comes", pods: "4 done, 1 waiting again", want: counted{1, 1, 0, 0}},
		{phase: "succeeded, in another run", pods: "4 done, 4 waiting second", want: counted{4, 4, 0, 0}},
		{phase: "succeeded, in another run, of which one has come", pods: "4 done, 1 waiting second", want: counted{4, 1, 0, 0}},
		{phase: "succeeded and deleted", pods: "3 gone, 1 running", want: counted{1, 0, 0, 1}},
		{phase: "succeeded, one of them deleted", pods: "2 done, 1 gone, 1 running", want: counted{1, 0, 0, 1}},
		{phase: "succeeded and deleted, the last is created again", pods: "3 gone, 1 failed, 1 waiting again", want: counted{1, 1, 0, 0}},
		{phase: "succeeded and deleted, all but two, which are created again", pods: "2 gone, 2 failed, 2 waiting again", want: counted{2, 2, 0, 0}},
		{phase: "succeeded and deleted, in another run", pods: "4 gone, 4 waiting second", want: counted{4, 4, 0, 0}},
		{phase: "failed", pods: "3 running, 1 failed", want: counted{4, 0, 0, 3}, auto: 3},
		{phase: "failed, and re-created", pods: "3 running, 1 failed, 1 waiting again", want: counted{4, 1, 0, 3}},
		{phase: "failed, all of them, and re-created", pods: "4 failed, 4 waiting again", want: counted{4, 4, 0, 0}},
		{phase: "lost node", pods: "2 running, 2 lost", want: counted{4, 0, 0, 4}},
		{phase: "lost node, all of them", pods: "4 lost", want: counted{4, 0, 0, 4}},
		{phase: "resized in place", pods: "3 running, 1 resized", want: counted{4, 0, 0, 4}},
		{phase: "resized to more", pods: "4 running, 2 waiting again", want: counted{4, 2, 0, 4}},
	} {
		for _, s := range spellings {
			t.Run(row.phase+"/"+s.name, func(t *testing.T) {
				want := row.want
				if s.name == string(kube.DialectAuto) && row.auto > 0 {
					want.needed = row.auto
				}
				pods, objects := s.readPods(row.pods), s.objects(t)
				job := lastJob(t, pods)
				w := livedWorld(pods, append(slices.Clone(objects), jobFor(t, "run1", 0)), job)
				assert.Empty(t, w.problem(s.group))
				assert.Equal(t, want, w.count(t, s.group), "as it came to be")

				var all []*v1.Pod
				for _, p := range pods {
					if !p.gone {
						all = append(all, p.now)
					}
				}
				objects = append(objects, job)
				fresh := freshWorld(all, objects)
				assert.Equal(t, want, fresh.count(t, s.group), "as a scheduler finds it that starts")

				gangs := Objects{Pods: all, Groups: objects}.Gangs("muster")
				require.Len(t, gangs, 1)
				assert.EqualValues(t, want.needed, gangs[0].Group.Spec.SchedulingPolicy.Gang.MinCount, "as the command line finds it")
			})
		}
	}
}

// livedWorld is a world in which pods have come as far as they are: all wait, all get
// their node, the Job counts those that are done, of which some are deleted, and then
// those come that are late.
func livedWorld(pods []lifePod, objects []*unstructured.Unstructured, job *unstructured.Unstructured) *world {
	w := newWorld()
	w.setObjects(objects, w.SetObject)
	for _, late := range []bool{false, true} {
		for _, step := range []func(lifePod) *v1.Pod{
			func(p lifePod) *v1.Pod { return p.waiting },
			func(p lifePod) *v1.Pod {
				placed := p.waiting.DeepCopy()
				placed.Spec.NodeName = p.now.Spec.NodeName
				return placed
			},
			func(p lifePod) *v1.Pod { return p.now },
		} {
			for _, p := range pods {
				if p.late == late {
					w.putPod(step(p))
				}
			}
		}
		w.setObjects([]*unstructured.Unstructured{job}, w.SetObject)
		for _, p := range pods {
			if p.gone {
				w.DeleteFinished(p.now.UID)
			}
		}
	}
	return w
}

// freshWorld is a world that finds pods as they are.
func freshWorld(pods []*v1.Pod, objects []*unstructured.Unstructured) *world {
	w := closedWorld()
	for _, k := range w.dialects.Kinds() {
		w.SetKind(k, Served)
	}
	w.SetKind(dialect.KoordinatorGroups, Absent)
	w.setObjects(objects, w.SetObject)
	for _, p := range pods {
		w.putPod(p)
	}
	w.Open()
	return w
}
