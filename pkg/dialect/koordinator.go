// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// DialectKoordinator is gang annotations of Koordinator.
const DialectKoordinator kube.Dialect = "koordinator"

// What users write on pods or on PodGroups. Source: Koordinator's API package
// apis/extension and its guide to gang scheduling.
const (
	koordName    = "gang.scheduling.koordinator.sh/name"
	koordCount   = "gang.scheduling.koordinator.sh/min-available"
	koordWait    = "gang.scheduling.koordinator.sh/waiting-time"
	koordTotal   = "gang.scheduling.koordinator.sh/total-number"
	koordMode    = "gang.scheduling.koordinator.sh/mode"
	koordPolicy  = "gang.scheduling.koordinator.sh/match-policy"
	koordGroups  = "gang.scheduling.koordinator.sh/groups"
	koordNetwork = "gang.scheduling.koordinator.sh/network-topology-spec"
	// The same in labels, as lightweight coscheduling had it.
	koordNameLabel  = "pod-group.scheduling.sigs.k8s.io/name"
	koordCountLabel = "pod-group.scheduling.sigs.k8s.io/min-available"
)

// koordWords are what Koordinator calls Muster's annotations.
var koordWords = map[string]string{
	kube.AnnotationTopologyRequired: koordNetwork, kube.AnnotationTopologyPreferred: koordNetwork,
}

// koordinatorDialect reads gang annotations, and the PodGroups that the pods of
// the coscheduling dialect name too.
var koordinatorDialect = &entry{
	name:  DialectKoordinator,
	marks: koordMarks,
	count: koordCount,
	says:  koordSays,
	words: koordWords,
	kinds: []*kind{koordGroupKind},
}

var koordGroupKind = &kind{
	GroupVersionResource: schema.GroupVersionResource{Group: "scheduling.sigs.k8s.io", Version: "v1alpha1", Resource: "podgroups"},
	name:                 "PodGroup", of: kube.DialectCRD,
	countField: []string{"spec", "minMember"},
	read:       readKoordinator, status: crdStatus,
}

// koordMarks names the gang of a pod, or all gangs that are to start together
// with it: those are one gang here, and its parts.
func koordMarks(pod *v1.Pod) []mark {
	marks := append(annotationMarks(koordName)(pod), labelMarks(koordNameLabel)(pod)...)
	if names, _ := koordTogether(pod.Namespace, pod.Annotations[koordName], pod.Annotations[koordGroups]); len(names) > 1 && len(marks) > 0 {
		marks[0].gang = strings.Join(names, "+")
	}
	return marks
}

// koordTogether lists the gangs of a gang group, the given one included, in
// order. why is what is wrong with them.
func koordTogether(namespace, own, text string) (names []string, why string) {
	if text == "" {
		return nil, ""
	}
	var words []string
	if json.Unmarshal([]byte(text), &words) != nil || len(words) > kube.MaxRoles {
		return nil, "found " + kube.Quote(text) + ", want a list of gangs, such as [\"" + namespace + "/a\",\"" + namespace + "/b\"]"
	}
	for _, word := range append(words, own) {
		in, name, qualified := strings.Cut(word, "/")
		switch {
		case !qualified:
			name = word
		case in != namespace:
			return nil, "gang " + kube.Quote(word) + " is in another namespace, and a gang never crosses one; keep the gangs that start together in namespace " + namespace
		}
		if len(validation.IsDNS1123Subdomain(name)) > 0 || len(validation.IsValidLabelValue(name)) > 0 {
			return nil, "found gang " + kube.Quote(word) + ", want a name of up to 63 lower-case letters, digits, '-' and '.'"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if len(strings.Join(names, "+")) > validation.DNS1123SubdomainMaxLength {
		return nil, "the names of the gangs that start together are longer than 253 characters"
	}
	return names, ""
}

// koordSays reads the annotations of a gang's pod.
func koordSays(pod *v1.Pod) said {
	out := said{annotations: map[string]string{}}
	count, counted := pod.Annotations[koordCount]
	if !counted {
		count, counted = pod.Labels[koordCountLabel]
	}
	names, why := koordTogether(pod.Namespace, pod.Annotations[koordName], pod.Annotations[koordGroups])
	switch {
	case why != "":
		out.problem = podInvalid(pod, "annotation %s: %s", koordGroups, why)
	case len(names) > 1:
		out.roles, out.problem = koordParts(pod, names, count)
	case counted:
		out.annotations[kube.AnnotationMinCount] = count
	}
	if text, ok := pod.Annotations[koordWait]; ok {
		seconds, bad := koordSeconds(text)
		if bad != "" && out.problem == nil {
			out.problem = podInvalid(pod, "annotation %s: %s", koordWait, bad)
		}
		out.timeoutSeconds = seconds
	}
	notes, topology, bad := koordTerms(pod.Annotations)
	out.notes = notes
	if bad != "" && out.problem == nil {
		out.problem = podInvalid(pod, "%s", bad)
	}
	maps.Copy(out.annotations, topology)
	return out
}

// koordParts makes parts of the gangs of a gang group. A pod knows the minimum
// of its own; of the others it knows that there is one.
func koordParts(pod *v1.Pod, names []string, count string) ([]kube.Role, *kube.Invalid) {
	least, err := kube.ParseMinCount(count)
	if err != nil {
		return nil, podInvalid(pod, "annotation %s: %v", koordCount, err)
	}
	var parts []kube.Role
	for _, name := range names {
		part := kube.Role{Name: name, MinCount: 1, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{koordName: name}}}
		if name == pod.Annotations[koordName] {
			part.MinCount = least
		}
		parts = append(parts, part)
	}
	return parts, nil
}

// koordSeconds reads how long members may wait for one another.
func koordSeconds(text string) (seconds int64, bad string) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxTimeoutSeconds*time.Second {
		return 0, "found " + kube.Quote(text) + ", want a time of up to a week, such as \"600s\""
	}
	return int64((d + time.Second - 1) / time.Second), ""
}

