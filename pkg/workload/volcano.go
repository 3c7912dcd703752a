// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"strconv"
)

// What Volcano's job controller writes on pods. Source: volcano-sh/apis,
// pkg/apis/batch/v1alpha1/labels.go; volcano-sh/volcano, createJobPod.
const (
	volcanoGroup    = "scheduling.k8s.io/group-name"
	volcanoTask     = "volcano.sh/task-spec"
	volcanoIndex    = "volcano.sh/task-index"
	volcanoJobName  = "volcano.sh/job-name"
	volcanoGroupAPI = "scheduling.volcano.sh/v1beta1"
)

// layOutVolcanoJob makes the pods of each task, and the PodGroup that they name.
// Its name is that of the Job: Volcano's own ends with the UID.
func layOutVolcanoJob(r *reader, l *Layout) {
	spec := map[string]any{}
	least, each := 0, map[string]any{}
	for i, entry := range r.readList("spec.tasks") {
		part := r.readPart(fmt.Sprintf("spec.tasks[%d]", i), entry)
		task, replicas := part.readText("name"), part.readNumber("replicas", 0)
		if task == "" {
			task = "default" + strconv.Itoa(i)
		}
		together := part.readNumber("minAvailable", replicas)
		least, each[task] = least+together, int64(together)
		l.noteTask(r, part, task)
		l.Pods = append(l.Pods, PodSet{
			Template: part.getValue("template"), Where: part.path + ".template", Owner: r.controller(),
			Name: r.name() + "-" + task, Count: replicas, Scheduler: r.readText("spec.schedulerName"),
			Labels:      map[string]string{volcanoJobName: r.name(), volcanoTask: task, volcanoIndex: "%d"},
			Annotations: map[string]string{volcanoGroup: r.name(), volcanoTask: task},
		})
		r.adoptProblem(part)
	}
	if own := r.readNumber("spec.minAvailable", 0); own > 0 {
		least = own
	}
	spec["minMember"], spec["minTaskMember"] = int64(least), each
	for _, field := range []string{"queue", "priorityClassName", "networkTopology"} {
		if value := r.getValue("spec." + field); value != nil {
			spec[field] = value
		}
	}
	l.Objects = append(l.Objects, Object{Fields: r.makeObject(volcanoGroupAPI, "PodGroup", r.name(), spec), From: "spec"})
}

// noteTask tells what of a task is not planned.
func (l *Layout) noteTask(r, part *reader, task string) {
	if part.getValue("dependsOn") != nil {
		l.Notes = append(l.Notes, r.describe()+": Volcano creates the pods of task "+task+" only when those that it depends on run, "+
			"yet its PodGroup counts them: write minAvailable: 0 for that task, and leave it out of spec.minAvailable; planned as if all were created at once")
	}
	if part.getValue("partitionPolicy") != nil {
		l.Notes = append(l.Notes, r.describe()+": partitionPolicy of task "+task+" is not planned")
	}
}
