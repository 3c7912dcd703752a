// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// DialectGrove is a PodGang of Grove.
const DialectGrove kube.Dialect = "grove"

// What Grove's operator writes on the pods that it creates: the name of their
// PodGang, and of the pod group in it. It holds them by a scheduling gate until
// the PodGang lists them and every PodGang that they depend on is scheduled.
// Source: Grove's package operator/api/common, and its proposal 787 on what a
// scheduler may rely on.
const (
	grovePodGang = "grove.io/podgang"
	groveClique  = "grove.io/podclique"
)

var groveDialect = &Dialect{
	Name:       DialectGrove,
	readMarks:  labelMarks(grovePodGang),
	precedence: created,
	Labels:     []string{grovePodGang},
	kinds:      []*Kind{GroveGangs},
}

// GroveGangs are Grove's PodGangs. Grove puts back what others change in them.
var GroveGangs = &Kind{
	GroupVersionResource: schema.GroupVersionResource{Group: "scheduler.grove.io", Version: "v1alpha1", Resource: "podgangs"},
	Name:                 "PodGang", Dialect: DialectGrove,
	CountField: []string{"spec", "podgroups", "minReplicas"}, Fixed: true,
	read: readGrove, makeStatus: makeGroveStatus,
}

// groveTopology is a topologyConstraint: node label keys of two levels.
type groveTopology struct {
	Pack struct {
		Required  string `json:"required"`
		Preferred string `json:"preferred"`
	} `json:"packConstraint"`
}

