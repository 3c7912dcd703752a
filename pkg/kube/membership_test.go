// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
)

func TestMemberStateOf_EachPhase(t *testing.T) {
	pod := func(phase v1.PodPhase, node string, changes ...func(*v1.Pod)) *v1.Pod {
		p := &v1.Pod{Spec: v1.PodSpec{NodeName: node}, Status: v1.PodStatus{Phase: phase}}
		for _, change := range changes {
			change(p)
		}
		return p
	}
	gated := func(p *v1.Pod) { p.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "quota"}} }
	terminating := func(p *v1.Pod) { p.DeletionTimestamp = new(metav1.Now()) }
	lostNode := func(p *v1.Pod) {
		p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionFalse, Reason: "NodeNotReady"}}
	}
	for name, c := range map[string]struct {
		pod  *v1.Pod
		want kube.MemberState
	}{
		"a pod that waits":                              {pod(v1.PodPending, ""), kube.MemberWaiting},
		"one with a scheduling gate":                    {pod(v1.PodPending, "", gated), kube.MemberGated},
		"one that is bound and does not run yet":        {pod(v1.PodPending, "n"), kube.MemberBound},
		"one that runs":                                 {pod(v1.PodRunning, "n"), kube.MemberBound},
		"one whose node is lost":                        {pod(v1.PodRunning, "n", lostNode), kube.MemberBound},
		"one that ends on its node":                     {pod(v1.PodRunning, "n", terminating), kube.MemberTerminating},
		"one that ends before it had a node":            {pod(v1.PodPending, "", terminating), kube.MemberTerminating},
		"a gated one that ends":                         {pod(v1.PodPending, "", gated, terminating), kube.MemberTerminating},
		"one that has done its work":                    {pod(v1.PodSucceeded, "n"), kube.MemberFinished},
		"one that has done it and is deleted":           {pod(v1.PodSucceeded, "n", terminating), kube.MemberFinished},
		"one that is called done and never had a node":  {pod(v1.PodSucceeded, ""), kube.MemberFailed},
		"one that failed":                               {pod(v1.PodFailed, "n"), kube.MemberFailed},
		"one that failed while it was being terminated": {pod(v1.PodFailed, "n", terminating), kube.MemberFailed},
	} {
		assert.Equal(t, c.want, kube.MemberStateOf(c.pod), name)
	}
}

func TestNeededMembers_LeavesOutWhatIsDone(t *testing.T) {
	for name, c := range map[string]struct{ minimum, finished, want int }{
		"nobody has finished":         {4, 0, 4},
		"three of four have":          {4, 3, 1},
		"all have: the next is alone": {4, 4, 1},
		"more than the minimum have":  {2, 3, 1},
	} {
		assert.Equal(t, c.want, kube.NeededMembers(c.minimum, c.finished), name)
	}
}

func TestFinishedInRun_TellsRunsOfOneNameApart(t *testing.T) {
	at := func(seconds int) time.Time {
		return time.Date(2026, 1, 1, 0, 0, seconds, 0, time.UTC)
	}
	alive := func(controller string, created int) kube.Lifetime {
		return kube.Lifetime{Controller: types.UID(controller), Created: at(created)}
	}
	ended := func(controller string, created, end int) kube.Lifetime {
		return kube.Lifetime{Controller: types.UID(controller), Created: at(created), Ended: at(end)}
	}
	for name, c := range map[string]struct {
		living, finished []kube.Lifetime
		want             []int
	}{
		"nobody lives: there is no run": {nil, []kube.Lifetime{ended("a", 0, 5)}, nil},
		"the others of a job, however long ago they ended": {
			[]kube.Lifetime{alive("a", 50)}, []kube.Lifetime{ended("a", 0, 5), ended("a", 0, 7)}, []int{0, 1}},
		"an earlier job of the name": {[]kube.Lifetime{alive("b", 50)}, []kube.Lifetime{ended("a", 0, 50)}, nil},
		"a launcher that another controller made": {
			[]kube.Lifetime{alive("workers", 0)}, []kube.Lifetime{ended("launcher", 0, 5)}, []int{0}},
		"bare pods that ran together": {[]kube.Lifetime{alive("", 0)}, []kube.Lifetime{ended("", 0, 5)}, []int{0}},
		"bare pods of an earlier run": {[]kube.Lifetime{alive("", 9)}, []kube.Lifetime{ended("", 0, 5)}, nil},
		"bare pods one after another": {
			[]kube.Lifetime{alive("", 9)}, []kube.Lifetime{ended("", 0, 5), ended("", 4, 10), ended("", 0, 3)}, []int{0, 1, 2}},
		"an end that is not known": {[]kube.Lifetime{alive("", 9)}, []kube.Lifetime{{Created: at(0)}}, nil},
	} {
		assert.Equal(t, c.want, kube.FinishedInRun(c.living, c.finished), name)
	}
}

func TestStartedWith_IsWhatABoundPodSays(t *testing.T) {
	for name, c := range map[string]struct {
		node, says string
		want       int
	}{
		"bound by Muster":           {"n", "4", 4},
		"bound by somebody else":    {"n", "", 0},
		"it waits":                  {"", "4", 0},
		"no number":                 {"n", "four", 0},
		"a number that is no count": {"n", "0", 0},
	} {
		p := &v1.Pod{}
		p.Spec.NodeName, p.Annotations = c.node, map[string]string{kube.AnnotationStartedWith: c.says}
		assert.Equal(t, c.want, kube.StartedWith(p), name)
	}
}

func TestLastChange_IsTheLatestThatThePodsTell(t *testing.T) {
	at := func(seconds int) metav1.Time {
		return metav1.NewTime(time.Date(2026, 1, 1, 0, 0, seconds, 0, time.UTC))
	}
	created := func(second int) *v1.Pod { return &v1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: at(second)}} }
	bound := func(second int) *v1.Pod {
		p := created(1)
		p.Spec.NodeName = "n"
		p.Status.Conditions = []v1.PodCondition{
			{Type: v1.PodReady, Status: v1.ConditionTrue, LastTransitionTime: at(59)},
			{Type: v1.PodScheduled, Status: v1.ConditionTrue, LastTransitionTime: at(second)},
		}
		return p
	}
	ending := bound(5)
	ending.DeletionTimestamp, ending.DeletionGracePeriodSeconds = new(at(50)), new(int64(30))
	assumed := created(7)
	assumed.Spec.NodeName = "n"
	for name, c := range map[string]struct {
		bound, waiting []*v1.Pod
		want           int
	}{
		"a member was created again":       {[]*v1.Pod{bound(5)}, []*v1.Pod{created(9), created(2)}, 9},
		"the last one was bound":           {[]*v1.Pod{bound(5), bound(8)}, []*v1.Pod{created(2)}, 8},
		"one was told to end, and has not": {[]*v1.Pod{bound(5), ending}, []*v1.Pod{created(2)}, 20},
		"one is being bound":               {[]*v1.Pod{bound(5), assumed}, nil, 7},
	} {
		assert.Equal(t, at(c.want).Time, kube.LastChange(c.bound, c.waiting), name)
	}
	assert.Zero(t, kube.LastChange(nil, nil))
}
