// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// podSet is what a controller makes pods from: a template, how many, and what it
// writes on each.
type podSet struct {
	template v1.PodTemplateSpec
	owner    metav1.OwnerReference
	// name is what the pods' names begin with, numbered from first on.
	name         string
	first, count int
	// labels are what the controller adds to each pod, %d being its number.
	labels map[string]string
}

// expander makes the crews of a workload of one kind.
type expander func(m *Manifest, u *unstructured.Unstructured) ([]podSet, error)

// expanders are the kinds of workload whose pods are known, as their
// controllers make them.
var expanders = map[string]expander{
	"batch/v1 Job":                                jobPodSet,
	"apps/v1 StatefulSet":                         statefulSetPodSet,
	"jobset.x-k8s.io/v1alpha2 JobSet":             jobSetPodSets,
	"leaderworkerset.x-k8s.io/v1 LeaderWorkerSet": leaderWorkerSetPodSets,
	"kubeflow.org/v1 PyTorchJob":                  replicaPodSets("pytorchReplicaSpecs"),
	"kubeflow.org/v1 TFJob":                       replicaPodSets("tfReplicaSpecs"),
	"kubeflow.org/v1 XGBoostJob":                  replicaPodSets("xgbReplicaSpecs"),
	"kubeflow.org/v1 PaddleJob":                   replicaPodSets("paddleReplicaSpecs"),
	"kubeflow.org/v1 JAXJob":                      replicaPodSets("jaxReplicaSpecs"),
	"kubeflow.org/v2beta1 MPIJob":                 replicaPodSets("mpiReplicaSpecs"),
}

// addPodSets adds the pods that the controller of a workload makes.
func (m *Manifest) addPodSets(u *unstructured.Unstructured, expand expander) error {
	podSets, err := expand(m, u)
	if err != nil {
		return err
	}
	for i := range podSets {
		if len(m.Pods) > MaxPods {
			break // the caller refuses
		}
		m.addPodSet(&podSets[i], u.GetNamespace())
	}
	return nil
}

func (m *Manifest) addPodSet(c *podSet, namespace string) {
	for i := range min(c.count, MaxPods+1) {
		number := strconv.Itoa(c.first + i)
		pod := &v1.Pod{ObjectMeta: *c.template.ObjectMeta.DeepCopy(), Spec: *c.template.Spec.DeepCopy()}
		pod.Name, pod.Namespace, pod.OwnerReferences = c.name+"-"+number, namespace, []metav1.OwnerReference{c.owner}
		for key, value := range c.labels {
			metav1.SetMetaDataLabel(&pod.ObjectMeta, key, strings.ReplaceAll(value, "%d", number))
		}
		m.addPod(pod, namespace)
	}
}

// jobPodSet: the pods that a Job starts with.
func jobPodSet(m *Manifest, u *unstructured.Unstructured) ([]podSet, error) {
	job := &batchv1.Job{}
	if err := decodeFields(u.Object, job); err != nil {
		return nil, err
	}
	count, err := countOrOne(job.Spec.Parallelism, "spec.parallelism")
	if err != nil {
		return nil, err
	}
	if job.Spec.Completions != nil {
		completions, err := countOrOne(job.Spec.Completions, "spec.completions")
		if err != nil {
			return nil, err
		}
		count = min(count, completions)
	}
	if job.Spec.Suspend != nil && *job.Spec.Suspend {
		m.Notes = append(m.Notes, "Job "+job.Name+" is suspended; planned as if it were resumed")
	}
	return []podSet{{template: job.Spec.Template, owner: controllerRef(u.GetAPIVersion(), u.GetKind(), job.Name, u), name: job.Name, count: count}}, nil
}

