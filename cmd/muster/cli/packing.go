// Copyright The Muster Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/muster-scheduler/muster/internal/sim/packing"
)

// fgdFlags are the flags of the protocol fgd.
type fgdFlags struct {
	protocol  string
	workloads []string
	policies  []string
	seeds     string
	at        int
}

// addFlags adds them.
func (f *fgdFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&f.protocol, "protocol", "", "run a published experiment in place of a trace: `fgd` packs the pods of Alibaba's openb cluster (USENIX ATC 2023)")
	flags.StringSliceVar(&f.workloads, "workload", packing.WorkloadNames(), "the pod `lists` of protocol fgd")
	flags.StringSliceVar(&f.policies, "policy", []string{"muster", "fgd", "bestfit", "packing", "random"}, "the `policies` of protocol fgd")
	flags.StringVar(&f.seeds, "seeds", "42..51", "the `seeds` of protocol fgd, such as 42..51 or 42,44")
	flags.IntVar(&f.at, "at", 100, "the arrived load, in `percent` of the GPUs, at which protocol fgd reads the allocation")
}

// run writes the table of the protocol.
func (f *fgdFlags) run(w io.Writer) error {
	if f.protocol != "fgd" {
		return fmt.Errorf("--protocol: %q is not known; there is fgd", f.protocol)
	}
	seeds, err := parseSeeds(f.seeds)
	if err != nil {
		return err
	}
	return packing.WriteTable(w, packing.Options{
		Workloads: f.workloads, Policies: f.policies, Seeds: seeds, Load: f.at, Workers: runtime.GOMAXPROCS(0),
	})
}

// maxSeeds bounds a range of seeds: a typing error should not run for days.
const maxSeeds = 10_000

// parseSeeds reads numbers and ranges of them, separated by commas.
func parseSeeds(text string) ([]int64, error) {
	var seeds []int64
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "..")
		if !isRange {
			to = from
		}
		first, err := strconv.ParseInt(from, 10, 32)
		last, err2 := strconv.ParseInt(to, 10, 32)
		if err != nil || err2 != nil || first > last || last-first >= maxSeeds {
			return nil, fmt.Errorf("--seeds: found %q, want numbers or ranges such as 42..51", part)
		}
		for seed := first; seed <= last; seed++ {
			seeds = append(seeds, seed)
		}
	}
	return seeds, nil
}
