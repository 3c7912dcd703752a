// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package checker

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const gpu = "nvidia.com/gpu"

// story is a checker with a clock that the test moves.
type story struct {
	*Checker
	now time.Time
}

// newStory has two racks, a and b, with two nodes of eight GPUs each: a0, a1, b0, b1.
func newStory() *story {
	s := &story{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), Checker: New("muster", Limits{
		Partial:      map[Class]time.Duration{Healthy: 2 * time.Second, Disturbed: 30 * time.Second, Crash: time.Minute},
		PartialInAll: 5 * time.Minute, Repair: time.Minute, Tail: 5 * time.Second, Handover: time.Second,
		Stale: map[Class]time.Duration{Healthy: 2 * time.Second, Disturbed: time.Minute, Crash: time.Minute},
	})}
	for _, name := range []string{"a0", "a1", "b0", "b1"} {
		s.SetNode(s.now, newNode(name, 8))
	}
	s.pass(10 * time.Second)
	return s
}

func newNode(name string, gpus int64) *v1.Node {
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{rackLabel: name[:1]}},
		Status: v1.NodeStatus{Allocatable: v1.ResourceList{
			gpu: *resource.NewQuantity(gpus, resource.DecimalSI), v1.ResourcePods: resource.MustParse("10"),
		}},
	}
}

func (s *story) pass(d time.Duration) {
	s.now = s.now.Add(d)
	s.Tick(s.now)
}

func newPod(name string, gpus int64, change ...func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: types.UID(name), Labels: map[string]string{}, Annotations: map[string]string{}},
		Spec: v1.PodSpec{SchedulerName: "muster", Containers: []v1.Container{{
			Resources: v1.ResourceRequirements{Requests: v1.ResourceList{gpu: *resource.NewQuantity(gpus, resource.DecimalSI)}},
		}}},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

// gang makes pods of a gang of three that requires a rack.
func gang(p *v1.Pod) {
	p.Labels[gangLabel], p.Annotations[minCountAnnotation], p.Annotations[requiredAnnotation] = "g", "3", "rack"
}

func forRival(p *v1.Pod) { p.Spec.SchedulerName = "rival" }

func disrupted(p *v1.Pod) {
	p.Status.Conditions = append(p.Status.Conditions, v1.PodCondition{Type: v1.DisruptionTarget, Status: v1.ConditionTrue})
}

// scheduled sets what a pod says.
func scheduled(status v1.ConditionStatus, message string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, v1.PodCondition{Type: v1.PodScheduled, Status: status, Message: message})
	}
}

// bind creates a pod and binds it.
func (s *story) bind(node string, p *v1.Pod) {
	s.SetPod(s.now, p)
	bound := p.DeepCopy()
	bound.Spec.NodeName = node
	s.SetPod(s.now, bound)
}

