// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package config is the configuration of the Muster plugin: what stands under
// pluginConfig.args in a KubeSchedulerConfiguration. It is versioned, decoded
// strictly (an unknown field is an error), defaulted and validated.
package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/muster-scheduler/muster/pkg/dialect"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// The version and kind of the arguments. Both may be left out.
const (
	APIVersion = "config.muster.sh/v1alpha1"
	Kind       = "MusterArgs"
)

// Args are the arguments of the Muster plugin.
type Args struct {
	metav1.TypeMeta `json:",inline"`

	// Levels are the topology levels of the cluster, widest first. The default
	// is kube.DefaultLevels.
	Levels []Level `json:"levels,omitempty"`
	// GPUs says which GPUs pods get and how single pods with GPUs are placed.
	GPUs GPUs `json:"gpus"`
	// BarrierTimeout bounds how long a reserved member waits for its siblings
	// before all of them are released. The default is 30s; a PodGroup's own
	// scheduleTimeoutSeconds takes its place.
	BarrierTimeout *metav1.Duration `json:"barrierTimeout,omitempty"`
	// PartialGangGracePeriod is how long a gang that lost members may stay
	// below its minimum, without room for the rest, before its members that
	// belong to a controller are evicted together. The default is 60s; 0
	// leaves such gangs alone.
	PartialGangGracePeriod *metav1.Duration `json:"partialGangGracePeriod,omitempty"`
	// Preemption says how gangs take the room of others.
	Preemption Preemption `json:"preemption"`
	// NamespaceSharePercent is the part of the scheduler's time that the plans of one
	// namespace may take, those of less than 5 ms not counted. Beyond it, and a
	// second, its gangs wait. The default is 10; 100 sets no bound.
	NamespaceSharePercent *int `json:"namespaceSharePercent,omitempty"`
	// IncompleteDelay is how long a gang must lack members, or be declared in a
	// way that cannot be used, before that is written to its pods and to events.
	// The default is 3s: a gang of 1,000 pods lacks members 999 times while it
	// is created, a busy API server stalls for a second or two, and to tell is a
	// write for each pod. 0s tells at once.
	IncompleteDelay *metav1.Duration `json:"incompleteDelay,omitempty"`
	// Dialects are the ways to declare a gang that are read, such as "label"
	// and "native"; the markers of others are ignored, and no permission for
	// their group objects is needed. The default is all of dialect.Names. Of
	// several profiles, all that any of them names are read.
	Dialects []kube.Dialect `json:"dialects,omitempty"`
	// AutoGangNamespaces are the namespaces in which the pods of a workload,
	// such as a Job, are a gang without the label muster.sh/gang: auto; "*"
	// stands for all. Pods that name a gang, and pods of no supported workload,
	// are what they are elsewhere. The default is none. Of several profiles,
	// all that any of them names count.
	AutoGangNamespaces []string `json:"autoGangNamespaces,omitempty"`
}

// PreemptionMode says whether gangs take the room of pods of lower priority.
type PreemptionMode string

// The modes of preemption. PreemptionOff leaves it to kube-scheduler's own plugin,
// DefaultPreemption, as far as the profile enables it.
const (
	PreemptionOn  PreemptionMode = "On"
	PreemptionOff PreemptionMode = "Off"
)

// BudgetPolicy says what disruption budgets mean to preemption.
type BudgetPolicy string

// The policies for budgets. BudgetsPreferred exceeds a budget where nothing else makes
// room, as kube-scheduler does; BudgetsStrict never does.
const (
	BudgetsPreferred BudgetPolicy = "Prefer"
	BudgetsStrict    BudgetPolicy = "Strict"
)

// Preemption says how gangs take the room of others.
type Preemption struct {
	// Mode is On by default.
	Mode PreemptionMode `json:"mode,omitempty"`
	// Budgets is Prefer by default.
	Budgets BudgetPolicy `json:"budgets,omitempty"`
	// MinRuntime is how long pods run before they are preempted that have no
	// annotation muster.sh/min-runtime. The default is 0s.
	MinRuntime *metav1.Duration `json:"minRuntime,omitempty"`
}

// setDefaults fills in what is left out.
func (p *Preemption) setDefaults() {
	p.Mode, p.Budgets = cmp.Or(p.Mode, PreemptionOn), cmp.Or(p.Budgets, BudgetsPreferred)
	if p.MinRuntime == nil {
		p.MinRuntime = &metav1.Duration{}
	}
}

// validate returns the first value that is none of those that there are.
func (p *Preemption) validate() error {
	switch {
	case p.Mode != PreemptionOn && p.Mode != PreemptionOff:
		return fmt.Errorf("preemption.mode: found %q, want %s or %s", p.Mode, PreemptionOn, PreemptionOff)
	case p.Budgets != BudgetsPreferred && p.Budgets != BudgetsStrict:
		return fmt.Errorf("preemption.budgets: found %q, want %s or %s", p.Budgets, BudgetsPreferred, BudgetsStrict)
	case p.MinRuntime.Duration < 0:
		return fmt.Errorf("preemption.minRuntime: found %s, want 0s or more", p.MinRuntime.Duration)
	}
	return nil
}