// groveGroup is one of spec.podgroups: the pods of one template.
type groveGroup struct {
	Name          string `json:"name"`
	MinReplicas   *int64 `json:"minReplicas"`
	PodReferences []struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"podReferences"`
	Topology groveTopology `json:"topologyConstraint"`
}

// groveTogether is one of spec.topologyConstraintGroupConfigs: pod groups that
// share a domain.
type groveTogether struct {
	Name          string        `json:"name"`
	PodGroupNames []string      `json:"podGroupNames"`
	Topology      groveTopology `json:"topologyConstraint"`
}

// readGrove reads a scheduler.grove.io/v1alpha1 PodGang. Its pod groups are roles.
// Source: Grove's API types.
func readGrove(o *Object, u *unstructured.Unstructured) {
	o.MinCount = 1 // Grove takes the minima away from a gang that has started
	var groups []groveGroup
	if !readListOf(o, u, "podgroups", "want a pod group with name, minReplicas and podReferences", &groups) || !o.checkGroveGroups(groups) {
		return
	}
	var together []groveTogether
	if !readListOf(o, u, "topologyConstraintGroupConfigs", "want a group with name, podGroupNames and topologyConstraint", &together) {
		return
	}
	roles := make([]kube.Role, len(groups))
	for i := range groups {
		roles[i] = groups[i].makeRole()
	}
	named := map[string]string{}
	for i := range together {
		t := &together[i]
		if !o.checkGroveTogether(t, groups, named) {
			return
		}
		roles = o.keepTogether(t, groups, roles)
	}
	o.readGroveTopology(u)
	o.setRoles(roles, "spec.podgroups")
	o.ignoreField(u, "Grove", "priorityClassName", ownPriority)
	if ref, _, _ := unstructured.NestedString(u.Object, "spec", "reuseReservationRef", "name"); ref != "" {
		o.ignore("Grove: spec.reuseReservationRef %s is not read; no room is kept from one PodGang for the next", kube.QuoteInput(ref))
	}
}

// readListOf reads a list in the spec into structs, and reports whether each of its
// elements has their types.
func readListOf[T any](o *Object, u *unstructured.Unstructured, field, want string, into *[]T) bool {
	list, _, err := unstructured.NestedSlice(u.Object, "spec", field)
	if err != nil || len(list) > kube.MaxRoles {
		o.refuse("spec.%s: want a list of up to %d", field, kube.MaxRoles)
		return false
	}
	*into = make([]T, len(list))
	for i, value := range list {
		fields, ok := value.(map[string]any)
		if !ok || !decodeFields(fields, &(*into)[i]) {
			o.refuse("spec.%s[%d]: found %s, %s", field, i, showValue(value), want)
			return false
		}
	}
	return true
}

// checkGroveGroups refuses pod groups that cannot be roles of one gang.
func (o *Object) checkGroveGroups(groups []groveGroup) bool {
	if len(groups) == 0 {
		o.refuse("spec.podgroups: found none, want the groups of pods that start together")
		return false
	}
	seen := map[string]bool{}
	for i := range groups {
		g := &groups[i]
		where := fmt.Sprintf("spec.podgroups[%d]", i)
		switch {
		case g.Name == "" || len(validation.IsValidLabelValue(g.Name)) > 0:
			o.refuse("%s.name: found %s, want the value of the label %s on its pods", where, kube.QuoteInput(g.Name), groveClique)
		case seen[g.Name]:
			o.refuse("%s.name: found %s twice; give each group a name of its own", where, kube.QuoteInput(g.Name))
		case g.MinReplicas == nil || *g.MinReplicas < 0 || *g.MinReplicas > kube.MaxMinCount:
			o.refuse("%s.minReplicas: found %s, want a number from 0 to %d", where, showValue(g.MinReplicas), kube.MaxMinCount)
		}
		seen[g.Name] = true
		for _, ref := range g.PodReferences {
			if ref.Namespace != o.Namespace {
				o.refuse("%s.podReferences: pod %s is in namespace %s, and a gang never crosses one", where, kube.QuoteInput(ref.Name), kube.QuoteInput(ref.Namespace))
			}
		}
	}
	return o.Problem == nil
}

// makeRole makes a role of a pod group.
func (g *groveGroup) makeRole() kube.Role {
	return kube.Role{
		Name: g.Name, MinCount: int(*g.MinReplicas), Required: g.Topology.Pack.Required, Preferred: g.Topology.Pack.Preferred,
		Selector: &metav1.LabelSelector{MatchLabels: map[string]string{groveClique: g.Name}},
	}
}

// checkGroveTogether refuses groups of pod groups that are none. named holds the
// group that each pod group was in so far.
func (o *Object) checkGroveTogether(t *groveTogether, groups []groveGroup, named map[string]string) bool {
	const where = "spec.topologyConstraintGroupConfigs"
	for _, name := range t.PodGroupNames {
		before, twice := named[name]
		switch {
		case !slices.ContainsFunc(groups, func(g groveGroup) bool { return g.Name == name }):
			o.refuse("%s: group %s names the pod group %s, which is not in spec.podgroups", where, kube.QuoteInput(t.Name), kube.QuoteInput(name))
		case twice:
			o.refuse("%s: groups %s and %s both name the pod group %s; name it in one of them", where, kube.QuoteInput(before), kube.QuoteInput(t.Name), kube.QuoteInput(name))
		}
		named[name] = t.Name
	}
	return o.Problem == nil
}

// keepTogether gives roles what a group of pod groups asks for. Grove holds the
// levels of a pod group to be at or below those of its group, and those of a group
// at or below the gang's: where one of them counts, it is the narrower one.
func (o *Object) keepTogether(t *groveTogether, groups []groveGroup, roles []kube.Role) []kube.Role {
	required, preferred := t.Topology.Pack.Required, t.Topology.Pack.Preferred
	isOf := func(r kube.Role) bool { return slices.Contains(t.PodGroupNames, r.Name) }
	switch {
	case required+preferred == "" || len(t.PodGroupNames) == 0:
	case len(t.PodGroupNames) == len(groups):
		o.setLevels(required, preferred, "spec.topologyConstraintGroupConfigs", "spec.topologyConstraintGroupConfigs")
	case len(t.PodGroupNames) == 1:
		r := &roles[slices.IndexFunc(roles, isOf)]
		r.Required, r.Preferred = cmp.Or(r.Required, required), cmp.Or(r.Preferred, preferred)
	case required == "":
		first := slices.IndexFunc(roles, isOf)
		for i := range roles {
			r := &roles[i]
			if !isOf(*r) {
				continue
			}
			if r.Preferred = cmp.Or(r.Preferred, preferred); i > first {
				r.NearRole = roles[first].Name
			}
		}
		o.ignore("Grove: group %s prefers %s for its pod groups as a whole, which is not read; each of them prefers it by itself, near %s",
			kube.QuoteInput(t.Name), kube.QuoteInput(preferred), kube.QuoteInput(roles[first].Name))
	default:
		return o.joinRoles(t, groups, roles)
	}
	return roles
}

// joinRoles makes one role of the pod groups that must share a domain.
func (o *Object) joinRoles(t *groveTogether, groups []groveGroup, roles []kube.Role) []kube.Role {
	names := strings.Join(t.PodGroupNames, ", ")
	joined := kube.Role{
		Name: t.Name, Required: t.Topology.Pack.Required, Preferred: t.Topology.Pack.Preferred,
		Selector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
			Key: groveClique, Operator: metav1.LabelSelectorOpIn, Values: t.PodGroupNames,
		}}},
	}
	if joined.Name == "" {
		joined.Name = names
	}
	elastic := false
	for i := range groups {
		g := &groups[i]
		if !slices.Contains(t.PodGroupNames, g.Name) {
			continue
		}
		if g.Topology.Pack.Required != "" {
			o.refuse("spec.podgroups[%d].topologyConstraint: group %s holds pod group %s in one domain with others, and cannot hold it in a narrower one by itself; ask for one of the two",
				i, kube.QuoteInput(t.Name), g.Name)
		}
		if g.Topology.Pack.Preferred != "" {
			o.ignore("Grove: the level that pod group %s prefers is not read; group %s holds it together with others", g.Name, kube.QuoteInput(t.Name))
		}
		joined.MinCount = min(joined.MinCount+int(*g.MinReplicas), kube.MaxMinCount)
		elastic = elastic || len(g.PodReferences) > int(*g.MinReplicas) && *g.MinReplicas > 0
	}
	if elastic {
		o.ignore("Grove: minReplicas of single pod groups is not read in group %s; %d pods of %s start together, whichever they are", kube.QuoteInput(t.Name), joined.MinCount, names)
	}
	rest := slices.DeleteFunc(roles, func(r kube.Role) bool { return slices.Contains(t.PodGroupNames, r.Name) })
	return append(rest, joined)
}

// readGroveTopology reads spec.topologyConstraint, which is for the gang as a whole.
func (o *Object) readGroveTopology(u *unstructured.Unstructured) {
	fields, _, err := unstructured.NestedMap(u.Object, "spec", "topologyConstraint")
	topology := groveTopology{}
	if err != nil || !decodeFields(fields, &topology) {
		o.refuse("spec.topologyConstraint: want an object with packConstraint")
		return
	}
	const where = "spec.topologyConstraint.packConstraint."
	o.setLevels(topology.Pack.Required, topology.Pack.Preferred, where+"required", where+"preferred")
}

// setLevels takes levels for the whole gang from two fields.
func (o *Object) setLevels(required, preferred, whereRequired, wherePreferred string) {
	if required != "" {
		o.setDefault(kube.AnnotationTopologyRequired, required, whereRequired)
	}
	if preferred != "" {
		o.setDefault(kube.AnnotationTopologyPreferred, preferred, wherePreferred)
	}
}

// groveScheduled is a condition of Muster's own: Grove's operator derives those
// that its API names from the pods.
const groveScheduled = ownDomain + "Scheduled"

// makeGroveStatus is the status of Grove's PodGang: how far the scheduler is, and why
// a gang waits.
func makeGroveStatus(p *Progress, verdict map[string]metav1.Condition, now time.Time) map[string]any {
	phase := "Pending"
	switch {
	case p.Object.Problem != nil:
	case p.Running >= p.MinCount:
		phase = "Running"
	case p.Bound > 0:
		phase = "Starting"
	}
	conditions := newConditions(p.Object.Status["conditions"])
	if c, ok := p.scheduledCondition(verdict, groveScheduled); ok {
		conditions.set(now, c, "observedGeneration", p.Object.Generation)
	}
	return conditions.into(map[string]any{"phase": phase})
}