// statefulSetPodSet: all pods, in the order of their numbers.
func statefulSetPodSet(m *Manifest, u *unstructured.Unstructured) ([]podSet, error) {
	set := &appsv1.StatefulSet{}
	if err := decodeFields(u.Object, set); err != nil {
		return nil, err
	}
	count, err := countOrOne(set.Spec.Replicas, "spec.replicas")
	if err != nil {
		return nil, err
	}
	if set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement && count > 1 {
		m.Notes = append(m.Notes, "StatefulSet "+set.Name+" creates its pods one by one, so that a gang of them never gets complete: write podManagementPolicy: Parallel; planned as if it were there")
	}
	return []podSet{{template: set.Spec.Template, owner: controllerRef(u.GetAPIVersion(), u.GetKind(), set.Name, u), name: set.Name, count: count}}, nil
}

// countOrOne is a number of pods, 1 when none is given.
func countOrOne(n *int32, field string) (int, error) {
	if n == nil {
		return 1, nil
	}
	if *n < 0 {
		return 0, fmt.Errorf("%s: found %d, want 0 or more", field, *n)
	}
	return int(*n), nil
}

// jobSetPodSets: each replicated job makes Jobs, each of these its pods.
// https://jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2/
func jobSetPodSets(m *Manifest, u *unstructured.Unstructured) ([]podSet, error) {
	if suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend"); suspended {
		m.Notes = append(m.Notes, "JobSet "+u.GetName()+" is suspended; planned as if it were resumed")
	}
	parts, _, err := unstructured.NestedSlice(u.Object, "spec", "replicatedJobs")
	if err != nil {
		return nil, err
	}
	var podSets []podSet
	for i, entry := range parts {
		part, _ := entry.(map[string]any)
		where := fmt.Sprintf("spec.replicatedJobs[%d]", i)
		template, err := readTemplate(part, where, "template", "spec", "template")
		if err != nil {
			return nil, err
		}
		jobs, pods, err := jobCounts(part, where)
		if err != nil {
			return nil, err
		}
		role, _, _ := unstructured.NestedString(part, "name")
		for job := range jobs {
			name := fmt.Sprintf("%s-%s-%d", u.GetName(), role, job)
			podSets = append(podSets, podSet{
				template: *template, name: name, count: pods,
				owner: controllerRef("batch/v1", "Job", name, u),
				labels: map[string]string{
					"jobset.sigs.k8s.io/jobset-name": u.GetName(), "jobset.sigs.k8s.io/jobset-uid": string(u.GetUID()),
					"jobset.sigs.k8s.io/replicatedjob-name": role, "jobset.sigs.k8s.io/job-index": strconv.Itoa(job),
					"batch.kubernetes.io/job-completion-index": "%d",
				},
			})
		}
	}
	return podSets, nil
}

// jobCounts are the Jobs of a replicated job and the pods of each.
func jobCounts(part map[string]any, where string) (jobs, pods int, err error) {
	if jobs, err = readCount(part, where, "replicas"); err != nil {
		return 0, 0, err
	}
	if pods, err = readCount(part, where, "template", "spec", "parallelism"); err != nil {
		return 0, 0, err
	}
	if _, ok, _ := unstructured.NestedFieldNoCopy(part, "template", "spec", "completions"); ok {
		completions, err := readCount(part, where, "template", "spec", "completions")
		if err != nil {
			return 0, 0, err
		}
		pods = min(pods, completions)
	}
	return jobs, pods, nil
}

