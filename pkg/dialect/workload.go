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
var autoDialect = &Dialect{
	Name:      kube.DialectAuto,
	readMarks: readAutoMarks,
	override:  kube.AnnotationMinCount,
	kinds:     workloadKinds(),
}

// autoDefault does the same for the pods of some namespaces that say nothing;
// "*" stands for all. Pods of no workload stay single.
func autoDefault(namespaces []string) *Dialect {
	return &Dialect{
		Name:       kube.DialectAuto,
		precedence: byDefault,
		readMarks: func(pod *v1.Pod) []mark {
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

func workloadKinds() []*Kind {
	var all []*Kind
	for _, k := range workload.SupportedKinds() {
		for _, resource := range k.ServedResources() {
			all = append(all, &Kind{GroupVersionResource: resource, Name: k.Name, Dialect: kube.DialectAuto, Workload: k})
		}
	}
	return all
}

func readAutoMarks(pod *v1.Pod) []mark {
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
		why = "the name of its " + ref.Kind.Name + " is " + kube.QuoteInput(ref.Workload)
	}
	if why != "" {
		m.problem = &kube.Invalid{Reason: kube.InvalidGangSpec, Message: "pod " + pod.Name + " asks for " + kube.LabelGang + ": " + kube.GangAuto + ", but " + why +
			"; that works for the pods of " + workload.SupportedText() + "; else give the gang a name in that label, and the annotation " + kube.AnnotationMinCount}
		return m
	}
	m.gang = ref.DisplayName()
	if ref.Instance != "" {
		m.gang += "/" + ref.Instance
	}
	return m
}

// IsWorkload reports whether objects of an API version and kind are workloads
// whose pods may be gangs.
func IsWorkload(apiVersion, name string) bool {
	return slices.ContainsFunc(autoDialect.kinds, func(k *Kind) bool { return k.isNamed(apiVersion, name) })
}

// Workloads lists the kinds of workload that any of the pods asks about: that of a
// workload's own gang, those that come to their end and of which several have
// pods in one gang, and Jobs, which know what is done.
func (s Dialects) Workloads(pods []*v1.Pod) []schema.GroupVersionResource {
	type gangKind struct {
		namespace, group string
		kind             *workload.Kind
	}
	var all []schema.GroupVersionResource
	add := func(k *workload.Kind) {
		for _, resource := range k.ServedResources() {
			if !slices.Contains(all, resource) {
				all = append(all, resource)
			}
		}
	}
	first := map[gangKind]string{} // workload
	for _, pod := range pods {
		m, _ := s.ReadMarker(pod)
		if m.Group == "" {
			continue
		}
		if name, _ := workload.BatchJobOf(pod); name != "" {
			add(workload.BatchJob())
		}
		ref, why := workload.RefOf(pod)
		if why != "" {
			continue
		}
		key, name := gangKind{pod.Namespace, m.Group, ref.Kind}, ref.Workload+"/"+ref.Instance
		if first[key] == "" {
			first[key] = name
		}
		if m.Dialect == kube.DialectAuto || first[key] != name && ref.Kind.EndsByItself {
			add(ref.Kind)
		}
	}
	return all
}
