// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dialect/store"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// reading is one way to declare the gang train, and what becomes of it.
type reading struct {
	name string
	// object is the fields of the group object behind its kind.
	object string
	pods   []*v1.Pod
	group  string
	// min is the number that start together.
	min int
	// terms are what the gang asks for, by Muster's annotation, and timeout how
	// long its members may wait for one another.
	terms   map[string]string
	timeout time.Duration
	// roles and ignored are part of the roles, as JSON, and of the sentences on
	// what is not read, a line each; "" for none.
	roles, ignored string
	reason         kube.Reason
	// says is part of the refusal.
	says string
}

func (r reading) run(t *testing.T, k *dialect.Kind) {
	w := newWorld()
	for _, p := range r.pods {
		w.pod(p)
	}
	if r.object != "" {
		w.SetKind(k, store.Served)
		w.SetObject(k, groupOf(t, k, r.object))
	}
	gang, ok := w.get(r.group)
	require.True(t, ok, "%v", w.gangs)
	pg, d := gang.Group, gang.Declaration
	if r.reason != "" {
		require.NotNil(t, d.Invalid)
		assert.Equal(t, r.reason, d.Invalid.Reason, d.Invalid.Message)
		assert.Contains(t, d.Invalid.Message, r.says)
		checkMessage(t, d.Invalid.Message)
		return
	}
	require.Nil(t, d.Invalid)
	assert.EqualValues(t, r.min, pg.Spec.SchedulingPolicy.Gang.MinCount)
	terms := map[string]string{}
	for key, term := range d.Terms {
		terms[key] = term.Value
	}
	if r.terms == nil {
		r.terms = map[string]string{}
	}
	assert.Equal(t, r.terms, terms)
	assert.Equal(t, r.timeout, d.ScheduleTimeout)
	assert.Equal(t, r.roles != "", len(d.Roles) > 0)
	assert.Contains(t, kube.FormatRoles(d.Roles), r.roles)
	assert.Equal(t, r.ignored != "", len(d.Ignored) > 0, d.Ignored)
	assert.Contains(t, strings.Join(d.Ignored, "\n"), r.ignored)
	assert.Empty(t, pg.Annotations, "what is declared stands in the declaration alone")
	// The cluster's levels are known only when the gang is read.
	_, invalid := kube.ReadSpec(pg, d, kube.DefaultLevels())
	assert.Nil(t, invalid)
}

