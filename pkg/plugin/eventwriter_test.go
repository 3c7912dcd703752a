// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
)

// memberHandle knows the members of the one gang that there is.
type memberHandle struct {
	fwk.Handle
	waiting map[string]*v1.Pod
	bound   []*v1.Pod
}

func (h *memberHandle) PodGroupManager() fwk.PodGroupManager { return memberStates{members: h} }

// memberStates is that gang as the scheduler's cache has it.
type memberStates struct {
	fwk.PodGroupManager
	fwk.PodGroupState
	members *memberHandle
}

func (s memberStates) PodGroupStates() fwk.PodGroupStateLister    { return s }
func (s memberStates) Get(_, _ string) (fwk.PodGroupState, error) { return s, nil }
func (s memberStates) UnscheduledPods() map[string]*v1.Pod        { return s.members.waiting }
func (s memberStates) ScheduledPods() []*v1.Pod                   { return s.members.bound }

// sourceOf are groups with the one object, or none.
type sourceOf struct {
	Groups
	object runtime.Object
}

func (s sourceOf) Source(*schedulingapi.PodGroup) runtime.Object { return s.object }

func TestEventWriter_TellsWhomItConcerns(t *testing.T) {
	pods := func(count int, controller string) []*v1.Pod {
		var all []*v1.Pod
		for i := range count {
			pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprintf("p%02d", i), UID: types.UID(fmt.Sprintf("%s%d", controller, i))}}
			if controller != "" {
				pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: controller, UID: types.UID(controller), Controller: new(true)}}
			}
			all = append(all, pod)
		}
		return all
	}
	refused, placed := &notice{kind: v1.EventTypeWarning}, &notice{kind: v1.EventTypeNormal}
	group := &v1.ObjectReference{Kind: "PodGroup", Name: "train", UID: "u"}
	for _, test := range []struct {
		name           string
		waiting, bound []*v1.Pod
		group          runtime.Object
		notice         *notice
		want           []string
	}{
		{"pods alone", pods(3, ""), nil, nil, refused, []string{"Pod/p00", "Pod/p01", "Pod/p02"}},
		{"a Job", pods(3, "job"), nil, nil, refused, []string{"Job/job"}},
		{"a group of pods alone", pods(3, ""), nil, group, refused, []string{"PodGroup/train"}},
		{"a group of a Job", pods(3, "job"), nil, group, refused, []string{"PodGroup/train", "Job/job"}},
		{"pods alone that start", pods(3, ""), nil, nil, placed, []string{"Pod/p00"}},
		{"pods alone that run", nil, pods(3, ""), nil, refused, []string{"Pod/p00"}},
		{"the members of a Job that are evicted", nil, nil, nil, &notice{kind: v1.EventTypeWarning, evicted: pods(2, "job")}, []string{"Job/job", "Pod/p00", "Pod/p01"}},
		{
			"a Job that starts while another of its name waits", pods(2, "later"), pods(2, "job"), nil,
			&notice{kind: v1.EventTypeNormal, placed: map[types.UID]string{"job0": "n1", "job1": "n2"}}, []string{"Job/job"},
		},
		{"nobody", nil, nil, nil, refused, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := &memberHandle{waiting: map[string]*v1.Pod{}, bound: test.bound}
			for _, pod := range test.waiting {
				h.waiting[pod.Name] = pod
			}
			w := &eventWriter{h, sourceOf{object: test.group}}
			var got []string
			for _, object := range w.regardingObjects(&schedulingapi.PodGroup{}, test.notice) {
				switch o := object.(type) {
				case *v1.Pod:
					got = append(got, "Pod/"+o.Name)
				case *v1.ObjectReference:
					got = append(got, o.Kind+"/"+o.Name)
				}
			}
			assert.Equal(t, test.want, got)
		})
	}
	many := &memberHandle{waiting: map[string]*v1.Pod{}}
	for _, pod := range pods(1000, "") {
		many.waiting[pod.Name] = pod
	}
	assert.Len(t, (&eventWriter{many, sourceOf{}}).regardingObjects(&schedulingapi.PodGroup{}, refused), maxRegarding)
}
