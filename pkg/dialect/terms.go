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

// terms are what a pod says of its gang as a whole, or what the scheduler
// wants to be the same for all members. They are comparable.
type terms struct {
	// annotations are aligned with gangAnnotations.
	annotations   [gangTerms]text
	priority      int32
	preemption    v1.PreemptionPolicy
	schedulerName string
	// roles are the parts of the gang that the pod names, as kube.FormatRoles
	// writes them; "" for none.
	roles string
	// timeoutSeconds is how long members may wait for one another, or 0.
	timeoutSeconds int64
	// notes are sentences on what is not honoured, a line each.
	notes string
}

// text is an annotation that may be there or not.
type text struct {
	value string
	set   bool
	// origin is the annotation of another dialect that says so, or "".
	origin string
}

// same tells whether both say the same, wherever it stands.
func (t text) same(o text) bool { return t.value == o.value && t.set == o.set }

const gangTerms = 9

var gangAnnotations = [gangTerms]string(kube.GangAnnotations())

// termsOf reads what a member says, in Muster's own annotations first, then in
// those of its dialect, then in those that describe a gang of any dialect.
func (s set) termsOf(pod *v1.Pod, e *entry) (terms, *kube.Invalid) {
	t := terms{
		priority:      corev1helpers.PodPriority(pod),
		preemption:    v1.PreemptLowerPriority,
		schedulerName: pod.Spec.SchedulerName,
	}
	if pod.Spec.PreemptionPolicy != nil {
		t.preemption = *pod.Spec.PreemptionPolicy
	}
	for i, key := range gangAnnotations {
		t.annotations[i].value, t.annotations[i].set = pod.Annotations[key]
	}
	var problem *kube.Invalid
	var notes []string
	var roles []kube.Role
	add := func(read func(*v1.Pod) said, words map[string]string) {
		if read == nil {
			return
		}
		more := read(pod)
		for i, key := range gangAnnotations {
			if value, ok := more.annotations[key]; ok && !t.annotations[i].set {
				t.annotations[i] = text{value, true, words[key]}
			}
		}
		notes, roles = append(notes, more.notes...), append(roles, more.roles...)
		problem = cmp.Or(problem, more.problem)
		t.timeoutSeconds = max(t.timeoutSeconds, more.timeoutSeconds)
	}
	if e != nil {
		add(e.says, e.words)
	}
	for _, other := range s {
		add(other.describes, other.words)
	}
	t.notes = strings.Join(append(notes, misspelled(pod.Labels, pod.Annotations)...), "\n")
	if len(roles) > 0 {
		t.roles = kube.FormatRoles(roles)
	}
	return t, problem
}