func TestVolcano(t *testing.T) {
	const group = "scheduling.k8s.io/group-name=train"
	pods := []*v1.Pod{newPod("a", group), newPod("b", group)}
	for _, test := range []reading{
		{name: "a count", object: `,"spec":{"minMember":2}`, min: 2},
		{name: "no count starts the pods one by one", object: `,"spec":{}`, min: 1},
		{name: "the other annotation", object: `,"spec":{"minMember":2}`, pods: []*v1.Pod{newPod("a", "scheduling.volcano.sh/group-name=train")}, min: 2},
		{name: "tasks are roles", object: `,"spec":{"minMember":5,"minTaskMember":{"ps":1,"worker":4}}`, min: 5, roles: `[{"name":"ps","selector":{"matchLabels":{"volcano.sh/task-spec":"ps"}},"minCount":1},{"name":"worker","selector":{"matchLabels":{"volcano.sh/task-spec":"worker"}},"minCount":4}]`},
		{name: "a smaller count takes pods of any task", object: `,"spec":{"minMember":3,"minTaskMember":{"ps":1,"worker":4}}`, min: 3},
		{name: "hard is required", object: `,"spec":{"minMember":2,"networkTopology":{"mode":"hard","highestTierAllowed":1}}`, min: 2, terms: map[string]string{kube.AnnotationTopologyRequired: "tier-1"}},
		{name: "hard is the default", object: `,"spec":{"minMember":2,"networkTopology":{"highestTierName":"spine"}}`, min: 2, terms: map[string]string{kube.AnnotationTopologyRequired: "spine"}},
		{name: "soft is preferred", object: `,"spec":{"minMember":2,"networkTopology":{"mode":"soft","highestTierAllowed":2}}`, min: 2, terms: map[string]string{kube.AnnotationTopologyPreferred: "tier-2"}},
		{name: "Muster's annotation goes before", object: `,"metadata":{"annotations":{"muster.sh/topology-required":"block"}},"spec":{"minMember":2,"networkTopology":{"highestTierAllowed":1}}`,
			min: 2, terms: map[string]string{kube.AnnotationTopologyRequired: "block"}},
		{name: "sub-groups by label", object: `,"spec":{"minMember":2,"subGroupPolicy":[{"name":"shard","subGroupSize":2,"minSubGroups":3,"matchLabelKeys":["part"],"networkTopology":{"highestTierAllowed":1}}]}`,
			min: 6, roles: `[{"name":"shard","each":["part"],"topologyRequired":"tier-1"}]`},
		{name: "sub-groups by size", object: `,"spec":{"minMember":4,"subGroupPolicy":[{"subGroupSize":2,"labelSelector":{"matchLabels":{"r":"w"}},"networkTopology":{"highestTierAllowed":1}}]}`,
			min: 4, roles: `[{"name":"subgroup-0","selector":{"matchLabels":{"r":"w"}},"sliceSize":2,"sliceTopology":"tier-1"}]`},
		{name: "a queue is told", object: `,"spec":{"minMember":2,"queue":"gold"}`, min: 2, ignored: `Volcano: spec.queue "gold" is not read`},
		{name: "the default queue is not, nor the resources that a controller adds up", min: 2,
			object: `,"metadata":{"ownerReferences":[{"apiVersion":"batch.volcano.sh/v1alpha1","kind":"Job","name":"j","uid":"u","controller":true}]},"spec":{"minMember":2,"queue":"default","minResources":{"cpu":"8"}}`},
		{name: "resources of one's own are", object: `,"spec":{"minMember":2,"minResources":{"cpu":"8"}}`, min: 2,
			ignored: "spec.minResources is not read; the requests of the pods count, 2 at a time"},
		{name: "a priority is told", object: `,"spec":{"minMember":2,"priorityClassName":"high"}`, min: 2, ignored: `spec.priorityClassName "high" is not read; the pods' own priority counts`},
		{name: "a slip of the pen is told", object: `,"metadata":{"annotations":{"muster.sh/topology":"rack"}},"spec":{"minMember":2}`, min: 2,
			ignored: `annotation "muster.sh/topology" is not read; Muster knows no such key`},
		{name: "on pods too", object: `,"spec":{"minMember":2}`, min: 2, pods: []*v1.Pod{newPod("a", group, "muster.sh/gpu-model=H100")},
			ignored: `annotation "muster.sh/gpu-model" is not read`},
		{name: "resources alone make no gang", object: `,"spec":{"minResources":{"cpu":"8"}}`, min: 1, ignored: "spec.minResources is not read"},
		{name: "without the object", group: "volcano~train", reason: kube.GangNotFound, says: "there is no PodGroup train (scheduling.volcano.sh/v1beta1) in namespace ns; create it"},
		{name: "a negative count", object: `,"spec":{"minMember":-2}`, reason: kube.InvalidGangSpec, says: "spec.minMember: found -2, want a number from 1 to 100000"},
		{name: "a count of text", object: `,"spec":{"minMember":"2"}`, reason: kube.InvalidGangSpec, says: `spec.minMember: found "\"2\""`},
		{name: "a task count that is none", object: `,"spec":{"minMember":1,"minTaskMember":{"a":1.5}}`, reason: kube.InvalidGangSpec, says: `task "a": found "1.5"`},
		{name: "an unknown mode", object: `,"spec":{"minMember":1,"networkTopology":{"mode":"firm"}}`, reason: kube.InvalidGangSpec, says: `spec.networkTopology.mode: found "\"firm\"", want hard or soft`},
		{name: "a tier that is none", object: `,"spec":{"minMember":1,"networkTopology":{"highestTierAllowed":1e30}}`, reason: kube.InvalidGangSpec, says: "highestTierAllowed: found"},
		{name: "a policy that is none", object: `,"spec":{"minMember":1,"subGroupPolicy":[7]}`, reason: kube.InvalidGangSpec, says: `spec.subGroupPolicy[0]: found "7"`},
		{name: "a size that is none", object: `,"spec":{"minMember":1,"subGroupPolicy":[{"subGroupSize":0}]}`, reason: kube.InvalidGangSpec, says: "found subGroupSize 0"},
		{name: "two markers", group: "conflict~a", pods: []*v1.Pod{newPod("a", group, kube.LabelGang+"=train")}, reason: kube.GangConfigConflict,
			says: `annotation scheduling.k8s.io/group-name "train", label muster.sh/gang "train"`},
		{name: "another namespace", group: "volcano~other~train", pods: []*v1.Pod{newPod("a", "scheduling.k8s.io/group-name=other/train")}, reason: kube.InvalidGangSpec, says: "in the pod's own namespace"},
		{name: "a name without end", group: "conflict~a", pods: []*v1.Pod{newPod("a", "scheduling.k8s.io/group-name="+strings.Repeat("x/", 5000))}, reason: kube.InvalidGangSpec, says: "in the pod's own namespace"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.pods == nil {
				test.pods = pods
			}
			if test.group == "" {
				test.group = "volcano~train"
			}
			test.run(t, dialect.VolcanoGroups)
		})
	}
}

