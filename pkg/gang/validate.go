// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package gang

import (
	"fmt"
	"slices"

	"github.com/muster-scheduler/muster/pkg/topology"
)

// MaxSlices is the number of nested layers of slices that a gang may ask for.
const MaxSlices = 3

// MaxPodSets is the number of roles that one gang may have, of which a declared one is
// as many as its pods have shapes, and MaxShapes the number
// of distinct shapes of its members: what they ask for, and the nodes that they may
// use. A plan counts each shape on each node, and places each role by itself.
const (
	MaxPodSets = 512
	MaxShapes  = 64
)

// MaxMembers is the number of members that one role may have, and one slice.
const MaxMembers = 1 << 20

// MaxRank is greater than every rank, and leaves room to add one in an int32.
const MaxRank = 1 << 30

// WaitingCount returns the number of members that wait for a node.
func (g *Gang) WaitingCount() int {
	n := 0
	for i := range g.Roles {
		n += g.Roles[i].Count
	}
	return n
}

// MemberCount returns the number of members, waiting and bound.
func (g *Gang) MemberCount() int { return g.WaitingCount() + len(g.Bound) }

// BoundCount returns the number of bound members of role r.
func (g *Gang) BoundCount(r int) int {
	n := 0
	for _, b := range g.Bound {
		if b.Role == r {
			n++
		}
	}
	return n
}

// SlicesOf returns the slices that role r asks for: its own, else the gang's.
func (g *Gang) SlicesOf(r int) []Slice {
	if len(g.Roles[r].Slices) > 0 {
		return g.Roles[r].Slices
	}
	return g.Slices
}

// Validate returns the first contradiction of g in a cluster with the levels of a tree
// and so many resources, or nil. The bounds keep sums and products of counts in range. A
// gang that passes may still fit nowhere.
func (g *Gang) Validate(t *topology.Tree, resources int) error {
	levels := len(t.Levels)
	switch {
	case g.MinCount < 0:
		return fmt.Errorf("the minimum count is %d: it must be 0 or more", g.MinCount)
	case !isValidLevel(g.Required, levels):
		return fmt.Errorf("the required level is number %d, but there are %d levels", g.Required, levels)
	case !isValidLevel(g.Preferred, levels):
		return fmt.Errorf("the preferred level is number %d, but there are %d levels", g.Preferred, levels)
	}
	if err := validateSlices(g.Slices, t); err != nil {
		return err
	}
	if err := g.validateSize(); err != nil {
		return err
	}
	for r := range g.Roles {
		if err := g.validateRole(r, t, resources); err != nil {
			return fmt.Errorf("role %d %s: %w", r, g.Roles[r].Name, err)
		}
	}
	if err := g.validateRoleGroups(levels); err != nil {
		return err
	}
	for _, b := range g.Bound {
		if b.Role < 0 || b.Role >= len(g.Roles) {
			return fmt.Errorf("a bound member is of role %d, but there are %d roles", b.Role, len(g.Roles))
		}
	}
	return nil
}

// validateSize returns an error for a gang of more roles or shapes than a plan may have.
func (g *Gang) validateSize() error {
	if len(g.Roles) > MaxPodSets {
		return fmt.Errorf("its pods are in %d groups: at most %d are planned together", len(g.Roles), MaxPodSets)
	}
	if len(g.Roles) <= MaxShapes {
		return nil
	}
	shapes := make([]*Role, 0, MaxShapes)
	for r := range g.Roles {
		role := &g.Roles[r]
		if slices.ContainsFunc(shapes, role.hasShapeOf) {
			continue
		}
		if len(shapes) == MaxShapes {
			return fmt.Errorf("its pods have more than %d shapes: requests, node selection and tolerations; give pods of one kind the same", MaxShapes)
		}
		shapes = append(shapes, role)
	}
	return nil
}

// hasShapeOf reports whether the members of two roles ask for the same and may use the
// same nodes.
func (r *Role) hasShapeOf(o *Role) bool {
	return r.Filter == o.Filter && slices.Equal(r.Request, o.Request)
}

