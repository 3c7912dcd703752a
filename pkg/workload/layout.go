// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Layout is what a new workload brings about.
type Layout struct {
	// Pods are its pods, in rank order.
	Pods []PodSet
	// Objects are what it creates beside or instead of pods: a group object, or a
	// workload that has a row of its own.
	Objects []Object
	// Notes are sentences on what the user should know.
	Notes []string

	find Finder
}

// Finder finds an object that a workload names, nil for none.
type Finder func(apiVersion, kind, namespace, name string) (*unstructured.Unstructured, error)

// Object is an object that a workload creates.
type Object struct {
	Fields map[string]any
	// From is the field of the workload that became the spec of the object, or "".
	From string
}

// PodSet is a number of pods of one template.
type PodSet struct {
	// Template is the template's fields, and Where its path in the workload.
	Template any
	Where    string
	// Owner is the controller of the pods.
	Owner Owner
	// Name begins their names, which are numbered from First on; Single says that
	// the only one has no number.
	Name   string
	Single bool
	First  int
	Count  int
	// Scheduler is that of pods whose template names none.
	Scheduler string
	// Labels and Annotations are what the controller adds to each pod, %d being
	// its number.
	Labels, Annotations map[string]string
}

// Owner names a controller.
type Owner struct{ APIVersion, Kind, Name string }

// controller is the object of the reader as the controller of pods.
func (r *reader) controller() Owner {
	return Owner{APIVersion: r.readText("apiVersion"), Kind: r.readText("kind"), Name: r.name()}
}

func (r *reader) name() string { return r.readText("metadata.name") }

// describe is how notes call the object of the reader.
func (r *reader) describe() string { return r.readText("kind") + " " + r.name() }

// noteSuspended tells that a workload which waits to be resumed is planned all
// the same.
func (l *Layout) noteSuspended(r *reader, field string) {
	if r.readFlag(field) {
		l.Notes = append(l.Notes, r.describe()+" is suspended; planned as if it were resumed")
	}
}

// makeObject is an object that the workload of a reader creates, with what
// others read of its metadata.
func (r *reader) makeObject(apiVersion, kind, name string, spec any) map[string]any {
	meta := map[string]any{"name": name, "namespace": r.readText("metadata.namespace")}
	for _, field := range []string{"annotations", "labels"} {
		if values := r.readObject("metadata." + field); len(values) > 0 {
			meta[field] = maps.Clone(values)
		}
	}
	return map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": meta, "spec": spec}
}

// layOutJob makes the pods that a Job starts with.
func layOutJob(r *reader, l *Layout) {
	l.noteSuspended(r, "spec.suspend")
	pods, _ := initialPods(r, "spec")
	l.Pods = append(l.Pods, PodSet{Template: r.getValue("spec.template"), Where: "spec.template", Owner: r.controller(), Name: r.name(), Count: pods})
}

// layOutStatefulSet makes all pods, in the order of their numbers.
func layOutStatefulSet(r *reader, l *Layout) {
	count := r.readNumber("spec.replicas", 1)
	if r.readText("spec.podManagementPolicy") != parallelPods && count > 1 {
		l.Notes = append(l.Notes, r.describe()+" creates its pods one by one, so that a gang of them never gets complete: write podManagementPolicy: Parallel; planned as if it were there")
	}
	l.Pods = append(l.Pods, PodSet{Template: r.getValue("spec.template"), Where: "spec.template", Owner: r.controller(), Name: r.name(), Count: count})
}

// layOutJobSet makes the pods of each Job of each replicated job.
func layOutJobSet(r *reader, l *Layout) {
	l.noteSuspended(r, "spec.suspend")
	for i, entry := range r.readList("spec.replicatedJobs") {
		part := r.readPart(fmt.Sprintf("spec.replicatedJobs[%d]", i), entry)
		pods, _ := initialPods(part, "template.spec")
		jobs := part.readNumber("replicas", 1)
		part.multiplyPods("replicas", jobs, pods)
		if r.adoptProblem(part); r.problem != "" {
			return
		}
		role := part.readText("name")
		for index := range jobs {
			job := r.name() + "-" + role + "-" + strconv.Itoa(index)
			l.Pods = append(l.Pods, PodSet{
				Template: part.getValue("template.spec.template"), Where: part.path + ".template.spec.template",
				Owner: Owner{"batch/v1", "Job", job}, Name: job, Count: pods,
				Labels: map[string]string{
					labelJobSet: r.name(), labelJobSetUID: r.readText("metadata.uid"), labelReplicatedJob: role, labelJobIndex: strconv.Itoa(index),
					"batch.kubernetes.io/job-completion-index": "%d",
				},
			})
		}
	}
}

// layOutLeaderWorkerSet makes the leader and the workers of each group.
func layOutLeaderWorkerSet(r *reader, l *Layout) {
	const template = "spec.leaderWorkerTemplate."
	groups, size := r.readNumber("spec.replicas", 1), r.readNumber(template+"size", 1)
	if r.multiplyPods("spec.replicas", groups, size); r.problem != "" {
		return
	}
	workers, leader := template+"workerTemplate", template+"leaderTemplate"
	if r.getValue(leader) == nil {
		leader = workers
	}
	for group := range groups {
		labels := func(index string) map[string]string {
			return map[string]string{labelLWS: r.name(), labelLWSGroup: strconv.Itoa(group), labelLWSWorker: index}
		}
		name := r.name() + "-" + strconv.Itoa(group)
		l.Pods = append(l.Pods,
			PodSet{
				Template: r.getValue(leader), Where: leader, Owner: Owner{"apps/v1", "StatefulSet", r.name()},
				Name: r.name(), First: group, Count: min(size, 1), Labels: labels("0"),
			},
			PodSet{
				Template: r.getValue(workers), Where: workers, Owner: Owner{"apps/v1", "StatefulSet", name},
				Name: name, First: 1, Count: max(size-1, 0), Labels: labels("%d"),
			})
	}
}

// layOutReplicaSpecs makes the pods of each replica type of a Kubeflow job.
func layOutReplicaSpecs(field string) func(*reader, *Layout) {
	return func(r *reader, l *Layout) {
		shape := Shape{}
		readReplicaSpecs(field)(r, &shape)
		l.noteSuspended(r, "spec.runPolicy.suspend")
		for i, kind := range slices.Sorted(maps.Keys(r.readObject("spec." + field))) {
			role := &shape.Roles[i]
			where := "spec." + field + "." + kind + ".template"
			l.Pods = append(l.Pods, PodSet{
				Template: r.getValue(where), Where: where, Owner: r.controller(), Name: r.name() + "-" + role.Name, Count: role.Replicas,
				Labels: map[string]string{role.Label: role.Value, labelKubeflowJob: r.name(), labelReplicaIndex: "%d"},
			})
		}
	}
}