func TestKAI(t *testing.T) {
	const group = "pod-group-name=train"
	for _, test := range []reading{
		{name: "a count", object: `,"spec":{"minMember":2}`, min: 2},
		{name: "no count is one", object: `,"spec":{"minMember":null}`, min: 1},
		{name: "levels by node label", object: `,"spec":{"minMember":2,"topologyConstraint":{"topology":"t","requiredTopologyLevel":"cloud.provider.com/topology-block","preferredTopologyLevel":"cloud.provider.com/topology-rack"}}`,
			min: 2, terms: map[string]string{kube.AnnotationTopologyRequired: "cloud.provider.com/topology-block", kube.AnnotationTopologyPreferred: "cloud.provider.com/topology-rack"}},
		{name: "levels by annotation", object: `,"metadata":{"annotations":{"kai.scheduler/topology-required-placement":"rack"}},"spec":{"minMember":2}`,
			min: 2, terms: map[string]string{kube.AnnotationTopologyRequired: "rack"}},
		{name: "sub-groups are roles, and their minima add up", object: `,"spec":{"minSubGroup":2,"subGroups":[{"name":"all"},{"name":"prefill","parent":"all","minMember":2,"topologyConstraint":{"requiredTopologyLevel":"rack"}},{"name":"decode","parent":"all","minMember":3}]}`,
			min: 5, ignored: "spec.minSubGroup 2 is not read", roles: `[{"name":"prefill","selector":{"matchLabels":{"kai.scheduler/subgroup-name":"prefill"}},"minCount":2,"topologyRequired":"rack"},{"name":"decode"`},
		{name: "what else is not read is told", object: `,"spec":{"minMember":1,"preemptibility":"non-preemptible","priorityClassName":"build","schedulingBackoff":3}`, min: 1,
			ignored: `KAI: spec.priorityClassName "build" is not read; the pods' own priority counts
KAI: spec.preemptibility "non-preemptible" is not read; a gang of higher priority may preempt any other
KAI: spec.schedulingBackoff 3 is not read`},
		{name: "what KAI's grouper writes is not", object: `,"spec":{"minMember":1,"priorityClassName":"train","queue":"default-queue","schedulingBackoff":-1}`, min: 1},
		{name: "a queue is told", object: `,"spec":{"minMember":1,"queue":"team"}`, min: 1, ignored: `KAI: spec.queue "team" is not read`},
		{name: "a level around sub-groups", object: `,"spec":{"minMember":1,"subGroups":[{"name":"all","topologyConstraint":{"requiredTopologyLevel":"rack"}},{"name":"a","parent":"all"}]}`,
			reason: kube.InvalidGangSpec, says: "sub-group all has sub-groups, and cannot be held in one domain as a whole"},
		{name: "parents in a ring", object: `,"spec":{"minMember":1,"subGroups":[{"name":"a","parent":"b"},{"name":"b","parent":"a"}]}`, min: 1},
		{name: "a zero", object: `,"spec":{"minMember":0}`, reason: kube.InvalidGangSpec, says: "spec.minMember: found 0, want a number from 1"},
		{name: "a count of too many groups", object: `,"spec":{"minSubGroup":2,"subGroups":[{"name":"a"}]}`, reason: kube.InvalidGangSpec, says: "spec.minSubGroup: found 2, want a number from 1 to the 1 sub-groups"},
		{name: "a sub-group without a name", object: `,"spec":{"minMember":1,"subGroups":[{}]}`, reason: kube.InvalidGangSpec, says: `spec.subGroups[0].name: found ""`},
		{name: "a sub-group with half a pod", object: `,"spec":{"minMember":1,"subGroups":[{"name":"a","minMember":0.5}]}`, reason: kube.InvalidGangSpec, says: "spec.subGroups[0]: found"},
		{name: "a constraint that is none", object: `,"spec":{"minMember":1,"topologyConstraint":7}`, reason: kube.InvalidGangSpec, says: "spec.topologyConstraint: want an object"},
		{name: "without the object", reason: kube.GangNotFound, says: "there is no PodGroup train (scheduling.run.ai/v2alpha2)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.pods, test.group = []*v1.Pod{newPod("a", group), newPod("b", group)}, "kai~train"
			test.run(t, dialect.KAIGroups)
		})
	}
}

