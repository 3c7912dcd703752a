// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"cmp"
	"encoding/json"
	"fmt"
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
	// koordPolicyAlias says the same as koordPolicy, which goes before.
	koordPolicyAlias = "pod-group.scheduling.sigs.k8s.io/match-policy"
	koordSelector    = "scheduling.koordinator.sh/network-topology-selector"
	// The same in labels, as lightweight coscheduling had it.
	koordNameLabel  = "pod-group.scheduling.sigs.k8s.io/name"
	koordCountLabel = "pod-group.scheduling.sigs.k8s.io/min-available"
)

// koordAliases are what Koordinator calls Muster's annotations.
var koordAliases = map[string]string{
	kube.AnnotationTopologyRequired: koordNetwork, kube.AnnotationTopologyPreferred: koordNetwork,
}

// koordinatorDialect reads gang annotations, and the PodGroups that the pods of
// the coscheduling dialect name too.
var koordinatorDialect = &Dialect{
	Name:       DialectKoordinator,
	readMarks:  readKoordMarks,
	Count:      koordCount,
	readMember: readKoordMember,
	aliases:    koordAliases,
	kinds:      []*Kind{KoordinatorGroups},
}

// KoordinatorGroups are the PodGroups that Koordinator took over from
// coscheduling.
var KoordinatorGroups = &Kind{
	GroupVersionResource: schema.GroupVersionResource{Group: "scheduling.sigs.k8s.io", Version: "v1alpha1", Resource: "podgroups"},
	Name:                 "PodGroup", Dialect: kube.DialectCRD,
	CountField: []string{"spec", "minMember"},
	read:       readKoordinator, makeStatus: makeCRDStatus,
}

// readKoordMarks names the gang of a pod, or all gangs that are to start together
// with it: those are one gang here, and its parts.
func readKoordMarks(pod *v1.Pod) []mark {
	marks := append(annotationMarks(koordName)(pod), labelMarks(koordNameLabel)(pod)...)
	if names, _ := gangGroupNames(pod.Namespace, pod.Annotations[koordName], pod.Annotations[koordGroups]); len(names) > 1 && len(marks) > 0 {
		marks[0].gang = strings.Join(names, "+")
	}
	return marks
}

