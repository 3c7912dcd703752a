// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"maps"

	"k8s.io/apimachinery/pkg/runtime"
)

// What Kubeflow Trainer reads in a runtime. Source: kubeflow/trainer v2.0,
// pkg/constants and pkg/runtime.
const (
	trainerGroup    = "trainer.kubeflow.org"
	labelAncestor   = "trainer.kubeflow.org/trainjob-ancestor-step"
	ancestorTrainer = "trainer"
	trainerNode     = "node"
	labelPodGroup   = "scheduling.x-k8s.io/pod-group"
	podGroupAPI     = "scheduling.x-k8s.io/v1alpha1"
)

// layOutTrainJob makes the JobSet of a TrainJob: the template of its runtime, with
// what the TrainJob says of the nodes.
func layOutTrainJob(r *reader, l *Layout) {
	l.noteSuspended(r, "spec.suspend")
	kind, name := r.readText("spec.runtimeRef.kind"), r.readText("spec.runtimeRef.name")
	namespace := r.readText("metadata.namespace")
	if kind == "" {
		kind = "ClusterTrainingRuntime"
	}
	if kind == "ClusterTrainingRuntime" {
		namespace = ""
	}
	found, err := l.find(trainerGroup+"/v1alpha1", kind, namespace, name)
	switch {
	case err != nil:
		r.recordReason("spec.runtimeRef: " + err.Error())
		return
	case found == nil:
		r.recordReason(fmt.Sprintf("spec.runtimeRef: %s %s says what pods it has, and is not here; add it with -f, or plan against a cluster that has it", kind, quoteValue(name)))
		return
	}
	of := &reader{object: runtime.DeepCopyJSON(found.Object), path: kind + " " + name}
	l.addJobSet(r, of)
	r.adoptProblem(of)
}

// addJobSet adds the JobSet that a TrainJob makes of its runtime, and the PodGroup
// that its pods name where the runtime has a policy for one.
func (l *Layout) addJobSet(r, of *reader) {
	const jobs = "spec.template.spec.replicatedJobs"
	set := r.makeObject("jobset.x-k8s.io/v1alpha2", jobSet.Name, r.name(), of.readObject("spec.template.spec"))
	meta := set["metadata"].(map[string]any)
	for _, field := range []string{"labels", "annotations"} {
		meta[field] = copyFields(of.readObject("spec.template.metadata."+field), r.readObject("spec."+field))
	}
	grouped, members := of.getValue("spec.podGroupPolicy.coscheduling") != nil, 0
	for i, entry := range of.readList(jobs) {
		part := of.readPart(fmt.Sprintf("%s[%d]", jobs, i), entry)
		if template := part.makeChild("template", "spec", "template"); template != nil {
			r.setNodes(of, part)
			r.overrideTemplate(part.readText("name"), template)
			if grouped {
				setMeta(template, "labels", map[string]any{labelPodGroup: r.name()})
			}
		}
		pods, _ := initialPods(part, "template.spec")
		members += pods
		of.adoptProblem(part)
	}
	l.Objects = append(l.Objects, Object{Fields: set, From: "spec.runtimeRef"})
	if grouped {
		group := r.makeObject(podGroupAPI, "PodGroup", r.name(), map[string]any{"minMember": int64(members)})
		l.Objects = append(l.Objects, Object{Fields: group})
	}
}

// setNodes gives a replicated job of a runtime the number of nodes, and what each
// of them asks for. Under MPI the nodes are the job of that name, of which there
// is one less where the launcher is a node.
func (r *reader) setNodes(of, part *reader) {
	nodes := r.readNumber("spec.trainer.numNodes", of.readNumber("spec.mlPolicy.numNodes", 1))
	trainer := part.readLabel("template.metadata", labelAncestor) == ancestorTrainer
	node := part.readText("name") == trainerNode
	mpi := of.getValue("spec.mlPolicy.mpi") != nil
	if mpi && of.readFlag("spec.mlPolicy.mpi.runLauncherAsNode") {
		nodes = max(nodes-1, 1)
	}
	if mpi && node || !mpi && trainer {
		spec := part.makeChild("template", "spec")
		spec["parallelism"], spec["completions"] = int64(nodes), int64(nodes)
	}
	resources := r.readObject("spec.trainer.resourcesPerNode")
	if !trainer && !node || len(resources) == 0 {
		return
	}
	for _, entry := range part.readList("template.spec.template.spec.containers") {
		if c, ok := entry.(map[string]any); ok && c["name"] == trainerNode {
			c["resources"] = resources
		}
	}
}

