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
var nativeDialect = &Dialect{
	Name: kube.DialectNative,
	readMarks: func(pod *v1.Pod) []mark {
		if name := kube.GroupOf(pod); name != "" {
			return []mark{{where: "spec.schedulingGroup", name: name}}
		}
		return nil
	},
	kinds: []*Kind{NativeGroups, CompositeGroups},
}

// NativeGroups are Kubernetes' own PodGroups.
var NativeGroups = &Kind{
	GroupVersionResource: nativeKind, Name: "PodGroup", Dialect: kube.DialectNative,
	CountField: []string{"spec", "schedulingPolicy", "gang", "minCount"}, Fixed: true,
	read: readNative, makeStatus: makeNativeStatus,
}

// readNative reads a scheduling.k8s.io/v1beta1 PodGroup.
func readNative(o *Object, u *unstructured.Unstructured) {
	pg := &schedulingapi.PodGroup{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, pg); err != nil {
		o.refuse("it cannot be read: %v", err)
		return
	}
	o.Native, o.MinCount = pg, 1
	if gang := pg.Spec.SchedulingPolicy.Gang; gang != nil {
		o.MinCount = int(gang.MinCount)
	}
	if _, ok := pg.Annotations[kube.AnnotationMinCount]; ok {
		o.Problem = &kube.Invalid{Reason: kube.GangConfigConflict, Message: "gang " + pg.Name + ": PodGroup " + pg.Name +
			" has spec.schedulingPolicy and annotation " + kube.AnnotationMinCount + "; remove the annotation"}
	}
}

// makeNativeStatus gives a native object the conditions that it is to have. Once
// it was scheduled it stays so.
func makeNativeStatus(p *Progress, verdict map[string]metav1.Condition, now time.Time) map[string]any {
	if p.Object.Native == nil {
		return nil
	}
	return mergeNative(p, p.Object.Native.Status.Conditions, nativeConditions(p, verdict, schedulingapi.PodGroupInitiallyScheduled), now)
}

// mergeNative returns the status in which an object has other conditions than it
// has now, nil where it has them.
func mergeNative(p *Progress, have, wanted []metav1.Condition, now time.Time) map[string]any {
	conditions, changed := slices.Clone(have), false
	for _, want := range wanted {
		old := apimeta.FindStatusCondition(conditions, want.Type)
		if old != nil && (old.Status == metav1.ConditionTrue || old.Status == want.Status && old.Reason == want.Reason && old.Message == want.Message) {
			continue
		}
		want.LastTransitionTime = metav1.NewTime(now.Truncate(time.Second))
		want.ObservedGeneration = p.Object.Generation
		changed = apimeta.SetStatusCondition(&conditions, want) || changed
	}
	if !changed {
		return nil
	}
	return map[string]any{"conditions": conditions}
}

// nativeConditions are the conditions of a native object, in a fixed order.
// scheduled is the type of the one that says whether it was scheduled.
func nativeConditions(p *Progress, verdict map[string]metav1.Condition, scheduled string) []metav1.Condition {
	var all []metav1.Condition
	if c, ok := p.scheduledCondition(verdict, scheduled); ok {
		all = append(all, c)
	}
	if c, ok := verdict[schedulingapi.DisruptionTarget]; ok {
		all = append(all, c)
	}
	return all
}

// scheduledCondition is the condition of the given type that says whether the gang has
// its nodes: true once as many members as must start together are bound, else
// what the scheduler last said of it, if anything.
func (p *Progress) scheduledCondition(verdict map[string]metav1.Condition, kind string) (metav1.Condition, bool) {
	if want := p.MinCount; p.Bound >= want {
		message := fmt.Sprintf("%d pods are bound, of which %d must start together", p.Bound, want)
		if want == 1 {
			message = "a pod is bound, and none waits for another"
		}
		return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "Scheduled", Message: message}, true
	}
	c, ok := verdict[schedulingapi.PodGroupInitiallyScheduled]
	c.Type = kind
	return c, ok
}
