// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"maps"
	"slices"
	"time"

	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// recomputeNeed follows what the members and the workload of a gang have come
// to. It reports whether another number of them must start together now.
func (g *gangState) recomputeNeed() bool {
	if g.auto == nil || g.object == nil || g.object.Shape == nil {
		return false
	}
	a, shape := g.auto, g.object.Shape
	a.startedWith = a.startedWith.next(shape, a.have, a.seen, g.presentAtFirstBind())
	_, bound := a.have.total()
	a.seen = a.seen || bound == 0
	before := a.need
	a.need = computeNeed(shape, g.tallyWithDone(), a.startedWith)
	return !before.equal(a.need)
}

// tallyWithDone is the tally of the members, with those that have done their
// work.
func (g *gangState) tallyWithDone() tally {
	byRole := g.doneByRole()
	if len(byRole) == 0 {
		return g.auto.have
	}
	all := maps.Clone(g.auto.have)
	for role, done := range byRole {
		t := all[role]
		t.done = done
		all[role] = t
	}
	return all
}

// presentAtFirstBind counts the members of a role that were there when the first member got
// its node: all of them, where no pod says when that was. Where no more start together
// now than were started, those that are missing were there, and have ended since.
func (g *gangState) presentAtFirstBind() func(role string) int {
	most := slices.Max(append(slices.Collect(maps.Keys(g.startedWith)), 0))
	return func(role string) int {
		if now := computeNeed(g.object.Shape, g.tallyWithDone(), nil); g.auto.have[role].live > 0 && now.count <= most {
			return now.count
		}
		var first time.Time
		for _, m := range g.members {
			if !m.bound || m.terminating || m.auto == nil || m.auto.bound.IsZero() {
				continue
			}
			if first.IsZero() || m.auto.bound.Before(first) {
				first = m.auto.bound
			}
		}
		there := 0
		for _, m := range g.members {
			there += oneIf(m.auto != nil && !m.terminating && m.auto.ref.Role == role && (first.IsZero() || !m.created.After(first.Add(skew))))
		}
		return there
	}
}

// setWorkloadCount gives the PodGroup of a workload's gang its number, and the
// draft its roles. A number that pods or workload give goes before what the
// workload's fields make.
func (g *gangState) setWorkloadCount(pg *schedulingapi.PodGroup, d *draft) *kube.Invalid {
	if term, ok := d.Terms[kube.AnnotationMinCount]; ok {
		return g.setCountOf(pg, term.Value)
	}
	n := g.auto.need
	if g.auto.asked == 0 && g.object.Problem != nil {
		n = need{count: 1, runningMinimum: 1} // nobody asked for a gang that cannot be one
	}
	pg.Spec.SchedulingPolicy.Gang.MinCount = int32(min(n.count, kube.MaxMinCount))
	if n.runningMinimum != n.count {
		d.RunningMinimum = new(n.runningMinimum)
	}
	d.LaterRoles = n.later
	if _, written := d.Terms[kube.AnnotationRoles]; !written && d.Roles == nil {
		g.setWorkloadRoles(n, d)
	}
	return nil
}

// setWorkloadRoles lists the roles of a workload that has several, or one in
// parts. A level for slices without their size asks for the workload's own parts.
func (g *gangState) setWorkloadRoles(n need, d *draft) {
	level, preferred, sliced := d.unsizedSliceLevel()
	parts := false
	roles := make([]kube.Role, 0, len(n.roles))
	for _, r := range n.roles {
		role := kube.Role{Name: r.Name, MinCount: r.least, NearRole: r.NearRole}
		if r.Label != "" {
			role.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{r.Label: r.Value}}
		}
		switch {
		case !sliced || r.SliceSize == 0:
		case preferred:
			parts, role.Slices = true, []kube.RoleSlice{{Size: r.SliceSize, Topology: level, Preferred: true}}
		default:
			parts, role.SliceSize, role.SliceTopology = true, r.SliceSize, level
		}
		roles = append(roles, role)
	}
	if parts && preferred {
		delete(d.Terms, kube.AnnotationSliceTopologyPreferred)
	} else if parts {
		delete(d.Terms, kube.AnnotationSliceTopology)
	}
	if parts || len(roles) > 1 {
		d.setRoles(g, roles, kube.Origin{Word: kube.AnnotationRoles})
	}
}

// unsizedSliceLevel returns the level of slices that have no size, and whether
// it is a preferred one.
func (d *draft) unsizedSliceLevel() (level string, preferred, found bool) {
	if _, sized := d.Terms[kube.AnnotationSliceSize]; sized {
		return "", false, false
	}
	if term, ok := d.Terms[kube.AnnotationSliceTopology]; ok {
		return term.Value, false, true
	}
	term, ok := d.Terms[kube.AnnotationSliceTopologyPreferred]
	return term.Value, true, ok
}