// readLabel reads a label in some metadata.
func (r *reader) readLabel(meta, key string) string {
	value, _ := r.readObject(meta + ".labels")[key].(string)
	return value
}

// makeChild is the object at a path, which is made where there is none; nil where
// something else is.
func (r *reader) makeChild(path ...string) map[string]any {
	at, where := r.object, ""
	if at == nil {
		r.recordReason(r.path + ": found nothing, want an object")
		return nil
	}
	for _, field := range path {
		where += "." + field
		if at[field] == nil {
			at[field] = map[string]any{}
		}
		next, ok := at[field].(map[string]any)
		if !ok {
			r.recordProblem(where[1:], at[field], "an object")
			return nil
		}
		at = next
	}
	return at
}

// overrideTemplate applies what the TrainJob says of the pods of one replicated
// job: podSpecOverrides of Trainer 2.0, podTemplateOverrides of 2.1 and
// runtimePatches since.
func (r *reader) overrideTemplate(role string, template map[string]any) {
	for i, entry := range r.readList("spec.podSpecOverrides") {
		part := r.readPart(fmt.Sprintf("spec.podSpecOverrides[%d]", i), entry)
		if part.isTarget(role) {
			mergeTemplate(template, nil, part.object)
		}
		r.adoptProblem(part)
	}
	for i, entry := range r.readList("spec.podTemplateOverrides") {
		part := r.readPart(fmt.Sprintf("spec.podTemplateOverrides[%d]", i), entry)
		if part.isTarget(role) {
			mergeTemplate(template, part.readObject("metadata"), part.readObject("spec"))
		}
		r.adoptProblem(part)
	}
	for i, entry := range r.readList("spec.runtimePatches") {
		patch := r.readPart(fmt.Sprintf("spec.runtimePatches[%d]", i), entry)
		for j, job := range patch.readList("trainingRuntimeSpec.template.spec.replicatedJobs") {
			part := patch.readPart(fmt.Sprintf("trainingRuntimeSpec.template.spec.replicatedJobs[%d]", j), job)
			if part.readText("name") == role {
				mergeTemplate(template, part.readObject("template.spec.template.metadata"), part.readObject("template.spec.template.spec"))
			}
			patch.adoptProblem(part)
		}
		r.adoptProblem(patch)
	}
}

// isTarget reports whether an override is for a replicated job.
func (r *reader) isTarget(role string) bool {
	for _, entry := range r.readList("targetJobs") {
		if target, ok := entry.(map[string]any); ok && target["name"] == role {
			return true
		}
	}
	return false
}

// mergeTemplate puts what decides where pods go into a template.
func mergeTemplate(template, meta, spec map[string]any) {
	for _, field := range []string{"labels", "annotations"} {
		values, _ := meta[field].(map[string]any)
		setMeta(template, field, values)
	}
	own := (&reader{object: template}).makeChild("spec")
	if own == nil {
		return
	}
	for _, field := range []string{"affinity", "tolerations", "schedulerName", "priorityClassName", "schedulingGates"} {
		if spec[field] != nil {
			own[field] = spec[field]
		}
	}
	if selector, ok := spec["nodeSelector"].(map[string]any); ok {
		before, _ := own["nodeSelector"].(map[string]any)
		own["nodeSelector"] = copyFields(before, selector)
	}
}

// setMeta adds labels or annotations to a template.
func setMeta(template map[string]any, field string, values map[string]any) {
	if len(values) == 0 {
		return
	}
	if own := (&reader{object: template}).makeChild("metadata", field); own != nil {
		maps.Copy(own, values)
	}
}
