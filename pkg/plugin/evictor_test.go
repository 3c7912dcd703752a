// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// evictionHandle is a scheduler with a fake API server, which takes down what is
// evicted and told.
type evictionHandle struct {
	fwk.Handle
	api    *fake.Clientset
	told   []string // kind/name: note
	tried  []string // names, dry runs first
	refuse func(pod string, dryRun bool) error
}

func (h *evictionHandle) ClientSet() kubernetes.Interface           { return h.api }
func (h *evictionHandle) EventRecorder() events.EventRecorderLogger { return eventList{h} }
func (h *evictionHandle) PodGroupManager() fwk.PodGroupManager      { return noGroups{} }
func (noGroups) PodGroupStates() fwk.PodGroupStateLister            { return noGroups{} }
func (noGroups) Get(_, _ string) (fwk.PodGroupState, error)         { return nil, fmt.Errorf("not there") }

// noGroups knows no gang: the last pod of the one that is evicted is gone.
type noGroups struct {
	fwk.PodGroupManager
}

// eventList is a recorder.
type eventList struct{ h *evictionHandle }

func (l eventList) WithLogger(klog.Logger) events.EventRecorderLogger { return l }

func (l eventList) Eventf(regarding, _ runtime.Object, _, _, _, note string, args ...any) {
	name := ""
	switch o := regarding.(type) {
	case *v1.Pod:
		name = "Pod/" + o.Name
	case *v1.ObjectReference:
		name = o.Kind + "/" + o.Name
	}
	l.h.told = append(l.h.told, name+": "+fmt.Sprintf(note, args...))
}

// noObject is where gangs are declared by labels alone.
type noObject struct{ Groups }

func (noObject) Source(*schedulingapi.PodGroup) runtime.Object             { return nil }
func (noObject) Verdict(_ *schedulingapi.PodGroup, reason, message string) {}
func (noObject) NoteStart(*schedulingapi.PodGroup)                         {}
func (noObject) SetSentence(*schedulingapi.PodGroup, string, string) int   { return 0 }

// evict has an evictor give up a gang of three that belongs to a Job.
func evict(t *testing.T, h *evictionHandle, objects ...runtime.Object) (string, error) {
	t.Helper()
	h.api = fake.NewClientset(objects...)
	h.api.PrependReactor("create", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		eviction, ok := action.(clienttesting.CreateAction).GetObject().(*policyv1.Eviction)
		if !ok {
			return false, nil, nil
		}
		require.Equal(t, eviction.Name, string(*eviction.DeleteOptions.Preconditions.UID), "the UID of these pods is their name")
		dryRun := len(eviction.DeleteOptions.DryRun) > 0
		if err := h.refuse(eviction.Name, dryRun); err != nil {
			return true, nil, err
		}
		h.tried = append(h.tried, fmt.Sprintf("%s %t", eviction.Name, dryRun))
		return true, nil, nil
	})
	yes := true
	var pods []*v1.Pod
	for _, name := range []string{"a", "b", "c"} {
		pod := runningPod(name, true)
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "train", UID: "job", Controller: &yes}}
		pods = append(pods, pod)
	}
	e := &evictor{handle: h, reports: newReporter(h, noObject{}), grace: time.Minute}
	pg := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "train", UID: "g"}}
	reason, err := e.evictWhole(t.Context(), pg, pods, newVerdict(kube.PartialGang, "gang train is partial"))
	if next := e.reports.gangs["g"]; next != nil && next.next != nil {
		h.told = append(h.told, "next: "+next.next.message)
	}
	return reason, err
}

func nobody(string, bool) error { return nil }

func TestEvictor_EvictsAllAndTellsThemAndTheirController(t *testing.T) {
	h := &evictionHandle{refuse: nobody}
	budget := budgetFor("p", 3, map[string]string{"gang": "train"})
	reason, err := evict(t, h, &budget)
	require.NoError(t, err)
	assert.Equal(t, string(kube.PartialGang), reason)
	assert.Equal(t, []string{"a true", "b true", "c true", "a false", "b false", "c false"}, h.tried)
	note := "gang train is partial; all 3 were evicted, so that the gang can start as a whole"
	assert.Equal(t, []string{"Job/train: " + note, "Pod/a: " + note, "Pod/b: " + note, "Pod/c: " + note}, h.told)
}

func TestEvictor_EvictsNoneWhereABudgetDoesNotAllowAll(t *testing.T) {
	h := &evictionHandle{refuse: nobody}
	budget := budgetFor("p", 2, nil)
	_, err := evict(t, h, &budget)
	require.ErrorIs(t, err, errKept)
	assert.Empty(t, h.tried)
	assert.Equal(t, []string{"next: gang train is partial; none of them is evicted, because not all may be: PodDisruptionBudget p allows only 2 of these 3 evictions"}, h.told)
}

func TestEvictor_EvictsNoneWhereTheAPIServerRefusesOne(t *testing.T) {
	h := &evictionHandle{refuse: func(pod string, _ bool) error {
		if pod == "c" {
			return apierrors.NewForbidden(policyv1.Resource("pods"), "c", fmt.Errorf("a policy says no"))
		}
		return nil
	}}
	_, err := evict(t, h)
	require.ErrorIs(t, err, errKept)
	assert.Equal(t, []string{"a true", "b true"}, h.tried, "nobody was evicted")
	require.Len(t, h.told, 1)
	assert.Contains(t, h.told[0], "none of them is evicted")
	assert.Contains(t, h.told[0], "a policy says no")
}

func TestEvictor_TellsHowManyWereEvictedWhereOneIsRefusedAfterAll(t *testing.T) {
	h := &evictionHandle{refuse: func(pod string, dryRun bool) error {
		if pod == "a" && !dryRun {
			return apierrors.NewTooManyRequests("the budget is spent", 0)
		}
		return nil
	}}
	_, err := evict(t, h)
	require.ErrorContains(t, err, "the budget is spent", "it is tried again")
	require.Len(t, h.told, 3)
	assert.Contains(t, h.told[0], "Job/train: gang train is partial; 2 of them were evicted, the others follow: ")
	assert.Contains(t, h.told[1], "Pod/b: ")
	assert.Contains(t, h.told[2], "Pod/c: ")
}

func TestEvictor_APodThatIsGoneIsNoRefusal(t *testing.T) {
	h := &evictionHandle{refuse: func(pod string, _ bool) error {
		if pod == "b" {
			return apierrors.NewNotFound(policyv1.Resource("pods"), pod)
		}
		return nil
	}}
	reason, err := evict(t, h)
	require.NoError(t, err)
	assert.NotEmpty(t, reason)
	assert.Equal(t, []string{"a true", "c true", "a false", "c false"}, h.tried)
	require.Len(t, h.told, 3)
	assert.Contains(t, h.told[0], "all 2 were evicted")
}
