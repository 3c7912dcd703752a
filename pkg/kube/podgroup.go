// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import (
	"fmt"
	"strings"

	schedulingapi "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/types"

	"github.com/muster-scheduler/muster/pkg/gang"
	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/topology"
)

// Spec is what a group asks for as a whole, in terms of a ladder.
type Spec struct {
	// UID is the identity of the group: a group that is deleted and created
	// again under its name is another gang.
	UID types.UID
	// Name is what users call the gang.
	Name     string
	MinCount int
	// RunningMinimum is the number of members with a node below which a gang that has
	// begun is broken: MinCount, or less where members are still to come.
	RunningMinimum int
	// Runs is set where several runs have pods in the gang.
	Runs                *Runs
	Required, Preferred topology.Level
	Slices              []gang.Slice
	// Levels are those that the levels of the gang are positions in: those of the
	// cluster, and behind them the node label keys that the gang names.
	Levels Levels
	// keys are where the gang names those.
	keys []labelKey
	// layers are all slices, and where they are asked for.
	layers []sliceLayers
	// Roles are the parts that ask for something of their own.
	Roles  []ResolvedRole
	Models []string
	// Memory is the least memory of each GPU.
	Memory gpu.MemoryFloor
}

// sliceLayers are slices, the widest first, that are asked for in one place.
type sliceLayers struct {
	where string
	all   []gang.Slice
}

// labelKey is a node label that a gang names as a level, and where it does.
type labelKey struct{ key, where string }

// MaxLabelKeys is the number of node label keys that are no configured levels and that
// one gang may name as levels: a tree is made for each of them.
const MaxLabelKeys = 8

// Invalid is why a group cannot be scheduled as it is written.
type Invalid struct {
	Reason  Reason
	Message string
}

// Error is the reason and the sentence.
func (e *Invalid) Error() string { return fmt.Sprintf("%s: %s", e.Reason, e.Message) }

// ReadSpec reads a group as the scheduler sees it, a native one or one that was
// translated from another dialect, and what its user declared.
func ReadSpec(pg *schedulingapi.PodGroup, d *Declaration, levels Levels) (*Spec, *Invalid) {
	if d.Invalid != nil {
		return nil, d.Invalid
	}
	s := &Spec{UID: pg.UID, Name: GangName(pg), MinCount: 1, Runs: d.Runs, Levels: levels, Required: topology.NoLevel, Preferred: topology.NoLevel}
	if policy := pg.Spec.SchedulingPolicy.Gang; policy != nil {
		s.MinCount = int(policy.MinCount)
	}
	if bad := s.readLevels(pg, d); bad != nil {
		return nil, bad
	}
	for _, read := range []func(*Declaration) *Invalid{s.readSlices, s.readRoles, s.readGPUs} {
		if bad := read(d); bad != nil {
			return nil, bad
		}
	}
	s.RunningMinimum = min(RunningMinimum(pg, d), s.MinCount)
	return s, nil
}

func (s *Spec) readLevels(pg *schedulingapi.PodGroup, d *Declaration) *Invalid {
	term, required := d.Terms[AnnotationTopologyRequired]
	word, where := term.Value, d.OriginOf(AnnotationTopologyRequired).Word
	// The annotation stands for the constraint too, and is what the user wrote.
	if c := pg.Spec.SchedulingConstraints; c != nil && len(c.Topology) > 0 && !required {
		where, word, required = "spec.schedulingConstraints.topology", c.Topology[0].Key, true
	}
	if required {
		if bad := s.resolveLevel(&s.Required, where, word); bad != nil {
			return bad
		}
	}
	if term, ok := d.Terms[AnnotationTopologyPreferred]; ok {
		return s.resolveLevel(&s.Preferred, d.OriginOf(AnnotationTopologyPreferred).Word, term.Value)
	}
	return nil
}

func (s *Spec) readGPUs(d *Declaration) *Invalid {
	var err error
	if term, ok := d.Terms[AnnotationGPUModels]; ok {
		if s.Models, err = ParseModels(term.Value); err != nil {
			return s.invalidSpec("%s: %v", AnnotationGPUModels, err)
		}
	}
	if term, ok := d.Terms[AnnotationGPUMemory]; ok {
		if s.Memory, err = gpu.ParseMemoryFloor(term.Value); err != nil {
			return s.invalidSpec("%s: %v", AnnotationGPUMemory, err)
		}
	}
	return nil
}

// resolveLevel finds the level that is meant by a word: one of the cluster, or the key
// of a label. Whether a node has that label shows when the gang is planned.
func (s *Spec) resolveLevel(level *topology.Level, where, word string) *Invalid {
	found, err := s.Levels.FindLevel(word)
	switch {
	case err == nil:
		*level = found
		return nil
	case len(content.IsLabelKey(word)) > 0:
		return &Invalid{TopologyUnknownLevel, fmt.Sprintf("gang %s, %s: %v", s.Name, where, err)}
	case len(s.keys) == MaxLabelKeys:
		return s.invalidSpec("%s: %s is one more node label key than the %d that a gang may name as levels; name it in the scheduler's levels", where, QuoteInput(word), MaxLabelKeys)
	}
	*level = topology.Level(len(s.Levels))
	s.Levels, s.keys = s.Levels.withKey(word), append(s.keys, labelKey{word, where})
	return nil
}

func (s *Spec) invalidSpec(format string, args ...any) *Invalid {
	return &Invalid{InvalidGangSpec, "gang " + s.Name + ": " + fmt.Sprintf(format, args...)}
}

// invalidMembers is what is wrong with the pods of a gang: see Members.Invalid.
func invalidMembers(format string, args ...any) *Invalid {
	return &Invalid{InvalidGangSpec, fmt.Sprintf(format, args...)}
}

// ParseModels reads an ordered list of GPU models such as "H100,A100".
func ParseModels(text string) ([]string, error) {
	var models []string
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			return nil, fmt.Errorf("found %q, want GPU models separated by commas, such as \"H100,A100\"", text)
		}
		models = append(models, word)
	}
	return models, nil
}
