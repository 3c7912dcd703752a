// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"fmt"
	"strconv"
	"time"

	schedulingapi "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// advance follows what the members and the workload of a gang have come to. It
// tells whether another number of them must start together now.
func (g *gangState) advance() bool {
	if g.auto == nil || g.object == nil || g.object.shape == nil {
		return false
	}
	a, shape := g.auto, g.object.shape
	a.began = a.began.next(shape, a.have, a.seen, g.early())
	a.seen = a.seen || a.have.total().bound == 0
	before := a.need
	a.need = needs(shape, a.have, a.began)
	return !before.equal(a.need)
}

// early counts the members of a role that were there when the first member got
// its node.
func (g *gangState) early() func(role string) int {
	return func(role string) int {
		var first time.Time
		for _, m := range g.members {
			if m.bound && m.auto != nil && (first.IsZero() || m.auto.bound.Before(first)) {
				first = m.auto.bound
			}
		}
		there := 0
		for _, m := range g.members {
			there += count(m.auto != nil && m.auto.ref.Role == role && !m.created.After(first.Add(skew)))
		}
		return there
	}
}

// enlist gives the group of a workload's gang its numbers and its roles.
// annotations are what pods and workload say; a number of their own goes before
// what the workload's fields make.
func (g *gangState) enlist(pg *schedulingapi.PodGroup, annotations map[string]string) *kube.Invalid {
	if text, ok := annotations[kube.AnnotationMinCount]; ok {
		return g.count(pg, text)
	}
	n := g.auto.need
	if g.auto.asked == 0 && g.object.problem != nil {
		n = need{count: 1, whole: 1} // nobody asked for a gang that cannot be one
	}
	pg.Spec.SchedulingPolicy.Gang.MinCount = int32(min(n.count, kube.MaxMinCount))
	if n.whole != n.count {
		annotations[kube.AnnotationWholeCount] = strconv.Itoa(n.whole)
	}
	if _, ok := annotations[kube.AnnotationRoles]; !ok {
		g.enlistRoles(n, annotations)
	}
	return nil
}

// enlistRoles lists the roles of a workload that has several, or one in parts.
// A level for slices without their size asks for the workload's own parts.
func (g *gangState) enlistRoles(n need, annotations map[string]string) {
	key := kube.AnnotationSliceTopology
	level, sliced := annotations[key]
	if !sliced {
		key = kube.AnnotationSliceTopologyPreferred
		level, sliced = annotations[key]
	}
	if _, sized := annotations[kube.AnnotationSliceSize]; sized {
		sliced = false
	}
	parts := false
	roles := make([]kube.Role, 0, len(n.roles))
	for _, r := range n.roles {
		role := kube.Role{Name: r.Name, MinCount: r.least, Beside: r.NearRole}
		if r.Label != "" {
			role.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{r.Label: r.Value}}
		}
		if sliced && r.SliceSize > 0 {
			parts = true
			if key == kube.AnnotationSliceTopology {
				role.SliceSize, role.SliceTopology = r.SliceSize, level
			} else {
				role.Slices = []kube.RoleSlice{{Size: r.SliceSize, Topology: level, Preferred: true}}
			}
		}
		roles = append(roles, role)
	}
	if parts {
		delete(annotations, key)
	}
	if parts || len(roles) > 1 {
		annotations[kube.AnnotationRoles] = kube.FormatRoles(roles)
	}
}

// missing is why a gang has no workload behind it, by what is known of its
// kinds.
func (g *gangState) missing(kinds []standing) *kube.Invalid {
	ref := g.auto.ref
	kind := ref.Kind.ServedResources()[0]
	for _, k := range kinds {
		switch {
		case k.kind.workload != ref.Kind:
		case k.is == listing:
			return &kube.Invalid{Reason: kube.GangApiUnavailable, Message: fmt.Sprintf(
				"gang %s: %ss cannot be read yet; if that lasts, allow the scheduler to get, list and watch %s.%s",
				g.name(), ref.Kind.Name, kind.Resource, kind.Group)}
		case k.is == served:
			return &kube.Invalid{Reason: kube.GangNotFound, Message: fmt.Sprintf(
				"gang %s: there is no %s %s in namespace %s that its pods belong to; delete them if they stay",
				g.name(), ref.Kind.Name, ref.Workload, g.key.namespace)}
		}
	}
	return &kube.Invalid{Reason: kube.GangApiUnavailable, Message: fmt.Sprintf(
		"gang %s: the API server does not serve %ss of %s; install them, or give the gang a name in the label %s, and the annotation %s",
		g.name(), ref.Kind.Name, kind.GroupVersion(), kube.LabelGang, kube.AnnotationMinCount)}
}

// resolved is the problem of the workload behind a gang. It is none of those
// who did not ask for a gang.
func (g *gangState) resolved() *kube.Invalid {
	if g.auto != nil && g.auto.asked == 0 {
		return nil
	}
	return g.object.problem
}