// leaderWorkerSetPodSets: each group is a leader and its workers.
// https://lws.sigs.k8s.io/docs/reference/labels-annotations-and-environment-variables/
func leaderWorkerSetPodSets(_ *Manifest, u *unstructured.Unstructured) ([]podSet, error) {
	groups, err := readCount(u.Object, "", "spec", "replicas")
	if err != nil {
		return nil, err
	}
	size, err := readCount(u.Object, "", "spec", "leaderWorkerTemplate", "size")
	if err != nil {
		return nil, err
	}
	workers, err := readTemplate(u.Object, "", "spec", "leaderWorkerTemplate", "workerTemplate")
	if err != nil {
		return nil, err
	}
	leader := workers
	if _, ok, _ := unstructured.NestedMap(u.Object, "spec", "leaderWorkerTemplate", "leaderTemplate"); ok {
		if leader, err = readTemplate(u.Object, "", "spec", "leaderWorkerTemplate", "leaderTemplate"); err != nil {
			return nil, err
		}
	}
	var podSets []podSet
	for group := range groups {
		labels := func(worker string) map[string]string {
			return map[string]string{
				"leaderworkerset.sigs.k8s.io/name": u.GetName(), "leaderworkerset.sigs.k8s.io/group-index": strconv.Itoa(group),
				"leaderworkerset.sigs.k8s.io/worker-index": worker,
			}
		}
		name := u.GetName() + "-" + strconv.Itoa(group)
		podSets = append(podSets,
			podSet{template: *leader, name: u.GetName(), first: group, count: min(size, 1), owner: controllerRef("apps/v1", "StatefulSet", u.GetName(), u), labels: labels("0")},
			podSet{template: *workers, name: name, first: 1, count: max(size-1, 0), owner: controllerRef("apps/v1", "StatefulSet", name, u), labels: labels("%d")})
	}
	return podSets, nil
}

// replicaPodSets reads a job of Kubeflow: each replica type makes pods.
// https://www.kubeflow.org/docs/components/trainer/legacy-v1/
func replicaPodSets(field string) expander {
	return func(_ *Manifest, u *unstructured.Unstructured) ([]podSet, error) {
		types, _, err := unstructured.NestedMap(u.Object, "spec", field)
		if err != nil {
			return nil, err
		}
		label := "training.kubeflow.org/replica-type"
		if u.GetKind() == "MPIJob" {
			label = "training.kubeflow.org/job-role"
		}
		var podSets []podSet
		for _, kind := range slices.Sorted(maps.Keys(types)) {
			part, _ := types[kind].(map[string]any)
			where := "spec." + field + "." + kind
			count, err := readCount(part, where, "replicas")
			if err != nil {
				return nil, err
			}
			template, err := readTemplate(part, where, "template")
			if err != nil {
				return nil, err
			}
			role := strings.ToLower(kind)
			podSets = append(podSets, podSet{
				template: *template, name: u.GetName() + "-" + role, count: count,
				owner: controllerRef(u.GetAPIVersion(), u.GetKind(), u.GetName(), u),
				labels: map[string]string{
					label: role, "training.kubeflow.org/job-name": u.GetName(), "training.kubeflow.org/replica-index": "%d",
				},
			})
		}
		return podSets, nil
	}
}

// controllerRef is the controller of a workload's pods: the workload, or what it makes
// first, which shares its made-up UID.
func controllerRef(apiVersion, kind, name string, u *unstructured.Unstructured) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name, UID: u.GetUID(), Controller: new(true)}
}

// readTemplate reads a pod template strictly.
func readTemplate(object map[string]any, where string, path ...string) (*v1.PodTemplateSpec, error) {
	fields, _, err := unstructured.NestedMap(object, path...)
	template := &v1.PodTemplateSpec{}
	if err == nil {
		err = decodeFields(fields, template)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", fieldPath(where, path), err)
	}
	return template, nil
}

// decodeFields reads a part of an object into its type, strictly.
func decodeFields(fields map[string]any, into any) error {
	text, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return decodeStrict(text, into)
}

// readCount reads a number of pods, 1 when none is given.
func readCount(object map[string]any, where string, path ...string) (int, error) {
	value, ok, err := unstructured.NestedFieldNoCopy(object, path...)
	if err == nil && (!ok || value == nil) {
		return 1, nil
	}
	if n, whole := value.(int64); err == nil && whole && n >= 0 && n <= MaxPods {
		return int(n), nil
	}
	return 0, fmt.Errorf("%s: found %v, want a number from 0 to %d", fieldPath(where, path), value, MaxPods)
}

func fieldPath(where string, path []string) string {
	return strings.TrimPrefix(where+"."+strings.Join(path, "."), ".")
}