// Level is one topology level.
type Level struct {
	// Name is what users write and messages say, such as "rack".
	Name string `json:"name"`
	// Aliases are other words for the level.
	Aliases []string `json:"aliases,omitempty"`
	// Keys are the node labels that carry it; the first one present counts.
	Keys []string `json:"keys"`
	// Hierarchy names the hierarchy that the level is of, such as "accelerator" for
	// NVLink across machines: where its domains do not nest in those of the levels
	// without one, it is a tree of its own. The default is known for the labels of
	// kube.DefaultLevels.
	Hierarchy string `json:"hierarchy,omitempty"`
}

// Decode reads the arguments that the scheduler hands to a plugin: nil for
// none, else JSON or YAML. The result is defaulted and valid.
func Decode(obj runtime.Object) (*Args, error) {
	args := &Args{}
	if obj != nil {
		unknown, ok := obj.(*runtime.Unknown)
		if !ok {
			return nil, fmt.Errorf("muster: arguments of type %T found, want %s", obj, Kind)
		}
		if err := unmarshal(unknown.Raw, args); err != nil {
			return nil, fmt.Errorf("muster: reading the plugin's arguments: %w", err)
		}
	}
	args.setDefaults()
	if err := args.Validate(); err != nil {
		return nil, fmt.Errorf("muster: the plugin's arguments are not valid: %w", err)
	}
	return args, nil
}

func unmarshal(raw []byte, args *Args) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	data, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode(args)
}

func (a *Args) setDefaults() {
	if a.APIVersion == "" {
		a.APIVersion = APIVersion
	}
	if a.Kind == "" {
		a.Kind = Kind
	}
	if len(a.Levels) == 0 {
		for _, spec := range kube.DefaultLevels() {
			a.Levels = append(a.Levels, Level(spec))
		}
	}
	if a.BarrierTimeout == nil {
		a.BarrierTimeout = &metav1.Duration{Duration: 30 * time.Second}
	}
	if a.PartialGangGracePeriod == nil {
		a.PartialGangGracePeriod = &metav1.Duration{Duration: 60 * time.Second}
	}
	a.Preemption.setDefaults()
	if a.NamespaceSharePercent == nil {
		a.NamespaceSharePercent = new(10)
	}
	if a.IncompleteDelay == nil {
		a.IncompleteDelay = &metav1.Duration{Duration: 3 * time.Second}
	}
	if a.GPUs.PlainRequests == "" {
		a.GPUs.PlainRequests = PlainWhole
	}
}

// Validate reports every field that cannot be used, with what was found.
func (a *Args) Validate() error {
	errs := a.GPUs.validate()
	if a.APIVersion != APIVersion || a.Kind != Kind {
		errs = append(errs, fmt.Errorf("apiVersion and kind: found %s %s, want %s %s", a.APIVersion, a.Kind, APIVersion, Kind))
	}
	if err := a.TopologyLevels().Validate(); err != nil {
		errs = append(errs, err)
	}
	if a.BarrierTimeout.Duration <= 0 {
		errs = append(errs, fmt.Errorf("barrierTimeout: found %s, want more than 0s", a.BarrierTimeout.Duration))
	}
	if a.PartialGangGracePeriod.Duration < 0 {
		errs = append(errs, fmt.Errorf("partialGangGracePeriod: found %s, want 0s or more", a.PartialGangGracePeriod.Duration))
	}
	if err := a.Preemption.validate(); err != nil {
		errs = append(errs, err)
	}
	if share := *a.NamespaceSharePercent; share < 1 || share > 100 {
		errs = append(errs, fmt.Errorf("namespaceSharePercent: found %d, want a number from 1 to 100", share))
	}
	if a.IncompleteDelay.Duration < 0 {
		errs = append(errs, fmt.Errorf("incompleteDelay: found %s, want 0s or more", a.IncompleteDelay.Duration))
	}
	if err := dialect.Check(a.Dialects); err != nil {
		errs = append(errs, fmt.Errorf("dialects: %w", err))
	}
	for _, namespace := range a.AutoGangNamespaces {
		if namespace != "*" && len(validation.IsDNS1123Label(namespace)) > 0 {
			errs = append(errs, fmt.Errorf("autoGangNamespaces: found %q, want the name of a namespace or \"*\"", namespace))
		}
	}
	return errors.Join(errs...)
}

// TopologyLevels returns the levels as package kube reads them.
func (a *Args) TopologyLevels() kube.Levels {
	ladder := make(kube.Levels, len(a.Levels))
	for i, level := range a.Levels {
		ladder[i] = kube.LevelConfig(level)
	}
	return ladder.WithHierarchies()
}
