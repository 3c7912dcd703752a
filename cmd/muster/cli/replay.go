// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/muster-scheduler/muster/internal/demo/data"
	"github.com/muster-scheduler/muster/internal/sim"
	"github.com/muster-scheduler/muster/internal/trace"
)

// replayFlags are the flags that select the trace and the fleet.
type replayFlags struct {
	trace                 string
	nodes, gangs, singles string
	fleet, gpus           int
	load, singlesLoad     float64
}

// bundledTrace is a trace that comes with the command, and how it is replayed
// where no flag says otherwise. All run on the first hosts of the Lingjun
// fabric, since no public trace has the fabric that its gangs ran on.
type bundledTrace struct {
	name, title string
	gangs       func() ([]trace.Gang, error)
	singles     func() ([]trace.Gang, error)
	fleet       int
	shape       sim.Shape
	load        float64 // 0: as they came
	singlesLoad float64
}

// kalosShape is a node of Kalos: 128 cores, 2 TB of memory and 8 A100 (Hu et
// al., NSDI 2024, table 1).
var kalosShape = sim.Shape{GPUs: trace.GPUsPerNode, CPUMilli: 128_000, MemBytes: 2048e9}

// bundledTraces are the names that --trace takes, the default first.
var bundledTraces = []bundledTrace{
	{name: "kalos", title: "Gangs of the LLM cluster Kalos, 2023", gangs: data.KalosGangs, fleet: 302, shape: kalosShape, load: 1},
	{name: "philly", title: "Jobs of Microsoft's Philly, October 2017", gangs: data.PhillyGangs, fleet: 80, shape: sim.Shape{GPUs: trace.GPUsPerNode}},
	{
		name: "mixed", title: "Gangs of Kalos among single pods of Philly", gangs: data.KalosGangs, singles: data.PhillyGangs,
		fleet: 302, shape: kalosShape, load: 0.6, singlesLoad: 0.3,
	},
}

// traceNames returns the names of the traces.
func traceNames() []string {
	names := make([]string, len(bundledTraces))
	for i, o := range bundledTraces {
		names[i] = o.name
	}
	return names
}

// addFlags adds the flags of a replay.
func (r *replayFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&r.trace, "trace", bundledTraces[0].name, "a `trace` that comes with the command: "+strings.Join(traceNames(), ", "))
	flags.StringVar(&r.nodes, "nodes", "", "the fleet, a CSV `file`")
	flags.StringVar(&r.gangs, "gangs", "", "the gangs, a CSV `file`")
	flags.StringVar(&r.singles, "singles", "", "single pods that arrive between the gangs, a CSV `file`; its larger jobs are left out")
	flags.IntVar(&r.fleet, "fleet", 0, "take the first `nodes` of the fleet only; 0 takes what suits the trace, or all of the file")
	flags.IntVar(&r.gpus, "gpus", trace.GPUsPerNode, "`GPUs` of a node of which the file does not say")
	flags.Float64Var(&r.load, "load", 0, "squeeze the arrivals until this `share` of the fleet's GPU time is asked for; 0 leaves them (kalos: 1, mixed: 0.6)")
	flags.Float64Var(&r.singlesLoad, "singles-load", 0.3, "the `share` of the fleet's GPU time that the single pods ask for")
}

// simConfig reads what is to be replayed, and returns it with a title.
func (r *replayFlags) simConfig(flags *pflag.FlagSet) (sim.Config, string, error) {
	if r.singlesLoad < 0 || r.fleet < 0 || r.gpus < 1 || r.gpus > 1<<16 {
		return sim.Config{}, "", fmt.Errorf("--singles-load %g, --fleet %d, --gpus %d: want none below 0, and 1 to 65536 GPUs", r.singlesLoad, r.fleet, r.gpus)
	}
	o, err := r.chosenTrace(flags)
	if err != nil {
		return sim.Config{}, "", err
	}
	cfg := sim.Config{Shape: o.shape}
	if cfg.Nodes, err = r.fleetNodes(o.fleet); err != nil {
		return cfg, "", err
	}
	if cfg.Gangs, err = o.gangs(); err != nil {
		return cfg, "", err
	}
	gpus := cfg.Shape.TotalGPUs(cfg.Nodes)
	if o.load != 0 {
		if cfg.Gangs, _, err = (trace.Compression{Speed: 1, Load: o.load, GPUs: gpus}).Apply(cfg.Gangs); err != nil {
			return cfg, "", fmt.Errorf("--load: %w", err)
		}
	}
	if o.singles == nil {
		return cfg, o.title, nil
	}
	singles, err := o.singles()
	if err != nil {
		return cfg, "", err
	}
	if cfg.Gangs, err = trace.MixSingles(cfg.Gangs, singles, o.singlesLoad, gpus); err != nil {
		return cfg, "", fmt.Errorf("--singles-load: %w", err)
	}
	return cfg, o.title, nil
}

