// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// newPod builds a pod from key=value words: a label or an annotation by its
// key, and group, node, phase, priority, scheduler, preemption and owner.
func newPod(name string, words ...string) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "ns", UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(epoch),
			Labels: map[string]string{}, Annotations: map[string]string{},
		},
		Spec:   v1.PodSpec{SchedulerName: "muster"},
		Status: v1.PodStatus{Phase: v1.PodPending},
	}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "group":
			p.Spec.SchedulingGroup = &v1.PodSchedulingGroup{PodGroupName: &value}
		case "node":
			p.Spec.NodeName = value
		case "phase":
			p.Status.Phase = v1.PodPhase(value)
		case "priority":
			var n int32
			_, _ = fmt.Sscan(value, &n)
			p.Spec.Priority = &n
		case "scheduler":
			p.Spec.SchedulerName = value
		case "preemption":
			p.Spec.PreemptionPolicy = new(v1.PreemptionPolicy(value))
		case "owner":
			p.OwnerReferences = []metav1.OwnerReference{{Name: value, Controller: new(true)}}
		case "after":
			d, _ := time.ParseDuration(value)
			p.CreationTimestamp = metav1.NewTime(epoch.Add(d))
		case kube.LabelGang, kube.LabelPodGroup, kube.LabelPodGroupOld, kueueGroup, kueuePodSet, kaiSubGroup, volcanoTask, koordNameLabel, koordCountLabel:
			p.Labels[key] = value
		default:
			p.Annotations[key] = value
		}
	}
	return p
}

// train is a member of the gang train of 2.
func train(name string, words ...string) *v1.Pod {
	return newPod(name, append([]string{kube.LabelGang + "=train", kube.AnnotationMinCount + "=2"}, words...)...)
}

// world is a store that is driven as the informers would.
type world struct {
	*store
	assigner *assigner
}

func newWorld() *world {
	w := &world{newStore(newFeed(), table), newAssigner(table, []string{"muster"})}
	w.open()
	for _, k := range w.set.kinds() {
		w.setKind(k, served)
	}
	w.setKind(koordGroupKind, absent)
	return w
}

func (w *world) pod(p *v1.Pod) {
	p = p.DeepCopy()
	_, _ = w.assigner.transform(p)
	w.setPod(p)
}

func (w *world) get(group string) *schedulingapi.PodGroup {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	return w.feed.objects[groupKey{"ns", group}]
}

func asUnstructured(t testing.TB, pg *schedulingapi.PodGroup) *unstructured.Unstructured {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pg)
	require.NoError(t, err)
	u := &unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(schedulingapi.SchemeGroupVersion.WithKind("PodGroup"))
	return u
}

func crdGroup(name, uid string, minCount int) *object {
	return &object{kind: crdGroups, uid: types.UID(uid), name: name, minCount: minCount, created: metav1.NewTime(epoch)}
}

