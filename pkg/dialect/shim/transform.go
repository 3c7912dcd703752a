// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package shim

import v1 "k8s.io/api/core/v1"

// transformPod is called on each pod before anyone else sees it. It may see a
// pod twice.
func (t *Translator) transformPod(obj any) (any, error) {
	if pod, ok := obj.(*v1.Pod); ok {
		dropUnread(pod)
		t.assigner.Assign(pod)
	}
	return obj, nil
}

// dropUnread drops what no part of a scheduler reads, and what can be large.
func dropUnread(pod *v1.Pod) {
	pod.ManagedFields = nil
	for i := range pod.Spec.InitContainers {
		pod.Spec.InitContainers[i].Env, pod.Spec.InitContainers[i].EnvFrom = nil, nil
	}
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].Env, pod.Spec.Containers[i].EnvFrom = nil, nil
	}
	for i := range pod.Spec.EphemeralContainers {
		pod.Spec.EphemeralContainers[i].Env, pod.Spec.EphemeralContainers[i].EnvFrom = nil, nil
	}
}
