// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// minCount is the number of members that must start together, at least 1.
func (g *gangState) minCount() int {
	if g.served != nil && g.served.Spec.SchedulingPolicy.Gang != nil {
		return max(int(g.served.Spec.SchedulingPolicy.Gang.MinCount), 1)
	}
	if g.object != nil {
		return max(g.object.minCount, 1)
	}
	return 1
}

// serve returns the PodGroup that stands for the gang, or nil for none. kinds
// is what is known of the kinds of object that may stand behind it. A gang
// that cannot be scheduled as it is declared carries the reason.
func (g *gangState) serve(kinds []standing) *schedulingapi.PodGroup {
	if g.object == nil && len(g.members) == 0 {
		return nil
	}
	pg := g.skeleton()
	annotations, invalid := g.merge()
	invalid = cmp.Or(g.troubled(), g.unresolved(kinds), invalid)
	switch {
	case g.object == nil && leastOf(annotations) > 0 && !g.says(kube.AnnotationMinCount):
		// its parts say how many
	case g.object == nil && g.countKey() != "":
		invalid = cmp.Or(invalid, g.count(pg, annotations[kube.AnnotationMinCount]))
	case g.object != nil && g.object.shape != nil:
		invalid = cmp.Or(invalid, g.enlist(pg, annotations))
	}
	invalid = cmp.Or(invalid, g.prioritise(pg))
	if policy := pg.Spec.SchedulingPolicy.Gang; policy != nil {
		policy.MinCount = max(policy.MinCount, leastOf(annotations))
	}
	pg.Spec.DisruptionMode = g.disruption(pg)
	delete(annotations, kube.AnnotationMinCount)
	annotations[kube.AnnotationDialect] = string(g.dialect)
	if g.grouped() {
		annotations[kube.AnnotationObject] = g.object.kind.GroupResource().String()
	}
	if seconds := g.timeoutSeconds(); seconds > 0 {
		annotations[kube.AnnotationScheduleTimeout] = strconv.FormatInt(seconds, 10)
	}
	if notes := g.notes(); len(notes) > 0 {
		annotations[kube.AnnotationNotes] = strings.Join(notes, "\n")
	}
	if invalid != nil {
		annotations[kube.AnnotationInvalidReason] = string(invalid.Reason)
		annotations[kube.AnnotationInvalidMessage] = invalid.Message
	}
	pg.Annotations = annotations
	if pg.Spec.SchedulingConstraints == nil {
		// Empty, but there: without it the DynamicResources plugin takes a
		// gang that was refused as a whole for one whose pods it has seen,
		// and fails.
		pg.Spec.SchedulingConstraints = &schedulingapi.PodGroupSchedulingConstraints{}
		if key := annotations[kube.AnnotationTopologyRequired]; key != "" {
			pg.Spec.SchedulingConstraints.Topology = []schedulingapi.TopologyConstraint{{Key: key}}
		}
	}
	return pg
}

// disruption has a gang that needs all of its pods preempted as a whole: the rest
// would hold its GPUs for nothing. Of a gang with more, single ones can go. A
// native group says so itself.
func (g *gangState) disruption(pg *schedulingapi.PodGroup) *schedulingapi.DisruptionMode {
	policy := pg.Spec.SchedulingPolicy.Gang
	if g.object != nil && g.object.native != nil || policy == nil || len(g.members) > int(policy.MinCount) {
		return pg.Spec.DisruptionMode
	}
	return &schedulingapi.DisruptionMode{All: &schedulingapi.AllDisruptionMode{}}
}

// skeleton is the PodGroup without what the annotations and the members say.
func (g *gangState) skeleton() *schedulingapi.PodGroup {
	pg := &schedulingapi.PodGroup{}
	switch {
	case g.object == nil:
		if g.uid == "" {
			first := g.first()
			// The first member is in one gang only, so that its UID tells
			// this gang from any other, earlier ones of its name included.
			g.uid, g.created = "gang-"+first.uid, first.created
		}
		pg.UID, pg.CreationTimestamp = g.uid, g.created
	case g.object.native != nil:
		pg = g.object.native.DeepCopy()
		pg.ManagedFields, pg.Labels, pg.OwnerReferences = nil, nil, nil
		// What was written about the gang says nothing new of it: a verdict
		// that came back as a change would wake the gang.
		pg.Status.Conditions = nil
	default:
		pg.UID, pg.CreationTimestamp, pg.Generation = g.object.identity(), g.object.created, g.object.generation
	}
	pg.Namespace, pg.Name = g.key.namespace, g.key.group
	if g.object == nil || g.object.native == nil {
		pg.Spec.SchedulingPolicy.Gang = &schedulingapi.GangSchedulingPolicy{MinCount: 1}
		if g.object != nil {
			pg.Spec.SchedulingPolicy.Gang.MinCount = int32(min(max(g.object.minCount, 1), kube.MaxMinCount))
		}
	}
	return pg
}

