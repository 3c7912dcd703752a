// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"fmt"
	"slices"

	"github.com/muster-scheduler/muster/pkg/kube"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// proposeRoleChanges proposes to change the constraints of single roles: a
// wider level, a level that is preferred and not required, or no slices.
func (x *explainer) proposeRoleChanges() ([]Change, error) {
	roles := x.gang.Declaration.Roles
	var all []Change
	for i := range roles {
		for _, search := range []func([]kube.Role, int) ([]Change, error){x.proposeWiderRoleLevel, x.proposePreferredRoleLevel, x.proposeRoleWithoutSlices} {
			found, err := search(roles, i)
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
	}
	return all, nil
}

// tryRole tries the gang with role i replaced. c describes what changed in the
// role.
func (x *explainer) tryRole(roles []kube.Role, i int, role kube.Role, c Change) ([]Change, error) {
	roles = slices.Clone(roles)
	roles[i] = role
	changed := *x.gang.Declaration
	changed.Roles = roles
	spec, bad := kube.ReadSpec(x.gang.Group, &changed, x.view.levels)
	if bad != nil {
		return nil, nil
	}
	t := x.gang.currentScenario()
	t.spec = spec
	setting := c.Setting
	c.Role, c.Text, c.Setting = role.Name, "for the pods "+role.Name+", "+c.Text, ""
	switch word := x.originOf(kube.AnnotationRoles).Word; {
	case x.gang.Dialect == kube.DialectAuto: // its parts are those of the workload
	case word == kube.AnnotationRoles:
		c.Setting = fmt.Sprintf("in %s, role %s: %s", word, role.Name, setting)
	default:
		c.Setting = fmt.Sprintf("in %s, for %s", word, role.Name)
	}
	return x.tryChange(t, c)
}

// proposeWiderRoleLevel proposes the narrowest wider level that holds a role.
func (x *explainer) proposeWiderRoleLevel(roles []kube.Role, i int) ([]Change, error) {
	role, required := roles[i], x.levelOf(roles[i].Required)
	tree := x.usage.Tree
	for l := tree.WiderLevel(required); l >= 0 && !x.isGranted(l); l = tree.WiderLevel(l) {
		if len(tree.DomainsAt(l)) == 0 {
			continue
		}
		role.Required = tree.Levels[l]
		if slice := x.levelOf(role.SliceTopology); slice <= l && tree.AreOrdered(slice, l) {
			role.SliceSize, role.SliceTopology = 0, ""
		}
		found, err := x.tryRole(roles, i, role, Change{Kind: ChangeWiderLevel, Setting: fmt.Sprintf("%q: %q", "topologyRequired", tree.Levels[l]),
			Text: fmt.Sprintf("ask for one %s instead of one %s", tree.Levels[l], tree.Levels[required])})
		if err != nil || len(found) > 0 {
			return found, err
		}
	}
	return nil, nil
}

// proposePreferredRoleLevel proposes to prefer the level that a role requires.
func (x *explainer) proposePreferredRoleLevel(roles []kube.Role, i int) ([]Change, error) {
	required := x.levelOf(roles[i].Required)
	if x.isGranted(required) {
		return nil, nil
	}
	role := roles[i]
	role.Required, role.Preferred = "", role.Required
	name := x.usage.Tree.Levels[required]
	return x.tryRole(roles, i, role, Change{Kind: ChangePreferredLevel, Setting: fmt.Sprintf("%q in place of %q", "topologyPreferred", "topologyRequired"),
		Text: fmt.Sprintf("prefer one %s instead of requiring it", name)})
}

// proposeRoleWithoutSlices proposes to give up the slices of a role.
func (x *explainer) proposeRoleWithoutSlices(roles []kube.Role, i int) ([]Change, error) {
	level := x.levelOf(roles[i].SliceTopology)
	if x.isGranted(level) {
		return nil, nil
	}
	role, size := roles[i], roles[i].SliceSize
	role.SliceSize, role.SliceTopology = 0, ""
	return x.tryRole(roles, i, role, Change{Kind: ChangeSlices, Setting: fmt.Sprintf("without %q and %q", "sliceSize", "sliceTopology"),
		Text: fmt.Sprintf("no longer ask for every %d in one %s", size, x.usage.Tree.Levels[level])})
}

// levelOf returns the level of a name, or topology.NoLevel.
func (x *explainer) levelOf(word string) topology.Level {
	if level, err := x.gang.Spec.Levels.FindLevel(word); word != "" && err == nil {
		return level
	}
	return topology.NoLevel
}

// isGranted reports whether a role has one domain of a level anyway, by what the gang
// requires.
func (x *explainer) isGranted(l topology.Level) bool {
	return l <= x.gang.Spec.Required && x.usage.Tree.AreOrdered(l, x.gang.Spec.Required)
}
