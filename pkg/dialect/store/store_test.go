// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"maps"
	"strconv"
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

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/dialecttest"
	"github.com/muster-scheduler/muster/pkg/kube"
)

var newPod, train = dialecttest.Pod, dialecttest.Train

// world is a store that is driven as the informers would, and what it published.
type world struct {
	*Store
	assigner  *Assigner
	published map[Key]dialect.Gang
	// changes are the gangs that the store reported as changed.
	changes []Key
}

// openWorld is a world that knows of no kind of object yet.
func openWorld(autoNamespaces ...string) *world {
	w := closedWorld(autoNamespaces...)
	w.Open()
	return w
}

// closedWorld is a world that publishes nothing yet.
func closedWorld(autoNamespaces ...string) *world {
	dialects := dialect.Enabled(nil, autoNamespaces)
	w := &world{assigner: NewAssigner(dialects, []string{"muster"}), published: map[Key]dialect.Gang{}}
	version := 0
	w.Store = New(dialects, func(key Key, pg *schedulingapi.PodGroup, d *kube.Declaration) {
		if pg == nil {
			delete(w.published, key)
			return
		}
		version++
		pg.ResourceVersion = strconv.Itoa(version)
		w.published[key] = dialect.Gang{Group: pg, Declaration: d}
	}, func(key Key) { w.changes = append(w.changes, key) })
	w.assigner.ResolveBy(w.gangOf)
	return w
}

func newWorld() *world {
	w := openWorld()
	for _, k := range w.dialects.Kinds() {
		w.SetKind(k, Served)
	}
	w.SetKind(dialect.KoordinatorGroups, Absent)
	return w
}

func (w *world) gangOf(namespace, group string) string {
	gang, _ := w.ResolveGroup(namespace, group)
	return gang
}

func (w *world) pod(p *v1.Pod) {
	p = p.DeepCopy()
	w.assigner.Assign(p)
	w.SetPod(p)
}

func key(group string) Key { return Key{"ns", group} }

// get returns the PodGroup of a gang, or nil.
func (w *world) get(group string) *schedulingapi.PodGroup { return w.published[key(group)].Group }

// declared returns what is declared of a gang.
func (w *world) declared(group string) *kube.Declaration { return w.published[key(group)].Declaration }

// problem returns why a gang that is published is not valid, or nothing.
func (w *world) problem(group string) kube.Invalid {
	if d := w.declared(group); d.Invalid != nil {
		return *d.Invalid
	}
	return kube.Invalid{}
}

func asUnstructured(t testing.TB, pg *schedulingapi.PodGroup) *unstructured.Unstructured {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pg)
	require.NoError(t, err)
	u := &unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(schedulingapi.SchemeGroupVersion.WithKind("PodGroup"))
	return u
}

func crdGroup(name, uid string, minCount int) *dialect.Object {
	return &dialect.Object{Kind: dialect.CRDGroups, UID: types.UID(uid), Name: name, MinCount: minCount, Created: metav1.NewTime(dialecttest.Epoch)}
}

func TestBuild(t *testing.T) {
	const required, models = kube.AnnotationTopologyRequired, kube.AnnotationGPUModels
	tests := []struct {
		name     string
		pods     []*v1.Pod
		object   *dialect.Object
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
				w.setGroup(key(test.group), test.object)
			}
			pg := w.get(test.group)
			require.NotNil(t, pg)
			assert.Len(t, w.published, 1)
			assert.Equal(t, test.minCount, pg.Spec.SchedulingPolicy.Gang.MinCount)
			assert.Equal(t, kube.Invalid{Reason: test.reason, Message: test.message}, w.problem(test.group))
			assert.NotContains(t, w.declared(test.group).Terms, kube.AnnotationMinCount)
			assert.Empty(t, pg.Annotations)
		})
	}
}

func TestBuild_CarriesTermsAndPriority(t *testing.T) {
	w := newWorld()
	w.pod(train("a", "priority=7", kube.AnnotationTopologyRequired+"=rack", kube.AnnotationGPUModels+"=H100,A100"))
	pg := w.get("label~train")
	assert.Equal(t, &kube.Declaration{Dialect: kube.DialectLabel, MinCount: 2, Terms: map[string]kube.Term{
		kube.AnnotationTopologyRequired: {Value: "rack", Origin: kube.Origin{Word: kube.AnnotationTopologyRequired}},
		kube.AnnotationGPUModels:        {Value: "H100,A100", Origin: kube.Origin{Word: kube.AnnotationGPUModels}},
	}}, w.declared("label~train"))
	assert.Equal(t, "rack", pg.Spec.SchedulingConstraints.Topology[0].Key)
	assert.EqualValues(t, 7, *pg.Spec.Priority)
}