// timeoutSeconds is how long members may wait for one another; 0 for the
// scheduler's own time.
func (g *gangState) timeoutSeconds() int64 {
	if g.object != nil && g.object.timeoutSeconds > 0 {
		return g.object.timeoutSeconds
	}
	seconds := int64(0)
	for t := range g.byTerms {
		seconds = max(seconds, t.timeoutSeconds)
	}
	return seconds
}

// leastOf is the number of members that the roles of a gang need together.
func leastOf(annotations map[string]string) int32 {
	text, ok := annotations[kube.AnnotationRoles]
	if !ok {
		return 0
	}
	roles, err := kube.ParseRoles(text)
	if err != nil {
		return 0 // told when the group is read
	}
	return int32(kube.LeastOf(roles))
}

// countKey is the annotation on the members that gives their number, or "".
func (g *gangState) countKey() string {
	if g.entry == nil {
		return ""
	}
	return g.entry.count
}

// notes are the sentences on what is not honoured, of the object and of the
// first of the members that say something else.
func (g *gangState) notes() []string {
	var notes []string
	if g.object != nil {
		notes = slices.Clone(g.object.notes)
	}
	for _, c := range g.camps() {
		for note := range strings.SplitSeq(c.terms.notes, "\n") {
			if note != "" && !slices.Contains(notes, note) {
				notes = append(notes, note)
			}
		}
	}
	return notes
}

// standing is what is known of one kind of group object.
type standing struct {
	kind *kind
	is   availability
}

// unresolved is why a gang that is to have an object has none.
func (g *gangState) unresolved(kinds []standing) *kube.Invalid {
	switch {
	case g.object != nil:
		return g.resolved()
	case g.auto != nil:
		return g.missing(kinds)
	}
	if len(kinds) == 0 || g.countKey() != "" {
		return nil
	}
	var found []string
	for _, k := range kinds {
		switch k.is {
		case absent:
		case served:
			found = append(found, k.kind.GroupVersion().String())
		case listing:
			return &kube.Invalid{Reason: kube.GangAPIUnavailable, Message: fmt.Sprintf(
				"gang %s: the %ss of %s cannot be read yet; if that lasts, allow the scheduler to get, list and watch %s",
				g.name(), k.kind.name, k.kind.GroupVersion(), k.kind.GroupResource())}
		}
	}
	first := kinds[0].kind
	if len(found) == 0 {
		return &kube.Invalid{Reason: kube.GangAPIUnavailable, Message: fmt.Sprintf(
			"gang %s: the API server does not serve %ss of %s; %s, or declare the gang with the label %s and the annotation %s",
			g.name(), first.name, first.GroupVersion(), first.howToServe(), kube.LabelGang, kube.AnnotationMinCount)}
	}
	return &kube.Invalid{Reason: kube.GangNotFound, Message: fmt.Sprintf(
		"gang %s: there is no %s %s (%s) in namespace %s; create it", g.name(), first.name, g.name(), strings.Join(found, " or "), g.key.namespace)}
}

// howToServe says what makes the API server serve a kind.
func (k *kind) howToServe() string {
	if k == nativeGroup {
		return "turn on its feature gate GenericWorkload and that API"
	}
	return "install them"
}

// troubled is the problem of the first member by name that has one.
func (g *gangState) troubled() *kube.Invalid {
	if g.problems == 0 {
		return nil
	}
	var worst *member
	for _, m := range g.members {
		if m.problem != nil && (worst == nil || m.name < worst.name) {
			worst = m
		}
	}
	return worst.problem
}

// camp is the members that say the same.
type camp struct {
	terms   terms
	members map[types.UID]*member
}

// voice is the first of them by name.
func (c camp) voice() string {
	first := ""
	for _, m := range c.members {
		if first == "" || m.name < first {
			first = m.name
		}
	}
	return first
}

// camps lists the different terms of the members, by the name of their first
// member.
func (g *gangState) camps() []camp {
	all := make([]camp, 0, len(g.byTerms))
	for t, members := range g.byTerms {
		all = append(all, camp{t, members})
	}
	if len(all) > 1 {
		slices.SortFunc(all, func(a, b camp) int { return cmp.Compare(a.voice(), b.voice()) })
	}
	return all
}

