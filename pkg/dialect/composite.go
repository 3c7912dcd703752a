// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"time"

	alphaapi "k8s.io/api/scheduling/v1alpha3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// CompositeGroups are Kubernetes' own groups of groups. No pod names one: a
// PodGroup names its parent.
var CompositeGroups = &Kind{
	GroupVersionResource: alphaapi.SchemeGroupVersion.WithResource("compositepodgroups"),
	Name:                 "CompositePodGroup", Dialect: kube.DialectComposite,
	CountField: []string{"spec", "schedulingPolicy", "gang", "minGroupCount"}, Fixed: true,
	read: readComposite, makeStatus: makeCompositeStatus,
}

// MaxGroupDepth is the number of levels that a PodGroup and the groups above it
// may have. Source: k8s.io/api/scheduling/v1alpha3, v0.37.2.
const MaxGroupDepth = alphaapi.WorkloadMaxTreeDepth

const (
	nativeTopology = "spec.schedulingConstraints.topology"
	// compositeScheduled is a type of condition. Source: the documentation of
	// CompositePodGroupStatus there.
	compositeScheduled = "CompositePodGroupInitiallyScheduled"
)

// selectChild selects the members of a gang that name a PodGroup.
func selectChild(name string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{kube.AnnotationChildRole: kube.ChildRole(name)}}
}

// readComposite reads a scheduling.k8s.io/v1alpha3 CompositePodGroup.
func readComposite(o *Object, u *unstructured.Unstructured) {
	group := &alphaapi.CompositePodGroup{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, group); err != nil {
		o.refuse("it cannot be read: %v", err)
		group = &alphaapi.CompositePodGroup{}
	}
	o.Composite, o.MinCount = group, 1
	if gang := group.Spec.SchedulingPolicy.Gang; gang != nil && gang.MinGroupCount < 1 {
		o.refuse("spec.schedulingPolicy.gang.minGroupCount: found %d, want the number of groups that start together", gang.MinGroupCount)
	}
	if c := group.Spec.SchedulingConstraints; c != nil && len(c.Topology) > 0 {
		o.setDefault(kube.AnnotationTopologyRequired, c.Topology[0].Key, nativeTopology)
	}
	for _, key := range []string{kube.AnnotationMinCount, kube.AnnotationRoles} {
		if _, ok := o.annotations[key]; ok {
			o.refuse("annotation %s: its groups say how many of their pods start together; remove the annotation", key)
			delete(o.Terms, key)
		}
	}
}

// Parent returns the CompositePodGroup that one of Kubernetes' own groups is under,
// "" for none.
func (o *Object) Parent() string {
	var parent *string
	switch {
	case o.Native != nil:
		parent = o.Native.Spec.ParentCompositePodGroupName
	case o.Composite != nil:
		parent = o.Composite.Spec.ParentCompositePodGroupName
	}
	if parent == nil {
		return ""
	}
	return *parent
}

// Together reports whether the groups of a CompositePodGroup are planned together:
// they start together or share something. Those of any other start on their own.
func (o *Object) Together() bool {
	return o.Composite.Spec.SchedulingPolicy.Gang != nil || len(o.Terms) > 0 || o.Problem != nil
}

// WorkloadName returns the Workload that one of Kubernetes' own groups was made from.
func (o *Object) WorkloadName() string {
	switch {
	case o.Native != nil && o.Native.Spec.WorkloadRef != nil:
		return o.Native.Spec.WorkloadRef.WorkloadName
	case o.Composite != nil && o.Composite.Spec.WorkloadRef != nil:
		return o.Composite.Spec.WorkloadRef.WorkloadName
	}
	return ""
}

// makeCompositeStatus gives a CompositePodGroup of a gang its conditions.
func makeCompositeStatus(p *Progress, verdict map[string]metav1.Condition, now time.Time) map[string]any {
	if p.Object.Composite == nil {
		return nil
	}
	return mergeNative(p, p.Object.Composite.Status.Conditions, nativeConditions(p, verdict, compositeScheduled), now)
}
