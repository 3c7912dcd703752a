// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
)

const groveGang, groveClique = "grove.io/podgang", "grove.io/podclique"

func TestGrove(t *testing.T) {
	const (
		rackKey = "topology.kubernetes.io/rack"
		router  = `{"name":"router","minReplicas":1,"podReferences":[{"namespace":"ns","name":"a"}]}`
		leader  = `{"name":"leader","minReplicas":1,"podReferences":[]}`
		worker  = `{"name":"worker","minReplicas":3,"podReferences":[]}`
		all     = `"podgroups":[` + router + `,` + leader + `,` + worker + `]`
		rack    = `"topologyConstraint":{"packConstraint":{"required":"rack"}}`
		nearly  = `"topologyConstraint":{"packConstraint":{"preferred":"rack"}}`
		both    = `"topologyConstraint":{"packConstraint":{"required":"block","preferred":"rack"}}`
	)
	role := func(name, rest string) string {
		return `{"name":"` + name + `","selector":{"matchLabels":{"grove.io/podclique":"` + name + `"}}` + rest + `}`
	}
	roles := `[` + role("router", `,"minCount":1`) + `,` + role("leader", `,"minCount":1`) + `,` + role("worker", `,"minCount":3`) + `]`
	together := func(names, rest string) string {
		return `"topologyConstraintGroupConfigs":[{"name":"prefill","podGroupNames":[` + names + `],` + rest + `}]`
	}
	for _, test := range []reading{
		{name: "pod groups are roles, and their minima add up", object: all, min: 5, roles: roles},
		{name: "minima of 0 start the pods one by one", object: `"podgroups":[{"name":"worker","minReplicas":0,"podReferences":[]}]`, min: 1, roles: `[` + role("worker", ``) + `]`},
		{name: "levels of the gang", object: all + `,"topologyConstraint":{"packConstraint":{"required":"cloud.provider.com/topology-block","preferred":"` + rackKey + `"}}`, min: 5, roles: roles,
			terms: map[string]string{kube.AnnotationTopologyRequired: "cloud.provider.com/topology-block", kube.AnnotationTopologyPreferred: rackKey}},
		{name: "levels of a pod group", object: `"podgroups":[` + router + `,{"name":"worker","minReplicas":3,"podReferences":[],` + both + `}]`, min: 4,
			roles: role("worker", `,"minCount":3,"topologyRequired":"block","topologyPreferred":"rack"`)},
		{name: "a group of all pod groups is the gang", object: all + `,` + together(`"router","leader","worker"`, both), min: 5, roles: roles,
			terms: map[string]string{kube.AnnotationTopologyRequired: "block", kube.AnnotationTopologyPreferred: "rack"}},
		{name: "and goes before the gang's own level", object: all + `,` + together(`"router","leader","worker"`, rack) + `,` + both, min: 5, roles: roles,
			terms: map[string]string{kube.AnnotationTopologyRequired: "rack", kube.AnnotationTopologyPreferred: "rack"}},
		{name: "a group of one is that pod group", object: all + `,` + together(`"worker"`, rack), min: 5, roles: role("worker", `,"minCount":3,"topologyRequired":"rack"`)},
		{name: "whose own level goes before", object: `"podgroups":[` + router + `,{"name":"worker","minReplicas":3,"podReferences":[],` + rack + `}],` + together(`"worker"`, both), min: 4,
			roles: role("worker", `,"minCount":3,"topologyRequired":"rack","topologyPreferred":"rack"`)},
		{name: "a group of several is one role", object: all + `,` + together(`"leader","worker"`, rack), min: 5,
			roles: `[` + role("router", `,"minCount":1`) + `,{"name":"prefill","selector":{"matchExpressions":[{"key":"grove.io/podclique","operator":"In","values":["leader","worker"]}]},"minCount":4,"topologyRequired":"rack"}]`},
		{name: "in which single minima are not held", object: `"podgroups":[` + leader + `,{"name":"worker","minReplicas":1,"podReferences":[{"namespace":"ns","name":"a"},{"namespace":"ns","name":"b"}]},` + router + `],` + together(`"leader","worker"`, rack), min: 3,
			roles: `"minCount":2`, ignored: `Grove: minReplicas of single pod groups is not read in group "prefill"; 2 pods of leader, worker start together, whichever they are`},
		{name: "a group of several that prefers", object: all + `,` + together(`"leader","worker"`, nearly), min: 5, roles: role("worker", `,"minCount":3,"topologyPreferred":"rack","beside":"leader"`),
			ignored: `Grove: group "prefill" prefers "rack" for its pod groups as a whole, which is not read; each of them prefers it by itself, near "leader"`},
		{name: "a group that asks for nothing", object: all + `,"topologyConstraintGroupConfigs":[{"name":"prefill","podGroupNames":["worker"]}]`, min: 5, roles: roles},
		{name: "Muster's annotation goes before", object: `,"metadata":{"annotations":{"muster.sh/topology-required":"block"}},"spec":{` + all + `,` + rack + `}`, min: 5, roles: roles, terms: map[string]string{kube.AnnotationTopologyRequired: "block"}},
		{name: "what else is not read is told", object: all + `,"priorityClassName":"high","reuseReservationRef":{"namespace":"ns","name":"older"}`, min: 5, roles: roles,
			ignored: `Grove: spec.priorityClassName "high" is not read; the pods' own priority counts
Grove: spec.reuseReservationRef "older" is not read`},
		{name: "a level inside the level of a group", object: `"podgroups":[` + leader + `,{"name":"worker","minReplicas":3,"podReferences":[],` + rack + `},` + router + `],` + together(`"leader","worker"`, both),
			reason: kube.InvalidGangSpec, says: `spec.podgroups[1].topologyConstraint: group "prefill" holds pod group worker in one domain with others`},
		{name: "no pod groups", object: `"podgroups":[]`, reason: kube.InvalidGangSpec, says: "spec.podgroups: found none"},
		{name: "pod groups that are none", object: `"podgroups":7`, reason: kube.InvalidGangSpec, says: "spec.podgroups: want a list"},
		{name: "half a pod", object: `"podgroups":[{"name":"a","minReplicas":0.5}]`, reason: kube.InvalidGangSpec, says: "spec.podgroups[0]: found"},
		{name: "fewer than no pods", object: `"podgroups":[{"name":"a","minReplicas":-1}]`, reason: kube.InvalidGangSpec, says: `spec.podgroups[0].minReplicas: found "-1", want a number from 0`},
		{name: "no minimum", object: `"podgroups":[{"name":"a"}]`, reason: kube.InvalidGangSpec, says: `spec.podgroups[0].minReplicas: found "null"`},
		{name: "a pod group without a name", object: `"podgroups":[{"minReplicas":1}]`, reason: kube.InvalidGangSpec, says: `spec.podgroups[0].name: found "", want the value of the label grove.io/podclique`},
		{name: "a name twice", object: `"podgroups":[` + leader + `,` + leader + `]`, reason: kube.InvalidGangSpec, says: `spec.podgroups[1].name: found "leader" twice`},
		{name: "a pod of another namespace", object: `"podgroups":[{"name":"a","minReplicas":1,"podReferences":[{"namespace":"other","name":"x"}]}]`, reason: kube.InvalidGangSpec,
			says: `spec.podgroups[0].podReferences: pod "x" is in namespace "other", and a gang never crosses one`},
		{name: "a group of what is not there", object: all + `,` + together(`"decode"`, rack), reason: kube.InvalidGangSpec, says: `group "prefill" names the pod group "decode", which is not in spec.podgroups`},
		{name: "a pod group in two groups", object: all + `,"topologyConstraintGroupConfigs":[{"name":"a","podGroupNames":["worker"]},{"name":"b","podGroupNames":["worker"]}]`, reason: kube.InvalidGangSpec,
			says: `groups "a" and "b" both name the pod group "worker"`},
		{name: "a constraint that is none", object: all + `,"topologyConstraint":{"packConstraint":{"required":7}}`, reason: kube.InvalidGangSpec, says: "spec.topologyConstraint: want an object with packConstraint"},
		{name: "without the object", reason: kube.GangNotFound, says: "there is no PodGang train (scheduler.grove.io/v1alpha1) in namespace ns"},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.pods = []*v1.Pod{newPod("a", groveGang+"=train", groveClique+"=router"), newPod("b", groveGang+"=train", groveClique+"=worker")}
			test.group = "grove~train"
			if strings.HasPrefix(test.object, `"`) {
				test.object = `,"spec":{` + test.object + `}`
			}
			test.run(t, dialect.GroveGangs)
		})
	}
}