func TestServe(t *testing.T) {
	const required, models = kube.AnnotationTopologyRequired, kube.AnnotationGPUModels
	tests := []struct {
		name     string
		pods     []*v1.Pod
		object   *object
		group    string
		minCount int32
		reason   kube.Reason
		message  string
	}{
		{name: "pods with a label are a gang", pods: []*v1.Pod{train("a"), train("b")}, group: "label~train", minCount: 2},
		{name: "a missing count is told", pods: []*v1.Pod{newPod("a", kube.LabelGang+"=train")}, group: "label~train", minCount: 1, reason: kube.InvalidGangSpec,
			message: `gang train: its pods lack the annotation muster.sh/min-count; write the number of pods that start together, such as "8"`},
		{name: "a count that is no plain number is told", pods: []*v1.Pod{newPod("a", kube.LabelGang+"=train", kube.AnnotationMinCount+"=1e9")}, group: "label~train", minCount: 1, reason: kube.InvalidGangSpec,
			message: `gang train: annotation muster.sh/min-count: found "1e9", want a number from 1 to 100000 in plain digits, such as "8"`},
		{name: "an empty count is told as such", pods: []*v1.Pod{newPod("a", kube.LabelGang+"=train", kube.AnnotationMinCount+"=")}, group: "label~train", minCount: 1, reason: kube.InvalidGangSpec,
			message: `gang train: annotation muster.sh/min-count: found "", want a number from 1 to 100000 in plain digits, such as "8"`},
		{name: "members that disagree are named with what they say", pods: []*v1.Pod{train("b", required+"=rack"), train("a", required+"=block"), train("c", required+"=rack")}, group: "label~train", minCount: 2, reason: kube.GangConfigConflict,
			message: `gang train: its members disagree on muster.sh/topology-required: pod a says "block", pod b says "rack"; make all members say the same`},
		{name: "leaving a wish out is disagreeing", pods: []*v1.Pod{train("a"), train("b", models+"=H100")}, group: "label~train", minCount: 2, reason: kube.GangConfigConflict,
			message: `gang train: its members disagree on muster.sh/gpu-models: pod a leaves it out, pod b says "H100"; make all members say the same`},
		{name: "mixed priorities are told", pods: []*v1.Pod{train("a", "priority=5"), train("b")}, group: "label~train", minCount: 2, reason: kube.PriorityMismatch,
			message: `gang train: pod a has priority 5, pod b has 0; give all members one priorityClassName`},
		{name: "mixed preemption policies are told", pods: []*v1.Pod{train("a", "preemption=Never"), train("b")}, group: "label~train", minCount: 2, reason: kube.GangConfigConflict,
			message: `gang train: its members disagree on spec.preemptionPolicy: pod a says Never, pod b says PreemptLowerPriority; make all members say the same`},
		{name: "a pod with two markers is a gang of its own", pods: []*v1.Pod{train("a", kube.LabelPodGroup+"=train")}, group: "conflict~a", minCount: 1, reason: kube.GangConfigConflict,
			message: `pod a declares its gang more than once: label scheduling.x-k8s.io/pod-group "train", label muster.sh/gang "train"; create it again with one of them`},
		{name: "a PodGroup that is missing is told", pods: []*v1.Pod{newPod("a", kube.LabelPodGroup+"=train")}, group: "crd~train", minCount: 1, reason: kube.GangNotFound,
			message: `gang train: there is no PodGroup train (scheduling.x-k8s.io/v1alpha1) in namespace ns; create it`},
		{name: "a native PodGroup that is missing is told", pods: []*v1.Pod{newPod("a", "group=train")}, group: "train", minCount: 1, reason: kube.GangNotFound,
			message: `gang train: there is no PodGroup train (scheduling.k8s.io/v1beta1) in namespace ns; create it`},
		{name: "a PodGroup gives the count", pods: []*v1.Pod{newPod("a", kube.LabelPodGroup+"=train")}, object: crdGroup("train", "u1", 4), group: "crd~train", minCount: 4},
		{name: "a PodGroup without pods is served", object: crdGroup("train", "u1", 4), group: "crd~train", minCount: 4},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			for _, p := range test.pods {
				w.pod(p)
			}
			if test.object != nil {
				w.setObject(groupKey{"ns", test.group}, test.object)
			}
			pg := w.get(test.group)
			require.NotNil(t, pg)
			assert.Len(t, w.feed.objects, 1)
			assert.Equal(t, test.minCount, pg.Spec.SchedulingPolicy.Gang.MinCount)
			assert.Equal(t, string(test.reason), pg.Annotations[kube.AnnotationInvalidReason])
			assert.Equal(t, test.message, pg.Annotations[kube.AnnotationInvalidMessage])
			assert.NotContains(t, pg.Annotations, kube.AnnotationMinCount)
		})
	}
}

func TestServe_CarriesWishesAndPriority(t *testing.T) {
	w := newWorld()
	w.pod(train("a", "priority=7", kube.AnnotationTopologyRequired+"=rack", kube.AnnotationGPUModels+"=H100,A100"))
	pg := w.get("label~train")
	assert.Equal(t, "rack", pg.Annotations[kube.AnnotationTopologyRequired])
	assert.Equal(t, "H100,A100", pg.Annotations[kube.AnnotationGPUModels])
	assert.Equal(t, "label", pg.Annotations[kube.AnnotationDialect])
	assert.Equal(t, "rack", pg.Spec.SchedulingConstraints.Topology[0].Key)
	assert.EqualValues(t, 7, *pg.Spec.Priority)
}

