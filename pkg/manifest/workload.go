// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/muster-scheduler/muster/pkg/workload"
)

// addWorkload adds the pods that the controller of a workload makes, and what it
// creates beside them.
func (m *Manifest) addWorkload(u *unstructured.Unstructured, kind *workload.Kind) error {
	layout, err := kind.LayOut(u, m.findObject)
	if err != nil {
		return err
	}
	m.Notes = append(m.Notes, layout.Notes...)
	for i := range layout.Objects {
		if err := m.addCreated(&layout.Objects[i], u.GetNamespace()); err != nil {
			return err
		}
	}
	templates := map[string]*v1.PodTemplateSpec{} // sets share them
	for i := range layout.Pods {
		set := &layout.Pods[i]
		if len(m.Pods) > MaxPods {
			break // the caller refuses
		}
		if templates[set.Where] == nil {
			if templates[set.Where], err = readTemplate(set); err != nil {
				return err
			}
		}
		m.addPodSet(set, templates[set.Where], u)
	}
	return nil
}

// addCreated adds an object that a workload creates. What is wrong with it is
// wrong in the field of the workload that it comes from.
func (m *Manifest) addCreated(o *workload.Object, namespace string) error {
	u := &unstructured.Unstructured{Object: o.Fields}
	if err := m.addUnstructured(u, namespace); err != nil {
		if path, ok := strings.CutPrefix(err.Error(), "spec."); ok && o.From != "" {
			return fmt.Errorf("%s.%s", o.From, path)
		}
		return fmt.Errorf("its %s: %w", u.GetKind(), err)
	}
	return nil
}

// addPodSet adds the pods of one template of a workload.
func (m *Manifest) addPodSet(set *workload.PodSet, template *v1.PodTemplateSpec, u *unstructured.Unstructured) {
	for i := range min(set.Count, MaxPods+1) {
		number := strconv.Itoa(set.First + i)
		pod := &v1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
		pod.Name, pod.Namespace = set.Name+"-"+number, u.GetNamespace()
		if set.Single {
			pod.Name = set.Name
		}
		// What the workload makes first shares its made-up UID.
		pod.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: set.Owner.APIVersion, Kind: set.Owner.Kind, Name: set.Owner.Name, UID: u.GetUID(), Controller: new(true),
		}}
		for key, value := range set.Labels {
			metav1.SetMetaDataLabel(&pod.ObjectMeta, key, strings.ReplaceAll(value, "%d", number))
		}
		for key, value := range set.Annotations {
			metav1.SetMetaDataAnnotation(&pod.ObjectMeta, key, strings.ReplaceAll(value, "%d", number))
		}
		m.addPod(pod, u.GetNamespace())
	}
}

// readTemplate reads a pod template strictly.
func readTemplate(set *workload.PodSet) (*v1.PodTemplateSpec, error) {
	template := &v1.PodTemplateSpec{}
	text, err := json.Marshal(set.Template)
	if err == nil {
		err = decodeStrict(text, template)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", set.Where, err)
	}
	if template.Spec.SchedulerName == "" {
		template.Spec.SchedulerName = set.Scheduler
	}
	return template, nil
}
