// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

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

// strippedFields are fields outside the specifications of pods.
var strippedFields = []string{
	"volumeClaimTemplates", "rayStartParams", "redisPassword", "runtimeEnvYAML", "entrypoint",
	"env", "envFrom", "envVars", "envSecretKeyRefs", "hadoopConf", "arguments", "javaOptions", "sidecars", "initContainers", "volumes",
}

func stripValue(value any) {
	switch v := value.(type) {
	case map[string]any:
		if _, isPodSpec := v["containers"].([]any); isPodSpec {
			clear(v)
			return
		}
		for _, field := range strippedFields {
			delete(v, field)
		}
		maps.DeleteFunc(v, func(key string, _ any) bool {
			return strings.HasPrefix(key, "spark.") && !slices.Contains(sparkKeys, key)
		})
		for _, field := range v {
			stripValue(field)
		}
	case []any:
		for _, item := range v {
			stripValue(item)
		}
	}
}