// koordTerms reads what may stand on pods and on PodGroups.
func koordTerms(annotations map[string]string) (notes []string, topology map[string]string, bad string) {
	switch mode, ok := annotations[koordMode]; {
	case !ok || mode == "" || mode == "Strict":
	case mode == "NonStrict":
		notes = append(notes, "Koordinator: mode NonStrict is not read; the gang starts all together or not at all")
	default:
		return nil, nil, "annotation " + koordMode + ": found " + kube.Quote(mode) + ", want Strict or NonStrict"
	}
	if policy := annotations[koordPolicy]; policy != "" && policy != "waiting-and-running" {
		notes = append(notes, "Koordinator: match-policy "+kube.Quote(policy)+" is not read; waiting and running members count")
	}
	if total, ok := annotations[koordTotal]; ok && total != annotations[koordCount] {
		notes = append(notes, "Koordinator: total-number "+kube.Quote(total)+" is not read; as many as must start together start, the others follow as room allows")
	}
	text := annotations[koordNetwork]
	if text == "" {
		return notes, nil, ""
	}
	var spec struct {
		GatherStrategy []struct {
			Layer    string `json:"layer"`
			Strategy string `json:"strategy"`
		} `json:"gatherStrategy"`
	}
	if json.Unmarshal([]byte(text), &spec) != nil {
		return notes, nil, "annotation " + koordNetwork + ": found " + kube.Quote(text) + ", want a gatherStrategy of layers"
	}
	topology = map[string]string{}
	for _, rule := range spec.GatherStrategy {
		key := kube.AnnotationTopologyPreferred
		switch rule.Strategy {
		case "MustGather":
			key = kube.AnnotationTopologyRequired
		case "PreferGather":
		default:
			return notes, nil, "annotation " + koordNetwork + ": found strategy " + kube.Quote(rule.Strategy) + ", want MustGather or PreferGather"
		}
		if before, twice := topology[key]; twice && before != koordLevel(rule.Layer) {
			notes = append(notes, "Koordinator: of two layers with "+rule.Strategy+", "+before+" is not read")
		}
		topology[key] = koordLevel(rule.Layer)
	}
	return notes, topology, ""
}

// koordLevel is the level that a layer such as "SpineLayer" means.
func koordLevel(layer string) string {
	if word, ok := strings.CutSuffix(layer, "Layer"); ok {
		return strings.ToLower(word)
	}
	return layer
}

// readKoordinator reads a scheduling.sigs.k8s.io/v1alpha1 PodGroup.
func readKoordinator(o *object, u *unstructured.Unstructured) {
	readCRD(o, u)
	if text, ok := o.annotations[koordWait]; ok && o.timeoutSeconds == 0 {
		seconds, bad := koordSeconds(text)
		if bad != "" {
			o.refuse("annotation %s: %s", koordWait, bad)
		}
		o.timeoutSeconds = seconds
	}
	names, why := koordTogether(o.namespace, o.name, o.annotations[koordGroups])
	switch {
	case why != "":
		o.refuse("annotation %s: %s", koordGroups, why)
	case len(names) > 1:
		o.refuse("annotation %s: PodGroups that start together are not supported; make them one PodGroup, or name the gangs in the annotations of the pods", koordGroups)
	}
	notes, topology, bad := koordTerms(o.annotations)
	if bad != "" {
		o.refuse("%s", bad)
	}
	o.notes = append(o.notes, notes...)
	for key, level := range topology {
		o.wish(key, level, koordNetwork)
	}
}
