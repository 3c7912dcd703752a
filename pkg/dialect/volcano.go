// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"maps"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// DialectVolcano is a PodGroup of Volcano.
const DialectVolcano kube.Dialect = "volcano"

// volcanoTask names the task of a VolcanoJob's pod, as its label and its
// annotation. Source: Volcano's API batch.volcano.sh/v1alpha1.
const volcanoTask = "volcano.sh/task-spec"

var volcanoDialect = &Dialect{
	Name:      DialectVolcano,
	readMarks: annotationMarks("scheduling.k8s.io/group-name", "scheduling.volcano.sh/group-name"),
	kinds:     []*Kind{VolcanoGroups},
}

// VolcanoGroups are Volcano's PodGroups.
var VolcanoGroups = &Kind{
	GroupVersionResource: schema.GroupVersionResource{Group: "scheduling.volcano.sh", Version: "v1beta1", Resource: "podgroups"},
	Name:                 "PodGroup", Dialect: DialectVolcano,
	CountField: []string{"spec", "minMember"},
	read:       readVolcano, makeStatus: makeVolcanoStatus,
}

// readVolcano reads a scheduling.volcano.sh/v1beta1 PodGroup. Source: Volcano's
// API types and its guides to network topology.
func readVolcano(o *Object, u *unstructured.Unstructured) {
	if count, found, bad := readNumber(u, "spec", "minMember"); bad == "" && (!found || count == 0) {
		o.MinCount = 1 // Volcano starts the pods of such a group one by one
	} else {
		o.readCount(u)
	}
	roles := o.readVolcanoTasks(u)
	o.readNetworkTopology(u)
	policies, _, err := unstructured.NestedSlice(u.Object, "spec", "subGroupPolicy")
	if err != nil {
		o.refuse("spec.subGroupPolicy: want a list")
	}
	for i, policy := range policies {
		if role := o.subGroupRole(i, policy); role != nil {
			roles = append(roles, *role)
		}
	}
	where := "spec.subGroupPolicy"
	if len(policies) == 0 {
		where = "spec.minTaskMember"
	}
	o.setRoles(roles, where)
	o.ignoreField(u, "Volcano", "queue", noQueues, "default")
	o.ignoreField(u, "Volcano", "priorityClassName", ownPriority)
	o.ignoreMinResources(u, "Volcano")
	phase, _ := o.Status["phase"].(string)
	o.Started = phase == "Running" || phase == "Unknown" || phase == "Completed"
	o.Ended = phase == "Completed"
}

// readVolcanoTasks reads spec.minTaskMember. A smaller minMember says that any of
// the pods will do, as in Volcano's CheckTaskValid: its job controller writes the
// number of each task always.
func (o *Object) readVolcanoTasks(u *unstructured.Unstructured) []kube.Role {
	tasks, _, err := unstructured.NestedMap(u.Object, "spec", "minTaskMember")
	if err != nil {
		o.refuse("spec.minTaskMember: want a number of pods for each task")
		return nil
	}
	var roles []kube.Role
	for _, task := range slices.Sorted(maps.Keys(tasks)) {
		least, bad := wholeNumber(tasks[task])
		if bad != "" || least < 0 || least > kube.MaxMinCount {
			o.refuse("spec.minTaskMember: task %s: found %s, want a number from 0 to %d", kube.QuoteInput(task), showNumber(bad, least), kube.MaxMinCount)
			return nil
		}
		roles = append(roles, kube.Role{
			Name: task, MinCount: int(least),
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{volcanoTask: task}},
		})
	}
	if o.MinCount < kube.TotalMinimum(roles) {
		return nil
	}
	return roles
}

// readNetworkTopology reads spec.networkTopology: hard means required.
func (o *Object) readNetworkTopology(u *unstructured.Unstructured) {
	topology, _, err := unstructured.NestedMap(u.Object, "spec", "networkTopology")
	if err != nil {
		o.refuse("spec.networkTopology: want an object with mode and highestTierAllowed")
		return
	}
	level, soft := o.readTier("spec.networkTopology", topology)
	switch {
	case level == "":
	case soft:
		o.setDefault(kube.AnnotationTopologyPreferred, level, "spec.networkTopology")
	default:
		o.setDefault(kube.AnnotationTopologyRequired, level, "spec.networkTopology")
	}
}

// readTier reads the level of a network topology: a tier's name, or its number,
// which a level of Muster's has among its aliases.
func (o *Object) readTier(where string, topology map[string]any) (level string, soft bool) {
	if len(topology) == 0 {
		return "", false
	}
	switch mode := topology["mode"]; mode {
	case nil, "", "hard":
	case "soft":
		soft = true
	default:
		o.refuse("%s.mode: found %s, want hard or soft", where, showValue(mode))
		return "", false
	}
	switch name := topology["highestTierName"].(type) {
	case nil:
	case string:
		if name != "" {
			return name, soft
		}
	default:
		o.refuse("%s.highestTierName: found %s, want the name of a level", where, showValue(name))
		return "", false
	}
	if topology["highestTierAllowed"] == nil {
		return "", false // hard without a tier asks for no more than the cluster
	}
	tier, bad := wholeNumber(topology["highestTierAllowed"])
	if bad != "" || tier < 0 || tier > 100 {
		o.refuse("%s.highestTierAllowed: found %s, want the number of a tier, such as 1", where, showNumber(bad, tier))
		return "", false
	}
	return "tier-" + strconv.FormatInt(tier, 10), soft
}