func TestBuild_ObjectAndMembersTogether(t *testing.T) {
	w := newWorld()
	w.SetObject(dialect.CRDGroups, dialecttest.Object(t, "scheduling.x-k8s.io/v1alpha1", "PodGroup",
		`,"metadata":{"annotations":{"muster.sh/topology-required":"rack","other":"x"}},"spec":{"minMember":2,"scheduleTimeoutSeconds":90}`))
	w.pod(newPod("a", kube.LabelPodGroup+"=train", kube.AnnotationGPUModels+"=H100"))
	assert.Equal(t, &kube.Declaration{
		Dialect: kube.DialectCRD, Resource: "podgroups.scheduling.x-k8s.io", ScheduleTimeout: 90 * time.Second, MinCount: 2,
		Terms: map[string]kube.Term{
			kube.AnnotationTopologyRequired: {Value: "rack", Origin: kube.Origin{Word: kube.AnnotationTopologyRequired}},
			kube.AnnotationGPUModels:        {Value: "H100", Origin: kube.Origin{Word: kube.AnnotationGPUModels, OnPods: true}},
		},
	}, w.declared("crd~train"), "the members add to what the object says, and only known keys are taken")

	w.pod(newPod("b", kube.LabelPodGroup+"=train", kube.AnnotationGPUModels+"=H100", kube.AnnotationTopologyRequired+"=block"))
	assert.Equal(t, `gang train: its members disagree on muster.sh/topology-required: the PodGroup says "rack", pod b says "block"; make all members say the same`,
		w.problem("crd~train").Message)
}

func TestBuild_NativeKeepsItsSpecAndTellsAWrongPriority(t *testing.T) {
	native := &schedulingapi.PodGroup{
		ObjectMeta: metav1.ObjectMeta{Name: "train", Namespace: "ns", UID: "u1", Generation: 3, Annotations: map[string]string{"muster.sh/invalid-reason": "Forged"}},
		Spec: schedulingapi.PodGroupSpec{
			SchedulingPolicy:      schedulingapi.PodGroupSchedulingPolicy{Gang: &schedulingapi.GangSchedulingPolicy{MinCount: 3}},
			SchedulingConstraints: &schedulingapi.PodGroupSchedulingConstraints{Topology: []schedulingapi.TopologyConstraint{{Key: "example.com/rack"}}},
		},
	}
	w := newWorld()
	w.SetObject(dialect.NativeGroups, asUnstructured(t, native))
	w.pod(newPod("a", "group=train"))
	pg := w.get("train")
	assert.Equal(t, native.Spec, pg.Spec)
	assert.Equal(t, types.UID("u1"), pg.UID)
	assert.Equal(t, &kube.Declaration{
		Dialect: kube.DialectNative, Resource: "podgroups.scheduling.k8s.io", Terms: map[string]kube.Term{}, MinCount: 3,
		Ignored: []string{`annotation "muster.sh/invalid-reason" is not read; Muster knows no such key`},
	}, w.declared("train"), "nobody forges what is known in memory only")

	w.pod(newPod("b", "group=train", "priority=9"))
	w.DeletePod("uid-a")
	assert.Equal(t, "gang train: the PodGroup has priority 0, pod b has 9; give both one priorityClassName", w.problem("train").Message)
}

// Of a group of the policy basic kube-scheduler takes the pods one by one. Where
// they ask for places that only a plan keeps, or have a problem, they are a gang of
// which one is enough.
func TestBuild_NativeGroupsWithoutAMinimum(t *testing.T) {
	rack := []schedulingapi.TopologyConstraint{{Key: "rack"}}
	for _, test := range []struct {
		name        string
		topology    []schedulingapi.TopologyConstraint
		annotations map[string]string
		pod         []string
		gang        bool
		reason      kube.Reason
	}{
		{name: "one that asks for nothing"},
		{name: "a required level", topology: rack, gang: true},
		{name: "a preferred level", annotations: map[string]string{kube.AnnotationTopologyPreferred: "rack"}, gang: true},
		{name: "GPU models", annotations: map[string]string{kube.AnnotationGPUModels: "H100"}, gang: true},
		{name: "a level that its pods ask for", pod: []string{kube.AnnotationTopologyRequired + "=rack"}, gang: true},
		{name: "a level for Kueue", pod: []string{"kueue.x-k8s.io/podset-required-topology=rack"}, gang: true},
		{name: "a number beside the policy", annotations: map[string]string{kube.AnnotationMinCount: "2"}, gang: true, reason: kube.GangConfigConflict},
		{name: "pods of another priority", topology: rack, pod: []string{"priority=9"}, gang: true, reason: kube.PriorityMismatch},
	} {
		t.Run(test.name, func(t *testing.T) {
			native := &schedulingapi.PodGroup{ObjectMeta: metav1.ObjectMeta{Name: "train", Namespace: "ns", UID: "u1", Annotations: test.annotations}}
			native.Spec.SchedulingPolicy.Basic = &schedulingapi.BasicSchedulingPolicy{}
			native.Spec.SchedulingConstraints = &schedulingapi.PodGroupSchedulingConstraints{Topology: test.topology}
			w := newWorld()
			w.SetObject(dialect.NativeGroups, asUnstructured(t, native))
			for _, name := range []string{"a", "b", "c"} {
				w.pod(newPod(name, append([]string{"group=train"}, test.pod...)...))
			}
			policy := w.get("train").Spec.SchedulingPolicy
			assert.Equal(t, test.gang, policy.Gang != nil && policy.Gang.MinCount == 1)
			assert.Equal(t, !test.gang, policy.Basic != nil)
			assert.Equal(t, test.topology, w.get("train").Spec.SchedulingConstraints.Topology)
			assert.Equal(t, test.reason, w.problem("train").Reason)
			assert.Empty(t, w.declared("train").Ignored)
		})
	}
}

