// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manifest reads what a user is about to apply and makes the pods that
// the API server and the controllers would make of it: from Pods, Jobs,
// StatefulSets, JobSets, LeaderWorkerSets and Kubeflow's jobs, with the defaults
// of the API. It looks at no cluster: what admission would add there, such as a
// priority or a limit range, is not known to it.
package manifest

import (
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	resourcehelper "k8s.io/component-helpers/resource"
	apiscorev1 "k8s.io/kubernetes/pkg/apis/core/v1"
	corev1helper "k8s.io/kubernetes/pkg/apis/core/v1/helper"
	"sigs.k8s.io/json"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/snapshot"
)

// Manifest is what a user is about to apply.
type Manifest struct {
	// Pods are in the order of the file, those of a workload in rank order.
	Pods []*v1.Pod
	// Groups are group objects, and the workloads that may stand behind gangs.
	Groups []*unstructured.Unstructured
	// Skipped names the objects of which it is not known what pods they make,
	// if any, such as "Service train".
	Skipped []string
	// Notes are what the user should know of what was read.
	Notes []string
}

// MaxPods bounds what one file may ask for, as a typing error soon does.
const MaxPods = 100_000

// Parse reads YAML or JSON with any number of objects. Objects without a
// namespace are in the given one.
func Parse(text []byte, namespace string) (*Manifest, error) {
	m := &Manifest{}
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
	u := &unstructured.Unstructured{}
	if err := decodeStrict(object, &u.Object); err != nil {
		return err
	}
	u.SetAPIVersion(kind.APIVersion) // items of a typed list do not say
	u.SetKind(kind.Kind)
	expand := expanders[kind.APIVersion+" "+kind.Kind]
	if expand == nil && (!dialect.IsGroup(kind.APIVersion, kind.Kind) || dialect.IsWorkload(kind.APIVersion, kind.Kind)) {
		m.skipObject(u)
		return nil
	}
	if kind.APIVersion == schedulingapi.SchemeGroupVersion.String() {
		if err := decodeStrict(object, &schedulingapi.PodGroup{}); err != nil {
			return err
		}
	}
	setIdentity(u, namespace)
	if expand != nil {
		if err := m.addPodSets(u, expand); err != nil {
			return err
		}
	}
	m.Groups = append(m.Groups, snapshot.StripGroup(u))
	return nil
}

// skipObject passes over an object that creates no pods, or not in a known way.
func (m *Manifest) skipObject(u *unstructured.Unstructured) {
	name := u.GetKind() + " " + u.GetName()
	m.Skipped = append(m.Skipped, name)
	if !podless[u.GetKind()] {
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
