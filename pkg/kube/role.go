// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Role is what a part of a gang asks for, as AnnotationRoles holds it: a list
// of these in JSON, of which the first that selects a member counts. A member
// that none selects asks for no more than the gang does.
type Role struct {
	// Name is what messages call the role.
	Name string `json:"name"`
	// Selector tells which members are of the role, by their labels and, for
	// keys that are no label of theirs, by their annotations.
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
	// Each names keys of labels or annotations: members that differ in the
	// value of any of them are of different roles, which ask for the same.
	Each []string `json:"each,omitempty"`
	// MinCount is the number of members of the role that must start together;
	// 0 leaves it to the gang.
	MinCount int `json:"minCount,omitempty"`
	// Required and Preferred name the level whose one domain must, or should,
	// hold the role.
	Required  string `json:"topologyRequired,omitempty"`
	Preferred string `json:"topologyPreferred,omitempty"`
	// SliceSize and SliceTopology ask that each run of so many members shares
	// one domain of that level.
	SliceSize     int    `json:"sliceSize,omitempty"`
	SliceTopology string `json:"sliceTopology,omitempty"`
	// Slices are further layers of slices, the widest first and each inside the
	// one before; those of SliceSize, if any, lie around all of them.
	Slices []RoleSlice `json:"slices,omitempty"`
	// Together are the groups that the role is in, the widest first: roles that name
	// the same one share a domain of its level.
	Together []RoleTogether `json:"together,omitempty"`
	// NearRole names the role near whose first member this one should stand, such
	// as the workers of a launcher.
	NearRole string `json:"beside,omitempty"`
}

// RoleTogether names a group of roles, and the level of which one domain must hold
// all of their members.
type RoleTogether struct {
	Name     string `json:"name"`
	Topology string `json:"topology"`
}

// maxTogether is the number of groups that one role may be in.
const maxTogether = 4

// MaxRoles is the number of roles that one gang may declare.
const MaxRoles = 256

// FormatRoles is the value of AnnotationRoles for these roles.
func FormatRoles(roles []Role) string {
	text, err := json.Marshal(roles)
	if err != nil {
		return "" // a list of plain fields can always be written
	}
	return string(text)
}

// ParseRoles reads the value of AnnotationRoles.
func ParseRoles(text string) ([]Role, error) {
	var roles []Role
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&roles); err != nil || decoder.More() {
		return nil, fmt.Errorf("found %s, want a list of roles in JSON, such as [{\"name\":\"worker\",\"selector\":{\"matchLabels\":{\"role\":\"worker\"}},\"minCount\":4}]", QuoteInput(text))
	}
	if err := CheckRoles(roles); err != nil {
		return nil, err
	}
	return roles, nil
}

// CheckRoles returns the first thing about roles that cannot be honored, or nil.
func CheckRoles(roles []Role) error {
	if len(roles) > MaxRoles {
		return fmt.Errorf("found %d roles, want at most %d", len(roles), MaxRoles)
	}
	for i := range roles {
		if err := roles[i].validateFields(); err != nil {
			return fmt.Errorf("role %d %s: %w", i, QuoteInput(roles[i].Name), err)
		}
	}
	return nil
}

func (r *Role) validateFields() error {
	switch {
	case r.Name == "" || len(r.Name) > 253:
		return fmt.Errorf("want a name of 1 to 253 characters")
	case r.MinCount < 0 || r.MinCount > MaxMinCount:
		return fmt.Errorf("minCount: found %d, want a number from 0 to %d", r.MinCount, MaxMinCount)
	case r.SliceSize < 0 || r.SliceSize > MaxMinCount:
		return fmt.Errorf("sliceSize: found %d, want a number from 1 to %d", r.SliceSize, MaxMinCount)
	case len(r.Together) > maxTogether:
		return fmt.Errorf("together: found %d groups, want at most %d", len(r.Together), maxTogether)
	case slices.ContainsFunc(r.Together, func(t RoleTogether) bool { return t.Name == "" || t.Topology == "" }):
		return fmt.Errorf("together: want the name of a group and its topology")
	case len(r.Each) > 8:
		return fmt.Errorf("each: found %d keys, want at most 8", len(r.Each))
	}
	if _, err := metav1.LabelSelectorAsSelector(r.Selector); err != nil {
		return fmt.Errorf("selector: %s is not a valid label selector", quoteJSON(r.Selector))
	}
	return r.validateSlices()
}

func quoteJSON(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return "it"
	}
	return QuoteInput(string(text))
}

// TotalMinimum is the number of members without which not all roles can have their
// minimum.
func TotalMinimum(roles []Role) int {
	least := 0
	for i := range roles {
		if len(roles[i].Each) == 0 {
			least = min(least+roles[i].MinCount, MaxMinCount)
		}
	}
	return least
}

// ResolvedRole is a Role in terms of a ladder.
type ResolvedRole struct {
	Role
	selector            labels.Selector
	required, preferred topology.Level
	slices              []gang.Slice
	// together are the levels of the groups of the same index.
	together []topology.Level
}