// gangGroupNames lists the gangs of a gang group, the given one included, in
// order. why is what is wrong with them.
func gangGroupNames(namespace, own, text string) (names []string, why string) {
	if text == "" {
		return nil, ""
	}
	var words []string
	if json.Unmarshal([]byte(text), &words) != nil || len(words) > kube.MaxRoles {
		return nil, "found " + kube.QuoteInput(text) + ", want a list of gangs, such as [\"" + namespace + "/a\",\"" + namespace + "/b\"]"
	}
	for _, word := range append(words, own) {
		in, name, qualified := strings.Cut(word, "/")
		switch {
		case !qualified:
			name = word
		case in != namespace:
			return nil, "gang " + kube.QuoteInput(word) + " is in another namespace, and a gang never crosses one; keep the gangs that start together in namespace " + namespace
		}
		if len(validation.IsDNS1123Subdomain(name)) > 0 || len(validation.IsValidLabelValue(name)) > 0 {
			return nil, "found gang " + kube.QuoteInput(word) + ", want a name of up to 63 lower-case letters, digits, '-' and '.'"
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

// readKoordMember reads the annotations of a gang's pod.
func readKoordMember(pod *v1.Pod) podDeclaration {
	out := podDeclaration{annotations: map[string]string{}}
	count, counted := pod.Annotations[koordCount]
	if !counted {
		count, counted = pod.Labels[koordCountLabel]
	}
	names, why := gangGroupNames(pod.Namespace, pod.Annotations[koordName], pod.Annotations[koordGroups])
	switch {
	case why != "":
		out.problem = podInvalid(pod, "annotation %s: %s", koordGroups, why)
	case len(names) > 1:
		out.roles, out.problem = gangGroupRoles(pod, names, count)
	case counted:
		out.annotations[kube.AnnotationMinCount] = count
	}
	if text, ok := pod.Annotations[koordWait]; ok {
		seconds, bad := readKoordWait(text)
		if bad != "" && out.problem == nil {
			out.problem = podInvalid(pod, "annotation %s: %s", koordWait, bad)
		}
		out.timeoutSeconds = seconds
	}
	terms, bad := readKoordTerms(pod.Annotations)
	out.ignored = terms.ignored
	if bad != "" && out.problem == nil {
		out.problem = podInvalid(pod, "%s", bad)
	}
	maps.Copy(out.annotations, terms.topology)
	return out
}

// gangGroupRoles makes parts of the gangs of a gang group. A pod knows the minimum
// of its own; of the others it knows that there is one.
func gangGroupRoles(pod *v1.Pod, names []string, count string) ([]kube.Role, *kube.Invalid) {
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

// readKoordWait reads how long members may wait for one another.
func readKoordWait(text string) (seconds int64, bad string) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxTimeoutSeconds*time.Second {
		return 0, "found " + kube.QuoteInput(text) + ", want a time of up to a week, such as \"600s\""
	}
	return int64((d + time.Second - 1) / time.Second), ""
}

// koordTerms is what Koordinator's annotations say of a gang.
type koordTerms struct {
	// ignored are sentences on what is not read.
	ignored []string
	// topology are levels by Muster's annotation.
	topology map[string]string
}

// readKoordTerms reads what may stand on pods and on PodGroups. bad is what is
// wrong with it.
func readKoordTerms(annotations map[string]string) (terms koordTerms, bad string) {
	for _, read := range []func(map[string]string) string{terms.readMode, terms.readPolicy, terms.readTotal, terms.readNetwork} {
		if bad = read(annotations); bad != "" {
			break
		}
	}
	return terms, bad
}

func (t *koordTerms) readMode(annotations map[string]string) string {
	switch mode := annotations[koordMode]; mode {
	case "", "Strict":
	case "NonStrict":
		t.ignored = append(t.ignored, "Koordinator: mode NonStrict is not read; the gang starts all together or not at all")
	default:
		return "annotation " + koordMode + ": found " + kube.QuoteInput(mode) + ", want Strict or NonStrict"
	}
	return ""
}

func (t *koordTerms) readPolicy(annotations map[string]string) string {
	if policy := cmp.Or(annotations[koordPolicy], annotations[koordPolicyAlias]); policy != "" && policy != "waiting-and-running" {
		t.ignored = append(t.ignored, "Koordinator: match-policy "+kube.QuoteInput(policy)+" is not read; waiting and running members count")
	}
	return ""
}

func (t *koordTerms) readTotal(annotations map[string]string) string {
	if total, ok := annotations[koordTotal]; ok && total != annotations[koordCount] {
		t.ignored = append(t.ignored, "Koordinator: total-number "+kube.QuoteInput(total)+" is not read; as many as must start together start, the others follow as room allows")
	}
	return ""
}

// readNetwork reads the level of each strategy; of two layers with one strategy
// the last counts.
func (t *koordTerms) readNetwork(annotations map[string]string) string {
	if selector := annotations[koordSelector]; selector != "" {
		t.ignored = append(t.ignored, "Koordinator: network-topology-selector "+kube.QuoteInput(selector)+" is not read; select the nodes in the pods")
	}
	text := annotations[koordNetwork]
	if text == "" {
		return ""
	}
	var spec struct {
		GatherStrategy []struct {
			Layer            string `json:"layer"`
			Strategy         string `json:"strategy"`
			PodCountMultiple int    `json:"podCountMultiple"`
		} `json:"gatherStrategy"`
	}
	if json.Unmarshal([]byte(text), &spec) != nil {
		return "annotation " + koordNetwork + ": found " + kube.QuoteInput(text) + ", want a gatherStrategy of layers"
	}
	found := map[string]string{}
	for _, rule := range spec.GatherStrategy {
		key, ok := koordStrategies[rule.Strategy]
		if !ok {
			return "annotation " + koordNetwork + ": found strategy " + kube.QuoteInput(rule.Strategy) + ", want MustGather or PreferGather"
		}
		level := koordLayerLevel(rule.Layer)
		if n := rule.PodCountMultiple; n > 1 {
			t.ignored = append(t.ignored, fmt.Sprintf("Koordinator: podCountMultiple %d of layer %s is not read; write %s and %s", n, kube.QuoteInput(rule.Layer), kube.AnnotationSliceSize, kube.AnnotationSliceTopology))
		}
		if before, twice := found[key]; twice && before != level {
			t.ignored = append(t.ignored, "Koordinator: of two layers with "+rule.Strategy+", "+before+" is not read")
		}
		found[key] = level
	}
	t.topology = found
	return ""
}

// koordStrategies are Muster's annotations for the strategies of a layer.
var koordStrategies = map[string]string{
	"MustGather": kube.AnnotationTopologyRequired, "PreferGather": kube.AnnotationTopologyPreferred,
}

// koordLayerLevel is the level that a layer such as "SpineLayer" means.
func koordLayerLevel(layer string) string {
	if word, ok := strings.CutSuffix(layer, "Layer"); ok {
		return strings.ToLower(word)
	}
	return layer
}

// readKoordinator reads a scheduling.sigs.k8s.io/v1alpha1 PodGroup.
func readKoordinator(o *Object, u *unstructured.Unstructured) {
	o.readCRDFields(u, "Koordinator")
	if text, ok := o.annotations[koordWait]; ok && o.TimeoutSeconds == 0 {
		seconds, bad := readKoordWait(text)
		if bad != "" {
			o.refuse("annotation %s: %s", koordWait, bad)
		}
		o.TimeoutSeconds = seconds
	}
	names, why := gangGroupNames(o.Namespace, o.Name, o.annotations[koordGroups])
	switch {
	case why != "":
		o.refuse("annotation %s: %s", koordGroups, why)
	case len(names) > 1:
		o.refuse("annotation %s: PodGroups that start together are not supported; make them one PodGroup, or name the gangs in the annotations of the pods", koordGroups)
	}
	terms, bad := readKoordTerms(o.annotations)
	if bad != "" {
		o.refuse("%s", bad)
	}
	o.Ignored = append(o.Ignored, terms.ignored...)
	for key, level := range terms.topology {
		o.setDefault(key, level, koordNetwork)
	}
}