func TestRules(t *testing.T) {
	for _, tc := range []struct {
		name  string
		story func(*story)
		rule  Rule // "" for none
	}{
		{"a node that is full", func(s *story) { s.bind("a0", newPod("x", 8)) }, ""},
		{"a node that is too full", func(s *story) { s.bind("a0", newPod("x", 8)); s.bind("a0", newPod("y", 1)) }, NoOvercommit},
		{"after one has ended", func(s *story) {
			s.bind("a0", newPod("x", 8))
			s.SetPod(s.now, newPod("x", 8, func(p *v1.Pod) { p.Spec.NodeName, p.Status.Phase = "a0", v1.PodFailed }))
			s.bind("a0", newPod("y", 8))
		}, ""},
		{"GPUs that have just gone", func(s *story) { s.SetNode(s.now, newNode("a0", 0)); s.bind("a0", newPod("x", 8)) }, ""},
		{"GPUs that went long ago", func(s *story) {
			s.SetNode(s.now, newNode("a0", 0))
			s.pass(3 * time.Second)
			s.bind("a0", newPod("x", 8))
		}, NoOvercommit},
		{"GPUs that went while watches were frozen", func(s *story) {
			s.BeginFault(s.now, Disturbed, "freeze")
			s.SetNode(s.now, newNode("a0", 0))
			s.pass(10 * time.Second)
			s.bind("a0", newPod("x", 8))
		}, ""},
		{"beside a rival", func(s *story) { s.bind("a0", newPod("r", 4, forRival)); s.bind("a0", newPod("x", 8)) }, ""},
		{"long after a rival", func(s *story) {
			s.bind("a0", newPod("r", 4, forRival))
			s.pass(3 * time.Second)
			s.bind("a0", newPod("x", 8))
		}, NoOvercommit},
		{"a gang in time", func(s *story) {
			s.bind("a0", newPod("x", 2, gang))
			s.pass(time.Second)
			s.bind("a0", newPod("y", 2, gang))
			s.bind("a1", newPod("z", 2, gang))
			s.pass(time.Hour)
		}, ""},
		{"half a gang", func(s *story) { s.bind("a0", newPod("x", 2, gang)); s.pass(3 * time.Second) }, GangAtomic},
		{"half a gang during a crash", func(s *story) {
			s.bind("a0", newPod("x", 2, gang))
			s.BeginFault(s.now, Crash, "kill")
			s.pass(59 * time.Second)
		}, ""},
		{"half a gang long after a crash", func(s *story) {
			s.bind("a0", newPod("x", 2, gang))
			s.BeginFault(s.now, Crash, "kill")(s.now)
			s.pass(61 * time.Second)
		}, GangAtomic},
		{"half a gang over many crashes", func(s *story) {
			s.bind("a0", newPod("x", 2, gang))
			for range 4 {
				s.BeginFault(s.now, Crash, "kill")(s.now)
				s.pass(50 * time.Second)
			}
		}, ""},
		{"half a gang over all too many crashes", func(s *story) {
			s.bind("a0", newPod("x", 2, gang))
			for range 7 {
				s.BeginFault(s.now, Crash, "kill")(s.now)
				s.pass(50 * time.Second)
			}
		}, GangAtomic},
		{"a gang across racks", func(s *story) { s.bind("a0", newPod("x", 2, gang)); s.bind("b0", newPod("y", 2, gang)) }, RequiredTopology},
		{"a pod that moves", func(s *story) {
			s.bind("a0", newPod("x", 1))
			s.SetPod(s.now, newPod("x", 1, func(p *v1.Pod) { p.Spec.NodeName = "a1" }))
		}, BindOnce},
		{"a pod that nobody deleted", func(s *story) { s.bind("a0", newPod("x", 1)); s.DeletePod(s.now, newPod("x", 1)) }, NothingLost},
		{"a pod that was preempted", func(s *story) { s.bind("a0", newPod("x", 1)); s.DeletePod(s.now, newPod("x", 1, disrupted)) }, ""},
		{"a pod that the bench deleted", func(s *story) {
			s.bind("a0", newPod("x", 1))
			s.ExpectDeletion("x")
			s.DeletePod(s.now, newPod("x", 1))
		}, ""},
		{"a pod that was ending", func(s *story) {
			s.SetPod(s.now, newPod("x", 1, func(p *v1.Pod) { p.DeletionTimestamp = new(metav1.Time) }))
			s.SetPod(s.now, newPod("x", 1, func(p *v1.Pod) { p.Spec.NodeName = "a0" }))
		}, OwnPodsOnly},
		{"another's pod", func(s *story) {
			s.SetPod(s.now, newPod("r", 1, forRival))
			s.SetLease("host_1", s.now)
			s.SendBind(s.now, "1", "ns/r")
		}, OwnPodsOnly},
		{"the leader binds", func(s *story) { s.SetLease("host_1", s.now); s.SendBind(s.now, "1", "ns/x"); s.pass(time.Minute) }, ""},
		{"a leader that was just replaced", func(s *story) {
			s.SetLease("host_1", s.now)
			s.pass(time.Minute)
			s.SetLease("host_2", s.now)
			s.SendBind(s.now.Add(500*time.Millisecond), "1", "ns/x")
			s.pass(time.Minute)
		}, ""},
		{"a leader that was replaced before", func(s *story) {
			s.SetLease("host_1", s.now)
			s.pass(time.Minute)
			s.SetLease("host_2", s.now)
			s.pass(2 * time.Second)
			s.SendBind(s.now, "1", "ns/x")
			s.pass(time.Minute)
		}, OneWriter},
		{"one that never led", func(s *story) { s.SetLease("host_1", s.now); s.SendBind(s.now, "", "ns/x"); s.pass(time.Minute) }, OneWriter},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStory()
			tc.story(s)
			want := map[Rule]int{}
			if tc.rule != "" {
				want[tc.rule] = 1
			}
			r := s.Report()
			assert.Equal(t, want, r.Broken, "%v", r.Violations)
		})
	}
}

