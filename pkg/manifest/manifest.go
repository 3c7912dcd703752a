// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manifest reads what a user is about to apply and makes the pods that
// the API server and the controllers would make of it: from Pods and from the
// workloads that package workload knows, with the defaults of the API. It looks at
// no cluster: what admission would add there, such as a priority or a limit range,
// is not known to it.
package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	resourcehelper "k8s.io/component-helpers/resource"
	apiscorev1 "k8s.io/kubernetes/pkg/apis/core/v1"
	corev1helper "k8s.io/kubernetes/pkg/apis/core/v1/helper"
	"sigs.k8s.io/json"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/dra"
	"github.com/muster-scheduler/muster/pkg/snapshot"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// Manifest is what a user is about to apply.
type Manifest struct {
	// Pods are in the order of the file, those of a workload in rank order.
	Pods []*v1.Pod
	// Groups are group objects, and the workloads that may stand behind gangs.
	Groups []*unstructured.Unstructured
	// Devices are the claims and the templates of claims.
	Devices dra.Objects
	// Skipped names the objects of which it is not known what pods they make,
	// if any, such as "Service train".
	Skipped []string
	// Notes are what the user should know of what was read.
	Notes []string

	// runtimes are what TrainJobs name, find looks for those that are elsewhere.
	runtimes []*unstructured.Unstructured
	find     workload.Finder
}

// MaxPods bounds what one file may ask for, as a typing error soon does.
const MaxPods = 100_000