// subGroupPolicy is one entry of spec.subGroupPolicy.
type subGroupPolicy struct {
	Name           string                `json:"name"`
	SubGroupSize   *int64                `json:"subGroupSize"`
	MinSubGroups   *int64                `json:"minSubGroups"`
	LabelSelector  *metav1.LabelSelector `json:"labelSelector"`
	MatchLabelKeys []string              `json:"matchLabelKeys"`
	// topology is networkTopology as it stands there.
	topology map[string]any
}

// readSubGroupPolicy reads one entry of spec.subGroupPolicy, or refuses it.
func (o *Object) readSubGroupPolicy(where string, value any) *subGroupPolicy {
	fields, ok := value.(map[string]any)
	p := &subGroupPolicy{}
	if !ok || !decodeFields(fields, p) {
		o.refuse("%s: found %s, want a policy with labelSelector, subGroupSize and networkTopology", where, showValue(value))
		return nil
	}
	if p.SubGroupSize == nil {
		p.SubGroupSize = new(int64(1))
	}
	if p.MinSubGroups == nil {
		p.MinSubGroups = new(int64(0))
	}
	if p.topology, ok = fields["networkTopology"].(map[string]any); !ok && fields["networkTopology"] != nil {
		o.refuse("%s.networkTopology: want an object with mode and highestTierAllowed", where)
		return nil
	}
	_, err := metav1.LabelSelectorAsSelector(p.LabelSelector)
	switch size, groups := *p.SubGroupSize, *p.MinSubGroups; {
	case err != nil:
		o.refuse("%s.labelSelector: found %s, want a label selector", where, showValue(p.LabelSelector))
	case size < 1 || size > kube.MaxMinCount || groups < 0 || groups > kube.MaxMinCount:
		o.refuse("%s: found subGroupSize %d and minSubGroups %d, want numbers up to %d", where, size, groups, kube.MaxMinCount)
	case len(p.MatchLabelKeys) > 8:
		o.refuse("%s.matchLabelKeys: found %d keys, want at most 8", where, len(p.MatchLabelKeys))
	case len(p.Name) > 253:
		o.refuse("%s.name: want at most 253 characters", where)
	default:
		return p
	}
	return nil
}

// subGroupRole makes a role of one entry of spec.subGroupPolicy. Pods that differ
// in the labels of matchLabelKeys are sub-groups; without any, each run of
// subGroupSize pods is one.
func (o *Object) subGroupRole(i int, value any) *kube.Role {
	where := "spec.subGroupPolicy[" + strconv.Itoa(i) + "]"
	p := o.readSubGroupPolicy(where, value)
	if p == nil {
		return nil
	}
	role := &kube.Role{Name: p.Name, Selector: p.LabelSelector, Each: p.MatchLabelKeys}
	if role.Name == "" {
		role.Name = "subgroup-" + strconv.Itoa(i)
	}
	if groups := *p.MinSubGroups; groups > 0 {
		o.MinCount = int(min(max(int64(o.MinCount), groups**p.SubGroupSize), kube.MaxMinCount))
	}
	level, soft := o.readTier(where+".networkTopology", p.topology)
	if size := *p.SubGroupSize; size > 1 && *p.MinSubGroups == 0 && (level == "" || soft || len(role.Each) > 0) {
		o.ignore("Volcano: %s.subGroupSize %d is not read; it counts with minSubGroups, or with a hard networkTopology and no matchLabelKeys", where, size)
	}
	switch {
	case level == "":
	case soft:
		role.Preferred = level
	case len(role.Each) > 0:
		role.Required = level
	default:
		role.SliceSize, role.SliceTopology = int(*p.SubGroupSize), level
	}
	return role
}

// makeVolcanoStatus is the status of Volcano's PodGroup. A group that can be read
// is Inqueue at once, since there is no queue to wait in: Volcano's controllers
// create its pods then.
func makeVolcanoStatus(p *Progress, verdict map[string]metav1.Condition, now time.Time) map[string]any {
	phase, want := "Inqueue", p.MinCount
	switch {
	case p.Object.Problem != nil:
		phase = "Pending"
	case p.Succeeded > 0 && p.Members == 0:
		phase = "Completed"
	case p.Running+p.Succeeded >= want:
		phase = "Running"
	case p.Running > 0:
		phase = "Unknown"
	}
	conditions := newConditions(p.Object.Status["conditions"])
	done, ok := p.scheduledCondition(verdict, "Scheduled")
	switch {
	case ok && done.Status == metav1.ConditionTrue:
		conditions.set(now, done)
		if conditions.has("Unschedulable") {
			conditions.set(now, metav1.Condition{Type: "Unschedulable", Status: metav1.ConditionFalse, Reason: done.Reason, Message: done.Message})
		}
	case ok:
		conditions.set(now, metav1.Condition{Type: "Unschedulable", Status: metav1.ConditionTrue, Reason: done.Reason, Message: done.Message})
		if conditions.has("Scheduled") {
			conditions.set(now, done)
		}
	}
	return conditions.into(map[string]any{
		"phase": phase, "running": p.Running, "succeeded": p.Succeeded, "failed": p.Failed,
	})
}
