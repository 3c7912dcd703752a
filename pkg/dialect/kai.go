// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// DialectKAI is a PodGroup of the KAI scheduler.
const DialectKAI kube.Dialect = "kai"

// What KAI's pod grouper writes on pods, and what users write on workloads and
// groups. Source: KAI's constants and its guide to topology awareness.
const (
	kaiGroup     = "pod-group-name"
	kaiSubGroup  = "kai.scheduler/subgroup-name"
	kaiRequired  = "kai.scheduler/topology-required-placement"
	kaiPreferred = "kai.scheduler/topology-preferred-placement"
)

var kaiDialect = &Dialect{
	Name:      DialectKAI,
	readMarks: annotationMarks(kaiGroup),
	kinds:     []*Kind{KAIGroups},
}

// KAIGroups are KAI's PodGroups.
var KAIGroups = &Kind{
	GroupVersionResource: schema.GroupVersionResource{Group: "scheduling.run.ai", Version: "v2alpha2", Resource: "podgroups"},
	Name:                 "PodGroup", Dialect: DialectKAI,
	CountField: []string{"spec", "minMember"},
	read:       readKAI, makeStatus: makeKAIStatus,
}

// kaiTopology is a topologyConstraint: node label keys of two levels.
type kaiTopology struct {
	Required  string `json:"requiredTopologyLevel"`
	Preferred string `json:"preferredTopologyLevel"`
}

// kaiSub is one of spec.subGroups, a forest in which a group names its parent.
type kaiSub struct {
	Name        string       `json:"name"`
	MinMember   *int64       `json:"minMember"`
	MinSubGroup *int64       `json:"minSubGroup"`
	Parent      string       `json:"parent"`
	Topology    *kaiTopology `json:"topologyConstraint"`
}

// readKAI reads a scheduling.run.ai/v2alpha2 PodGroup.
func readKAI(o *Object, u *unstructured.Unstructured) {
	subs := o.readKAISubGroups(u)
	_, counted, bad := readNumber(u, "spec", "minMember")
	least, byGroups, badGroups := readNumber(u, "spec", "minSubGroup")
	switch {
	case counted || bad != "":
		o.readCount(u)
	case badGroups != "" || byGroups && (least < 1 || least > int64(len(subs))):
		o.refuse("spec.minSubGroup: found %s, want a number from 1 to the %d sub-groups that there are", showNumber(badGroups, least), len(subs))
	default:
		o.MinCount = 1 // KAI's default; the sub-groups may need more
		if byGroups && least < int64(len(subs)) {
			o.ignore("KAI: spec.minSubGroup %d is not read; all sub-groups start together", least)
		}
	}
	o.readKAITopology(u)
	o.setRoles(o.kaiRoles(subs), "spec.subGroups")
	o.ignoreField(u, "KAI", "queue", noQueues, "default", "default-queue")
	o.ignoreField(u, "KAI", "priorityClassName", ownPriority, "train") // what KAI's pod grouper writes
	o.ignoreField(u, "KAI", "preemptibility", "a gang of higher priority may preempt any other", "preemptible")
	if backoff, found, bad := readNumber(u, "spec", "schedulingBackoff"); found && backoff != -1 {
		o.ignore("KAI: spec.schedulingBackoff %s is not read; a gang is tried whenever there may be room for it", showNumber(bad, backoff))
	}
	if mark, found, _ := unstructured.NestedBool(u.Object, "spec", "markUnschedulable"); found && !mark {
		o.ignore("KAI: spec.markUnschedulable false is not read; the pods of a gang that waits say why")
	}
	phase, _ := o.Status["phase"].(string)
	running, _ := wholeNumber(o.Status["running"])
	o.Started = running > 0 || phase == "Running"
}

// readKAITopology reads spec.topologyConstraint, or else the annotations.
func (o *Object) readKAITopology(u *unstructured.Unstructured) {
	fields, _, err := unstructured.NestedMap(u.Object, "spec", "topologyConstraint")
	topology := kaiTopology{}
	if err != nil || !decodeFields(fields, &topology) {
		o.refuse("spec.topologyConstraint: want an object with requiredTopologyLevel and preferredTopologyLevel")
		return
	}
	for _, term := range [][4]string{
		{kube.AnnotationTopologyRequired, topology.Required, "spec.topologyConstraint.requiredTopologyLevel", kaiRequired},
		{kube.AnnotationTopologyPreferred, topology.Preferred, "spec.topologyConstraint.preferredTopologyLevel", kaiPreferred},
	} {
		level, where := term[1], term[2]
		if level == "" {
			level, where = o.annotations[term[3]], term[3]
		}
		if level != "" {
			o.setDefault(term[0], level, where)
		}
	}
}

