// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// mergeRoles gives the draft the roles of the gang: those of Muster's annotation
// or of the group object, else those that the members name.
func (g *gangState) mergeRoles(d *draft, variants []variant) *kube.Invalid {
	term, written := d.Terms[kube.AnnotationRoles]
	if !written {
		return g.uniteRoles(d, variants)
	}
	if g.object != nil && g.object.Roles != nil {
		d.setRoles(g, g.object.Roles, term.Origin)
		return nil
	}
	roles, err := kube.ParseRoles(term.Value)
	if err != nil {
		d.rolesProblem = g.invalidRoles(term.Origin, err)
	}
	d.Roles, d.RolesOrigin = roles, term.Origin
	return nil
}

// setRoles gives the draft its roles, unless they make no sense.
func (d *draft) setRoles(g *gangState, roles []kube.Role, origin kube.Origin) {
	d.RolesOrigin = origin
	if err := kube.CheckRoles(roles); err != nil {
		d.rolesProblem = g.invalidRoles(origin, err)
		return
	}
	d.Roles = roles
}

func (g *gangState) invalidRoles(origin kube.Origin, err error) *kube.Invalid {
	return &kube.Invalid{Reason: kube.InvalidGangSpec, Message: "gang " + g.key.Name() + ": " + origin.Word + ": " + err.Error()}
}

// uniteRoles joins the roles that members name. What all members say of one and
// the same role holds for the gang as a whole.
func (g *gangState) uniteRoles(d *draft, variants []variant) *kube.Invalid {
	named, alike, bad := g.rolesByName(variants)
	if bad != nil || len(named) == 0 {
		return bad
	}
	all := slices.SortedFunc(maps.Values(named), func(a, b kube.Role) int { return cmp.Compare(a.Name, b.Name) })
	if alike && len(all) == 1 && all[0].MinCount == 0 {
		g.liftRole(d, all[0])
		return nil
	}
	origin := kube.Origin{Word: kube.AnnotationRoles}
	if slices.ContainsFunc(all, func(r kube.Role) bool { return r.Required+r.Preferred+r.SliceTopology != "" || len(r.Slices) > 0 }) {
		origin = g.kueueOrigin(kube.AnnotationRoles)
	}
	d.setRoles(g, all, origin)
	return nil
}

// kueueOrigin is where Kueue's pods say what Muster has in an annotation: of all
// dialects it is the one whose pods ask for levels of roles.
func (g *gangState) kueueOrigin(key string) kube.Origin {
	return kube.Origin{Word: cmp.Or(dialect.KueueAliases[key], key), OnPods: g.hasGroupObject()}
}

// rolesByName returns the roles that members name, and whether all name the same
// ones. Of those that do not decide, what they name counts unless others say it otherwise.
func (g *gangState) rolesByName(variants []variant) (named map[string]kube.Role, alike bool, bad *kube.Invalid) {
	named, alike = map[string]kube.Role{}, true
	for _, v := range variants {
		roles := v.firstMember().roles
		if err := kube.CheckRoles(roles); err != nil {
			return nil, false, &kube.Invalid{Reason: kube.InvalidGangSpec, Message: "gang " + g.key.Name() + ": the parts that pod " + v.firstPod() + " names: " + err.Error()}
		}
		for _, r := range roles {
			before, known := named[r.Name]
			if known {
				before.MinCount = max(before.MinCount, r.MinCount)
				r.MinCount = before.MinCount
			}
			if known && !equality.Semantic.DeepEqual(before, r) {
				return nil, false, g.conflict("what the part "+kube.QuoteInput(r.Name)+" asks for", "pod "+variants[0].firstPod()+" says one thing", "pod "+v.firstPod()+" another")
			}
			named[r.Name] = r
		}
	}
	for _, v := range g.variants() {
		alike = alike && v.terms.RolesText == variants[0].terms.RolesText
		roles := v.firstMember().roles
		if kube.CheckRoles(roles) != nil {
			continue
		}
		for _, r := range roles {
			if _, known := named[r.Name]; !known {
				named[r.Name] = r
			}
		}
	}
	return named, alike, nil
}

// liftRole lets a whole gang ask for what a role asks for, where it asks for
// nothing itself.
func (g *gangState) liftRole(d *draft, r kube.Role) {
	put := func(key, value string) {
		d.Terms[key] = kube.Term{Value: value, Origin: g.kueueOrigin(key)}
	}
	for key, level := range map[string]string{kube.AnnotationTopologyRequired: r.Required, kube.AnnotationTopologyPreferred: r.Preferred} {
		if _, written := d.Terms[key]; !written && level != "" {
			put(key, level)
		}
	}
	for _, key := range kube.SliceAnnotations() {
		if _, written := d.Terms[key]; written {
			return
		}
	}
	for key, value := range r.SliceAnnotations() {
		put(key, value)
	}
}
