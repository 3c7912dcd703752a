// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/queue"
)

// members are the pods of a gang as the scheduler's cache has them.
type members struct {
	fwk.PodGroupState
	waiting, bound []*v1.Pod
}

func (m members) AllPodsCount() int       { return len(m.waiting) + len(m.bound) }
func (m members) ScheduledPodsCount() int { return len(m.bound) }
func (m members) UnscheduledPods() map[string]*v1.Pod {
	byName := map[string]*v1.Pod{}
	for _, pod := range m.waiting {
		byName[pod.Name] = pod
	}
	return byName
}

// declaring is where all gangs are declared alike.
type declaring struct {
	Groups
	declaration kube.Declaration
	gated       int
	gates       []string
}

func (d declaring) DeclarationOf(*schedulingapi.PodGroup) *kube.Declaration { return &d.declaration }
func (d declaring) GatedMembers(*schedulingapi.PodGroup) (int, []string)    { return d.gated, d.gates }

// ofJob makes a pod one of a Job, which has its name as UID.
func ofJob(name, job string) *v1.Pod {
	p := waiting(holder(name, 1))
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: job, UID: types.UID(job), Controller: new(true)}}
	return p
}

func TestReadiness_CountsThoseThatMayStart(t *testing.T) {
	runs := &kube.Runs{Known: []types.UID{"run1", "run2"}, Later: []types.UID{"run2"}, Message: "run2 waits for run1"}
	pg := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "label~train", UID: "g"}}
	pg.Spec.SchedulingPolicy.Gang = &schedulingapi.GangSchedulingPolicy{MinCount: 2}
	a, b, c := ofJob("a", "run1"), ofJob("b", "run1"), ofJob("c", "run2")
	for name, test := range map[string]struct {
		groups declaring
		state  fwk.PodGroupState
		want   queue.Readiness
		reason string
	}{
		"all may": {declaring{}, members{waiting: []*v1.Pod{a, b, c}}, queue.Readiness{Waiting: 3}, ""},
		"a gate beside enough": {declaring{gated: 1, gates: []string{"quota"}}, members{waiting: []*v1.Pod{a, b}},
			queue.Readiness{Waiting: 2, Gated: 1, Gates: "quota"}, ""},
		"a gate beside too few": {declaring{gated: 1, gates: []string{"license", "quota"}}, members{waiting: []*v1.Pod{a}},
			queue.Readiness{Waiting: 1, Gated: 1, Gates: "license, quota"}, "SchedulingGated"},
		"all are gated, and the scheduler knows of no gang": {declaring{gated: 2, gates: []string{"quota"}}, nil,
			queue.Readiness{Gated: 2, Gates: "quota"}, "SchedulingGated"},
		"another run waits beside enough": {declaring{declaration: kube.Declaration{Runs: runs}}, members{waiting: []*v1.Pod{a, b, c}},
			queue.Readiness{Waiting: 2, Later: 1, LaterWhy: runs.Message}, ""},
		"another run makes up no number": {declaring{declaration: kube.Declaration{Runs: runs}}, members{waiting: []*v1.Pod{a, c}},
			queue.Readiness{Waiting: 1, Later: 1, LaterWhy: runs.Message}, "GangIncomplete"},
		"another run is all that waits": {declaring{declaration: kube.Declaration{Runs: runs}}, members{waiting: []*v1.Pod{c}, bound: []*v1.Pod{a, b}},
			queue.Readiness{Bound: 2, Later: 1, LaterWhy: runs.Message}, "GangConfigConflict"},
	} {
		t.Run(name, func(t *testing.T) {
			gangs := newGangQueue(nil, kube.DefaultLevels(), newReporter(nil, test.groups), queue.Config{PartialGrace: time.Minute})
			got := gangs.readinessOf(pg, test.groups.DeclarationOf(pg), test.state)
			test.want.Gang, test.want.MinCount, test.want.Required = "train", 2, 2
			assert.Equal(t, test.want, got)
			reason := ""
			if obstacle := got.Obstacle(); obstacle != nil {
				reason = obstacle.Reason
			}
			assert.Equal(t, test.reason, reason)
		})
	}
}

// A pod of a second Job may come before the version of the group that knows of it.
func TestPlanner_WaitsForTheVersionThatKnowsAllRuns(t *testing.T) {
	labelled := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Name: "label~train"}}
	auto := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Name: "auto~job~train"}}
	one, two := []*v1.Pod{ofJob("a", "run1"), ofJob("b", "run1")}, []*v1.Pod{ofJob("a", "run1"), ofJob("b", "run2")}
	bound := []*v1.Pod{ofJob("c", "run1"), ofJob("d", "run2")}
	strange := []*v1.Pod{ofJob("c", "run1"), ofJob("d", "run2")}
	for _, pod := range strange {
		pod.Spec.SchedulerName = "another"
	}
	known := &kube.Runs{Known: []types.UID{"run1", "run2"}}
	for name, test := range map[string]struct {
		group          *schedulingapi.PodGroup
		spec           kube.Spec
		waiting, bound []*v1.Pod
		waits          bool
	}{
		"one Job":                             {labelled, kube.Spec{MinCount: 2}, one, nil, false},
		"a second one":                        {labelled, kube.Spec{MinCount: 2}, two, nil, true},
		"a second one on nodes":               {labelled, kube.Spec{MinCount: 2}, one, bound, true},
		"a second one that is known":          {labelled, kube.Spec{MinCount: 2, Runs: known}, two, nil, false},
		"one more than are known":             {labelled, kube.Spec{MinCount: 2, Runs: known}, []*v1.Pod{two[0], ofJob("e", "run3")}, nil, true},
		"pods of another scheduler":           {labelled, kube.Spec{MinCount: 2}, one, strange, false},
		"pods that start one by one":          {labelled, kube.Spec{MinCount: 1}, two, nil, false},
		"parts that are declared":             {labelled, kube.Spec{MinCount: 2, Roles: make([]kube.ResolvedRole, 1)}, two, nil, false},
		"the gang of a workload, as it knows": {auto, kube.Spec{MinCount: 2}, two, nil, false},
		"nobody waits":                        {labelled, kube.Spec{MinCount: 2}, nil, bound, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.waits, unknownRuns(test.group, &test.spec, test.waiting, test.bound) != nil)
		})
	}
}
