// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"cmp"
	"maps"
	"slices"

	"github.com/muster-scheduler/muster/pkg/kube"
)

// setRoles gives an object's gang its parts, which it has in the field where.
// The gang cannot start with fewer members than these need.
func (o *object) setRoles(roles []kube.Role, where string) {
	switch {
	case len(roles) == 0:
		return
	case len(roles) > kube.MaxRoles:
		o.refuse("it has %d sub-groups; a gang may have at most %d", len(roles), kube.MaxRoles)
		return
	}
	o.wish(kube.AnnotationRoles, kube.FormatRoles(roles), where)
	if o.minCount > 0 {
		o.minCount = max(o.minCount, kube.LeastOf(roles))
	}
}

// unite adds the parts that members name to what is known of the gang, unless
// its parts are known already. What all members say of one and the same part
// holds for the gang as a whole.
func (g *gangState) unite(merged map[string]string, camps []camp) *kube.Invalid {
	if _, known := merged[kube.AnnotationRoles]; known {
		return nil
	}
	parts, alike, bad := g.parts(camps)
	if bad != nil || len(parts) == 0 {
		return bad
	}
	all := slices.SortedFunc(maps.Values(parts), func(a, b kube.Role) int { return cmp.Compare(a.Name, b.Name) })
	if alike && len(all) == 1 && all[0].MinCount == 0 {
		g.hold(merged, all[0])
		return nil
	}
	merged[kube.AnnotationRoles] = kube.FormatRoles(all)
	if slices.ContainsFunc(all, func(r kube.Role) bool { return r.Required+r.Preferred+r.SliceTopology != "" || len(r.Slices) > 0 }) {
		kube.SetOrigin(merged, kube.AnnotationRoles, kube.Origin{Word: kueueWords[kube.AnnotationRoles], OnPods: g.grouped()})
	}
	return nil
}

// parts are the parts that members name, by name, and whether all members name
// the same ones.
func (g *gangState) parts(camps []camp) (parts map[string]kube.Role, alike bool, bad *kube.Invalid) {
	parts, alike = map[string]kube.Role{}, true
	for _, c := range camps {
		alike = alike && c.terms.roles == camps[0].terms.roles
		if c.terms.roles == "" {
			continue
		}
		roles, err := kube.ParseRoles(c.terms.roles)
		if err != nil {
			return nil, false, &kube.Invalid{Reason: kube.InvalidGangSpec, Message: "gang " + g.name() + ": the parts that pod " + c.voice() + " names: " + err.Error()}
		}
		for _, r := range roles {
			before, known := parts[r.Name]
			if least := max(before.MinCount, r.MinCount); known {
				before.MinCount, r.MinCount = least, least
			}
			if known && kube.FormatRoles([]kube.Role{before}) != kube.FormatRoles([]kube.Role{r}) {
				return nil, false, g.conflict("what the part "+kube.Quote(r.Name)+" asks for", "pod "+camps[0].voice()+" says one thing", "pod "+c.voice()+" another")
			}
			parts[r.Name] = r
		}
	}
	return parts, alike, nil
}

// hold lets a whole gang ask for what a part asks for, where it asks for
// nothing itself.
func (g *gangState) hold(merged map[string]string, r kube.Role) {
	put := func(key, value string) {
		merged[key] = value
		kube.SetOrigin(merged, key, kube.Origin{Word: cmp.Or(kueueWords[key], key), OnPods: g.grouped()})
	}
	set := func(key, value string) {
		if _, said := merged[key]; !said && value != "" {
			put(key, value)
		}
	}
	set(kube.AnnotationTopologyRequired, r.Required)
	set(kube.AnnotationTopologyPreferred, r.Preferred)
	for _, key := range kube.SliceAnnotations() {
		if _, said := merged[key]; said {
			return
		}
	}
	for key, value := range r.SliceAnnotations() {
		put(key, value)
	}
}
