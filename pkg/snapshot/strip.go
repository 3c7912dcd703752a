// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// StripPod returns a copy of a pod with the fields that decide where it goes, or
// that name it, and nothing else: no environment, command, image, probe,
// volume source but the kinds that bind a pod to nodes, service account or
// status message. Of its annotations only those of schedulers and workload
// controllers stay. One that has ended goes nowhere.
func StripPod(pod *v1.Pod) *v1.Pod {
	if kube.MemberStateOf(pod).HasEnded() {
		return stripEnded(pod)
	}
	spec := &pod.Spec
	return &v1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: stripMeta(&pod.ObjectMeta),
		Spec: v1.PodSpec{
			NodeName: spec.NodeName, SchedulerName: spec.SchedulerName, SchedulingGroup: spec.SchedulingGroup,
			NodeSelector: spec.NodeSelector, Affinity: spec.Affinity, Tolerations: spec.Tolerations,
			TopologySpreadConstraints: spec.TopologySpreadConstraints, SchedulingGates: spec.SchedulingGates,
			Priority: spec.Priority, PriorityClassName: spec.PriorityClassName, PreemptionPolicy: spec.PreemptionPolicy,
			Resources: spec.Resources, ResourceClaims: spec.ResourceClaims, Overhead: spec.Overhead,
			HostNetwork: spec.HostNetwork, OS: spec.OS,
			InitContainers: stripContainers(spec.InitContainers), Containers: stripContainers(spec.Containers),
			Volumes: stripVolumes(spec.Volumes),
		},
		Status: v1.PodStatus{
			Phase: pod.Status.Phase, StartTime: pod.Status.StartTime,
			NominatedNodeName: pod.Status.NominatedNodeName, Conditions: stripPodConditions(pod.Status.Conditions),
			ResourceClaimStatuses: pod.Status.ResourceClaimStatuses,
			InitContainerStatuses: stripStatuses(spec.InitContainers, pod.Status.InitContainerStatuses),
			ContainerStatuses:     stripStatuses(spec.Containers, pod.Status.ContainerStatuses),
			AllocatedResources:    pod.Status.AllocatedResources, Resources: pod.Status.Resources,
		},
	}
}

// stripContainers keeps requests, which decide where a pod fits, and host
// ports, which exclude one another on a node.
func stripContainers(containers []v1.Container) []v1.Container {
	var kept []v1.Container
	for i := range containers {
		c := v1.Container{
			Name: containers[i].Name, Resources: containers[i].Resources, RestartPolicy: containers[i].RestartPolicy,
		}
		for _, port := range containers[i].Ports {
			if port.HostPort > 0 {
				c.Ports = append(c.Ports, port)
			}
		}
		kept = append(kept, c)
	}
	return kept
}

// stripStatuses keeps what containers have of their node, where that is something else
// than they ask for: they are being resized.
func stripStatuses(containers []v1.Container, statuses []v1.ContainerStatus) []v1.ContainerStatus {
	var kept []v1.ContainerStatus
	for i := range statuses {
		status := &statuses[i]
		at := slices.IndexFunc(containers, func(c v1.Container) bool { return c.Name == status.Name })
		if at < 0 {
			continue
		}
		asked := containers[at].Resources.Requests
		resized := v1.ContainerStatus{Name: status.Name, AllocatedResources: status.AllocatedResources}
		if status.Resources != nil && status.Resources.Requests != nil {
			resized.Resources = &v1.ResourceRequirements{Requests: status.Resources.Requests}
		}
		if status.AllocatedResources != nil && !equality.Semantic.DeepEqual(asked, status.AllocatedResources) ||
			resized.Resources != nil && !equality.Semantic.DeepEqual(asked, resized.Resources.Requests) {
			kept = append(kept, resized)
		}
	}
	return kept
}

// stripVolumes keeps the volumes that can hold a pod to some nodes.
func stripVolumes(volumes []v1.Volume) []v1.Volume {
	var kept []v1.Volume
	for i := range volumes {
		v := &volumes[i]
		switch {
		case v.PersistentVolumeClaim != nil:
			kept = append(kept, v1.Volume{Name: v.Name, VolumeSource: v1.VolumeSource{PersistentVolumeClaim: v.PersistentVolumeClaim}})
		case v.Ephemeral != nil:
			kept = append(kept, v1.Volume{Name: v.Name, VolumeSource: v1.VolumeSource{Ephemeral: &v1.EphemeralVolumeSource{}}})
		case v.CSI != nil:
			kept = append(kept, v1.Volume{Name: v.Name, VolumeSource: v1.VolumeSource{CSI: &v1.CSIVolumeSource{Driver: v.CSI.Driver}}})
		}
	}
	return kept
}