// Parse reads YAML or JSON with any number of objects. Objects without a
// namespace are in the given one. find looks for what workloads name and the text
// does not have, such as the runtime of a TrainJob; nil where there is nothing.
func Parse(text []byte, namespace string, find workload.Finder) (*Manifest, error) {
	m := &Manifest{find: find}
	if err := m.readRuntimes(text); err != nil {
		return nil, err
	}
	n := 0
	err := snapshot.EachObject(text, func(kind metav1.TypeMeta, object []byte) error {
		n++
		if err := m.addObject(kind, object, namespace); err != nil {
			return fmt.Errorf("object %d, %s: %w", n, kind.Kind, err)
		}
		if len(m.Pods) > MaxPods {
			return fmt.Errorf("object %d, %s: more than %d pods", n, kind.Kind, MaxPods)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// typed are the kinds whose objects are read into their types, so that a field
// which the kind does not have is refused. Of other kinds the templates are.
var typed = map[string]func() any{
	"batch/v1 Job":          func() any { return &batchv1.Job{} },
	"apps/v1 StatefulSet":   func() any { return &appsv1.StatefulSet{} },
	nativeAPI + " PodGroup": func() any { return &schedulingapi.PodGroup{} },
}

var nativeAPI = schedulingapi.SchemeGroupVersion.String()

// addObject adds an object, and the pods that it makes.
func (m *Manifest) addObject(kind metav1.TypeMeta, object []byte, namespace string) error {
	if kind.APIVersion == "v1" && kind.Kind == "Pod" {
		pod := &v1.Pod{}
		err := decodeStrict(object, pod)
		if err == nil {
			m.addPod(pod, namespace)
		}
		return err
	}
	if claims, err := m.addClaims(kind, object, namespace); claims || err != nil {
		return err
	}
	u := &unstructured.Unstructured{}
	if err := decodeStrict(object, &u.Object); err != nil {
		return err
	}
	u.SetAPIVersion(kind.APIVersion) // items of a typed list do not say
	u.SetKind(kind.Kind)
	m.updateNative(u)
	if empty := typed[u.GetAPIVersion()+" "+u.GetKind()]; empty != nil {
		if err := decodeStrict(object, empty()); err != nil {
			return err
		}
	}
	return m.addUnstructured(u, namespace)
}

// addClaims adds a claim or a template of claims, and reports whether it is one.
func (m *Manifest) addClaims(kind metav1.TypeMeta, object []byte, namespace string) (bool, error) {
	var into metav1.Object
	switch {
	case kind.APIVersion != resourceapi.SchemeGroupVersion.String():
		return false, nil
	case kind.Kind == "ResourceClaim":
		claim := &resourceapi.ResourceClaim{}
		m.Devices.Claims, into = append(m.Devices.Claims, claim), claim
	case kind.Kind == "ResourceClaimTemplate":
		template := &resourceapi.ResourceClaimTemplate{}
		m.Devices.Templates, into = append(m.Devices.Templates, template), template
	default:
		return false, nil
	}
	if err := decodeStrict(object, into); err != nil {
		return true, err
	}
	setIdentity(into, namespace)
	setClaimDefaults(into)
	return true, nil
}

// setClaimDefaults sets what the API server would: one device of each request that does
// not say how many.
func setClaimDefaults(object metav1.Object) {
	spec := &resourceapi.ResourceClaimSpec{}
	switch o := object.(type) {
	case *resourceapi.ResourceClaim:
		spec = &o.Spec
		o.Status = resourceapi.ResourceClaimStatus{}
	case *resourceapi.ResourceClaimTemplate:
		spec = &o.Spec.Spec
	}
	setDefaults := func(mode *resourceapi.DeviceAllocationMode, count *int64) {
		if *mode == "" {
			*mode = resourceapi.DeviceAllocationModeExactCount
		}
		if *mode == resourceapi.DeviceAllocationModeExactCount && *count == 0 {
			*count = 1
		}
	}
	for i := range spec.Devices.Requests {
		r := &spec.Devices.Requests[i]
		if r.Exactly != nil {
			setDefaults(&r.Exactly.AllocationMode, &r.Exactly.Count)
		}
		for j := range r.FirstAvailable {
			setDefaults(&r.FirstAvailable[j].AllocationMode, &r.FirstAvailable[j].Count)
		}
	}
}

// updateNative reads a native PodGroup of another version as one of the version
// that Muster reads.
func (m *Manifest) updateNative(u *unstructured.Unstructured) {
	version := u.GetAPIVersion()
	if u.GetKind() != "PodGroup" || !strings.HasPrefix(version, schedulingapi.GroupName+"/") || version == nativeAPI {
		return
	}
	u.SetAPIVersion(nativeAPI)
	m.Notes = append(m.Notes, "PodGroup "+u.GetName()+" is of "+version+"; Muster reads "+nativeAPI+", which Kubernetes serves since 1.37: write that; planned as if it were there")
}

// addUnstructured adds an object, and the pods that it makes.
func (m *Manifest) addUnstructured(u *unstructured.Unstructured, namespace string) error {
	kind := workload.Find(u.GetAPIVersion(), u.GetKind())
	if kind != nil && !slices.Contains(kind.Versions, u.GroupVersionKind().Version) {
		kind = nil
	}
	planned := kind != nil && kind.IsPlanned()
	group := dialect.IsGroup(u.GetAPIVersion(), u.GetKind())
	if !planned && (!group || dialect.IsWorkload(u.GetAPIVersion(), u.GetKind())) {
		m.skipObject(u, kind)
		return nil
	}
	setIdentity(u, namespace)
	if planned {
		if err := m.addWorkload(u, kind); err != nil {
			return err
		}
	}
	if group {
		m.Groups = append(m.Groups, snapshot.StripGroup(u))
	}
	return nil
}

// skipObject passes over an object that creates no pods, or not in a known way.
func (m *Manifest) skipObject(u *unstructured.Unstructured, kind *workload.Kind) {
	name := u.GetKind() + " " + u.GetName()
	m.Skipped = append(m.Skipped, name)
	switch {
	case kind != nil:
		m.Notes = append(m.Notes, name+" is not planned: a "+kind.Name+" is a workload "+kind.Advice)
	case !podless[u.GetKind()]:
		m.Notes = append(m.Notes, name+" is not planned: what pods it creates is not known here")
	}
}

// decodeStrict decodes an object and refuses fields that its kind does not have: the
// API server would drop them, or refuse them too.
func decodeStrict(object []byte, into any) error {
	wrong, err := json.UnmarshalStrict(object, into)
	return errors.Join(append(wrong, err)...)
}

// podless are kinds that often stand in a file and create no pods.
var podless = map[string]bool{
	"Service": true, "ConfigMap": true, "Secret": true, "ServiceAccount": true, "Namespace": true, "PersistentVolumeClaim": true,
	"ClusterTrainingRuntime": true, "TrainingRuntime": true,
	"Role": true, "RoleBinding": true, "ClusterRole": true, "ClusterRoleBinding": true, "NetworkPolicy": true, "PriorityClass": true,
}

// setIdentity gives an object what the API server would.
func setIdentity(object metav1.Object, namespace string) {
	if object.GetNamespace() == "" {
		object.SetNamespace(namespace)
	}
	if object.GetName() == "" && object.GetGenerateName() != "" {
		object.SetName(object.GetGenerateName() + "x")
	}
	object.SetUID(snapshot.SyntheticUID(object.GetNamespace(), object.GetName()))
}

// addPod adds a pod as the API server would store it.
func (m *Manifest) addPod(pod *v1.Pod, namespace string) {
	setIdentity(pod, namespace)
	apiscorev1.SetObjectDefaults_Pod(pod) // above all: requests follow limits
	setPodLevelRequests(pod)
	pod.Status = v1.PodStatus{Phase: v1.PodPending}
	m.Pods = append(m.Pods, snapshot.StripPod(pod))
}

// setPodLevelRequests gives a pod with limits of its own the requests that follow
// from them. The API server does so when it stores a pod, not when it decodes one:
// a request that is not written is the sum of the containers' where they have one
// and may use more, and else the limit.
func setPodLevelRequests(pod *v1.Pod) {
	whole := pod.Spec.Resources
	if whole == nil {
		return
	}
	sums := resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{})
	for name, request := range whole.Limits {
		if _, written := whole.Requests[name]; written || !resourcehelper.IsSupportedPodLevelResource(name) {
			continue
		}
		if sum, ok := sums[name]; ok && corev1helper.IsOvercommitAllowed(name) {
			request = sum
		}
		if whole.Requests == nil {
			whole.Requests = v1.ResourceList{}
		}
		whole.Requests[name] = request
	}
}