// merge joins what the object and the members say of the gang. Where the
// object says something no member may say otherwise; where it does not, all
// members must say the same.
func (g *gangState) merge() (map[string]string, *kube.Invalid) {
	merged := map[string]string{}
	camps := g.camps()
	var conflict *kube.Invalid
	for i, key := range gangAnnotations {
		var value text
		origin := kube.Origin{Word: key}
		if g.object != nil {
			value.value, value.set = g.object.annotations[key]
			origin = g.object.origin(key)
		}
		fromObject := value.set
		for n, c := range camps {
			says := c.terms.annotations[i]
			switch {
			case fromObject:
				origin.OnPods = origin.OnPods || says.set
				if says.set && !says.same(value) && conflict == nil {
					conflict = g.conflict(origin.Word, "the "+g.object.kind.name+" "+value.say(), "pod "+c.voice()+" "+says.say())
				}
			case n == 0:
				value = says
				origin = kube.Origin{Word: cmp.Or(says.origin, key), OnPods: g.grouped()}
			case !says.same(value) && conflict == nil:
				conflict = g.conflict(origin.Word, "pod "+camps[0].voice()+" "+value.say(), "pod "+c.voice()+" "+says.say())
			}
		}
		if value.set {
			merged[key] = value.value
			kube.SetOrigin(merged, key, origin)
		}
	}
	conflict = cmp.Or(conflict, g.unite(merged, camps))
	return merged, cmp.Or(conflict, g.disagreement(camps))
}

// grouped tells whether a group object stands behind the gang, and not just its
// pods or a workload.
func (g *gangState) grouped() bool { return g.object != nil && g.object.shape == nil }

// say puts an annotation into a sentence.
func (t text) say() string {
	if !t.set {
		return "leaves it out"
	}
	return "says " + kube.Quote(t.value)
}

func (g *gangState) conflict(what, one, other string) *kube.Invalid {
	return &kube.Invalid{Reason: kube.GangConfigConflict, Message: fmt.Sprintf(
		"gang %s: its members disagree on %s: %s, %s; make all members say the same", g.name(), what, one, other)}
}

// disagreement is what members differ in that must be one for the gang.
func (g *gangState) disagreement(camps []camp) *kube.Invalid {
	for _, c := range camps {
		first := camps[0]
		switch {
		case c.terms.schedulerName != first.terms.schedulerName:
			return g.conflict("spec.schedulerName", "pod "+first.voice()+" says "+first.terms.schedulerName, "pod "+c.voice()+" says "+c.terms.schedulerName)
		case c.terms.priority != first.terms.priority:
			return &kube.Invalid{Reason: kube.PriorityMismatch, Message: fmt.Sprintf(
				"gang %s: pod %s has priority %d, pod %s has %d; give all members one priorityClassName",
				g.name(), first.voice(), first.terms.priority, c.voice(), c.terms.priority)}
		case c.terms.preemption != first.terms.preemption:
			return g.conflict("spec.preemptionPolicy", "pod "+first.voice()+" says "+string(first.terms.preemption), "pod "+c.voice()+" says "+string(c.terms.preemption))
		}
	}
	return nil
}

// count reads the number of members of a gang without an object.
func (g *gangState) count(pg *schedulingapi.PodGroup, text string) *kube.Invalid {
	key := cmp.Or(g.countKey(), kube.AnnotationMinCount)
	if text == "" && !g.says(kube.AnnotationMinCount) {
		return &kube.Invalid{Reason: kube.InvalidGangSpec, Message: fmt.Sprintf(
			"gang %s: its pods lack the annotation %s; write the number of pods that start together, such as \"8\"", g.name(), key)}
	}
	n, err := kube.ParseMinCount(text)
	if err != nil {
		return &kube.Invalid{Reason: kube.InvalidGangSpec, Message: fmt.Sprintf("gang %s: annotation %s: %v", g.name(), key, err)}
	}
	pg.Spec.SchedulingPolicy.Gang.MinCount = int32(n)
	return nil
}

func (g *gangState) says(key string) bool {
	i := slices.Index(gangAnnotations[:], key)
	for t := range g.byTerms {
		if t.annotations[i].set {
			return true
		}
	}
	return false
}

// prioritise gives the gang the priority of its members. The scheduler refuses
// a group that differs from them.
func (g *gangState) prioritise(pg *schedulingapi.PodGroup) *kube.Invalid {
	camps := g.camps()
	if len(camps) == 0 {
		return nil
	}
	priority := camps[0].terms.priority
	if g.object == nil || g.object.native == nil {
		pg.Spec.Priority = &priority
		return nil
	}
	own := int32(0)
	if pg.Spec.Priority != nil {
		own = *pg.Spec.Priority
	}
	if own == priority {
		return nil
	}
	return &kube.Invalid{Reason: kube.PriorityMismatch, Message: fmt.Sprintf(
		"gang %s: the PodGroup has priority %d, pod %s has %d; give both one priorityClassName", g.name(), own, camps[0].voice(), priority)}
}

// name is what users call the gang.
func (g *gangState) name() string {
	_, name := kube.SplitGroupName(g.key.group)
	return name
}