// chosenTrace returns the trace that the flags select. A flag that was not set
// leaves what suits the trace.
func (r *replayFlags) chosenTrace(flags *pflag.FlagSet) (bundledTrace, error) {
	i := slices.IndexFunc(bundledTraces, func(o bundledTrace) bool { return o.name == r.trace })
	if i < 0 {
		return bundledTrace{}, fmt.Errorf("--trace: %q is not known; there are %s", r.trace, strings.Join(traceNames(), ", "))
	}
	o := bundledTraces[i]
	if r.nodes != "" {
		o = bundledTrace{gangs: fileReader(r.gangs, trace.ReadGangs), title: filepath.Base(r.gangs), singlesLoad: r.singlesLoad}
		if r.singles != "" {
			o.title += " among single pods of " + filepath.Base(r.singles)
			o.singles = fileReader(r.singles, trace.ReadGangs)
		}
	}
	if flags.Changed("fleet") {
		o.fleet = r.fleet
	}
	if flags.Changed("load") {
		o.load = r.load
	}
	if flags.Changed("singles-load") {
		o.singlesLoad = r.singlesLoad
	}
	o.shape.GPUs = r.gpus
	return o, nil
}

// fleetNodes returns the first nodes of the fleet, all of them for 0.
func (r *replayFlags) fleetNodes(first int) ([]trace.Node, error) {
	read, from := data.LingjunNodes, "the fabric"
	if r.nodes != "" {
		read, from = fileReader(r.nodes, trace.ReadNodes), filepath.Base(r.nodes)
	}
	nodes, err := read()
	if err != nil || first == 0 {
		return nodes, err
	}
	if first > len(nodes) {
		return nil, fmt.Errorf("--fleet: %d nodes are wanted; %s has %d", first, from, len(nodes))
	}
	return nodes[:first], nil
}

// fileReader returns a function that reads a file in one of the formats of
// package trace. A bundled trace has such functions too.
func fileReader[T any](path string, read func(string, io.Reader) ([]T, error)) func() ([]T, error) {
	return func() ([]T, error) {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		rows, err := read(filepath.Base(path), file)
		if err == nil && len(rows) == 0 {
			err = fmt.Errorf("%s has no rows", path)
		}
		return rows, err
	}
}

// describeConfig returns how much is replayed on how much, as a sentence.
func describeConfig(cfg *sim.Config) string {
	gangs, work := 0, 0.0
	for _, g := range cfg.Gangs {
		if g.Pods > 1 {
			gangs++
		}
		work += float64(g.TotalGPUs()) * g.Run.Seconds()
	}
	gpus := cfg.Shape.TotalGPUs(cfg.Nodes)
	span := (cfg.Gangs[len(cfg.Gangs)-1].Arrival - cfg.Gangs[0].Arrival).Seconds()
	text := fmt.Sprintf("%s gangs and %s single pods on %s nodes with %s GPUs",
		sim.FormatThousands(gangs), sim.FormatThousands(len(cfg.Gangs)-gangs), sim.FormatThousands(len(cfg.Nodes)), sim.FormatThousands(gpus))
	if span > 0 && gpus > 0 {
		text += fmt.Sprintf("; they ask for %.0f %% of the GPU time of the %.3g days in which they arrive", 100*work/span/float64(gpus), span/86400)
	}
	return text
}