func TestKoordinator(t *testing.T) {
	const gangA, gangB, together = koordName + "=a", koordName + "=b", koordGroups + `=["ns/a","ns/b"]`
	const object = `,"spec":{"minMember":2}`
	for _, test := range []reading{
		{name: "annotations on the pods", pods: []*v1.Pod{newPod("x", gangA, koordCount+"=2", koordWait+"=90s", koordMode+"=Strict")}, group: "koordinator~a", min: 2,
			timeout: 90 * time.Second},
		{name: "labels on the pods", pods: []*v1.Pod{newPod("x", koordNameLabel+"=a", koordCountLabel+"=3")}, group: "koordinator~a", min: 3},
		{name: "levels", pods: []*v1.Pod{newPod("x", gangA, koordCount+"=2", koordNetwork+`={"gatherStrategy":[{"layer":"SpineLayer","strategy":"MustGather"},{"layer":"rack","strategy":"PreferGather"}]}`)}, group: "koordinator~a", min: 2,
			terms: map[string]string{kube.AnnotationTopologyRequired: "spine", kube.AnnotationTopologyPreferred: "rack"}},
		{name: "another mode is told", pods: []*v1.Pod{newPod("x", gangA, koordCount+"=2", koordMode+"=NonStrict")}, group: "koordinator~a", min: 2,
			ignored: "mode NonStrict is not read"},
		{name: "a gang group is one gang of parts", pods: []*v1.Pod{newPod("x", gangA, koordCount+"=2", together), newPod("y", gangB, koordCount+"=3", together)}, group: "koordinator~a+b", min: 5,
			roles: `[{"name":"a","selector":{"matchLabels":{"gang.scheduling.koordinator.sh/name":"a"}},"minCount":2},{"name":"b","selector":{"matchLabels":{"gang.scheduling.koordinator.sh/name":"b"}},"minCount":3}]`},
		{name: "a gang group of which one gang is to come", pods: []*v1.Pod{newPod("x", gangA, koordCount+"=2", together)}, group: "koordinator~a+b", min: 3,
			roles: `"minCount":1`},
		{name: "a group with itself", pods: []*v1.Pod{newPod("x", gangA, koordCount+"=2", koordGroups+`=["ns/a"]`)}, group: "koordinator~a", min: 2},
		{name: "a group across namespaces", pods: []*v1.Pod{newPod("x", gangA, koordCount+"=2", koordGroups+`=["ns/a","other/b"]`)}, group: "koordinator~a", reason: kube.InvalidGangSpec,
			says: `pod x: annotation gang.scheduling.koordinator.sh/groups: gang "other/b" is in another namespace, and a gang never crosses one; keep the gangs that start together in namespace ns`},
		{name: "a group that is no list", pods: []*v1.Pod{newPod("x", gangA, koordCount+"=2", koordGroups+`=a,b`)}, group: "koordinator~a", reason: kube.InvalidGangSpec, says: "want a list of gangs"},
		{name: "no count", pods: []*v1.Pod{newPod("x", gangA)}, group: "koordinator~a", reason: kube.InvalidGangSpec, says: "its pods lack the annotation gang.scheduling.koordinator.sh/min-available"},
		{name: "a count that is none", pods: []*v1.Pod{newPod("x", gangA, koordCount+"=NaN")}, group: "koordinator~a", reason: kube.InvalidGangSpec, says: `min-available: found "NaN"`},
		{name: "a time that is none", pods: []*v1.Pod{newPod("x", gangA, koordCount+"=2", koordWait+"=-5s")}, group: "koordinator~a", reason: kube.InvalidGangSpec, says: `found "-5s", want a time of up to a week`},
		{name: "an unknown mode", pods: []*v1.Pod{newPod("x", gangA, koordCount+"=2", koordMode+"=Lax")}, group: "koordinator~a", reason: kube.InvalidGangSpec, says: `found "Lax", want Strict or NonStrict`},
		{name: "an unknown strategy", pods: []*v1.Pod{newPod("x", gangA, koordCount+"=2", koordNetwork+`={"gatherStrategy":[{"layer":"x","strategy":"Hope"}]}`)}, group: "koordinator~a", reason: kube.InvalidGangSpec, says: `found strategy "Hope"`},
		{name: "a PodGroup of its own", object: object, pods: []*v1.Pod{newPod("x", kube.LabelPodGroupOld+"=train")}, group: "crd~train", min: 2},
		{name: "a PodGroup with annotations", object: `,"metadata":{"annotations":{"` + koordWait + `":"1m","` + koordMode + `":"NonStrict"}}` + object, pods: []*v1.Pod{newPod("x", kube.LabelPodGroupOld+"=train")}, group: "crd~train", min: 2,
			timeout: 60 * time.Second, ignored: "mode NonStrict"},
		{name: "PodGroups together", object: `,"metadata":{"annotations":{"` + koordGroups + `":"[\"ns/train\",\"ns/b\"]"}}` + object, pods: []*v1.Pod{newPod("x", kube.LabelPodGroupOld+"=train")}, group: "crd~train",
			reason: kube.InvalidGangSpec, says: "PodGroups that start together are not supported; make them one PodGroup"},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, dialect.KoordinatorGroups) })
	}
}

