// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	schedulingapi "k8s.io/api/scheduling/v1beta1"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/workload"
)

// build returns the PodGroup that stands for the gang and what is declared of
// it, or nothing for a gang of which nothing is left. kinds is what is known of
// the kinds of object that may stand behind it.
func (g *gangState) build(kinds []kindStatus) publication {
	if len(g.members) == 0 && (g.object == nil || g.parentage.root != "") {
		return publication{}
	}
	pg := g.newPodGroup()
	d := g.declare()
	d.invalid = cmp.Or(g.memberProblem(), g.objectProblem(kinds), d.invalid)
	d.refuse(g.setCount(pg, d))
	d.refuse(g.setPriority(pg))
	d.refuse(g.preemptionConflict())
	d.refuse(d.rolesProblem)
	planTogether(pg, d)
	done := g.leaveOutDone(pg, d)
	g.setRunningMinimum(pg, d, done)
	pg.Spec.DisruptionMode = g.disruptionMode(pg)
	setConstraints(pg, d.Terms[kube.AnnotationTopologyRequired].Value)
	return publication{pg, g.finish(d)}
}

// planTogether makes a gang of which one member is enough of a native group of the
// policy basic that asks for places: its members are planned together, as many as
// have room, and none waits for another. So does a group with a problem, which the
// scheduler would not see otherwise. The pods of any other go one by one.
func planTogether(pg *schedulingapi.PodGroup, d *draft) {
	c := pg.Spec.SchedulingConstraints
	asks := d.invalid != nil || len(d.Terms)+len(d.Roles) > 0 || c != nil && len(c.Topology) > 0
	if policy := &pg.Spec.SchedulingPolicy; policy.Gang == nil && asks {
		policy.Basic, policy.Gang = nil, &schedulingapi.GangSchedulingPolicy{MinCount: 1}
	}
}

// leaveOutDone lowers the minimum by the members that have done their work: it
// is not waited for. What other runs under the gang's name have done is not its
// work. A workload that says itself how many start together has
// left them out. It returns how many they are.
func (g *gangState) leaveOutDone(pg *schedulingapi.PodGroup, d *draft) int {
	policy := pg.Spec.SchedulingPolicy.Gang
	if policy == nil {
		return 0
	}
	declared := max(policy.MinCount, int32(kube.TotalMinimum(d.Roles)))
	g.declaredCount = max(int(declared), 1)
	policy.MinCount, d.MinCount = declared, g.declaredCount
	if g.isCountedByWorkload(d) {
		return 0
	}
	var others map[workload.Run]bool
	if len(d.Roles) == 0 {
		var problem *kube.Invalid
		others, d.Runs, problem = g.separateRuns(int(declared))
		d.refuse(problem)
	}
	done := slices.DeleteFunc(g.doneInRun(), func(w doneWork) bool { return others[w.run] })
	if len(done) == 0 {
		return 0
	}
	d.Roles = withoutDone(d.Roles, done)
	needed := kube.NeededMembers(int(declared), totalDone(done))
	policy.MinCount = int32(max(needed, kube.TotalMinimum(d.Roles)))
	return totalDone(done)
}

// isCountedByWorkload reports whether the workload itself says how many start together.
func (g *gangState) isCountedByWorkload(d *draft) bool {
	_, written := d.Terms[kube.AnnotationMinCount]
	return g.object != nil && g.object.Shape != nil && !written
}

// setRunningMinimum says with how many members a gang that has started is whole, where
// its minimum is more: a gang of groups with those that some of its groups need, and
// any with the least that one of its members was started with. A minimum that is raised
// later makes no running gang a partial one. (Of a workload, see startedWith.)
func (g *gangState) setRunningMinimum(pg *schedulingapi.PodGroup, d *draft, finished int) {
	if g.object != nil && g.object.Enough > 0 {
		enough := kube.NeededMembers(g.object.Enough, totalDone(g.doneInRun()))
		d.RunningMinimum = &enough
	}
	if pg.Spec.SchedulingPolicy.Gang == nil || len(g.startedWith) == 0 || g.isCountedByWorkload(d) {
		return
	}
	least := kube.NeededMembers(slices.Min(slices.Collect(maps.Keys(g.startedWith))), finished)
	if least < kube.RunningMinimum(pg, &d.Declaration) {
		d.RunningMinimum = &least
	}
}

