// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// object is a group object, as far as it matters to the scheduler.
type object struct {
	kind       *kind
	uid        types.UID
	namespace  string
	name       string
	version    string
	created    metav1.Time
	generation int64
	// annotations are in Muster's terms: those that the user wrote on the
	// object, and what its fields say where there are none.
	annotations map[string]string
	// origins are where the latter stand on the object, by the annotation.
	origins  map[string]string
	minCount int
	// timeoutSeconds is how long members may wait for one another; 0 for the
	// scheduler's own time.
	timeoutSeconds int64
	// notes are sentences on what is not honoured.
	notes   []string
	problem *kube.Invalid
	// shape is what a workload asks for, nil for a group object. part is the
	// group of the workload that the gang is, where it has several.
	shape *workload.Shape
	part  string
	// native is the object itself, if it is a native one.
	native *schedulingapi.PodGroup
	// status is what stands in the object's status.
	status map[string]any
	// begun says that members had nodes when the status was written, ended
	// that the gang had come to its end.
	begun, ended bool
}

// newObject reads what all kinds have in common.
func (k *kind) newObject(u *unstructured.Unstructured) *object {
	o := &object{
		kind: k, uid: u.GetUID(), namespace: u.GetNamespace(), name: u.GetName(), version: u.GetResourceVersion(),
		created: u.GetCreationTimestamp(), generation: u.GetGeneration(),
		annotations: u.GetAnnotations(),
	}
	if o.annotations == nil {
		o.annotations = map[string]string{}
	}
	o.status, _, _ = unstructured.NestedMap(u.Object, "status")
	return o
}

// translate reads an object of the kind.
func (k *kind) translate(u *unstructured.Unstructured) *object {
	o := k.newObject(u)
	k.read(o, u)
	if k.workload == nil {
		o.notes = append(o.notes, misspelled(nil, u.GetAnnotations())...)
	}
	if text, ok := o.annotations[kube.AnnotationMinCount]; ok && text != strconv.Itoa(o.minCount) && o.problem == nil {
		o.problem = &kube.Invalid{Reason: kube.GangConfigConflict, Message: fmt.Sprintf(
			"gang %s: %s %s has %s %d and annotation %s %s; remove the annotation",
			o.name, k.name, o.name, strings.Join(k.countField, "."), o.minCount, kube.AnnotationMinCount, kube.Quote(text))}
	}
	return o
}

// key is the gang that an object stands behind.
func (o *object) key() groupKey {
	return groupKey{o.namespace, kube.GroupName(o.kind.of, o.name)}
}

// refuse notes the first problem of an object.
func (o *object) refuse(format string, args ...any) {
	if o.problem == nil {
		o.problem = &kube.Invalid{Reason: kube.InvalidGangSpec, Message: "gang " + o.name + ": " + o.kind.name + " " + o.name + ": " + fmt.Sprintf(format, args...)}
	}
}

// note says what is not honoured.
func (o *object) note(format string, args ...any) {
	o.notes = append(o.notes, fmt.Sprintf(format, args...))
}

// wish takes what a field says as an annotation, unless the user wrote that
// annotation on the object. where is the field, or the annotation of its own
// dialect.
func (o *object) wish(key, value, where string) {
	if _, ok := o.annotations[key]; ok {
		return
	}
	o.annotations[key] = value
	if o.origins == nil {
		o.origins = map[string]string{}
	}
	o.origins[key] = where
}

// origin is where the object says what it has in an annotation.
func (o *object) origin(key string) kube.Origin {
	if where, ok := o.origins[key]; ok {
		return kube.Origin{Word: where}
	}
	return kube.Origin{Word: key}
}

// readCount reads the number of members that start together.
func (o *object) readCount(u *unstructured.Unstructured) {
	fields := o.kind.countField
	count, found, bad := number(u, fields...)
	where := strings.Join(fields, ".")
	switch {
	case bad != "" || found && (count < 1 || count > kube.MaxMinCount):
		o.refuse("%s: found %s, want a number from 1 to %d", where, either(bad, count), kube.MaxMinCount)
	case !found:
		o.refuse("%s is missing; write the number of pods that start together", where)
	default:
		o.minCount = int(count)
	}
}

// maxTimeoutSeconds is a week: longer than any barrier is meant to stand.
const maxTimeoutSeconds = 7 * 24 * 3600

// readTimeout reads how long members may wait for one another.
func (o *object) readTimeout(u *unstructured.Unstructured, fields ...string) {
	seconds, found, bad := number(u, fields...)
	if bad != "" || found && (seconds < 0 || seconds > maxTimeoutSeconds) {
		o.refuse("%s: found %s, want a number of seconds from 1 to %d, or none", strings.Join(fields, "."), either(bad, seconds), maxTimeoutSeconds)
		return
	}
	o.timeoutSeconds = seconds
}

// number reads a whole number. bad shows what stands there instead.
func number(u *unstructured.Unstructured, fields ...string) (n int64, found bool, bad string) {
	value, found, err := unstructured.NestedFieldNoCopy(u.Object, fields...)
	if err != nil {
		return 0, true, "no object in " + strings.Join(fields[:len(fields)-1], ".")
	}
	n, bad = whole(value)
	return n, found && value != nil, bad
}

// whole reads a value as a whole number. bad shows what it is instead.
func whole(value any) (n int64, bad string) {
	switch v := value.(type) {
	case nil:
		return 0, ""
	case int64:
		return v, ""
	default:
		return 0, show(v)
	}
}

// decode reads the fields that it knows into a struct, and reports whether they
// have its types. A number with a fraction is no whole number.
func decode(fields map[string]any, into any) bool {
	text, err := json.Marshal(fields)
	return err == nil && json.Unmarshal(text, into) == nil
}

// show quotes a value of any type.
func show(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprintf("a %T", value)
	}
	return kube.Quote(string(text))
}

func either(bad string, n int64) string {
	if bad != "" {
		return bad
	}
	return strconv.FormatInt(n, 10)
}

// podInvalid is why what a pod says cannot be honoured.
func podInvalid(pod *v1.Pod, format string, args ...any) *kube.Invalid {
	return &kube.Invalid{Reason: kube.InvalidGangSpec, Message: "pod " + pod.Name + ": " + fmt.Sprintf(format, args...)}
}