func TestStore_IdentityOfAGang(t *testing.T) {
	w := newWorld()
	w.pod(train("a"))
	first := w.get("label~train")
	w.pod(train("b", "after=1s"))
	w.DeletePod("uid-a")
	assert.Equal(t, first.UID, w.get("label~train").UID, "the gang stays the same as long as any member lives")
	assert.Equal(t, first.CreationTimestamp, w.get("label~train").CreationTimestamp)
	w.DeletePod("uid-b")
	assert.Nil(t, w.get("label~train"))
	again := train("a")
	again.UID = "uid-a2"
	w.pod(again)
	assert.NotEqual(t, first.UID, w.get("label~train").UID, "another gang of its name is another gang")
}

func TestStore_StartsFromTheEarliestMember(t *testing.T) {
	w := closedWorld()
	w.pod(train("b", "after=1s"))
	w.pod(train("a"))
	assert.Nil(t, w.get("label~train"), "nothing is served before all is known")
	w.Open()
	assert.Equal(t, types.UID("gang-uid-a"), w.get("label~train").UID)
}

func TestStore_ObjectComesGoesAndComesBack(t *testing.T) {
	const group = "crd~train"
	w := newWorld()
	w.SetKind(dialect.CRDGroups, Absent)
	w.pod(newPod("a", kube.LabelPodGroup+"=train"))
	reason := func() kube.Reason { return w.problem(group).Reason }
	placeholder := w.get(group).UID

	assert.Equal(t, kube.GangAPIUnavailable, reason())
	assert.Contains(t, w.problem(group).Message, "the API server does not serve PodGroups of scheduling.x-k8s.io/v1alpha1; install them")
	w.SetKind(dialect.CRDGroups, Listing)
	assert.Equal(t, kube.GangAPIUnavailable, reason())
	w.SetKind(dialect.CRDGroups, Served)
	assert.Equal(t, kube.GangNotFound, reason())
	w.setGroup(key(group), crdGroup("train", "u1", 1))
	assert.Empty(t, reason())
	assert.Equal(t, types.UID("u1"), w.get(group).UID)
	w.deleteGroup(key(group), "u1")
	assert.Equal(t, kube.GangNotFound, reason())
	assert.Equal(t, placeholder, w.get(group).UID)
	w.setGroup(key(group), crdGroup("train", "u2", 1))
	assert.Equal(t, types.UID("u2"), w.get(group).UID)
	w.deleteGroup(key(group), "u1")
	assert.Equal(t, types.UID("u2"), w.get(group).UID, "a late deletion of the old object does not touch the new one")
	w.SetKind(dialect.CRDGroups, Absent)
	assert.Equal(t, kube.GangAPIUnavailable, reason())
}

// A kind that is not there, or may not be read, is refused with what to do.
func TestStore_AKindThatIsNotReadSaysWhatToDo(t *testing.T) {
	w := newWorld()
	w.SetKind(dialect.NativeGroups, Absent)
	w.SetKind(dialect.VolcanoGroups, Listing)
	w.pod(newPod("a", "group=train"))
	w.pod(newPod("b", "scheduling.k8s.io/group-name=train"))
	assert.Contains(t, w.problem("train").Message,
		"the API server does not serve PodGroups of scheduling.k8s.io/v1beta1; turn on its feature gate GenericWorkload and that API, or declare the gang with the label muster.sh/gang")
	assert.Contains(t, w.problem("volcano~train").Message,
		"cannot be read yet; if that lasts, allow the scheduler to get, list and watch podgroups.scheduling.volcano.sh")
}

