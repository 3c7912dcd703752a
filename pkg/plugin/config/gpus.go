// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/muster-scheduler/muster/pkg/gpu"
	"github.com/muster-scheduler/muster/pkg/kube"
)

// GPUs says which GPUs pods get and how single pods with GPUs are placed.
type GPUs struct {
	// PlainRequests says what a pod gets that asks for nvidia.com/gpu and says
	// nothing else about its GPUs: "Whole", the default, keeps it off MIG
	// instances of the strategy "single" and off time-shared GPUs; "Any" takes
	// whatever the node advertises. A pod that names a model or a memory floor
	// gets whole GPUs under either, unless it asks for slices itself.
	PlainRequests PlainRequests `json:"plainRequests,omitempty"`
	// Weights weigh what the score of a node for a single pod counts.
	Weights Weights `json:"weights"`
	// TypicalPods are what the cluster usually runs, by which free GPUs are
	// judged. Left out, they are learned from the pods that the scheduler sees.
	TypicalPods []TypicalPod `json:"typicalPods,omitempty"`
}

// PlainRequests is a policy for pods that ask for plain nvidia.com/gpu.
type PlainRequests string

// The policies for plain requests.
const (
	PlainWhole PlainRequests = "Whole"
	PlainAny   PlainRequests = "Any"
)

// Weights are those of gpu.Weights, in hundredths of a device; a weight of 0
// switches its part off. Those left out keep their defaults, which were measured
// (benchmarks/packing.md).
type Weights struct {
	// Fragmentation, 100: free GPU that typical pods can no longer use.
	Fragmentation *int64 `json:"fragmentation,omitempty"`
	// Packing, 800: holes in a shared device that no usual combination of pods
	// fills.
	Packing *int64 `json:"packing,omitempty"`
	// Scarcity, 100: devices of a model that choosy pods depend on.
	Scarcity *int64 `json:"scarcity,omitempty"`
	// Stranding, 40: free GPUs for which the node's processors do not suffice.
	Stranding *int64 `json:"stranding,omitempty"`
	// Links, 100: NVLink among all GPUs of a pod against unknown links.
	Links *int64 `json:"links,omitempty"`
	// Gangs, 50: idle nodes broken up in domains with many of them, and nodes in
	// domains where a gang waits.
	Gangs *int64 `json:"gangs,omitempty"`
	// Quantum, 40, in thousandths of a device: smaller differences are none.
	Quantum *int64 `json:"quantum,omitempty"`
}

// TypicalPod is a pod that the cluster often runs.
type TypicalPod struct {
	// Share is how often it comes, in relation to the others; the sum may be
	// anything.
	Share int `json:"share"`
	// GPUs is the number of nvidia.com/gpu, 0 for a pod without.
	GPUs int `json:"gpus,omitempty"`
	// CPU is the processor request.
	CPU resource.Quantity `json:"cpu"`
	// Models are the GPU models that it accepts, as in the annotation
	// muster.sh/gpu-models; none for any.
	Models []string `json:"models,omitempty"`
}

// maxWeight keeps scores far from overflow; maxShare the sum of shares.
const (
	maxWeight      = 10_000
	maxShare       = 1_000_000
	maxTypicalPods = 256
)

// fields pairs each weight with its place in gpu.Weights.
func (w *Weights) fields(to *gpu.Weights) []weightField {
	return []weightField{
		{"fragmentation", w.Fragmentation, &to.Fragmentation, 0},
		{"packing", w.Packing, &to.Packing, 0},
		{"scarcity", w.Scarcity, &to.Scarcity, 0},
		{"stranding", w.Stranding, &to.Stranding, 0},
		{"links", w.Links, &to.Links, 0},
		{"gangs", w.Gangs, &to.Gangs, 0},
		{"quantum", w.Quantum, &to.Quantum, 1},
	}
}

type weightField struct {
	name  string
	from  *int64
	to    *int64
	least int64
}

// Merge returns the measured defaults with the weights that are set in place of
// theirs.
func (w *Weights) Merge() gpu.Weights {
	all := gpu.DefaultWeights()
	for _, f := range w.fields(&all) {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	return all
}

// SharingPolicy is PlainRequests as package kube reads it.
func (g *GPUs) SharingPolicy() kube.Sharing {
	if g.PlainRequests == PlainAny {
		return kube.AnyShare
	}
	return kube.WholeOnly
}

func (g *GPUs) validate() []error {
	var errs []error
	if g.PlainRequests != PlainWhole && g.PlainRequests != PlainAny {
		errs = append(errs, fmt.Errorf("gpus.plainRequests: found %q, want %s or %s", g.PlainRequests, PlainWhole, PlainAny))
	}
	var unused gpu.Weights
	for _, f := range g.Weights.fields(&unused) {
		if f.from != nil && (*f.from < f.least || *f.from > maxWeight) {
			errs = append(errs, fmt.Errorf("gpus.weights.%s: found %d, want %d to %d", f.name, *f.from, f.least, maxWeight))
		}
	}
	if len(g.TypicalPods) > maxTypicalPods {
		errs = append(errs, fmt.Errorf("gpus.typicalPods: found %d, want at most %d; leave the rare ones out", len(g.TypicalPods), maxTypicalPods))
	}
	for i := range g.TypicalPods {
		if err := g.TypicalPods[i].validate(); err != nil {
			errs = append(errs, fmt.Errorf("gpus.typicalPods[%d]: %w", i, err))
		}
	}
	return errs
}

func (p *TypicalPod) validate() error {
	switch {
	case p.Share < 1 || p.Share > maxShare:
		return fmt.Errorf("share: found %d, want 1 to %d", p.Share, maxShare)
	case p.GPUs < 0 || p.GPUs > gpu.MaxNodeGPUs:
		return fmt.Errorf("gpus: found %d, want 0 to %d", p.GPUs, gpu.MaxNodeGPUs)
	case p.CPU.Sign() < 0:
		return fmt.Errorf("cpu: found %s, want 0 or more", p.CPU.String())
	case p.GPUs == 0 && p.CPU.IsZero():
		return fmt.Errorf("it asks for neither gpus nor cpu")
	case p.GPUs == 0 && len(p.Models) > 0:
		return fmt.Errorf("models: found %v on a pod without gpus", p.Models)
	case slices.Contains(p.Models, ""):
		return fmt.Errorf("models: found an empty name")
	}
	return nil
}
