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

// crew is what a controller makes pods from: a template, how many, and what it
// writes on each.
type crew struct {
	template v1.PodTemplateSpec
	owner    metav1.OwnerReference
	// name is what the pods' names begin with, numbered from first on.
	name         string
	first, count int
	// labels are what the controller adds to each pod, %d being its number.
	labels map[string]string
}

// expander makes the crews of a workload of one kind.
type expander func(m *Manifest, u *unstructured.Unstructured) ([]crew, error)

// expanders are the kinds of workload whose pods are known, as their
// controllers make them.
var expanders = map[string]expander{
	"batch/v1 Job":                                jobCrew,
	"apps/v1 StatefulSet":                         statefulSetCrew,
	"jobset.x-k8s.io/v1alpha2 JobSet":             jobSetCrews,
	"leaderworkerset.x-k8s.io/v1 LeaderWorkerSet": leaderWorkerSetCrews,
	"kubeflow.org/v1 PyTorchJob":                  replicaCrews("pytorchReplicaSpecs"),
	"kubeflow.org/v1 TFJob":                       replicaCrews("tfReplicaSpecs"),
	"kubeflow.org/v1 XGBoostJob":                  replicaCrews("xgbReplicaSpecs"),
	"kubeflow.org/v1 PaddleJob":                   replicaCrews("paddleReplicaSpecs"),
	"kubeflow.org/v1 JAXJob":                      replicaCrews("jaxReplicaSpecs"),
	"kubeflow.org/v2beta1 MPIJob":                 replicaCrews("mpiReplicaSpecs"),
}

// addCrews adds the pods that the controller of a workload makes.
func (m *Manifest) addCrews(u *unstructured.Unstructured, expand expander) error {
	crews, err := expand(m, u)
	if err != nil {
		return err
	}
	for i := range crews {
		if len(m.Pods) > MaxPods {
			break // the caller refuses
		}
		m.addCrew(&crews[i], u.GetNamespace())
	}
	return nil
}

func (m *Manifest) addCrew(c *crew, namespace string) {
	for i := range min(c.count, MaxPods+1) {
		number := strconv.Itoa(c.first + i)
		pod := &v1.Pod{ObjectMeta: *c.template.ObjectMeta.DeepCopy(), Spec: *c.template.Spec.DeepCopy()}
		pod.Name, pod.Namespace, pod.OwnerReferences = c.name+"-"+number, namespace, []metav1.OwnerReference{c.owner}
		for key, value := range c.labels {
			metav1.SetMetaDataLabel(&pod.ObjectMeta, key, strings.ReplaceAll(value, "%d", number))
		}
		m.add(pod, namespace)
	}
}

// jobCrew: the pods that a Job starts with.
func jobCrew(m *Manifest, u *unstructured.Unstructured) ([]crew, error) {
	job := &batchv1.Job{}
	if err := decode(u.Object, job); err != nil {
		return nil, err
	}
	count, err := countOf(job.Spec.Parallelism, "spec.parallelism")
	if err != nil {
		return nil, err
	}
	if job.Spec.Completions != nil {
		completions, err := countOf(job.Spec.Completions, "spec.completions")
		if err != nil {
			return nil, err
		}
		count = min(count, completions)
	}
	if job.Spec.Suspend != nil && *job.Spec.Suspend {
		m.Notes = append(m.Notes, "Job "+job.Name+" is suspended; planned as if it were resumed")
	}
	return []crew{{template: job.Spec.Template, owner: ownedBy(u.GetAPIVersion(), u.GetKind(), job.Name, u), name: job.Name, count: count}}, nil
}

// statefulSetCrew: all pods, in the order of their numbers.
func statefulSetCrew(m *Manifest, u *unstructured.Unstructured) ([]crew, error) {
	set := &appsv1.StatefulSet{}
	if err := decode(u.Object, set); err != nil {
		return nil, err
	}
	count, err := countOf(set.Spec.Replicas, "spec.replicas")
	if err != nil {
		return nil, err
	}
	if set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement && count > 1 {
		m.Notes = append(m.Notes, "StatefulSet "+set.Name+" creates its pods one by one, so that a gang of them never gets complete: write podManagementPolicy: Parallel; planned as if it were there")
	}
	return []crew{{template: set.Spec.Template, owner: ownedBy(u.GetAPIVersion(), u.GetKind(), set.Name, u), name: set.Name, count: count}}, nil
}

// countOf is a number of pods, 1 when none is given.
func countOf(n *int32, field string) (int, error) {
	if n == nil {
		return 1, nil
	}
	if *n < 0 {
		return 0, fmt.Errorf("%s: found %d, want 0 or more", field, *n)
	}
	return int(*n), nil
}

// jobSetCrews: each replicated job makes Jobs, each of these its pods.
// https://jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2/
func jobSetCrews(m *Manifest, u *unstructured.Unstructured) ([]crew, error) {
	if suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend"); suspended {
		m.Notes = append(m.Notes, "JobSet "+u.GetName()+" is suspended; planned as if it were resumed")
	}
	parts, _, err := unstructured.NestedSlice(u.Object, "spec", "replicatedJobs")
	if err != nil {
		return nil, err
	}
	var crews []crew
	for i, entry := range parts {
		part, _ := entry.(map[string]any)
		where := fmt.Sprintf("spec.replicatedJobs[%d]", i)
		template, err := templateIn(part, where, "template", "spec", "template")
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
			crews = append(crews, crew{
				template: *template, name: name, count: pods,
				owner: ownedBy("batch/v1", "Job", name, u),
				labels: map[string]string{
					"jobset.sigs.k8s.io/jobset-name": u.GetName(), "jobset.sigs.k8s.io/jobset-uid": string(u.GetUID()),
					"jobset.sigs.k8s.io/replicatedjob-name": role, "jobset.sigs.k8s.io/job-index": strconv.Itoa(job),
					"batch.kubernetes.io/job-completion-index": "%d",
				},
			})
		}
	}
	return crews, nil
}