func TestServe_ObjectAndMembersTogether(t *testing.T) {
	object := crdGroup("train", "u1", 2)
	object.annotations = map[string]string{
		kube.AnnotationTopologyRequired: "rack", kube.AnnotationInvalidReason: "Forged", "other": "x",
	}
	object.timeoutSeconds = 90
	key := groupKey{"ns", "crd~train"}
	w := newWorld()
	w.setObject(key, object)
	w.pod(newPod("a", kube.LabelPodGroup+"=train", kube.AnnotationGPUModels+"=H100"))
	pg := w.get("crd~train")
	assert.Equal(t, map[string]string{
		kube.AnnotationTopologyRequired: "rack", kube.AnnotationGPUModels: "H100",
		kube.AnnotationDialect: "crd", kube.AnnotationScheduleTimeout: "90",
		"origin." + kube.AnnotationGPUModels: "pods " + kube.AnnotationGPUModels, kube.AnnotationObject: "podgroups.scheduling.x-k8s.io",
	}, pg.Annotations, "the members add to what the object says, and only known keys are taken")

	w.pod(newPod("b", kube.LabelPodGroup+"=train", kube.AnnotationGPUModels+"=H100", kube.AnnotationTopologyRequired+"=block"))
	assert.Equal(t, `gang train: its members disagree on muster.sh/topology-required: the PodGroup says "rack", pod b says "block"; make all members say the same`,
		w.get("crd~train").Annotations[kube.AnnotationInvalidMessage])
}

func TestServe_NativeKeepsItsSpecAndTellsAWrongPriority(t *testing.T) {
	native := &schedulingapi.PodGroup{
		ObjectMeta: metav1.ObjectMeta{Name: "train", Namespace: "ns", UID: "u1", Generation: 3, Annotations: map[string]string{kube.AnnotationInvalidReason: "Forged"}},
		Spec: schedulingapi.PodGroupSpec{
			SchedulingPolicy:      schedulingapi.PodGroupSchedulingPolicy{Gang: &schedulingapi.GangSchedulingPolicy{MinCount: 3}},
			SchedulingConstraints: &schedulingapi.PodGroupSchedulingConstraints{Topology: []schedulingapi.TopologyConstraint{{Key: "example.com/rack"}}},
		},
	}
	w := newWorld()
	w.setObject(groupKey{"ns", "train"}, nativeGroup.translate(asUnstructured(t, native)))
	w.pod(newPod("a", "group=train"))
	pg := w.get("train")
	assert.Equal(t, native.Spec, pg.Spec)
	assert.Equal(t, types.UID("u1"), pg.UID)
	assert.Equal(t, map[string]string{
		kube.AnnotationDialect: "native", kube.AnnotationObject: "podgroups.scheduling.k8s.io",
		kube.AnnotationNotes: `annotation "muster.sh/invalid-reason" is not read; Muster knows no such key`,
	}, pg.Annotations)

	w.pod(newPod("b", "group=train", "priority=9"))
	w.deletePod("uid-a")
	assert.Equal(t, "gang train: the PodGroup has priority 0, pod b has 9; give both one priorityClassName", w.get("train").Annotations[kube.AnnotationInvalidMessage])
}

func TestStore_IdentityOfAGang(t *testing.T) {
	w := newWorld()
	w.pod(train("a"))
	first := w.get("label~train")
	w.pod(train("b", "after=1s"))
	w.deletePod("uid-a")
	assert.Equal(t, first.UID, w.get("label~train").UID, "the gang stays the same as long as any member lives")
	assert.Equal(t, first.CreationTimestamp, w.get("label~train").CreationTimestamp)
	w.deletePod("uid-b")
	assert.Nil(t, w.get("label~train"))
	again := train("a")
	again.UID = "uid-a2"
	w.pod(again)
	assert.NotEqual(t, first.UID, w.get("label~train").UID, "another gang of its name is another gang")
}

func TestStore_StartsFromTheEarliestMember(t *testing.T) {
	w := &world{newStore(newFeed(), table), newAssigner(table, nil)}
	w.pod(train("b", "after=1s"))
	w.pod(train("a"))
	assert.Nil(t, w.get("label~train"), "nothing is served before all is known")
	w.open()
	assert.Equal(t, types.UID("gang-uid-a"), w.get("label~train").UID)
}