func (s *Spec) readRoles(d *Declaration) *Invalid {
	origin := d.OriginOf(AnnotationRoles).Word
	if err := CheckRoles(d.Roles); err != nil {
		return s.invalidSpec("%s: %v", origin, err)
	}
	for _, role := range d.Roles {
		var err error
		r := ResolvedRole{Role: role, required: topology.NoLevel, preferred: topology.NoLevel}
		if r.selector, err = metav1.LabelSelectorAsSelector(role.Selector); err != nil {
			return s.invalidSpec("%s: role %s: %v", origin, QuoteInput(role.Name), err)
		}
		if role.Selector == nil {
			r.selector = labels.Everything()
		}
		where := origin + ": role " + QuoteInput(role.Name)
		for _, wish := range []struct {
			level *topology.Level
			word  string
		}{{&r.required, role.Required}, {&r.preferred, role.Preferred}} {
			if wish.word == "" {
				continue
			}
			if bad := s.resolveLevel(wish.level, where, wish.word); bad != nil {
				return bad
			}
		}
		for _, group := range role.Together {
			level := topology.NoLevel
			if bad := s.resolveLevel(&level, where, group.Topology); bad != nil {
				return bad
			}
			r.together = append(r.together, level)
		}
		var bad *Invalid
		if r.slices, bad = s.readRoleSlices(where, &role); bad != nil {
			return bad
		}
		s.Roles = append(s.Roles, r)
	}
	s.MinCount = max(s.MinCount, TotalMinimum(d.Roles))
	return nil
}

// beyondGang returns what the role asks for beyond the one domain that holds every
// member of the gang, if it asks for one: at that level and wider ones of its hierarchy the
// role has it anyway.
func (r *ResolvedRole) beyondGang(s *Spec) (required, preferred topology.Level, slices []gang.Slice) {
	isGranted := func(l topology.Level) bool { return l <= s.Required && s.Levels.AreOrdered(l, s.Required) }
	required, preferred = r.required, r.preferred
	if isGranted(required) {
		required = topology.NoLevel
	}
	if isGranted(preferred) {
		preferred = topology.NoLevel
	}
	for _, slice := range r.slices {
		if !isGranted(slice.Level) {
			slices = append(slices, slice)
		}
	}
	return required, preferred, slices
}

// podKeys are the labels of a pod, and the annotations that are not among them.
type podKeys struct{ pod *v1.Pod }

// Has reports whether there is such a key.
func (w podKeys) Has(key string) bool { _, ok := w.Lookup(key); return ok }

// Get returns the value of a key, or "".
func (w podKeys) Get(key string) string { value, _ := w.Lookup(key); return value }

// Lookup returns the value of a key, and whether there is one.
func (w podKeys) Lookup(key string) (string, bool) {
	if value, ok := w.pod.Labels[key]; ok {
		return value, true
	}
	value, ok := w.pod.Annotations[key]
	return value, ok
}

// roleKey is the role that a member is of: the index into Spec.Roles, or -1, and
// the values that tell roles apart which ask for the same.
type roleKey struct {
	role   int
	values string
}