func (o *Object) readKAISubGroups(u *unstructured.Unstructured) []kaiSub {
	list, _, err := unstructured.NestedSlice(u.Object, "spec", "subGroups")
	if err != nil || len(list) > kube.MaxRoles {
		o.refuse("spec.subGroups: want a list of up to %d sub-groups", kube.MaxRoles)
		return nil
	}
	subs := make([]kaiSub, len(list))
	for i, value := range list {
		fields, ok := value.(map[string]any)
		if !ok || !decodeFields(fields, &subs[i]) {
			o.refuse("spec.subGroups[%d]: found %s, want a sub-group with name and minMember", i, showValue(value))
			return nil
		}
		if s := &subs[i]; s.Name == "" || len(validation.IsValidLabelValue(s.Name)) > 0 {
			o.refuse("spec.subGroups[%d].name: found %s, want the value of the label %s on its pods", i, kube.QuoteInput(s.Name), kaiSubGroup)
			return nil
		}
	}
	return subs
}

// kaiRoles makes roles of the sub-groups that have pods, those without
// sub-groups of their own.
func (o *Object) kaiRoles(subs []kaiSub) []kube.Role {
	var roles []kube.Role
	for i := range subs {
		s := &subs[i]
		where := "spec.subGroups[" + strconv.Itoa(i) + "]"
		if slices.ContainsFunc(subs, func(child kaiSub) bool { return child.Parent == s.Name }) {
			if s.Topology != nil && s.Topology.Required != "" {
				o.refuse("%s.topologyConstraint: sub-group %s has sub-groups, and cannot be held in one domain as a whole; ask for it in each of them, or in spec.topologyConstraint", where, s.Name)
			}
			o.ignoreParentFields(s)
			continue
		}
		role := kube.Role{Name: s.Name, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{kaiSubGroup: s.Name}}}
		if s.MinMember != nil {
			if *s.MinMember < 0 || *s.MinMember > kube.MaxMinCount {
				o.refuse("%s.minMember: found %d, want a number from 0 to %d", where, *s.MinMember, kube.MaxMinCount)
				return nil
			}
			role.MinCount = int(*s.MinMember)
		}
		if s.Topology != nil {
			role.Required, role.Preferred = s.Topology.Required, s.Topology.Preferred
		}
		roles = append(roles, role)
	}
	return roles
}

// ignoreParentFields tells what a sub-group asks for that has sub-groups of its own.
func (o *Object) ignoreParentFields(s *kaiSub) {
	if s.MinSubGroup != nil {
		o.ignore("KAI: sub-group %s: minSubGroup is not read; all its sub-groups start together", s.Name)
	}
	if s.MinMember != nil {
		o.ignore("KAI: sub-group %s: minMember is not read; those of its sub-groups count", s.Name)
	}
	if s.Topology != nil && s.Topology.Preferred != "" {
		o.ignore("KAI: sub-group %s: preferredTopologyLevel %s is not read; those of its sub-groups count", s.Name, kube.QuoteInput(s.Topology.Preferred))
	}
}

// makeKAIStatus is the status of KAI's PodGroup: its counts, a condition of its
// own, and the scheduling condition that tells why a group waits.
func makeKAIStatus(p *Progress, verdict map[string]metav1.Condition, now time.Time) map[string]any {
	mine, waits := newConditions(p.Object.Status["conditions"]), newConditions(p.Object.Status["schedulingConditions"])
	const refused = "UnschedulableOnNodePool"
	if c, ok := p.scheduledCondition(verdict, "Scheduled"); ok {
		mine.set(now, c)
		if c.Status == metav1.ConditionTrue && waits.has(refused) {
			waits.set(now, metav1.Condition{Type: refused, Status: metav1.ConditionFalse, Reason: c.Reason, Message: c.Message}, "nodePool", "default")
		}
		if c.Status != metav1.ConditionTrue {
			waits.set(now, metav1.Condition{Type: refused, Status: metav1.ConditionTrue, Reason: c.Reason, Message: c.Message},
				"nodePool", "default", "reasons", []any{map[string]any{"reason": c.Reason, "message": c.Message}})
		}
	}
	status := map[string]any{
		"running": p.Running, "succeeded": p.Succeeded, "failed": p.Failed, "pending": p.Members - p.Running,
	}
	if waits.changed {
		status["schedulingConditions"] = waits.list
	}
	return mine.into(status)
}