func TestStore_ObjectComesGoesAndComesBack(t *testing.T) {
	key := groupKey{"ns", "crd~train"}
	w := newWorld()
	w.setKind(crdGroups, absent)
	w.pod(newPod("a", kube.LabelPodGroup+"=train"))
	reason := func() string { return w.get(key.group).Annotations[kube.AnnotationInvalidReason] }
	placeholder := w.get(key.group).UID

	assert.Equal(t, string(kube.GangAPIUnavailable), reason())
	assert.Contains(t, w.get(key.group).Annotations[kube.AnnotationInvalidMessage], "the API server does not serve PodGroups of scheduling.x-k8s.io/v1alpha1; install them")
	w.setKind(crdGroups, listing)
	assert.Equal(t, string(kube.GangAPIUnavailable), reason())
	w.setKind(crdGroups, served)
	assert.Equal(t, string(kube.GangNotFound), reason())
	w.setObject(key, crdGroup("train", "u1", 1))
	assert.Empty(t, reason())
	assert.Equal(t, types.UID("u1"), w.get(key.group).UID)
	w.deleteObject(key, "u1")
	assert.Equal(t, string(kube.GangNotFound), reason())
	assert.Equal(t, placeholder, w.get(key.group).UID)
	w.setObject(key, crdGroup("train", "u2", 1))
	assert.Equal(t, types.UID("u2"), w.get(key.group).UID)
	w.deleteObject(key, "u1")
	assert.Equal(t, types.UID("u2"), w.get(key.group).UID, "a late deletion of the old object does not touch the new one")
	w.setKind(crdGroups, absent)
	assert.Equal(t, string(kube.GangAPIUnavailable), reason())
}

// A kind that is not there, or may not be read, is refused with what to do.
func TestStore_AKindThatIsNotReadSaysWhatToDo(t *testing.T) {
	w := newWorld()
	w.setKind(nativeGroup, absent)
	w.setKind(volcanoGroups, listing)
	w.pod(newPod("a", "group=train"))
	w.pod(newPod("b", "scheduling.k8s.io/group-name=train"))
	assert.Contains(t, w.get("train").Annotations[kube.AnnotationInvalidMessage],
		"the API server does not serve PodGroups of scheduling.k8s.io/v1beta1; turn on its feature gate GenericWorkload and that API, or declare the gang with the label muster.sh/gang")
	assert.Contains(t, w.get("volcano~train").Annotations[kube.AnnotationInvalidMessage],
		"cannot be read yet; if that lasts, allow the scheduler to get, list and watch podgroups.scheduling.volcano.sh")
}

func TestStore_ForgetsWhatIsGone(t *testing.T) {
	w := newWorld()
	for i := range 100 {
		w.pod(train(fmt.Sprint("p", i)))
		w.pod(newPod(fmt.Sprint("q", i), kube.LabelPodGroup+"=other"))
	}
	w.setObject(groupKey{"ns", "crd~other"}, crdGroup("other", "u1", 1))
	w.deleteObject(groupKey{"ns", "crd~other"}, "u1")
	for i := range 100 {
		w.deletePod(types.UID(fmt.Sprint("uid-p", i)))
		w.deletePod(types.UID(fmt.Sprint("uid-q", i)))
	}
	assert.Empty(t, w.gangs)
	assert.Empty(t, w.pods)
	assert.Empty(t, w.feed.objects)
}

func TestStore_APodThatMovesIsToldAndStays(t *testing.T) {
	w := newWorld()
	w.pod(train("a"))
	w.pod(train("b", "node=n1"))
	moved := newPod("a", kube.LabelGang+"=other", kube.AnnotationMinCount+"=2")
	w.pod(moved)
	assert.Nil(t, w.get("label~other"))
	assert.Equal(t, "pod a was created as a member of gang train, and its markers have changed since; a pod keeps its gang: create it again",
		w.get("label~train").Annotations[kube.AnnotationInvalidMessage])
	w.pod(train("a"))
	bound := newPod("b", "node=n1", kube.AnnotationMinCount+"=2")
	w.pod(bound)
	assert.Empty(t, w.get("label~train").Annotations[kube.AnnotationInvalidMessage], "what is changed on a running pod stands in nobody's way")
}