// stripPodConditions keeps the conditions that say when a pod was scheduled, and that
// it cannot be resized.
func stripPodConditions(conditions []v1.PodCondition) []v1.PodCondition {
	var kept []v1.PodCondition
	for _, c := range conditions {
		if c.Type == v1.PodScheduled || c.Type == v1.PodResizePending {
			kept = append(kept, v1.PodCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, LastTransitionTime: c.LastTransitionTime})
		}
	}
	return kept
}

// StripNode returns a copy of a node without addresses, images, annotations
// and provider's identity.
func StripNode(node *v1.Node) *v1.Node {
	kept := &v1.Node{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: stripMeta(&node.ObjectMeta),
		Spec:       v1.NodeSpec{Unschedulable: node.Spec.Unschedulable, Taints: node.Spec.Taints},
		Status:     v1.NodeStatus{Capacity: node.Status.Capacity, Allocatable: node.Status.Allocatable},
	}
	for _, c := range node.Status.Conditions {
		if c.Type == v1.NodeReady {
			kept.Status.Conditions = []v1.NodeCondition{{Type: c.Type, Status: c.Status, Reason: c.Reason, LastTransitionTime: c.LastTransitionTime}}
		}
	}
	return kept
}

// StripGroup returns a copy of a group object without what the API server notes
// about its writers, and without the annotations of others.
func StripGroup(u *unstructured.Unstructured) *unstructured.Unstructured {
	kept := u.DeepCopy()
	kept.SetManagedFields(nil)
	if dialect.IsWorkload(u.GetAPIVersion(), u.GetKind()) {
		workload.StripPodSpecs(kept)
	}
	if annotations := stripAnnotations(u.GetAnnotations()); len(annotations) > 0 {
		kept.SetAnnotations(annotations)
	} else {
		unstructured.RemoveNestedField(kept.Object, "metadata", "annotations")
	}
	return kept
}

// stripMeta keeps names, labels and owners, by which pods belong to gangs, and
// of the annotations those of schedulers.
func stripMeta(meta *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: meta.Name, Namespace: meta.Namespace, UID: meta.UID, Generation: meta.Generation,
		CreationTimestamp: meta.CreationTimestamp, DeletionTimestamp: meta.DeletionTimestamp,
		Labels: meta.Labels, Annotations: stripAnnotations(meta.Annotations), OwnerReferences: meta.OwnerReferences,
	}
}

// keptDomains end the keys of the annotations that schedulers and workload
// controllers read and write.
var keptDomains = []string{
	"muster.sh", "scheduling.k8s.io", "scheduling.x-k8s.io", "scheduling.volcano.sh", "volcano.sh", "scheduling.run.ai",
	"kai.scheduler", "scheduling.koordinator.sh", "kueue.x-k8s.io", "jobset.sigs.k8s.io", "leaderworkerset.sigs.k8s.io",
	"batch.kubernetes.io", "training.kubeflow.org", "ray.io", "grove.io",
}

// keptKeys are those of them that have no domain, KAI's name of a pod's gang, and
// what says how the GPUs of a node are shared.
var keptKeys = []string{"pod-group-name", gpu.HAMiAnnotation}

// stripAnnotations keeps the annotations of schedulers and workload
// controllers. It lists what stays and not what goes: an unknown annotation may
// hold anything.
func stripAnnotations(annotations map[string]string) map[string]string {
	var kept map[string]string
	for key, value := range annotations {
		if !isKeptAnnotation(key) {
			continue
		}
		if kept == nil {
			kept = map[string]string{}
		}
		kept[key] = value
	}
	return kept
}

// isKeptAnnotation reports whether a key belongs to one of those domains.
func isKeptAnnotation(key string) bool {
	domain, _, qualified := strings.Cut(key, "/")
	return slices.Contains(keptKeys, key) || qualified && slices.ContainsFunc(keptDomains, func(known string) bool {
		return domain == known || strings.HasSuffix(domain, "."+known)
	})
}