// roleFinder returns a function that finds the role of a pod. Most selectors are one
// label with one value: those are looked up, so that a pod does not cost as much as
// there are roles.
func (s *Spec) roleFinder() func(*v1.Pod) roleKey {
	type pair struct{ key, value string }
	byPair, keys := map[pair]int{}, []string{}
	var others []int
	for i := range s.Roles {
		selector := s.Roles[i].Selector
		if selector == nil || len(selector.MatchLabels) != 1 || len(selector.MatchExpressions) > 0 {
			others = append(others, i)
			continue
		}
		for key, value := range selector.MatchLabels {
			if _, taken := byPair[pair{key, value}]; !taken {
				byPair[pair{key, value}] = i
			}
			if !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	return func(pod *v1.Pod) roleKey {
		first := len(s.Roles)
		for _, key := range keys {
			if value, ok := (podKeys{pod}).Lookup(key); ok {
				if i, found := byPair[pair{key, value}]; found {
					first = min(first, i)
				}
			}
		}
		for _, i := range others {
			if i >= first {
				break
			}
			if s.Roles[i].selector.Matches(podKeys{pod}) {
				first = i
			}
		}
		return s.roleKeyAt(first, pod)
	}
}

// roleKeyAt is the key of a pod in the role of an index; none beyond the last.
func (s *Spec) roleKeyAt(i int, pod *v1.Pod) roleKey {
	if i >= len(s.Roles) {
		return roleKey{role: -1}
	}
	key := roleKey{role: i}
	for _, name := range s.Roles[i].Each {
		key.values += strconv.Quote(podKeys{pod}.Get(name))
	}
	return key
}

// applyRoles gives the roles of a gang what the parts of it ask for. shapes are the
// core's roles by part, each of one shape.
func (m *Members) applyRoles(spec *Spec, roles []*podSet) {
	shapes := map[roleKey][]int{}
	for i, r := range roles {
		if r.key.role >= 0 {
			shapes[r.key] = append(shapes[r.key], i)
		}
	}
	for i := range roles {
		if same := shapes[roles[i].key]; len(same) > 0 && same[0] == i {
			m.applyRole(spec, &spec.Roles[roles[i].key.role], same, roles)
		}
	}
	for i, r := range roles {
		if r.key.role >= 0 {
			m.Roles[i].NearRole = spec.podSetIndex(spec.Roles[r.key.role].NearRole, roles)
		}
	}
}

// podSetIndex finds the first of the core's roles that is of a role with this name,
// or -1.
func (s *Spec) podSetIndex(name string, roles []*podSet) int {
	return slices.IndexFunc(roles, func(r *podSet) bool { return r.key.role >= 0 && s.Roles[r.key.role].Name == name })
}

// groupRoles gathers the roles that share a domain of a level narrower than that of
// the gang.
func (m *Members) groupRoles(spec *Spec, roles []*podSet) {
	for i, r := range roles {
		if r.key.role < 0 {
			continue
		}
		role := &spec.Roles[r.key.role]
		for j, level := range role.together {
			if level <= spec.Required && spec.Levels.AreOrdered(level, spec.Required) {
				continue
			}
			name := role.Together[j].Name
			at := slices.IndexFunc(m.RoleGroups, func(g gang.RoleGroup) bool { return g.Name == name })
			if at < 0 {
				at = len(m.RoleGroups)
				m.RoleGroups = append(m.RoleGroups, gang.RoleGroup{Name: name, Required: level})
			}
			group := &m.RoleGroups[at]
			if group.Required != level && m.Invalid == nil {
				m.Invalid = invalidMembers("its roles ask for different levels for the group %s, which they share; ask for one", QuoteInput(name))
			}
			group.Roles = append(group.Roles, i)
		}
	}
}

func (m *Members) applyRole(spec *Spec, r *ResolvedRole, shapes []int, roles []*podSet) {
	required, preferred, layers := r.beyondGang(spec)
	total := 0
	for _, i := range shapes {
		have := len(roles[i].waiting) + len(roles[i].bound)
		total += have
		m.Roles[i].Name, m.Roles[i].Required, m.Roles[i].Slices = r.displayName(roles[i].key), required, layers
		if preferred != topology.NoLevel {
			m.Roles[i].Slices = wrapPreferred(m.Tree, preferred, max(have, 1), layers)
		}
		m.Roles[i].MinCount = have
	}
	first := &m.Roles[shapes[0]]
	switch missing := r.MinCount - total; {
	case r.MinCount == 0:
		for _, i := range shapes {
			m.Roles[i].MinCount = 0
		}
	case missing >= 0:
		first.MinCount += missing
	case len(shapes) == 1:
		first.MinCount = r.MinCount
	default:
		m.refuseMixedRole(r, shapes, roles, fmt.Sprintf("only all %d of them can start together, not %d", total, r.MinCount))
	}
	if len(shapes) > 1 && (required != topology.NoLevel || len(layers) > 0) { // each shape is placed by itself
		m.refuseMixedRole(r, shapes, roles, "pods that share a domain must be alike")
	}
}

// wrapPreferred puts a wish for one domain of a level around the slices of a role of
// so many members, where that level is wider than theirs.
func wrapPreferred(t *topology.Tree, level topology.Level, members int, layers []gang.Slice) []gang.Slice {
	whole := gang.Slice{Size: members, Level: level, Preferred: true}
	if len(layers) == 0 {
		return []gang.Slice{whole}
	}
	if len(layers) == gang.MaxSlices || level >= layers[0].Level && t.AreOrdered(level, layers[0].Level) {
		return layers
	}
	if short := members % layers[0].Size; short > 0 {
		whole.Size += layers[0].Size - short
	}
	return append([]gang.Slice{whole}, layers...)
}

func (m *Members) refuseMixedRole(r *ResolvedRole, shapes []int, roles []*podSet, why string) {
	if m.Invalid == nil {
		m.Invalid = invalidMembers("role %s has pods of different shapes, such as %s and %s: %s; give them the same requests, node selection and tolerations, or roles of their own",
			r.Name, roles[shapes[0]].template.Name, roles[shapes[1]].template.Name, why)
	}
}

// displayName is what messages call a part.
func (r *ResolvedRole) displayName(p roleKey) string {
	return strings.TrimSpace(r.Name + " " + strings.ReplaceAll(p.values, `"`, ""))
}

// missingRoles lists the roles with a minimum that have no member yet.
func (s *Spec) missingRoles(roles []*podSet) []gang.Role {
	there := map[int]bool{}
	for _, r := range roles {
		there[r.key.role] = true
	}
	var all []gang.Role
	for i := range s.Roles {
		if r := &s.Roles[i]; r.MinCount > 0 && len(r.Each) == 0 && !there[i] {
			all = append(all, gang.Role{Name: r.Name, MinCount: r.MinCount, Required: topology.NoLevel, NearRole: -1})
		}
	}
	return all
}
