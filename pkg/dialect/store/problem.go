// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// kindStatus is what is known of one kind of group object.
type kindStatus struct {
	kind         *dialect.Kind
	availability Availability
}

// memberProblem is the problem of the first member by name that has one.
func (g *gangState) memberProblem() *kube.Invalid {
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

// objectProblem is what is wrong with the object behind the gang, or why a gang
// that is to have one has none.
func (g *gangState) objectProblem(kinds []kindStatus) *kube.Invalid {
	switch {
	case g.object != nil && g.auto != nil && g.auto.asked == 0:
		return nil // nobody asked for a gang that the workload could not be
	case g.object != nil && g.parentage.root != "": // its pods are on their way
		return &kube.Invalid{Reason: kube.GangIncomplete, Message: fmt.Sprintf(
			"gang %s: its pods start with the others of CompositePodGroup %s, and are not known there yet", g.key.Name(), g.parentage.root)}
	case g.object != nil:
		return cmp.Or(g.object.Problem, g.parentage.problem)
	case g.auto != nil:
		return g.missingWorkload(kinds)
	case len(kinds) == 0 || g.countKey() != "":
		return nil
	}
	return g.missingObject(kinds)
}

// missingObject is why a gang has no group object behind it, by what is known of
// its kinds.
func (g *gangState) missingObject(kinds []kindStatus) *kube.Invalid {
	var found []string
	for _, k := range kinds {
		switch k.availability {
		case Absent:
		case Served:
			found = append(found, k.kind.GroupVersion().String())
		case Listing:
			return unreadableKind(g, k.kind)
		}
	}
	first := kinds[0].kind
	if len(found) == 0 {
		return &kube.Invalid{Reason: kube.GangAPIUnavailable, Message: fmt.Sprintf(
			"gang %s: the API server does not serve %ss of %s; %s, or declare the gang with the label %s and the annotation %s",
			g.key.Name(), first.Name, first.GroupVersion(), first.HowToServe(), kube.LabelGang, kube.AnnotationMinCount)}
	}
	return &kube.Invalid{Reason: kube.GangNotFound, Message: fmt.Sprintf(
		"gang %s: there is no %s %s (%s) in namespace %s; create it", g.key.Name(), first.Name, g.key.Name(), strings.Join(found, " or "), g.key.Namespace)}
}

// unreadableKind is why a gang waits for the objects of a kind.
func unreadableKind(g *gangState, k *dialect.Kind) *kube.Invalid {
	return &kube.Invalid{Reason: kube.GangAPIUnavailable, Message: fmt.Sprintf(
		"gang %s: the %ss of %s cannot be read yet; if that lasts, allow the scheduler to get, list and watch %s",
		g.key.Name(), k.Name, k.GroupVersion(), k.GroupResource())}
}

// missingWorkload is why a gang has no workload behind it, by what is known of
// its kinds.
func (g *gangState) missingWorkload(kinds []kindStatus) *kube.Invalid {
	ref := g.auto.ref
	resource := ref.Kind.ServedResources()[0]
	for _, k := range kinds {
		switch {
		case k.kind.Workload != ref.Kind:
		case k.availability == Listing:
			return &kube.Invalid{Reason: kube.GangAPIUnavailable, Message: fmt.Sprintf(
				"gang %s: %ss cannot be read yet; if that lasts, allow the scheduler to get, list and watch %s.%s",
				g.key.Name(), ref.Kind.Name, resource.Resource, resource.Group)}
		case k.availability == Served:
			return &kube.Invalid{Reason: kube.GangNotFound, Message: fmt.Sprintf(
				"gang %s: there is no %s %s in namespace %s that its pods belong to; delete them if they stay",
				g.key.Name(), ref.Kind.Name, ref.Workload, g.key.Namespace)}
		}
	}
	return &kube.Invalid{Reason: kube.GangAPIUnavailable, Message: fmt.Sprintf(
		"gang %s: the API server does not serve %ss of %s; install them, or give the gang a name in the label %s, and the annotation %s",
		g.key.Name(), ref.Kind.Name, resource.GroupVersion(), kube.LabelGang, kube.AnnotationMinCount)}
}
