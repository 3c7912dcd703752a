// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// RoleSlice is a layer of slices of a Role: each run of Size members, in rank
// order, shares one domain of a level, or should.
type RoleSlice struct {
	Size      int    `json:"size"`
	Topology  string `json:"topology"`
	Preferred bool   `json:"preferred,omitempty"`
}

// sliceLayers are all slices of a role, the widest first.
func (r *Role) sliceLayers() []RoleSlice {
	if r.SliceSize == 0 {
		return r.Slices
	}
	return append([]RoleSlice{{Size: r.SliceSize, Topology: r.SliceTopology}}, r.Slices...)
}

// SliceAnnotations are the annotations by which a whole gang asks for the slices
// of a role.
func (r *Role) SliceAnnotations() map[string]string {
	said := map[string]string{}
	add := func(key, word string) {
		if said[key] != "" {
			word = "," + word
		}
		said[key] += word
	}
	for _, s := range r.sliceLayers() {
		key := AnnotationSliceTopology
		if s.Preferred {
			key = AnnotationSliceTopologyPreferred
		}
		add(key, s.Topology)
		add(AnnotationSliceSize, strconv.Itoa(s.Size))
	}
	return said
}

func (r *Role) validateSlices() error {
	if (r.SliceSize > 0) != (r.SliceTopology != "") {
		return fmt.Errorf("sliceSize and sliceTopology go together: write both or none")
	}
	for _, s := range r.sliceLayers() {
		if s.Size < 1 || s.Size > MaxMinCount {
			return fmt.Errorf("size of a slice: found %d, want a number from 1 to %d", s.Size, MaxMinCount)
		}
	}
	return nil
}

// readSlices reads the terms for slices: levels, the size for each, and whether they
// stand in one another.
func (s *Spec) readSlices(d *Declaration) *Invalid {
	size, sized := d.Terms[AnnotationSliceSize]
	layers, bad := s.readSliceLevels(d)
	if bad != nil {
		return bad
	}
	if sized != (layers != nil) {
		return s.invalidSpec("%s and %s go together: write both or none", AnnotationSliceSize, AnnotationSliceTopology)
	}
	if !sized {
		return nil
	}
	if configured := topology.Level(len(s.Levels) - len(s.keys)); !slices.ContainsFunc(layers, func(l gang.Slice) bool { return l.Level >= configured }) {
		slices.SortStableFunc(layers, func(a, b gang.Slice) int { return cmp.Compare(a.Level, b.Level) })
	}
	words := strings.Split(size.Value, ",")
	if len(words) != len(layers) {
		return s.invalidSpec("%s: found %s, want a size for each of the %d levels of slices, the largest first", AnnotationSliceSize, QuoteInput(size.Value), len(layers))
	}
	for i, word := range words {
		n, err := ParseMinCount(strings.TrimSpace(word))
		if err != nil {
			return s.invalidSpec("%s: found %s, want the number of pods in a slice, such as \"16\", at most %d", AnnotationSliceSize, QuoteInput(word), MaxMinCount)
		}
		layers[i].Size = n
	}
	if bad := s.checkNesting(AnnotationSliceSize, layers); bad != nil {
		return bad
	}
	s.Slices = layers
	return nil
}

// readSliceLevels reads the levels of slices, required and preferred, as they are
// listed; nil for none.
func (s *Spec) readSliceLevels(d *Declaration) ([]gang.Slice, *Invalid) {
	var layers []gang.Slice
	for _, key := range []string{AnnotationSliceTopology, AnnotationSliceTopologyPreferred} {
		term, ok := d.Terms[key]
		if !ok {
			continue
		}
		for word := range strings.SplitSeq(term.Value, ",") {
			layer := gang.Slice{Preferred: key == AnnotationSliceTopologyPreferred}
			if bad := s.resolveLevel(&layer.Level, d.OriginOf(key).Word, strings.TrimSpace(word)); bad != nil {
				return nil, bad
			}
			if layers = append(layers, layer); len(layers) > gang.MaxSlices {
				return nil, s.invalidSpec("%s: found more than %d levels, want at most that many slices inside slices", key, gang.MaxSlices)
			}
		}
	}
	return layers, nil
}

// readRoleSlices reads the slices of one role.
func (s *Spec) readRoleSlices(where string, role *Role) ([]gang.Slice, *Invalid) {
	var layers []gang.Slice
	for _, asked := range role.sliceLayers() {
		layer := gang.Slice{Size: asked.Size, Preferred: asked.Preferred}
		if bad := s.resolveLevel(&layer.Level, where, asked.Topology); bad != nil {
			return nil, bad
		}
		layers = append(layers, layer)
	}
	if len(layers) > gang.MaxSlices {
		return nil, s.invalidSpec("%s: found %d layers of slices, want at most %d", where, len(layers), gang.MaxSlices)
	}
	return layers, s.checkNesting(where, layers)
}

// checkNesting reports layers of slices, the widest first, that do not lie inside one
// another. Levels of different hierarchies may, in either order; whether they are two on the
// nodes of a cluster shows when the gang is planned.
func (s *Spec) checkNesting(where string, layers []gang.Slice) *Invalid {
	s.layers = append(s.layers, sliceLayers{where, layers})
	if why := s.nestingProblem(layers, s.Levels.AreOrdered); why != "" {
		return s.invalidSpec("%s: %s", where, why)
	}
	return nil
}

// nestingProblem returns why layers of slices do not lie inside one another, or "".
// areOrdered reports whether one of two levels is inside the other.
func (s *Spec) nestingProblem(layers []gang.Slice, areOrdered func(a, b topology.Level) bool) string {
	isWider := func(a, b topology.Level) bool { return a <= b && areOrdered(a, b) }
	for i, layer := range layers {
		name := s.Levels[layer.Level].Name
		switch {
		case !layer.Preferred && s.Required != topology.NoLevel && layer.Level != s.Required && isWider(layer.Level, s.Required):
			return fmt.Sprintf("slices in one %s are wider than the %s that must hold the whole gang", name, s.Levels[s.Required].Name)
		case i == 0:
		case isWider(layer.Level, layers[i-1].Level):
			return fmt.Sprintf("slices of %d in one %s cannot lie inside those in one %s: want narrower levels from each to the next", layer.Size, name, s.Levels[layers[i-1].Level].Name)
		case layers[i-1].Size%layer.Size != 0:
			return fmt.Sprintf("slices of %d do not fill those of %d around them: want sizes that divide the one before", layer.Size, layers[i-1].Size)
		}
	}
	return ""
}