// finish returns the declaration of which nothing is open any more.
func (g *gangState) finish(d *draft) *kube.Declaration {
	delete(d.Terms, kube.AnnotationMinCount)
	delete(d.Terms, kube.AnnotationRoles)
	d.Dialect = g.dialectName
	if g.hasGroupObject() {
		d.Resource = g.object.Kind.GroupResource().String()
	}
	d.ScheduleTimeout = time.Duration(g.timeoutSeconds()) * time.Second
	d.Ignored = g.ignored()
	d.Invalid = d.invalid
	return &d.Declaration
}

// newPodGroup returns the PodGroup without what the terms and the members say.
func (g *gangState) newPodGroup() *schedulingapi.PodGroup {
	pg := &schedulingapi.PodGroup{}
	switch {
	case g.object == nil:
		if g.uid == "" {
			first := g.firstMember()
			// The first member is in one gang only, so that its UID tells
			// this gang from any other, earlier ones of its name included.
			g.uid, g.created = "gang-"+first.uid, first.created
		}
		pg.UID, pg.CreationTimestamp = g.uid, g.created
	case g.object.Native != nil:
		pg = g.object.Native.DeepCopy()
		pg.ManagedFields, pg.Labels, pg.Annotations, pg.OwnerReferences = nil, nil, nil, nil
		pg.Spec.ParentCompositePodGroupName = nil
		// What was written about the gang says nothing new of it: a verdict
		// that came back as a change would wake the gang.
		pg.Status.Conditions = nil
	default:
		pg.UID, pg.CreationTimestamp, pg.Generation = g.object.Identity(), g.object.Created, g.object.Generation
	}
	pg.Namespace, pg.Name = g.key.Namespace, g.key.Group
	if !g.isNative() {
		pg.Spec.SchedulingPolicy.Gang = &schedulingapi.GangSchedulingPolicy{MinCount: 1}
		if g.object != nil {
			pg.Spec.SchedulingPolicy.Gang.MinCount = int32(min(max(g.object.MinCount, 1), kube.MaxMinCount))
		}
	}
	return pg
}

// setCount gives the PodGroup the number of members that start together, as the
// members or the workload say it: a group object's own is there.
func (g *gangState) setCount(pg *schedulingapi.PodGroup, d *draft) *kube.Invalid {
	text := d.Terms[kube.AnnotationMinCount].Value
	switch {
	case g.object == nil && kube.TotalMinimum(d.Roles) > 0 && !g.anyMemberDeclares(kube.AnnotationMinCount):
		return nil // its parts say how many
	case g.object == nil && g.countKey() != "":
		return g.setCountOf(pg, text)
	case g.object != nil && g.object.Shape != nil:
		return g.setWorkloadCount(pg, d)
	}
	return nil
}

// setCountOf reads the number of members that they or their workload give in an
// annotation.
func (g *gangState) setCountOf(pg *schedulingapi.PodGroup, text string) *kube.Invalid {
	key := cmp.Or(g.countKey(), kube.AnnotationMinCount)
	if text == "" && !g.anyMemberDeclares(kube.AnnotationMinCount) {
		return &kube.Invalid{Reason: kube.InvalidGangSpec, Message: fmt.Sprintf(
			"gang %s: its pods lack the annotation %s; write the number of pods that start together, such as \"8\"", g.key.Name(), key)}
	}
	n, err := kube.ParseMinCount(text)
	if err != nil {
		return &kube.Invalid{Reason: kube.InvalidGangSpec, Message: fmt.Sprintf("gang %s: annotation %s: %v", g.key.Name(), key, err)}
	}
	pg.Spec.SchedulingPolicy.Gang.MinCount = int32(n)
	return nil
}

