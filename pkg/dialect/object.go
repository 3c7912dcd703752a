// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"fmt"
	"strconv"
	"strings"

	alphaapi "k8s.io/api/scheduling/v1alpha3"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// Object is a group object or a workload, as far as it matters to the
// scheduler.
type Object struct {
	Kind            *Kind
	UID             types.UID
	Namespace       string
	Name            string
	ResourceVersion string
	Created         metav1.Time
	Generation      int64
	// Terms are what it asks for, by Muster's annotation: what the user wrote in
	// that annotation, or what the fields say.
	Terms map[string]kube.Term
	// Roles are the parts of its gang that its fields make, where the user did
	// not write others in Muster's annotation.
	Roles    []kube.Role
	MinCount int
	// TimeoutSeconds is how long members may wait for one another; 0 for the
	// scheduler's own time.
	TimeoutSeconds int64
	// Ignored are sentences on what is not read.
	Ignored []string
	// Problem is why the object cannot be read, or nil.
	Problem *kube.Invalid
	// Shape is what a workload asks for, nil for a group object. Part is the
	// group of the workload that the gang is, where it has several.
	Shape *workload.Shape
	Part  string
	// Native is the object itself, if it is a native PodGroup, and Composite if it
	// is a CompositePodGroup.
	Native    *schedulingapi.PodGroup
	Composite *alphaapi.CompositePodGroup
	// Enough is the number of members with which a gang of groups that has started is
	// whole, 0 for its minimum. Whole says that such a gang asks to be preempted as
	// one.
	Enough int
	Whole  bool
	// Status is what stands in the object's status.
	Status map[string]any
	// Inner are the CompositePodGroups inside the gang of one.
	Inner []InnerGroup
	// Started says that members had nodes when the status was written, Ended
	// that the gang had come to its end.
	Started, Ended bool

	// annotations are all that the user wrote on it.
	annotations map[string]string
}

// Read reads an object of the kind. What cannot be read is its problem.
func (k *Kind) Read(u *unstructured.Unstructured) *Object {
	o := &Object{
		Kind: k, UID: u.GetUID(), Namespace: u.GetNamespace(), Name: u.GetName(), ResourceVersion: u.GetResourceVersion(),
		Created: u.GetCreationTimestamp(), Generation: u.GetGeneration(),
		Terms: map[string]kube.Term{}, annotations: u.GetAnnotations(),
	}
	for _, key := range TermKeys {
		if value, ok := o.annotations[key]; ok {
			o.Terms[key] = kube.Term{Value: value, Origin: kube.Origin{Word: key}}
		}
	}
	o.Status, _, _ = unstructured.NestedMap(u.Object, "status")
	if k.Workload != nil {
		o.readWorkload(u)
		return o
	}
	k.read(o, u)
	o.Ignored = append(o.Ignored, misspelledKeys(nil, o.annotations)...)
	if text, ok := o.annotations[kube.AnnotationMinCount]; ok && text != strconv.Itoa(o.MinCount) && o.Problem == nil {
		o.Problem = &kube.Invalid{Reason: kube.GangConfigConflict, Message: fmt.Sprintf(
			"gang %s: %s %s has %s %d and annotation %s %s; remove the annotation",
			o.Name, k.Name, o.Name, strings.Join(k.CountField, "."), o.MinCount, kube.AnnotationMinCount, kube.QuoteInput(text))}
	}
	return o
}

// readWorkload reads what a workload asks for.
func (o *Object) readWorkload(u *unstructured.Unstructured) {
	shape := o.Kind.Workload.ReadShape(u)
	o.Shape, o.Ignored = &shape, shape.Notes
	if shape.Problem != "" {
		o.Problem = &kube.Invalid{Reason: kube.InvalidGangSpec, Message: "gang " + o.Kind.Workload.DisplayName() + "/" + o.Name + ": its " + o.Kind.Name + " " + shape.Problem}
	}
}

// GroupName returns the name of the PodGroup of the gang that an object of the
// kind stands behind.
func (k *Kind) GroupName(object string) string { return kube.GroupName(k.Dialect, object) }

// Identity returns what tells the gangs of one object apart.
func (o *Object) Identity() types.UID {
	if o.Part == "" {
		return o.UID
	}
	return o.UID + types.UID("-"+o.Part)
}

// refuse records the first problem of an object.
func (o *Object) refuse(format string, args ...any) {
	if o.Problem == nil {
		o.Problem = &kube.Invalid{Reason: kube.InvalidGangSpec, Message: "gang " + o.Name + ": " + o.Kind.Name + " " + o.Name + ": " + fmt.Sprintf(format, args...)}
	}
}

// ignore records a sentence on what is not read.
func (o *Object) ignore(format string, args ...any) {
	o.Ignored = append(o.Ignored, fmt.Sprintf(format, args...))
}

// setDefault takes what a field says as one of Muster's annotations, unless the
// user wrote that annotation on the object, and reports whether it did. where is
// the field, or the annotation of its own dialect.
func (o *Object) setDefault(key, value, where string) bool {
	if _, ok := o.Terms[key]; ok {
		return false
	}
	o.Terms[key] = kube.Term{Value: value, Origin: kube.Origin{Word: where}}
	return true
}

// setRoles gives an object's gang its parts, which it has in the field where.
// The gang cannot start with fewer members than these need.
func (o *Object) setRoles(roles []kube.Role, where string) {
	switch {
	case len(roles) == 0:
		return
	case len(roles) > kube.MaxRoles:
		o.refuse("it has %d sub-groups; a gang may have at most %d", len(roles), kube.MaxRoles)
		return
	}
	if o.setDefault(kube.AnnotationRoles, kube.FormatRoles(roles), where) {
		o.Roles = roles
	}
	if o.MinCount > 0 {
		o.MinCount = max(o.MinCount, kube.TotalMinimum(roles))
	}
}

// readCount reads the number of members that start together.
func (o *Object) readCount(u *unstructured.Unstructured) {
	fields := o.Kind.CountField
	count, found, bad := readNumber(u, fields...)
	where := strings.Join(fields, ".")
	switch {
	case bad != "" || found && (count < 1 || count > kube.MaxMinCount):
		o.refuse("%s: found %s, want a number from 1 to %d", where, showNumber(bad, count), kube.MaxMinCount)
	case !found:
		o.refuse("%s is missing; write the number of pods that start together", where)
	default:
		o.MinCount = int(count)
	}
}

// maxTimeoutSeconds is a week: longer than any barrier is meant to stand.
const maxTimeoutSeconds = 7 * 24 * 3600

// readTimeout reads how long members may wait for one another.
func (o *Object) readTimeout(u *unstructured.Unstructured, fields ...string) {
	seconds, found, bad := readNumber(u, fields...)
	if bad != "" || found && (seconds < 0 || seconds > maxTimeoutSeconds) {
		o.refuse("%s: found %s, want a number of seconds from 1 to %d, or none", strings.Join(fields, "."), showNumber(bad, seconds), maxTimeoutSeconds)
		return
	}
	o.TimeoutSeconds = seconds
}
