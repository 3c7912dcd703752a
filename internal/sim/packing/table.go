// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package packing

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/muster-scheduler/muster/pkg/gpu"
)

// Options select what WriteTable runs.
type Options struct {
	Workloads []string
	Policies  []string
	// Seeds are replayed one by one; 42 to 51 were published.
	Seeds []int64
	// Load is the arrived load, in percent of the GPUs, at which allocation is
	// read.
	Load int
	// Workers is the number of replays at a time, at least 1.
	Workers int
}

// PublishedSeeds returns the seeds of the published runs.
func PublishedSeeds() []int64 { return []int64{42, 43, 44, 45, 46, 47, 48, 49, 50, 51} }

// Cell is the GPU allocation of one workload under one policy over the seeds.
type Cell struct {
	Workload, Policy string
	// Mean and Spread are the mean and the standard deviation, in percent.
	Mean, Spread float64
	// Least is the worst seed.
	Least float64
}

// ReplayCells replays every workload under every policy with every seed.
func ReplayCells(o Options) ([]Cell, error) {
	var policies []Policy
	for _, name := range o.Policies {
		p, ok := policyNamed(name)
		if !ok {
			return nil, fmt.Errorf("policy %q: there are %s", name, strings.Join(policyNames(), ", "))
		}
		policies = append(policies, p)
	}
	if o.Load < 0 || o.Load > overload {
		return nil, fmt.Errorf("load %d: arrivals go from 0 to %d percent", o.Load, overload)
	}
	if len(o.Seeds) == 0 {
		return nil, fmt.Errorf("no seeds: the published ones are %d", PublishedSeeds())
	}
	var cells []Cell
	for _, workload := range o.Workloads {
		e, err := LoadExperiment(workload)
		if err != nil {
			return nil, err
		}
		for _, policy := range policies {
			cells = append(cells, newCell(workload, policy.Name, e.replayAll(policy, o)))
		}
	}
	return cells, nil
}

func policyNames() []string {
	var names []string
	for _, p := range AllPolicies() {
		names = append(names, p.Name)
	}
	return names
}

// replayAll returns the allocation of each seed.
func (e *Experiment) replayAll(policy Policy, o Options) []float64 {
	allocated := make([]float64, len(o.Seeds))
	slots := make(chan struct{}, max(1, o.Workers))
	var wait sync.WaitGroup
	for i, seed := range o.Seeds {
		wait.Add(1)
		slots <- struct{}{}
		go func() {
			defer wait.Done()
			allocated[i] = e.ReplayPods(policy, seed).Allocated[o.Load]
			<-slots
		}()
	}
	wait.Wait()
	return allocated
}

// newCell returns the mean and the spread of the seeds.
func newCell(workload, policy string, allocated []float64) Cell {
	c := Cell{Workload: workload, Policy: policy, Least: slices.Min(allocated)}
	squares := 0.0
	for _, a := range allocated {
		c.Mean += a / float64(len(allocated))
		squares += a * a / float64(len(allocated))
	}
	c.Spread = math.Sqrt(max(0, squares-c.Mean*c.Mean))
	return c
}

// WriteTable replays what the options say and writes one line for each
// workload, with the published mean of FGD at the same load behind, where there
// is one.
func WriteTable(w io.Writer, o Options) error {
	cells, err := ReplayCells(o)
	if err != nil {
		return err
	}
	published, err := publishedMeans("FGD", o.Load)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "GPU allocation in %% when %d %% of the GPUs have been asked for; mean ± standard deviation of seeds %d\n\n", o.Load, o.Seeds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "workload\t%s\tpublished FGD\n", strings.Join(o.Policies, "\t"))
	for i, workload := range o.Workloads {
		fmt.Fprint(t, workload)
		for _, c := range cells[i*len(o.Policies):][:len(o.Policies)] {
			fmt.Fprintf(t, "\t%.2f ± %.2f", c.Mean, c.Spread)
		}
		if mean, ok := published[workload]; ok {
			fmt.Fprintf(t, "\t%.2f\n", mean)
		} else {
			fmt.Fprint(t, "\t-\n")
		}
	}
	if err := t.Flush(); err != nil || !slices.Contains(o.Workloads, "default") {
		return err
	}
	return writeCheck(w, o.Policies[0])
}

// writeCheck writes how far the pods of the default list arrived as in the
// published experiments.
func writeCheck(w io.Writer, policy string) error {
	p, _ := policyNamed(policy)
	agreements, err := CheckArrivals(p)
	if err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, a := range agreements {
		fmt.Fprintf(w, "arrival order, default, seed %d: %d of the loads 0..%d agree with the published curve to 2 decimals (furthest %.2f)\n",
			a.Seed, a.Equal, a.Loads-1, a.Furthest)
	}
	return nil
}

// publishedMeans returns the mean over the seeds of one published policy, by
// workload.
func publishedMeans(policy string, load int) (map[string]float64, error) {
	results, err := PublishedResults()
	if err != nil {
		return nil, err
	}
	at := slices.Index(PublishedLoads, load)
	means := map[string]float64{}
	for _, r := range results {
		if at >= 0 && r.Policy == policy {
			means[r.Workload] += r.Allocated[at] / float64(len(PublishedSeeds()))
		}
	}
	return means, nil
}

// MIGOptions choose what WriteMIGTable runs: every board at every load.
type MIGOptions struct {
	Boards            []string
	Loads             []float64
	Devices, Arrivals int
	Seeds             []int64
}

// WriteMIGTable replays MIG instances, see MIGReplay, and writes one line for
// each board and load.
func WriteMIGTable(w io.Writer, o MIGOptions) error {
	fmt.Fprintf(w, "MIG instances that found a place, in %% (in brackets: of the units asked for); %d arrivals on %d devices, mean of seeds %d\n\n",
		o.Arrivals, o.Devices, o.Seeds)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(t, "board\tload")
	for _, p := range MIGPolicies() {
		fmt.Fprint(t, "\t", p.Name)
	}
	fmt.Fprintln(t)
	for _, name := range o.Boards {
		board, ok := gpu.FindBoard(name)
		if !ok {
			return fmt.Errorf("board %q has no MIG table", name)
		}
		for _, load := range o.Loads {
			fmt.Fprintf(t, "%s\t%.2f", name, load)
			for _, p := range MIGPolicies() {
				instances, units, err := migMeans(MIGReplay{Board: board, Devices: o.Devices, Arrivals: o.Arrivals, Load: load}, p, o.Seeds)
				if err != nil {
					return err
				}
				fmt.Fprintf(t, "\t%.1f (%.1f)", instances, units)
			}
			fmt.Fprintln(t)
		}
	}
	return t.Flush()
}

func migMeans(r MIGReplay, p MIGPolicy, seeds []int64) (instances, units float64, err error) {
	for _, r.Seed = range seeds {
		got, err := r.Run(p)
		if err != nil {
			return 0, 0, err
		}
		instances += got.InstanceAcceptance() / float64(len(seeds))
		units += got.UnitAcceptance() / float64(len(seeds))
	}
	return instances, units, nil
}
