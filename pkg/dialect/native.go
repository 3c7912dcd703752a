// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// nativeKind is Kubernetes' own group object.
var nativeKind = schedulingapi.SchemeGroupVersion.WithResource("podgroups")

// nativeDialect is Kubernetes' own dialect.
var nativeDialect = &entry{
	name: kube.DialectNative,
	marks: func(pod *v1.Pod) []mark {
		if name := kube.GroupOf(pod); name != "" {
			return []mark{{where: "spec.schedulingGroup", name: name}}
		}
		return nil
	},
	kinds: []*kind{nativeGroup},
}

var nativeGroup = &kind{
	GroupVersionResource: nativeKind, name: "PodGroup", of: kube.DialectNative,
	countField: []string{"spec", "schedulingPolicy", "gang", "minCount"}, fixed: true,
	read: readNative, status: nativeStatus,
}

// readNative reads a scheduling.k8s.io/v1beta1 PodGroup.
func readNative(o *object, u *unstructured.Unstructured) {
	pg := &schedulingapi.PodGroup{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, pg); err != nil {
		o.refuse("it cannot be read: %v", err)
		return
	}
	o.native, o.minCount = pg, 1
	if gang := pg.Spec.SchedulingPolicy.Gang; gang != nil {
		o.minCount = int(gang.MinCount)
	}
	if _, ok := pg.Annotations[kube.AnnotationMinCount]; ok {
		o.problem = &kube.Invalid{Reason: kube.GangConfigConflict, Message: "gang " + pg.Name + ": PodGroup " + pg.Name +
			" has spec.schedulingPolicy and annotation " + kube.AnnotationMinCount + "; remove the annotation"}
	}
}

// nativeStatus gives a native object the conditions that it is to have. Once
// it was scheduled it stays so.
func nativeStatus(g *gangState, verdict map[string]metav1.Condition, now time.Time) map[string]any {
	if g.object.native == nil {
		return nil
	}
	conditions, changed := slices.Clone(g.object.native.Status.Conditions), false
	for _, want := range nativeConditions(g, verdict) {
		old := apimeta.FindStatusCondition(conditions, want.Type)
		if old != nil && (old.Status == metav1.ConditionTrue || old.Status == want.Status && old.Reason == want.Reason && old.Message == want.Message) {
			continue
		}
		want.LastTransitionTime = metav1.NewTime(now.Truncate(time.Second))
		want.ObservedGeneration = g.object.generation
		changed = apimeta.SetStatusCondition(&conditions, want) || changed
	}
	if !changed {
		return nil
	}
	return map[string]any{"conditions": conditions}
}

// nativeConditions are the conditions of a native object, in a fixed order.
func nativeConditions(g *gangState, verdict map[string]metav1.Condition) []metav1.Condition {
	var all []metav1.Condition
	if c, ok := g.scheduled(verdict, schedulingapi.PodGroupInitiallyScheduled); ok {
		all = append(all, c)
	}
	if c, ok := verdict[schedulingapi.DisruptionTarget]; ok {
		all = append(all, c)
	}
	return all
}

// scheduled is the condition of the given type that says whether the gang has
// its nodes: true once as many members as must start together are bound, else
// what the scheduler last said of it, if anything.
func (g *gangState) scheduled(verdict map[string]metav1.Condition, kind string) (metav1.Condition, bool) {
	if want := g.minCount(); g.bound >= want {
		return metav1.Condition{
			Type: kind, Status: metav1.ConditionTrue, Reason: "Scheduled",
			Message: fmt.Sprintf("%d pods are bound, of which %d must start together", g.bound, want),
		}, true
	}
	c, ok := verdict[schedulingapi.PodGroupInitiallyScheduled]
	c.Type = kind
	return c, ok
}