// validateRole is Validate for one role; the caller names it in the error.
func (g *Gang) validateRole(r int, t *topology.Tree, resources int) error {
	role, levels := &g.Roles[r], len(t.Levels)
	switch {
	case role.Count < 0 || role.Count > MaxMembers:
		return fmt.Errorf("the count is %d: it must be from 0 to %d", role.Count, MaxMembers)
	case role.MinCount < 0:
		return fmt.Errorf("the minimum count is %d: it must be 0 or more", role.MinCount)
	case len(role.Request) != resources:
		return fmt.Errorf("the request names %d resources, the cluster %d", len(role.Request), resources)
	case !isValidLevel(role.Required, levels):
		return fmt.Errorf("the required level is number %d, but there are %d levels", role.Required, levels)
	case role.NearRole >= len(g.Roles):
		return fmt.Errorf("it is near role %d, but there are %d roles", role.NearRole, len(g.Roles))
	}
	if err := role.validateRanks(); err != nil {
		return err
	}
	for c, q := range role.Request {
		if q < 0 {
			return fmt.Errorf("the request for resource %d is %d: it must be 0 or more", c, q)
		}
	}
	if err := role.validateMemberRequests(); err != nil {
		return err
	}
	return validateSlices(role.Slices, t)
}

// validateRoleGroups returns an error unless the groups are of known roles, and lie
// inside or beside one another.
func (g *Gang) validateRoleGroups(levels int) error {
	for i := range g.RoleGroups {
		group := &g.RoleGroups[i]
		if group.Required < 0 || int(group.Required) >= levels {
			return fmt.Errorf("group %s: the required level is number %d, but there are %d levels", group.Name, group.Required, levels)
		}
		for j, r := range group.Roles {
			if r < 0 || r >= len(g.Roles) || j > 0 && r <= group.Roles[j-1] {
				return fmt.Errorf("group %s: its roles are %v of %d: want them rising", group.Name, group.Roles, len(g.Roles))
			}
		}
		for j := range g.RoleGroups[:i] {
			other := &g.RoleGroups[j]
			apart := !slices.ContainsFunc(other.Roles, func(r int) bool { return slices.Contains(group.Roles, r) })
			if !apart && !group.Holds(other) && !other.Holds(group) {
				return fmt.Errorf("groups %s and %s have some roles in common, and neither has all of the other", other.Name, group.Name)
			}
		}
	}
	return nil
}

// RequestOf returns what waiting member i of the role asks for.
func (r *Role) RequestOf(i int) []int64 {
	if r.MemberRequests == nil {
		return r.Request
	}
	return r.MemberRequests[i]
}

// validateMemberRequests returns an error unless there is a request for each member,
// within that of the role.
func (r *Role) validateMemberRequests() error {
	if r.MemberRequests != nil && len(r.MemberRequests) != r.Count {
		return fmt.Errorf("there are %d requests for %d members", len(r.MemberRequests), r.Count)
	}
	for i, request := range r.MemberRequests {
		if len(request) != len(r.Request) {
			return fmt.Errorf("the request of member %d names %d resources, that of the role %d", i, len(request), len(r.Request))
		}
		for c, q := range request {
			if q < 0 || q > r.Request[c] {
				return fmt.Errorf("the request of member %d for resource %d is %d: it must be from 0 to the %d of the role", i, c, q, r.Request[c])
			}
		}
	}
	return nil
}

// validateRanks returns an error unless the ranks rise, one for each member.
func (r *Role) validateRanks() error {
	if r.Ranks == nil {
		return nil
	}
	if len(r.Ranks) != r.Count {
		return fmt.Errorf("there are %d ranks for %d members", len(r.Ranks), r.Count)
	}
	last := -1
	for i, rank := range r.Ranks {
		if rank <= last || rank >= MaxRank {
			return fmt.Errorf("member %d has rank %d after rank %d: ranks must rise, from 0 to %d", i, rank, last, MaxRank-1)
		}
		last = rank
	}
	return nil
}

// isValidLevel accepts ClusterLevel and NoLevel too: both mean no constraint.
func isValidLevel(l topology.Level, levels int) bool {
	return l >= topology.NoLevel && int(l) < levels
}

// validateSlices returns an error unless every layer nests in the one before it:
// at a narrower level or one that crosses it, with a size that divides the outer one.
func validateSlices(slices []Slice, t *topology.Tree) error {
	levels := len(t.Levels)
	if len(slices) > MaxSlices {
		return fmt.Errorf("there are %d layers of slices: at most %d may nest", len(slices), MaxSlices)
	}
	for i, s := range slices {
		if s.Size < 1 || s.Size > MaxMembers || s.Level < 0 || int(s.Level) >= levels {
			return fmt.Errorf("slice layer %d has size %d and level %d: the size must be from 1 to %d, the level one of %d", i, s.Size, s.Level, MaxMembers, levels)
		}
		if i == 0 {
			continue
		}
		outer := slices[i-1]
		if s.Level <= outer.Level && t.AreOrdered(s.Level, outer.Level) || outer.Size%s.Size != 0 {
			return fmt.Errorf("slice layer %d (size %d) must be narrower than the layer around it and divide its size %d", i, s.Size, outer.Size)
		}
	}
	return nil
}