// Grove marks every pod of its own: what the pod's user wrote goes before.
func TestGrove_OtherMarkersGoBefore(t *testing.T) {
	const mark = groveGang + "=gang"
	for _, test := range []struct {
		name, group string
		pod         *v1.Pod
	}{
		{"Grove's label alone", "grove~gang", newPod("a", mark)},
		{"a gang of the user's", "label~train", train("a", mark)},
		{"a group that Kueue admits", "grove~gang", newPod("a", mark, kueueGroup+"=queued", kueueCount+"=2")},
		{"two gangs of the user's", "conflict~a", train("a", mark, kube.LabelPodGroup+"=other")},
		{"a number beside it", "conflict~a", newPod("a", mark, kube.AnnotationMinCount+"=2")},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, _ := dialect.Enabled(nil, nil).ReadMarker(test.pod)
			assert.Equal(t, test.group, m.Group)
		})
	}
}

func TestGrove_Status(t *testing.T) {
	refused := map[string]metav1.Condition{schedulingapi.PodGroupInitiallyScheduled: {Status: metav1.ConditionFalse, Reason: "GangTooLarge", Message: "too large"}}
	const theirs = `{"type":"Scheduled","status":"False","reason":"PodGangNotReady","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}`
	for _, test := range []struct {
		name, podgroups, phase string
		bound, running         int
		verdict                map[string]metav1.Condition
		condition              metav1.ConditionStatus
		reason                 string
	}{
		{name: "nothing is known", phase: "Pending"},
		{name: "it is refused", phase: "Pending", verdict: refused, condition: metav1.ConditionFalse, reason: "GangTooLarge"},
		{name: "some are bound", phase: "Starting", bound: 1, verdict: refused, condition: metav1.ConditionFalse, reason: "GangTooLarge"},
		{name: "enough are bound", phase: "Starting", bound: 2, running: 1, condition: metav1.ConditionTrue, reason: "Scheduled"},
		{name: "enough run", phase: "Running", bound: 3, running: 2, condition: metav1.ConditionTrue, reason: "Scheduled"},
		{name: "it cannot be read", phase: "Pending", podgroups: `[]`, bound: 1, running: 1, verdict: refused, condition: metav1.ConditionFalse, reason: "GangTooLarge"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.podgroups == "" {
				test.podgroups = `[{"name":"a","minReplicas":2,"podReferences":[]}]`
			}
			o := dialect.GroveGangs.Read(groupOf(t, dialect.GroveGangs, `,"spec":{"podgroups":`+test.podgroups+`},"status":{"phase":"Pending","conditions":[`+theirs+`]}`))
			status := (&dialect.Progress{Object: o, MinCount: 2, Members: 3, Bound: test.bound, Running: test.running}).Status(test.verdict, epoch)
			assert.Equal(t, test.phase, status["phase"])
			if test.condition == "" {
				assert.NotContains(t, status, "conditions")
				return
			}
			conditions := status["conditions"].([]any)
			require.Len(t, conditions, 2, "Grove's own stays")
			assert.Equal(t, "PodGangNotReady", conditions[0].(map[string]any)["reason"])
			mine := conditions[1].(map[string]any)
			assert.Equal(t, "muster.sh/Scheduled", mine["type"])
			assert.Equal(t, string(test.condition), mine["status"])
			assert.Equal(t, test.reason, mine["reason"])
			assert.EqualValues(t, 2, mine["observedGeneration"])
			assert.NotEmpty(t, mine["lastTransitionTime"])
		})
	}
}
