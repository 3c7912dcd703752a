// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package packing

import (
	"cmp"
	"fmt"
	"math/rand"
	"slices"

	"github.com/muster-scheduler/muster/internal/trace"
	"github.com/muster-scheduler/muster/pkg/gpu"
)

// Experiment is a cluster and the list of pods from which arrivals are drawn.
type Experiment struct {
	// Name is what tables call it.
	Name string
	// Nodes and Pods are sorted by name.
	Nodes []trace.OpenbNode
	Pods  []trace.OpenbPod
	// models numbers the GPU models, in the order of the nodes.
	models []string
	// capacity is the number of devices of each model.
	capacity []int
	devices  int
}

// NewExperiment prepares an experiment on the given nodes and pods.
func NewExperiment(name string, nodes []trace.OpenbNode, pods []trace.OpenbPod) (*Experiment, error) {
	e := &Experiment{Name: name, Nodes: slices.Clone(nodes), Pods: slices.Clone(pods)}
	slices.SortStableFunc(e.Nodes, func(a, b trace.OpenbNode) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(e.Pods, func(a, b trace.OpenbPod) int { return cmp.Compare(a.Name, b.Name) })
	for _, n := range e.Nodes {
		if n.GPUs > gpu.MaxNodeGPUs {
			return nil, fmt.Errorf("experiment %s: node %s has %d GPUs, at most %d are simulated", name, n.Name, n.GPUs, gpu.MaxNodeGPUs)
		}
		if n.GPUs == 0 {
			continue
		}
		m := slices.Index(e.models, n.Model)
		if m < 0 {
			m = len(e.models)
			e.models = append(e.models, n.Model)
			e.capacity = append(e.capacity, 0)
		}
		e.capacity[m] += n.GPUs
		e.devices += n.GPUs
	}
	if len(e.models) > gpu.MaxModels {
		return nil, fmt.Errorf("experiment %s: %d GPU models, at most %d are told apart", name, len(e.models), gpu.MaxModels)
	}
	demand := 0
	for i := range e.Pods {
		demand += e.Pods[i].Milli()
	}
	if e.devices == 0 || demand == 0 {
		return nil, fmt.Errorf("experiment %s: %d GPUs and a demand of %d thousandths; both must be there", name, e.devices, demand)
	}
	return e, nil
}

// Request is what the scorer knows of a pod. Models that no node has leave no
// choice: the pod fits nowhere, and ok is false.
func (e *Experiment) Request(p *trace.OpenbPod) (r gpu.Request, ok bool) {
	r = gpu.Request{CPUMilli: p.CPUMilli, GPUs: p.GPUs, GPUMilli: p.GPUMilli}
	for _, model := range p.Models {
		if m := slices.Index(e.models, model); m >= 0 {
			r.Models |= 1 << m
		}
	}
	return r, len(p.Models) == 0 || r.Models != 0
}

// typicalCover is the part of the pods that typical pods make up.
const typicalCover = 0.95

// Typical is the workload of the whole list.
func (e *Experiment) Typical() gpu.Workload {
	var tally gpu.RequestHistogram
	for i := range e.Pods {
		if r, ok := e.Request(&e.Pods[i]); ok {
			tally.AddPod(r)
		}
	}
	return tally.TypicalWorkload(typicalCover)
}

// overload is the demand, in percent of the GPUs, at which arrivals end.
const overload = 130

// Arrivals returns the pods in their order of arrival, and the rank of each
// node. The names of repeated pods end in "-tuned-" and a number.
func (e *Experiment) Arrivals(seed int64) (pods []trace.OpenbPod, rank []int) {
	draw := rand.New(rand.NewSource(seed))
	draw.Int() // the published experiments print one number first
	pods = slices.Clone(e.Pods)
	draw.Shuffle(len(pods), func(i, j int) { pods[i], pods[j] = pods[j], pods[i] })
	demand := 0
	for i := range pods {
		demand += pods[i].Milli()
	}
	target := e.devices * gpu.MilliPerGPU * overload / 100
	if demand > target {
		for demand > target {
			i := draw.Intn(len(pods))
			demand -= pods[i].Milli()
			pods = slices.Delete(pods, i, i+1)
		}
		return pods, draw.Perm(len(e.Nodes))
	}
	for i := 0; ; i++ {
		p := e.Pods[draw.Intn(len(e.Pods))]
		if demand+p.GPUMilli > target { // one device is compared, all are added: as published
			return pods, draw.Perm(len(e.Nodes))
		}
		p.Name = fmt.Sprintf("%s-tuned-%d", p.Name, i)
		pods = append(pods, p)
		demand += p.Milli()
	}
}