// A gang that ran and lost a member is repaired, or given up, within a time of its own.
func TestGangs_ThatLoseMembers(t *testing.T) {
	s := newStory()
	for i := range 3 {
		s.bind("a0", newPod(fmt.Sprint(i), 2, gang))
	}
	s.ExpectDeletion("0")
	s.DeletePod(s.now, newPod("0", 2, gang))
	s.pass(61 * time.Second)
	assert.Empty(t, s.Report().Broken)
	s.pass(2 * time.Second)
	s.pass(time.Minute)
	assert.Equal(t, map[Rule]int{GangAtomic: 1}, s.Report().Broken, "once")
	s.bind("a0", newPod("again", 2, gang))
	assert.Len(t, s.Report().Windows["repair"], 1)
}

// The minimum of a group counts from when it is set, and one that is raised under a gang
// that runs evicts nobody.
func TestGangs_OfGroups(t *testing.T) {
	grouped := func(p *v1.Pod) { p.Labels[groupLabel] = "g" }
	s := newStory()
	s.SetGroup(s.now, "ns/g", 2)
	s.bind("a0", newPod("0", 2, grouped))
	s.bind("b0", newPod("1", 2, grouped))
	s.SetGroup(s.now, "ns/g", 3)
	s.pass(time.Hour)
	assert.Empty(t, s.Report().Broken)
	assert.Equal(t, 2, s.BoundIn("ns/g"))
}

func TestFitting(t *testing.T) {
	waiting := func(s *story, gpus int64, names ...string) {
		for _, name := range names {
			s.SetPod(s.now, newPod(name, gpus, gang))
		}
	}
	s := newStory()
	waiting(s, 8, "x", "y", "z")
	assert.Empty(t, s.Fitting(), "no rack takes three nodes")
	s = newStory()
	waiting(s, 4, "x", "y", "z")
	assert.Equal(t, []string{"ns/g"}, s.Fitting())
	s.bind("a0", newPod("single", 8))
	assert.Equal(t, []string{"ns/g"}, s.Fitting(), "the other rack")
	s.bind("b0", newPod("other", 8))
	assert.Empty(t, s.Fitting())
	s.SetPod(s.now, newPod("loose", 8))
	assert.Equal(t, []string{"ns/loose"}, s.Fitting())
	for _, name := range []string{"a1", "b1"} {
		shut := newNode(name, 8)
		shut.Spec.Unschedulable = true
		s.SetNode(s.now, shut)
	}
	assert.Empty(t, s.Fitting())
}

func TestStatus(t *testing.T) {
	s := newStory()
	s.SetPod(s.now, newPod("quiet", 1))
	s.SetPod(s.now, newPod("says", 1, scheduled(v1.ConditionFalse, "no room")))
	s.bind("a0", newPod("late", 1, scheduled(v1.ConditionFalse, "no room")))
	s.bind("a0", newPod("right", 1, scheduled(v1.ConditionTrue, "")))
	wrong := s.CheckStatus(s.now)
	assert.Len(t, wrong, 2)
	assert.Contains(t, wrong[0], "ns/late")
	assert.Contains(t, wrong[1], "ns/quiet")
}

func TestCompare(t *testing.T) {
	s := newStory()
	s.SetPod(s.now, newPod("x", 1))
	assert.Empty(t, s.Compare([]v1.Pod{*newPod("x", 1)}))
	assert.Contains(t, s.Compare(nil), "0 pods are listed")
	assert.Contains(t, s.Compare([]v1.Pod{*newPod("y", 1)}), "pod y")
}
