// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// autoDialect makes a gang of the pods that one workload creates together. The
// workload is found from the pod alone, and says how many they are.
var autoDialect = &entry{
	name:     kube.DialectAuto,
	marks:    autoMarks,
	override: kube.AnnotationMinCount,
	kinds:    workloadKinds(),
}

// autoDefault does the same for the pods of some namespaces that say nothing;
// "*" stands for all. Pods of no workload stay single.
func autoDefault(namespaces []string) *entry {
	return &entry{
		name: kube.DialectAuto,
		last: true,
		marks: func(pod *v1.Pod) []mark {
			if !slices.Contains(namespaces, pod.Namespace) && !slices.Contains(namespaces, "*") {
				return nil
			}
			if m := workloadMark(pod); m.problem == nil {
				return []mark{m}
			}
			return nil
		},
		override: kube.AnnotationMinCount,
	}
}

func workloadKinds() []*kind {
	var all []*kind
	for _, k := range workload.SupportedKinds() {
		for _, resource := range k.ServedResources() {
			all = append(all, &kind{GroupVersionResource: resource, name: k.Name, of: kube.DialectAuto, workload: k})
		}
	}
	return all
}

func autoMarks(pod *v1.Pod) []mark {
	if pod.Labels[kube.LabelGang] != kube.GangAuto {
		return nil
	}
	return []mark{workloadMark(pod)}
}

// workloadMark names the gang after the pod's workload.
func workloadMark(pod *v1.Pod) mark {
	m := mark{where: "label " + kube.LabelGang, name: kube.GangAuto}
	ref, why := workload.RefOf(pod)
	if why == "" && len(validation.IsDNS1123Subdomain(ref.Workload)) > 0 {
		why = "the name of its " + ref.Kind.Name + " is " + kube.Quote(ref.Workload)
	}
	if why != "" {
		m.problem = &kube.Invalid{Reason: kube.InvalidGangSpec, Message: "pod " + pod.Name + " asks for " + kube.LabelGang + ": " + kube.GangAuto + ", but " + why +
			"; that works for the pods of " + workload.SupportedText + "; else give the gang a name in that label, and the annotation " + kube.AnnotationMinCount}
		return m
	}
	m.gang = ref.DisplayName()
	if ref.Instance != "" {
		m.gang += "/" + ref.Instance
	}
	return m
}

// inUse returns the dialects of these names, none for all, and the namespaces
// whose pods make gangs of their workloads without being asked to.
func inUse(names []kube.Dialect, autoNamespaces []string) set {
	s := enabled(names)
	if len(autoNamespaces) > 0 && s.find(kube.DialectAuto) != nil {
		s = append(slices.Clone(s), autoDefault(autoNamespaces))
	}
	return s
}

// IsWorkload tells whether objects of an API version and kind are workloads
// whose pods may be gangs.
func IsWorkload(apiVersion, name string) bool {
	return slices.ContainsFunc(autoDialect.kinds, func(k *kind) bool {
		return k.GroupVersion().String() == apiVersion && k.name == name
	})
}

// Workloads are the kinds of workload that any of these pods asks about, when
// they are read with these namespaces as default.
func (o Objects) Workloads() []schema.GroupVersionResource {
	s := o.set()
	var all []schema.GroupVersionResource
	for _, pod := range o.Pods {
		m, _ := s.markerOf(pod)
		ref, why := workload.RefOf(pod)
		if m.dialect != kube.DialectAuto || why != "" {
			continue
		}
		for _, resource := range ref.Kind.ServedResources() {
			if !slices.Contains(all, resource) {
				all = append(all, resource)
			}
		}
	}
	return all
}