func TestKueue(t *testing.T) {
	const group, count, rack = kueueGroup + "=train", kueueCount + "=2", "cloud.provider.com/topology-rack"
	for _, test := range []reading{
		{name: "a group of plain pods", pods: []*v1.Pod{newPod("a", group, count), newPod("b", group, count)}, group: "kueue~train", min: 2},
		{name: "its topology", pods: []*v1.Pod{newPod("a", group, count, kueueRequired+"="+rack), newPod("b", group, count, kueueRequired+"="+rack)}, group: "kueue~train", min: 2,
			terms: map[string]string{kube.AnnotationTopologyRequired: rack}},
		{name: "its topology, which Kueue has granted", pods: []*v1.Pod{newPod("a", group, count, kueueRequired+"="+rack, kueueWorkload+"=pod-train-1a2b3")}, group: "kueue~train", min: 2},
		{name: "its slices", pods: []*v1.Pod{newPod("a", group, count, kueueSlice+"="+rack, kueueSliceSize+"=2")}, group: "kueue~train", min: 2,
			terms: map[string]string{kube.AnnotationSliceSize: "2", kube.AnnotationSliceTopology: rack}},
		{name: "topology of a gang of another dialect", pods: []*v1.Pod{train("a", kueuePreferred+"="+rack), train("b", kueuePreferred+"="+rack)}, group: "label~train", min: 2,
			terms: map[string]string{kube.AnnotationTopologyPreferred: rack}},
		{name: "the gang's own wish goes before", pods: []*v1.Pod{train("a", kueueRequired+"="+rack, kube.AnnotationTopologyRequired+"=block")}, group: "label~train", min: 2,
			terms: map[string]string{kube.AnnotationTopologyRequired: "block"}},
		{name: "pod sets of one gang", pods: []*v1.Pod{train("a", kueuePodSet+"=leader"), train("b", kueuePodSet+"=worker", kueueRequired+"="+rack)}, group: "label~train", min: 2,
			roles: `[{"name":"worker","selector":{"matchLabels":{"kueue.x-k8s.io/podset":"worker"}},"topologyRequired":"cloud.provider.com/topology-rack"}]`},
		{name: "pod sets that share a domain", pods: []*v1.Pod{train("a", kueuePodSet+"=leader", kueueTogether+"=g", kueueRequired+"="+rack), train("b", kueuePodSet+"=worker", kueueTogether+"=g", kueueRequired+"="+rack)}, group: "label~train", min: 2,
			terms: map[string]string{kube.AnnotationTopologyRequired: rack}},
		{name: "an admission group of pods with a gang of their own", pods: []*v1.Pod{train("a", group, count)}, group: "label~train", min: 2},
		{name: "slices inside slices", pods: []*v1.Pod{newPod("a", group, count, kueueSlices+`=[{"topology":"block","size":8},{"topology":"rack","size":4},{"topology":"nvidia.com/gpu.clique","size":2}]`)}, group: "kueue~train", min: 2,
			terms: map[string]string{kube.AnnotationSliceSize: "8,4,2", kube.AnnotationSliceTopology: "block,rack,nvidia.com/gpu.clique"}},
		{name: "no slices inside slices", pods: []*v1.Pod{newPod("a", group, count, kueueSlices+"=[]")}, group: "kueue~train", reason: kube.InvalidGangSpec, says: `found "[]", want up to 3 layers of slices`},
		{name: "slices of several sizes", pods: []*v1.Pod{newPod("a", group, count, kueueSlices+`=[{"topology":"rack","sizes":[1,3]}]`)}, group: "kueue~train", reason: kube.InvalidGangSpec, says: "want up to 3 layers of slices"},
		{name: "a slice of a huge size", pods: []*v1.Pod{newPod("a", group, count, kueueSlices+`=[{"topology":"rack","size":9223372036854775807}]`)}, group: "kueue~train", reason: kube.InvalidGangSpec, says: "want up to 3 layers of slices"},
		{name: "pods that differ", pods: []*v1.Pod{newPod("a", group, count, kueueRequired+"="+rack), newPod("b", group, count, kueueRequired+"=zone")}, group: "kueue~train", reason: kube.GangConfigConflict, says: "its members disagree on what the part"},
		{name: "no count", pods: []*v1.Pod{newPod("a", group)}, group: "kueue~train", reason: kube.InvalidGangSpec, says: "its pods lack the annotation kueue.x-k8s.io/pod-group-total-count"},
		{name: "half a slice", pods: []*v1.Pod{newPod("a", group, count, kueueSlice+"="+rack)}, group: "kueue~train", reason: kube.InvalidGangSpec, says: "go together: write both or none"},
		{name: "a slice size that is none", pods: []*v1.Pod{newPod("a", group, count, kueueSlice+"="+rack, kueueSliceSize+"=1e3")}, group: "kueue~train", reason: kube.InvalidGangSpec, says: `podset-slice-size: found "1e3"`},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, nil) })
	}
}

