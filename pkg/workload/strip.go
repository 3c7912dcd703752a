// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// StripPodSpecs takes out of a workload what Read does not look at and what can be
// large or secret: the specifications of its pods above all.
func StripPodSpecs(u *unstructured.Unstructured) {
	u.SetManagedFields(nil)
	annotations := u.GetAnnotations()
	if _, ok := annotations["kubectl.kubernetes.io/last-applied-configuration"]; ok {
		delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
		u.SetAnnotations(annotations)
	}
	stripValue(u.Object)
}

func stripValue(value any) {
	switch v := value.(type) {
	case map[string]any:
		if _, isPodSpec := v["containers"].([]any); isPodSpec {
			clear(v)
			return
		}
		delete(v, "volumeClaimTemplates")
		for _, field := range v {
			stripValue(field)
		}
	case []any:
		for _, item := range v {
			stripValue(item)
		}
	}
}