func TestStore_ForgetsWhatIsGone(t *testing.T) {
	w := newWorld()
	for i := range 100 {
		w.pod(train(fmt.Sprint("p", i)))
		w.pod(newPod(fmt.Sprint("q", i), kube.LabelPodGroup+"=other"))
	}
	w.setGroup(key("crd~other"), crdGroup("other", "u1", 1))
	w.deleteGroup(key("crd~other"), "u1")
	for i := range 100 {
		w.DeletePod(types.UID(fmt.Sprint("uid-p", i)))
		w.DeletePod(types.UID(fmt.Sprint("uid-q", i)))
	}
	assert.Empty(t, w.gangs)
	assert.Empty(t, w.pods)
	assert.Empty(t, w.published)
}

func TestStore_APodThatMovesIsToldAndStays(t *testing.T) {
	w := newWorld()
	w.pod(train("a"))
	w.pod(train("b", "node=n1"))
	moved := newPod("a", kube.LabelGang+"=other", kube.AnnotationMinCount+"=2")
	w.pod(moved)
	assert.Nil(t, w.get("label~other"))
	assert.Equal(t, "pod a was created as a member of gang train, and its markers have changed since; a pod keeps its gang: create it again",
		w.problem("label~train").Message)
	w.pod(train("a"))
	bound := newPod("b", "node=n1", kube.AnnotationMinCount+"=2")
	w.pod(bound)
	assert.Empty(t, w.problem("label~train").Message, "what is changed on a running pod stands in nobody's way")
}

// Two kinds may hold an object of one name: that of the first dialect counts.
func TestStore_TheFirstOfTwoKindsCounts(t *testing.T) {
	w := newWorld()
	count := func() int32 { return w.get("crd~train").Spec.SchedulingPolicy.Gang.MinCount }
	w.SetKind(dialect.KoordinatorGroups, Served)
	w.pod(newPod("a", kube.LabelPodGroupOld+"=train"))
	old := dialecttest.Object(t, "scheduling.sigs.k8s.io/v1alpha1", "PodGroup", `,"spec":{"minMember":3}`)
	old.SetUID("old")
	w.SetObject(dialect.KoordinatorGroups, old)
	assert.EqualValues(t, 3, count())
	w.setGroup(key("crd~train"), crdGroup("train", "u1", 2))
	assert.EqualValues(t, 2, count())
	w.SetKind(dialect.CRDGroups, Absent)
	assert.EqualValues(t, 3, count())
	w.DeleteObject(dialect.KoordinatorGroups, old)
	assert.Contains(t, w.problem("crd~train").Message, "there is no PodGroup train (scheduling.sigs.k8s.io/v1alpha1) in namespace ns")
}

func TestStore_AKindThatCannotBeReadHoldsOnlyItsOwnGangsBack(t *testing.T) {
	w := newWorld()
	w.SetKind(dialect.CRDGroups, Listing)
	w.pod(train("a"))
	w.pod(newPod("b", kube.LabelPodGroup+"=train"))
	assert.Empty(t, w.problem("label~train"))
	assert.Equal(t, kube.GangAPIUnavailable, w.problem("crd~train").Reason)
}

func TestStore_ARestartLosesNoEnd(t *testing.T) {
	w := newWorld()
	running := crdGroup("train", "u1", 2)
	running.Started = true
	w.setGroup(key("crd~train"), running)
	assert.True(t, w.View(key("crd~train")).Uncounted, "the pods that ended are to be counted")
	w.SetEnded(key("crd~train"), 2, 0)
	w.setGroup(key("crd~train"), running)
	assert.False(t, w.View(key("crd~train")).Uncounted)
	assert.Equal(t, "Finished", w.View(key("crd~train")).Status(nil, dialecttest.Epoch)["phase"])
}

// What was published belongs to whoever reads it: a change publishes anew.
func TestStore_ADeclarationIsReplacedAndNeverChanged(t *testing.T) {
	w := newWorld()
	w.pod(train("a", kube.AnnotationTopologyRequired+"=rack"))
	before, version := w.declared("label~train"), w.get("label~train").ResourceVersion
	kept := *before
	kept.Terms = maps.Clone(before.Terms)
	w.pod(train("a", kube.AnnotationTopologyRequired+"=block"))
	assert.NotSame(t, before, w.declared("label~train"))
	assert.Equal(t, &kept, before)
	assert.NotEqual(t, version, w.get("label~train").ResourceVersion, "the scheduler is told, though the PodGroup may say the same")
}
