// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/muster-scheduler/muster/pkg/snapshot"
)

// readRuntimes reads the runtimes of a text, which may stand behind the TrainJobs
// that name them.
func (m *Manifest) readRuntimes(text []byte) error {
	found, err := ReadRuntimes(text)
	m.runtimes = found
	return err
}

// ReadRuntimes reads the runtimes of Kubeflow Trainer in YAML or JSON with any
// number of objects.
func ReadRuntimes(text []byte) ([]*unstructured.Unstructured, error) {
	if !bytes.Contains(text, []byte("TrainingRuntime")) {
		return nil, nil
	}
	var all []*unstructured.Unstructured
	err := snapshot.EachObject(text, func(kind metav1.TypeMeta, object []byte) error {
		if !strings.HasSuffix(kind.Kind, "TrainingRuntime") {
			return nil
		}
		u := &unstructured.Unstructured{}
		if err := decodeStrict(object, &u.Object); err != nil {
			return err
		}
		u.SetAPIVersion(kind.APIVersion)
		u.SetKind(kind.Kind)
		all = append(all, u)
		return nil
	})
	return all, err
}

// findObject finds an object that a workload names. One without a namespace is in
// that of the workload.
func (m *Manifest) findObject(apiVersion, kind, namespace, name string) (*unstructured.Unstructured, error) {
	if found := FindRuntime(m.runtimes, apiVersion, kind, namespace, name); found != nil || m.find == nil {
		return found, nil
	}
	return m.find(apiVersion, kind, namespace, name)
}

// FindRuntime finds one of the runtimes by its name, nil for none.
func FindRuntime(all []*unstructured.Unstructured, apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	for _, u := range all {
		at := u.GetNamespace()
		if u.GetAPIVersion() == apiVersion && u.GetKind() == kind && u.GetName() == name && (at == "" || namespace == "" || at == namespace) {
			return u
		}
	}
	return nil
}
