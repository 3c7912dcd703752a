// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"cmp"
	"strings"

	v1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// PodTerms are what a pod says of its gang as a whole, or what the scheduler
// wants to be the same for all members. They are comparable.
type PodTerms struct {
	// Terms are aligned with TermKeys.
	Terms         [termCount]PodTerm
	Priority      int32
	Preemption    v1.PreemptionPolicy
	SchedulerName string
	// RolesText tells pods apart that name different parts of the gang, "" for
	// none: PodReading.Roles are those.
	RolesText string
	// TimeoutSeconds is how long members may wait for one another, or 0.
	TimeoutSeconds int64
	// Ignored are sentences on what is not read, a line each.
	Ignored string
}

// PodTerm is an annotation that a pod may have or not.
type PodTerm struct {
	Value string
	Set   bool
	// Alias is the annotation of another dialect that says so, or "".
	Alias string
}

// Same reports whether both say the same, wherever it stands.
func (t PodTerm) Same(o PodTerm) bool { return t.Value == o.Value && t.Set == o.Set }

// Phrase returns the term as the predicate of a sentence about the pod.
func (t PodTerm) Phrase() string {
	if !t.Set {
		return "leaves it out"
	}
	return "says " + kube.QuoteInput(t.Value)
}

const termCount = 9

// TermKeys are the annotations that PodTerms hold.
var TermKeys = [termCount]string(kube.GangAnnotations())

// PodReading is what one member declares.
type PodReading struct {
	Terms PodTerms
	// Roles are the parts of the gang that the pod names.
	Roles []kube.Role
	// Problem is why what it says cannot be read, or nil.
	Problem *kube.Invalid
}

// ReadPod reads what a member says, in Muster's own annotations first, then in
// those of its dialect, then in those that describe a gang of any dialect.
func (s Dialects) ReadPod(pod *v1.Pod, name kube.Dialect) PodReading {
	r := PodReading{Terms: PodTerms{
		Priority:      corev1helpers.PodPriority(pod),
		Preemption:    v1.PreemptLowerPriority,
		SchedulerName: pod.Spec.SchedulerName,
	}}
	if pod.Spec.PreemptionPolicy != nil {
		r.Terms.Preemption = *pod.Spec.PreemptionPolicy
	}
	for i, key := range TermKeys {
		r.Terms.Terms[i].Value, r.Terms.Terms[i].Set = pod.Annotations[key]
	}
	var ignored []string
	if d := s.Find(name); d != nil && d.readMember != nil {
		ignored = append(ignored, r.addTerms(d.readMember(pod), d.aliases)...)
	}
	for _, d := range s {
		if d.readAnyMember != nil {
			ignored = append(ignored, r.addTerms(d.readAnyMember(pod), d.aliases)...)
		}
	}
	ignored = append(ignored, ignoredPreferences(&pod.Spec)...)
	r.Terms.Ignored = strings.Join(append(ignored, misspelledKeys(pod.Labels, pod.Annotations)...), "\n")
	if len(r.Roles) > 0 {
		r.Terms.RolesText = kube.FormatRoles(r.Roles)
	}
	return r
}

// addTerms adds what a dialect says where nothing is said yet, and returns what
// of it is not read.
func (r *PodReading) addTerms(d podDeclaration, aliases map[string]string) (ignored []string) {
	for i, key := range TermKeys {
		if value, ok := d.annotations[key]; ok && !r.Terms.Terms[i].Set {
			r.Terms.Terms[i] = PodTerm{Value: value, Set: true, Alias: aliases[key]}
		}
	}
	r.Roles = append(r.Roles, d.roles...)
	r.Problem = cmp.Or(r.Problem, d.problem)
	r.Terms.TimeoutSeconds = max(r.Terms.TimeoutSeconds, d.timeoutSeconds)
	return d.ignored
}
