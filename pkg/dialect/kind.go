// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// Kind is one kind of object that may stand behind gangs.
type Kind struct {
	schema.GroupVersionResource
	// Name is what users call it.
	Name string
	// Dialect is that of the pods which name objects of this kind: the one that
	// reads it, or another one which shares its markers with it.
	Dialect kube.Dialect
	// Workload is set for a kind of workload: its objects stand behind the
	// gangs of their pods.
	Workload *workload.Kind
	// CountField is the path of the count in the object, and Fixed says that it
	// cannot be changed.
	CountField []string
	Fixed      bool

	// read reads an object as it came from the API server, where any field may
	// hold anything, into what all kinds have in common.
	read func(o *Object, u *unstructured.Unstructured)
	// makeStatus is what to merge into the object's status so that it says how
	// far the gang has come, by field; nil for nothing. Lists replace those that
	// are there.
	makeStatus func(p *Progress, verdict map[string]metav1.Condition, now time.Time) map[string]any
}

func (k *Kind) isNamed(apiVersion, name string) bool {
	return k.GroupVersion().String() == apiVersion && k.Name == name
}

// HasObject reports whether an object is of the kind.
func (k *Kind) HasObject(u *unstructured.Unstructured) bool {
	return k.isNamed(u.GetAPIVersion(), u.GetKind())
}

// HasStatus reports whether its objects have a status for gangs.
func (k *Kind) HasStatus() bool { return k.makeStatus != nil }

// HowToServe returns what makes the API server serve the kind, as an order.
func (k *Kind) HowToServe() string {
	switch k {
	case NativeGroups:
		return "turn on its feature gate GenericWorkload and that API"
	case CompositeGroups:
		return "turn on its feature gate CompositePodGroup and that API"
	}
	return "install them"
}

// Progress is how far the gang of an object has come.
type Progress struct {
	Object *Object
	// MinCount is the number of members that must start together, at least 1.
	MinCount int
	// Members counts those that are alive, Bound those of them with a node and
	// Running those that run. Succeeded and Failed count those that have ended.
	Members, Bound, Running, Succeeded, Failed int
	// Owners are the names of the members' controllers, in order.
	Owners []string
}

// Status returns what to merge into the object's status, by field, nil for
// nothing. verdict is what the scheduler said of the gang, by type of condition.
func (p *Progress) Status(verdict map[string]metav1.Condition, now time.Time) map[string]any {
	if !p.Object.Kind.HasStatus() {
		return nil
	}
	return p.Object.Kind.makeStatus(p, verdict, now)
}