func TestEnabled_ADialectThatIsLeftOutIsNotRead(t *testing.T) {
	o := store.Objects{
		Pods:     []*v1.Pod{newPod("a", "pod-group-name=train"), train("b", "pod-group-name=train")},
		Groups:   []*unstructured.Unstructured{groupOf(t, dialect.KAIGroups, `,"spec":{"minMember":1}`)},
		Dialects: []kube.Dialect{kube.DialectLabel},
	}
	gangs := o.Gangs("muster")
	require.Len(t, gangs, 1)
	assert.Equal(t, "label~train", gangs[0].Group.Name)
	o.Dialects = nil
	names := []string{}
	for _, g := range o.Gangs("muster") {
		names = append(names, g.Group.Name)
	}
	assert.Equal(t, []string{"conflict~b", "kai~train"}, names)

	assert.EqualError(t, dialect.Check([]kube.Dialect{"label", "vulcan"}), `found "vulcan", want some of `+strings.Join(func() (all []string) {
		for _, name := range dialect.Names() {
			all = append(all, string(name))
		}
		return all
	}(), ", "))
}

func TestNativeGroup_WhatIsNotHonoredIsTold(t *testing.T) {
	for _, test := range []struct{ name, spec, want string }{
		{"a group of its own", `"schedulingPolicy":{"gang":{"minCount":2}},"schedulingConstraints":{"topology":[{"key":"rack"}]}`, ""},
		{"a part of a composite group", `"parentCompositePodGroupName":"root","schedulingPolicy":{"gang":{"minCount":2}}`,
			`PodGroup: spec.parentCompositePodGroupName "root" is not read, since the API server does not serve CompositePodGroups of scheduling.k8s.io/v1alpha3; ` +
				`the group starts without the others of its parent`},
		{"a level under a policy without a minimum", `"schedulingPolicy":{"basic":{}},"schedulingConstraints":{"topology":[{"key":"rack"}]}`, ""},
		{"a policy without a minimum", `"schedulingPolicy":{"basic":{}}`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			w.SetKind(dialect.CompositeGroups, store.Absent)
			w.SetObject(dialect.NativeGroups, groupOf(t, dialect.NativeGroups, `,"spec":{`+test.spec+`}`))
			gang, ok := w.get("train")
			require.True(t, ok, "%v", w.gangs)
			assert.Contains(t, strings.Join(gang.Declaration.Ignored, "\n"), test.want)
			assert.Equal(t, test.want == "", len(gang.Declaration.Ignored) == 0)
		})
	}
}