// jobCounts are the Jobs of a replicated job and the pods of each.
func jobCounts(part map[string]any, where string) (jobs, pods int, err error) {
	if jobs, err = countIn(part, where, "replicas"); err != nil {
		return 0, 0, err
	}
	if pods, err = countIn(part, where, "template", "spec", "parallelism"); err != nil {
		return 0, 0, err
	}
	if _, ok, _ := unstructured.NestedFieldNoCopy(part, "template", "spec", "completions"); ok {
		completions, err := countIn(part, where, "template", "spec", "completions")
		if err != nil {
			return 0, 0, err
		}
		pods = min(pods, completions)
	}
	return jobs, pods, nil
}

// leaderWorkerSetCrews: each group is a leader and its workers.
// https://lws.sigs.k8s.io/docs/reference/labels-annotations-and-environment-variables/
func leaderWorkerSetCrews(_ *Manifest, u *unstructured.Unstructured) ([]crew, error) {
	groups, err := countIn(u.Object, "", "spec", "replicas")
	if err != nil {
		return nil, err
	}
	size, err := countIn(u.Object, "", "spec", "leaderWorkerTemplate", "size")
	if err != nil {
		return nil, err
	}
	workers, err := templateIn(u.Object, "", "spec", "leaderWorkerTemplate", "workerTemplate")
	if err != nil {
		return nil, err
	}
	leader := workers
	if _, ok, _ := unstructured.NestedMap(u.Object, "spec", "leaderWorkerTemplate", "leaderTemplate"); ok {
		if leader, err = templateIn(u.Object, "", "spec", "leaderWorkerTemplate", "leaderTemplate"); err != nil {
			return nil, err
		}
	}
	var crews []crew
	for group := range groups {
		labels := func(worker string) map[string]string {
			return map[string]string{
				"leaderworkerset.sigs.k8s.io/name": u.GetName(), "leaderworkerset.sigs.k8s.io/group-index": strconv.Itoa(group),
				"leaderworkerset.sigs.k8s.io/worker-index": worker,
			}
		}
		name := u.GetName() + "-" + strconv.Itoa(group)
		crews = append(crews,
			crew{template: *leader, name: u.GetName(), first: group, count: min(size, 1), owner: ownedBy("apps/v1", "StatefulSet", u.GetName(), u), labels: labels("0")},
			crew{template: *workers, name: name, first: 1, count: max(size-1, 0), owner: ownedBy("apps/v1", "StatefulSet", name, u), labels: labels("%d")})
	}
	return crews, nil
}

// replicaCrews reads a job of Kubeflow: each replica type makes pods.
// https://www.kubeflow.org/docs/components/trainer/legacy-v1/
func replicaCrews(field string) expander {
	return func(_ *Manifest, u *unstructured.Unstructured) ([]crew, error) {
		types, _, err := unstructured.NestedMap(u.Object, "spec", field)
		if err != nil {
			return nil, err
		}
		label := "training.kubeflow.org/replica-type"
		if u.GetKind() == "MPIJob" {
			label = "training.kubeflow.org/job-role"
		}
		var crews []crew
		for _, kind := range slices.Sorted(maps.Keys(types)) {
			part, _ := types[kind].(map[string]any)
			where := "spec." + field + "." + kind
			count, err := countIn(part, where, "replicas")
			if err != nil {
				return nil, err
			}
			template, err := templateIn(part, where, "template")
			if err != nil {
				return nil, err
			}
			role := strings.ToLower(kind)
			crews = append(crews, crew{
				template: *template, name: u.GetName() + "-" + role, count: count,
				owner: ownedBy(u.GetAPIVersion(), u.GetKind(), u.GetName(), u),
				labels: map[string]string{
					label: role, "training.kubeflow.org/job-name": u.GetName(), "training.kubeflow.org/replica-index": "%d",
				},
			})
		}
		return crews, nil
	}
}

// ownedBy is the controller of a workload's pods: the workload, or what it makes
// first, which shares its made-up UID.
func ownedBy(apiVersion, kind, name string, u *unstructured.Unstructured) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name, UID: u.GetUID(), Controller: new(true)}
}

// templateIn reads a pod template strictly.
func templateIn(object map[string]any, where string, path ...string) (*v1.PodTemplateSpec, error) {
	fields, _, err := unstructured.NestedMap(object, path...)
	template := &v1.PodTemplateSpec{}
	if err == nil {
		err = decode(fields, template)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at(where, path), err)
	}
	return template, nil
}

// decode reads a part of an object into its type, strictly.
func decode(fields map[string]any, into any) error {
	text, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	return strict(text, into)
}

// countIn reads a number of pods, 1 when none is given.
func countIn(object map[string]any, where string, path ...string) (int, error) {
	value, ok, err := unstructured.NestedFieldNoCopy(object, path...)
	if err == nil && (!ok || value == nil) {
		return 1, nil
	}
	if n, whole := value.(int64); err == nil && whole && n >= 0 && n <= MaxPods {
		return int(n), nil
	}
	return 0, fmt.Errorf("%s: found %v, want a number from 0 to %d", at(where, path), value, MaxPods)
}

func at(where string, path []string) string {
	return strings.TrimPrefix(where+"."+strings.Join(path, "."), ".")
}