// setPriority gives the PodGroup the priority of its members. The scheduler
// refuses a group that differs from them.
func (g *gangState) setPriority(pg *schedulingapi.PodGroup) *kube.Invalid {
	variants := g.decidingVariants()
	if len(variants) == 0 {
		return nil
	}
	priority := variants[0].terms.Priority
	if !g.isNative() {
		pg.Spec.Priority = &priority
	}
	own, says := g.ownPriority()
	if !says || own == priority {
		return nil
	}
	return &kube.Invalid{Reason: kube.PriorityMismatch, Message: fmt.Sprintf(
		"gang %s: the %s has priority %d, pod %s has %d; give both one priorityClassName", g.key.Name(), g.object.Kind.Name, own, variants[0].firstPod(), priority)}
}

// ownPriority is the priority of one of Kubernetes' own groups, and whether there is
// one behind the gang.
func (g *gangState) ownPriority() (priority int32, says bool) {
	var own *int32
	switch {
	case g.isNative():
		own = g.object.Native.Spec.Priority
	case g.isComposite():
		own = g.object.Composite.Spec.Priority
	default:
		return 0, false
	}
	if own == nil {
		return 0, true
	}
	return *own, true
}

// preemptionConflict is where one of Kubernetes' own groups has another preemption
// policy than its members.
func (g *gangState) preemptionConflict() *kube.Invalid {
	own := ""
	switch {
	case g.isNative() && g.object.Native.Spec.PreemptionPolicy != nil:
		own = string(*g.object.Native.Spec.PreemptionPolicy)
	case g.isComposite() && g.object.Composite.Spec.PreemptionPolicy != nil:
		own = string(*g.object.Composite.Spec.PreemptionPolicy)
	}
	variants := g.variants()
	if own == "" || len(variants) == 0 || string(variants[0].terms.Preemption) == own {
		return nil
	}
	return &kube.Invalid{Reason: kube.GangConfigConflict, Message: fmt.Sprintf(
		"gang %s: the %s has spec.preemptionPolicy %s, pod %s has %s; give both one priorityClassName",
		g.key.Name(), g.object.Kind.Name, own, variants[0].firstPod(), variants[0].terms.Preemption)}
}

// disruptionMode has a gang that needs all of the pods that it has on nodes
// preempted as a whole: the rest would hold its GPUs for nothing. Of a gang with
// more, single ones can go. A native group says so itself.
func (g *gangState) disruptionMode(pg *schedulingapi.PodGroup) *schedulingapi.DisruptionMode {
	policy := pg.Spec.SchedulingPolicy.Gang
	switch {
	case g.isNative() || policy == nil:
		return pg.Spec.DisruptionMode
	case g.isComposite() && g.object.Whole:
	case g.staying > int(policy.MinCount):
		return nil
	}
	return &schedulingapi.DisruptionMode{All: &schedulingapi.AllDisruptionMode{}}
}

// hasDisruptionMode reports whether a PodGroup has the mode that its pods ask for
// now.
func (g *gangState) hasDisruptionMode(pg *schedulingapi.PodGroup) bool {
	return (g.disruptionMode(pg) == nil) == (pg.Spec.DisruptionMode == nil)
}

// setConstraints makes sure that the PodGroup has scheduling constraints: the
// level that must hold the gang, or none. Without the field the DynamicResources
// plugin takes a gang that was refused as a whole for one whose pods it has seen,
// and fails.
func setConstraints(pg *schedulingapi.PodGroup, required string) {
	if pg.Spec.SchedulingConstraints != nil {
		return
	}
	pg.Spec.SchedulingConstraints = &schedulingapi.PodGroupSchedulingConstraints{}
	if required != "" {
		pg.Spec.SchedulingConstraints.Topology = []schedulingapi.TopologyConstraint{{Key: required}}
	}
}

// timeoutSeconds is how long members may wait for one another; 0 for the
// scheduler's own time.
func (g *gangState) timeoutSeconds() int64 {
	if g.object != nil && g.object.TimeoutSeconds > 0 {
		return g.object.TimeoutSeconds
	}
	seconds := int64(0)
	for t := range g.byTerms {
		seconds = max(seconds, t.TimeoutSeconds)
	}
	return seconds
}
