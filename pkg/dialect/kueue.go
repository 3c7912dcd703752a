// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"encoding/json"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// DialectKueue is plain pods that Kueue admits together.
const DialectKueue kube.Dialect = "kueue"

// What users and Kueue write on pods. Sources: Kueue's documentation of plain
// pod groups and of topology aware scheduling (KEP-2724).
const (
	kueueGroup     = "kueue.x-k8s.io/pod-group-name"
	kueueCount     = "kueue.x-k8s.io/pod-group-total-count"
	kueuePodSet    = "kueue.x-k8s.io/podset"
	kueueRequired  = "kueue.x-k8s.io/podset-required-topology"
	kueuePreferred = "kueue.x-k8s.io/podset-preferred-topology"
	kueueSlice     = "kueue.x-k8s.io/podset-slice-required-topology"
	kueueSliceSize = "kueue.x-k8s.io/podset-slice-size"
	kueueSlices    = "kueue.x-k8s.io/podset-slice-required-topology-constraints"
	kueueTogether  = "kueue.x-k8s.io/podset-group-name"
	kueueWorkload  = "kueue.x-k8s.io/workload"
)

// KueueAliases are what Kueue calls Muster's annotations: of all dialects it is
// the one whose pods ask for levels of parts.
var KueueAliases = map[string]string{
	kube.AnnotationTopologyRequired: kueueRequired, kube.AnnotationTopologyPreferred: kueuePreferred,
	kube.AnnotationSliceSize: kueueSliceSize, kube.AnnotationSliceTopology: kueueSlice,
	kube.AnnotationRoles: "kueue.x-k8s.io/podset-*",
}

// kueueDialect reads Kueue's groups of plain pods, and its topology requests on
// the pods of any gang. The group is what Kueue admits together. Where a pod
// names a gang in another way too, as the pods of a LeaderWorkerSet that Kueue
// manages may, that is what starts together.
var kueueDialect = &Dialect{
	Name:          DialectKueue,
	readMarks:     labelMarks(kueueGroup),
	precedence:    admission,
	Labels:        []string{kueueGroup},
	Count:         kueueCount,
	readMember:    readKueueMember,
	readAnyMember: readKueuePodSet,
	aliases:       KueueAliases,
}

func readKueueMember(pod *v1.Pod) podDeclaration {
	text, ok := pod.Annotations[kueueCount]
	if !ok {
		return podDeclaration{}
	}
	return podDeclaration{annotations: map[string]string{kube.AnnotationMinCount: text}}
}

// readKueuePodSet reads the topology request of a pod's pod set: the pods of one
// template, or of the templates that are to share a domain. Kueue grants it
// itself where it places by topology: such pods name their Workload, are held
// by a scheduling gate until Kueue has pinned each to its place, and are not
// alike any more. Source: Kueue 0.17.0, pkg/controller/tas/topology_ungater.go.
func readKueuePodSet(pod *v1.Pod) podDeclaration {
	if pod.Annotations[kueueWorkload] != "" {
		return podDeclaration{}
	}
	role := kube.Role{
		Name:     "podset",
		Required: pod.Annotations[kueueRequired], Preferred: pod.Annotations[kueuePreferred],
	}
	if problem := readKueueSlices(pod, &role); problem != nil {
		return podDeclaration{problem: problem}
	}
	if role.Required == "" && role.Preferred == "" && role.SliceSize == 0 && len(role.Slices) == 0 {
		return podDeclaration{}
	}
	if problem := selectKueuePodSet(pod, &role); problem != nil {
		return podDeclaration{problem: problem}
	}
	return podDeclaration{roles: []kube.Role{role}}
}

// readKueueSlices reads the slices that a pod's pod set asks for into its role.
func readKueueSlices(pod *v1.Pod, role *kube.Role) (problem *kube.Invalid) {
	if text, ok := pod.Annotations[kueueSlices]; ok {
		if role.Slices, problem = readKueueLayers(pod, text); problem != nil {
			return problem
		}
	}
	level, sliced := pod.Annotations[kueueSlice]
	size, sized := pod.Annotations[kueueSliceSize]
	if !sliced && !sized {
		return nil
	}
	if !sliced || !sized {
		return podInvalid(pod, "%s and %s go together: write both or none", kueueSlice, kueueSliceSize)
	}
	n, err := strconv.Atoi(size)
	if err != nil || n < 1 || n > kube.MaxMinCount || strconv.Itoa(n) != size {
		return podInvalid(pod, "annotation %s: found %s, want the number of pods in a slice, such as \"16\"", kueueSliceSize, kube.QuoteInput(size))
	}
	role.SliceSize, role.SliceTopology = n, level
	return nil
}

// selectKueuePodSet lets a role select the pods of the pod set that the pod
// names, if it names one.
func selectKueuePodSet(pod *v1.Pod, role *kube.Role) *kube.Invalid {
	key, name := kueuePodSet, pod.Labels[kueuePodSet]
	if together, ok := pod.Annotations[kueueTogether]; ok {
		key, name = kueueTogether, together
	}
	if name == "" {
		return nil
	}
	if len(validation.IsValidLabelValue(name)) > 0 {
		return podInvalid(pod, "%s: found %s, want a name of up to 63 letters, digits, '-', '_' and '.'", key, kube.QuoteInput(name))
	}
	role.Name, role.Selector = name, &metav1.LabelSelector{MatchLabels: map[string]string{key: name}}
	return nil
}

// readKueueLayers reads layers of slices, the widest first. Source: Kueue's
// documentation of multi-layer topologies, of which there are up to three.
func readKueueLayers(pod *v1.Pod, text string) ([]kube.RoleSlice, *kube.Invalid) {
	var layers []kube.RoleSlice
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields() // such as sizes that differ from slice to slice
	err := decoder.Decode(&layers)
	bad := err != nil || decoder.More() || len(layers) < 1 || len(layers) > gang.MaxSlices
	for _, l := range layers {
		bad = bad || l.Topology == "" || l.Size < 1 || l.Size > kube.MaxMinCount || l.Preferred
	}
	if bad {
		return nil, podInvalid(pod, "annotation %s: found %s, want up to %d layers of slices, such as [{\"topology\":\"rack\",\"size\":16},{\"topology\":\"clique\",\"size\":4}]",
			kueueSlices, kube.QuoteInput(text), gang.MaxSlices)
	}
	return layers, nil
}
