// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manifest reads what a user is about to apply and makes the pods that
// the API server and the controllers would make of it: from Pods, Jobs,
// StatefulSets, JobSets, LeaderWorkerSets and Kubeflow's jobs, with the defaults
// of the API. It looks at no cluster, so that
// what admission would add there, such as a priority or a limit range, is not
// known to it.
package manifest

import (
	"errors"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apiscorev1 "k8s.io/kubernetes/pkg/apis/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

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
	err := snapshot.Documents(text, func(kind metav1.TypeMeta, object []byte) error {
		n++
		if err := m.take(kind, object, namespace); err != nil {
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

func (m *Manifest) take(kind metav1.TypeMeta, object []byte, namespace string) error {
	var err error
	switch kind.APIVersion + " " + kind.Kind {
	case "v1 Pod":
		pod := &v1.Pod{}
		if err = strict(object, pod); err == nil {
			m.add(pod, namespace)
		}
		return err
	case "batch/v1 Job":
		job := &batchv1.Job{}
		if err = strict(object, job); err == nil {
			err = m.addJob(job, namespace)
		}
	case "apps/v1 StatefulSet":
		set := &appsv1.StatefulSet{}
		if err = strict(object, set); err == nil {
			err = m.addStatefulSet(set, namespace)
		}
	default:
		expand := expanders[kind.APIVersion+" "+kind.Kind]
		if expand == nil {
			return m.takeOther(kind, object, namespace)
		}
		err = m.addWorkload(expand, object, namespace)
	}
	if err != nil {
		return err
	}
	return m.addGroup(object, namespace)
}

// takeOther reads an object that creates no pods, or not in a known way.
func (m *Manifest) takeOther(kind metav1.TypeMeta, object []byte, namespace string) error {
	if dialect.IsGroup(kind.APIVersion, kind.Kind) && !dialect.IsWorkload(kind.APIVersion, kind.Kind) {
		return m.addGroup(object, namespace)
	}
	var meta metav1.PartialObjectMetadata
	if err := yaml.Unmarshal(object, &meta); err != nil {
		return err
	}
	m.Skipped = append(m.Skipped, kind.Kind+" "+meta.Name)
	if !harmless[kind.Kind] {
		m.Notes = append(m.Notes, kind.Kind+" "+meta.Name+" is not planned: what pods it creates is not known here")
	}
	return nil
}

// addGroup adds a group object.
func (m *Manifest) addGroup(object []byte, namespace string) error {
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(object); err != nil {
		return err
	}
	if u.GetAPIVersion() == schedulingapi.SchemeGroupVersion.String() {
		if err := strict(object, &schedulingapi.PodGroup{}); err != nil {
			return err
		}
	}
	if u.GetNamespace() == "" {
		u.SetNamespace(namespace)
	}
	if u.GetName() == "" && u.GetGenerateName() != "" {
		u.SetName(u.GetGenerateName() + "x")
	}
	u.SetUID(snapshot.HandmadeUID(u.GetNamespace(), u.GetName()))
	m.Groups = append(m.Groups, snapshot.StripGroup(u))
	return nil
}

// strict decodes an object and refuses fields that its kind does not have: the
// API server would drop them, or refuse them too.
func strict(object []byte, into any) error {
	wrong, err := json.UnmarshalStrict(object, into)
	return errors.Join(append(wrong, err)...)
}

// harmless are kinds that often stand in a file and create no pods.
var harmless = map[string]bool{
	"Service": true, "ConfigMap": true, "Secret": true, "ServiceAccount": true, "Namespace": true, "PersistentVolumeClaim": true,
	"Role": true, "RoleBinding": true, "ClusterRole": true, "ClusterRoleBinding": true, "NetworkPolicy": true, "PriorityClass": true,
}

// fill gives an object what the API server would.
func fill(meta *metav1.ObjectMeta, namespace string) {
	if meta.Namespace == "" {
		meta.Namespace = namespace
	}
	if meta.Name == "" && meta.GenerateName != "" {
		meta.Name = meta.GenerateName + "x"
	}
	meta.UID = snapshot.HandmadeUID(meta.Namespace, meta.Name)
}

// add adds a pod as the API server would store it.
func (m *Manifest) add(pod *v1.Pod, namespace string) {
	fill(&pod.ObjectMeta, namespace)
	apiscorev1.SetObjectDefaults_Pod(pod) // above all: requests follow limits
	pod.Status = v1.PodStatus{Phase: v1.PodPending}
	m.Pods = append(m.Pods, snapshot.Strip(pod))
}

// addJob adds the pods that a Job starts with.
func (m *Manifest) addJob(job *batchv1.Job, namespace string) error {
	count, err := countOf(job.Spec.Parallelism, "spec.parallelism")
	if err != nil {
		return err
	}
	if job.Spec.Completions != nil {
		completions, err := countOf(job.Spec.Completions, "spec.completions")
		if err != nil {
			return err
		}
		count = min(count, completions)
	}
	if job.Spec.Suspend != nil && *job.Spec.Suspend {
		m.Notes = append(m.Notes, "Job "+job.Name+" is suspended; planned as if it were resumed")
	}
	fill(&job.ObjectMeta, namespace)
	owner := *metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))
	m.expand(&job.Spec.Template, owner, job.Namespace, count)
	return nil
}

func (m *Manifest) addStatefulSet(set *appsv1.StatefulSet, namespace string) error {
	count, err := countOf(set.Spec.Replicas, "spec.replicas")
	if err != nil {
		return err
	}
	if set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement && count > 1 {
		m.Notes = append(m.Notes, "StatefulSet "+set.Name+" creates its pods one by one, so that a gang of them never gets complete: write podManagementPolicy: Parallel; planned as if it were there")
	}
	fill(&set.ObjectMeta, namespace)
	owner := *metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))
	m.expand(&set.Spec.Template, owner, set.Namespace, count)
	return nil
}

// expand makes the pods of a template.
func (m *Manifest) expand(template *v1.PodTemplateSpec, owner metav1.OwnerReference, namespace string, count int) {
	for i := range min(count, MaxPods+1) {
		pod := &v1.Pod{ObjectMeta: *template.ObjectMeta.DeepCopy(), Spec: *template.Spec.DeepCopy()}
		pod.Name, pod.Namespace = owner.Name+"-"+strconv.Itoa(i), namespace
		pod.OwnerReferences = []metav1.OwnerReference{owner}
		m.add(pod, namespace)
	}
}

// countOf reads a number of pods, 1 when none is given.
func countOf(n *int32, field string) (int, error) {
	if n == nil {
		return 1, nil
	}
	if *n < 0 {
		return 0, fmt.Errorf("%s: found %d, want 0 or more", field, *n)
	}
	return int(*n), nil
}