func TestReadPod_PreferencesThatAreNotHonoredAreTold(t *testing.T) {
	const soft = ".preferredDuringSchedulingIgnoredDuringExecution is not read for a gang"
	for _, test := range []struct {
		name, want string
		spec       v1.PodSpec
	}{
		{"none", "", v1.PodSpec{}},
		{"requirements are read", "", v1.PodSpec{Affinity: &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{}}}}},
		{"nodes that it prefers", "pods: spec.affinity.nodeAffinity" + soft + "; require the nodes, or write muster.sh/topology-preferred",
			v1.PodSpec{Affinity: &v1.Affinity{NodeAffinity: &v1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []v1.PreferredSchedulingTerm{{Weight: 1}}}}}},
		{"pods that it prefers", "pods: spec.affinity.podAffinity" + soft,
			v1.PodSpec{Affinity: &v1.Affinity{PodAffinity: &v1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []v1.WeightedPodAffinityTerm{{Weight: 1}}}}}},
		{"pods that it would avoid", "pods: spec.affinity.podAntiAffinity" + soft,
			v1.PodSpec{Affinity: &v1.Affinity{PodAntiAffinity: &v1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []v1.WeightedPodAffinityTerm{{Weight: 1}}}}}},
		{"a soft spread", "pods: spec.topologySpreadConstraints with whenUnsatisfiable ScheduleAnyway is not read for a gang",
			v1.PodSpec{TopologySpreadConstraints: []v1.TopologySpreadConstraint{{WhenUnsatisfiable: v1.ScheduleAnyway}}}},
		{"a hard spread is left to the scheduler", "", v1.PodSpec{TopologySpreadConstraints: []v1.TopologySpreadConstraint{{WhenUnsatisfiable: v1.DoNotSchedule}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld()
			for _, name := range []string{"a", "b"} {
				p := train(name, kube.AnnotationMinCount+"=2")
				p.Spec.Affinity, p.Spec.TopologySpreadConstraints = test.spec.Affinity, test.spec.TopologySpreadConstraints
				w.pod(p)
			}
			gang, ok := w.get("label~train")
			require.True(t, ok, "%v", w.gangs)
			require.Nil(t, gang.Declaration.Invalid)
			assert.Contains(t, strings.Join(gang.Declaration.Ignored, "\n"), test.want)
			assert.Equal(t, test.want == "", len(gang.Declaration.Ignored) == 0)
		})
	}
}
